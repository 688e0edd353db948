"""What the deeds do about updates, and about leftovers, where the forge or somebody on it is in the way."""

from collections.abc import Sequence

import pytest

from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.memory import InMemoryForge, InMemoryGoldenPaths, InMemoryProgress
from tests.unit.cicd.deeds import handlers, newer
from tests.unit.cicd.events import (
    SECOND_LIFE,
    deletion_requested,
    secrets_stored,
    spec,
    update_failed,
    update_stored,
)


async def test_a_protected_branch_is_offered_an_update_instead() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge)
    await deeds.create_pipeline(secrets_stored(spec()))
    forge.push("acme/demo-api", "trunk", {"a": b"a"}, "Work")
    forge.protect("acme/demo-api", "main")
    forge.protect("acme/demo-api", "trunk")
    before = await forge.branches("acme/demo-api")
    told = await deeds.create_pipeline(update_stored(spec(branch="trunk"), spec()))
    assert told.previous == spec()
    assert told.pipeline.pull_request_url is not None
    after = await forge.branches("acme/demo-api")
    assert {name: head for name, head in after.items() if name in before} == before
    offered = {pull.base for name in after for pull in await forge.pull_requests("acme/demo-api", head=name)}
    assert offered == {"main", "trunk"}


async def test_a_branch_that_moves_under_an_update_is_looked_at_again() -> None:
    class Busy(InMemoryForge):
        busy = False

        async def forward_branch(self, repository: str, branch: str, commit: str) -> None:
            if self.busy:
                self.push(repository, branch, {"src/main.js": b"// theirs"}, "Work")
            await super().forward_branch(repository, branch, commit)

    forge = Busy()
    await handlers(forge=forge).create_pipeline(secrets_stored(spec()))
    deeds = handlers(forge=forge, golden_paths=InMemoryGoldenPaths({"nodejs-api": newer()}))
    asked = update_stored(spec(golden_path_version="2.0.0"), spec())
    forge.busy = True
    with pytest.raises(TransientError, match="just moved"):
        await deeds.create_pipeline(asked)
    forge.busy = False
    told = await deeds.create_pipeline(asked)
    assert told.pipeline.pull_request_url is None
    assert await forge.read("acme/demo-api", "src/main.js", at="main") == b"// theirs"


async def test_whoever_pushes_first_into_a_new_repository_is_not_overwritten() -> None:
    class Quick(InMemoryForge):
        quick = True

        async def forward_branch(self, repository: str, branch: str, commit: str) -> None:
            if self.quick:
                self.push(repository, branch, {"src/main.js": b"// theirs"}, "Work")
            await super().forward_branch(repository, branch, commit)

    forge = Quick()
    deeds = handlers(forge=forge)
    with pytest.raises(TransientError, match="somebody was first"):
        await deeds.create_pipeline(secrets_stored(spec()))
    forge.quick = False
    assert (await deeds.create_pipeline(secrets_stored(spec()))).pipeline.origin == "attached"
    assert await forge.read("acme/demo-api", "src/main.js", at="main") == b"// theirs"


async def test_a_road_back_leaves_what_the_forge_will_not_let_it_change() -> None:
    forge = InMemoryForge()
    await handlers(forge=forge).create_pipeline(secrets_stored(spec()))
    deeds = handlers(forge=forge, golden_paths=InMemoryGoldenPaths({"nodejs-api": newer()}))
    wanted = spec(golden_path_version="2.0.0")
    await deeds.create_pipeline(update_stored(wanted, spec()))
    forge.protect("acme/demo-api", "main")
    receipt = (await deeds.remove_pipeline(update_failed(wanted, spec()))).receipt
    assert receipt.restored == ()
    assert ["protected" in left.reason for left in receipt.left_behind] == [True]


async def test_a_golden_path_that_is_withdrawn_does_not_keep_a_parameter_from_changing() -> None:
    forge = InMemoryForge()
    await handlers(forge=forge).create_pipeline(secrets_stored(spec()))
    deeds = handlers(forge=forge, golden_paths=InMemoryGoldenPaths({}))
    told = await deeds.create_pipeline(update_stored(spec(parameters={"instances": 2}), spec()))
    assert told.pipeline.pull_request_url is None
    with pytest.raises(PermanentError, match="no golden path"):
        await deeds.create_pipeline(update_stored(spec(golden_path_version="2.0.0"), spec()))


async def test_the_person_who_waits_reads_what_an_update_and_its_road_back_did() -> None:
    forge, progress = InMemoryForge(), InMemoryProgress()
    await handlers(forge=forge).create_pipeline(secrets_stored(spec()))
    deeds = handlers(forge=forge, progress=progress, golden_paths=InMemoryGoldenPaths({"nodejs-api": newer()}))
    wanted = spec(golden_path_version="2.0.0")
    await deeds.create_pipeline(update_stored(wanted, spec()))
    undone = await deeds.remove_pipeline(update_failed(wanted, spec()))
    assert undone.previous == spec()
    assert [text for _, _, text in progress.lines] == [
        "The pipeline in acme/demo-api is as the update wants it.",
        ".github/workflows/slipway-demo-api.yml deploys every push to main.",
        "Put back workflow acme/demo-api/.github/workflows/slipway-demo-api.yml@main.",
    ]


async def test_a_half_made_repository_of_an_earlier_life_is_finished_by_the_next() -> None:
    class Broken(InMemoryForge):
        broken = True

        async def put_environment(self, repository: str, name: str, *, reviewers: Sequence[str] = ()) -> None:
            if self.broken:
                raise TransientError("502")
            await super().put_environment(repository, name, reviewers=reviewers)

    forge = Broken()
    deeds = handlers(forge=forge)
    with pytest.raises(TransientError):
        await deeds.create_pipeline(secrets_stored(spec()))
    forge.broken = False
    told = await deeds.create_pipeline(secrets_stored(spec(), SECOND_LIFE))
    assert told.pipeline.origin == "created"
    repository = await forge.find("acme/demo-api")
    assert repository is not None
    assert "is making" not in repository.description
    receipt = (await deeds.remove_pipeline(deletion_requested(spec(), SECOND_LIFE))).receipt
    assert [resource.id for resource in receipt.removed] == ["acme/demo-api"]

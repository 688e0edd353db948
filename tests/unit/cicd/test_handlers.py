"""What the deeds do where something before the forge is wrong, and what the person who waits reads."""

from typing import Any

import pytest

from chassis.consuming import GaveUp
from chassis.failures import PermanentError, TransientError
from contracts.events import PipelineCreated, PipelineFailed, PipelineRemoved
from contracts.topology import HEARS, SAYS
from contracts.values import Receipt
from services.cicd.adapters.memory import InMemoryForge, InMemoryProgress, InMemoryWorkflowCheck
from services.cicd.domain import Repository
from services.cicd.subscriptions import explain_failure, explain_left_behind, subscriptions
from tests.unit.cicd.deeds import handlers
from tests.unit.cicd.events import (
    SECOND_LIFE,
    deletion_requested,
    pipeline_failed,
    secrets_stored,
    spec,
    update_failed,
    update_stored,
)


async def test_what_is_told_carries_on_everything_known_before() -> None:
    heard = secrets_stored(spec())
    told = await handlers().create_pipeline(heard)
    assert told.spec == heard.data.spec
    assert told.infrastructure == heard.data.infrastructure
    assert told.secrets == heard.data.secrets
    assert told.pipeline.repository == "acme/demo-api"


async def test_a_workflow_that_github_would_refuse_is_never_committed() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge, workflow_check=InMemoryWorkflowCheck({b"demo-api": "line 3: unknown key"}))
    with pytest.raises(PermanentError, match="line 3: unknown key") as refused:
        await deeds.create_pipeline(secrets_stored(spec()))
    assert refused.value.code == "workflow_invalid"
    assert await forge.find("acme/demo-api") is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"golden_path": "cobol-batch"}, "golden_path_unknown"),
        ({"golden_path_version": "0.9.0"}, "golden_path_version_gone"),
    ],
)
async def test_a_golden_path_that_is_not_published_creates_nothing(changes: dict[str, Any], code: str) -> None:
    forge = InMemoryForge()
    with pytest.raises(PermanentError) as refused:
        await handlers(forge=forge).create_pipeline(secrets_stored(spec(**changes)))
    assert refused.value.code == code
    assert await forge.find("acme/demo-api") is None


async def test_an_archived_repository_is_refused_and_its_undo_ends() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge)
    await forge.create("acme/demo-api", description="Old", homepage="")
    await forge.archive("acme/demo-api")
    with pytest.raises(PermanentError, match="archived"):
        await deeds.create_pipeline(secrets_stored(spec()))
    assert (await deeds.remove_pipeline(pipeline_failed(spec()))).receipt == Receipt()


async def test_a_pipeline_in_a_repository_that_was_archived_since_is_kept_and_said_to_be() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge)
    await forge.create("acme/demo-api", description="An application", homepage="")
    await deeds.create_pipeline(secrets_stored(spec()))
    await forge.archive("acme/demo-api")
    receipt = (await deeds.remove_pipeline(deletion_requested(spec()))).receipt
    assert (receipt.removed, receipt.left_behind) == ((), ())
    assert [(kept.resource.id, kept.reason) for kept in receipt.kept] == [
        ("acme/demo-api", "It is archived on the forge, so it deploys nothing.")
    ]


async def test_a_name_can_be_used_again_once_its_archived_repository_is_unarchived() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge)
    await forge.create("acme/demo-api", description="An application", homepage="")
    await deeds.create_pipeline(secrets_stored(spec()))
    await forge.archive("acme/demo-api")
    await deeds.remove_pipeline(deletion_requested(spec()))
    with pytest.raises(PermanentError, match="archived") as refused:
        await deeds.create_pipeline(secrets_stored(spec(), SECOND_LIFE))
    assert "Unarchive" in refused.value.next_step
    forge.unarchive("acme/demo-api")
    again = await deeds.create_pipeline(secrets_stored(spec(), SECOND_LIFE))
    assert again.pipeline.origin == "attached"
    variables = await forge.variables("acme/demo-api")
    assert variables["SLIPWAY_ENV_DEMO_API"] == f"demo-api/{SECOND_LIFE}/payments"


async def test_a_repository_with_work_in_it_is_archived_where_that_is_wanted() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge, archive_kept=True)
    await deeds.create_pipeline(secrets_stored(spec()))
    forge.push("acme/demo-api", "main", {"a": b"a"}, "Work")
    receipt = (await deeds.remove_pipeline(deletion_requested(spec()))).receipt
    assert receipt.left_behind == ()
    (kept,) = receipt.kept
    assert kept.resource.kind == "repository"
    assert kept.reason.startswith("It holds commits that Slipway did not make, so it is archived. Unarchive it")
    repository = await forge.find("acme/demo-api")
    assert repository is not None
    assert repository.archived
    assert await forge.variables("acme/demo-api") == {}


async def test_a_repository_that_others_deploy_from_is_never_archived() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge, archive_kept=True)
    await deeds.create_pipeline(secrets_stored(spec()))
    forge.push("acme/demo-api", "staging", {"a": b"a"}, "Work")
    await deeds.create_pipeline(secrets_stored(spec("demo", repository="acme/demo-api", branch="staging")))
    await deeds.remove_pipeline(deletion_requested(spec()))
    repository = await forge.find("acme/demo-api")
    assert repository is not None
    assert not repository.archived


async def test_a_tag_keeps_a_repository() -> None:
    forge = InMemoryForge()
    deeds = handlers(forge=forge)
    await deeds.create_pipeline(secrets_stored(spec()))
    forge.tag("acme/demo-api", "v1")
    receipt = (await deeds.remove_pipeline(deletion_requested(spec()))).receipt
    assert [kept.reason for kept in receipt.kept] == ["It holds tags. Delete it on the forge if nobody needs it."]


async def test_a_repository_that_may_not_be_deleted_is_stripped_and_said_to_be_left() -> None:
    class Undeletable(InMemoryForge):
        async def delete(self, repository: str) -> None:
            raise PermanentError("forge_forbidden", f"the token may not delete {repository}", next_step="Ask.")

    forge = Undeletable()
    deeds = handlers(forge=forge)
    await deeds.create_pipeline(secrets_stored(spec()))
    receipt = (await deeds.remove_pipeline(deletion_requested(spec()))).receipt
    assert [left.reason for left in receipt.left_behind] == ["the token may not delete acme/demo-api"]
    assert await forge.variables("acme/demo-api") == {}


async def test_the_person_who_waits_reads_what_happened() -> None:
    progress = InMemoryProgress()
    deeds = handlers(progress=progress)
    await deeds.create_pipeline(secrets_stored(spec()))
    await deeds.remove_pipeline(deletion_requested(spec()))
    assert [text for _, _, text in progress.lines] == [
        "The repository acme/demo-api is made from the skeleton.",
        ".github/workflows/slipway-demo-api.yml deploys every push to main.",
        "Removed repository acme/demo-api.",
    ]


def test_the_table_hears_and_says_what_the_topology_lets_it() -> None:
    table = subscriptions(handlers())
    assert {row.hears for row in table} == set(HEARS["cicd"])
    assert {kind for row in table for kind in row.outcomes} == {PipelineCreated, PipelineFailed, PipelineRemoved}
    assert {kind for row in table for kind in row.outcomes} <= set(SAYS["cicd"])


def test_a_failure_is_told_with_its_code_and_the_next_step() -> None:
    error = PermanentError("repository_taken", "It is taken.", next_step="Choose another.")
    told = explain_failure(secrets_stored(spec()), GaveUp(error, 3))
    assert (told.failure.step, told.failure.code, told.failure.attempts) == ("pipeline", "repository_taken", 3)
    assert told.failure.next_step == "Choose another."


def test_an_undo_that_cannot_be_done_ends_with_what_is_left() -> None:
    error = PermanentError("gave_up", "the forge did not answer (tried 5 times)", next_step="Later.")
    told = explain_left_behind(deletion_requested(spec()), GaveUp(error, 5))
    assert [left.resource.id for left in told.receipt.left_behind] == ["acme/demo-api"]
    assert "did not answer" in told.receipt.left_behind[0].reason


def test_what_fails_on_an_update_tells_what_was_there_before() -> None:
    gave_up = GaveUp(PermanentError("gave_up", "the forge did not answer", next_step="Later."), 5)
    stored = update_stored(spec(branch="develop"), spec())
    assert explain_failure(stored, gave_up).previous == spec()
    assert explain_left_behind(update_failed(spec(branch="develop"), spec()), gave_up).previous == spec()
    assert explain_failure(secrets_stored(spec()), gave_up).previous is None


async def test_a_lost_answer_that_meant_nothing_is_transient() -> None:
    class Deaf(InMemoryForge):
        async def create(self, repository: str, *, description: str, homepage: str) -> Repository:
            raise TransientError(f"502: create {repository} ({description}, {homepage})")

    with pytest.raises(TransientError, match="502"):
        await handlers(forge=Deaf()).create_pipeline(secrets_stored(spec()))


class Renamed(InMemoryForge):
    """A forge where acme/demo-api was renamed to acme/shop: the old name still leads there."""

    async def find(self, repository: str) -> Repository | None:
        return await super().find(repository) or await super().find("acme/shop")


async def test_a_repository_that_was_renamed_is_cleaned_under_its_new_name() -> None:
    forge = Renamed()
    deeds = handlers(forge=forge)
    await deeds.create_pipeline(secrets_stored(spec(repository="acme/shop")))
    receipt = (await deeds.remove_pipeline(deletion_requested(spec()))).receipt
    assert [resource.id for resource in receipt.removed] == ["acme/shop"]


async def test_the_old_name_of_a_renamed_repository_is_free_for_a_new_one() -> None:
    forge = Renamed()
    await forge.create("acme/shop", description="Somebody's", homepage="")
    told = await handlers(forge=forge).create_pipeline(secrets_stored(spec()))
    assert told.pipeline.repository == "acme/demo-api"
    assert told.pipeline.origin == "created"

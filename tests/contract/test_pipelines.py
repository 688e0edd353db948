"""What a pipeline promises, on every forge: the twin in memory and the embedded forge over HTTP and Git.

Each test names its own environment, so that they share a forge as environments do.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from contracts.values import EnvironmentSpec, Pipeline, Receipt
from services.cicd.adapters.actionlint import Actionlint
from services.cicd.adapters.github import GitHubForge
from services.cicd.adapters.golden_paths import DirectoryGoldenPaths
from services.cicd.adapters.memory import InMemoryForge, InMemoryProgress
from services.cicd.domain import TOPIC, URL_VARIABLE, File
from services.cicd.handlers import PipelineHandlers
from services.cicd.ports import Forge
from tests.integration.forge_process import ForgeProcess, forge_process
from tests.unit.cicd.events import NOON, SECOND_LIFE, deletion_requested, pipeline_failed, secrets_stored, spec

ROOT = Path(__file__).parents[2]
PLATFORM = "http://127.0.0.1:8000"
WRITES = frozenset(
    {
        "close_pull_request",
        "commit",
        "create",
        "create_branch",
        "delete",
        "delete_branch",
        "delete_environment",
        "delete_variable",
        "describe",
        "forward_branch",
        "open_pull_request",
        "put_environment",
        "set_topics",
        "set_variable",
    }
)


@dataclass
class Interrupted:
    """A forge whose connection breaks at one of its writes: before it, so that nothing happens, or after it, so that it
    happens and nobody is told."""

    forge: Forge
    at: int
    after: bool
    writes: int = field(default=0)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.forge, name)
        if name not in WRITES:
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            self.writes += 1
            broken = self.writes == self.at
            if broken and not self.after:
                raise TransientError(f"502 before {name}")
            answer = await method(*arguments, **named)
            if broken:
                raise TransientError(f"502 after {name}")
            return answer

        return call


class Workbench:
    """The service's deeds over a forge, and a developer who uses the same forge."""

    def __init__(self, forge: Forge) -> None:
        self.forge = forge

    def deeds(self, forge: Forge | None = None) -> PipelineHandlers:
        return PipelineHandlers(
            golden_paths=DirectoryGoldenPaths(ROOT / "golden_paths"),
            workflow_check=Actionlint(),
            forge=forge or self.forge,
            progress=InMemoryProgress(),
            platform_url=PLATFORM,
        )

    async def create(self, wanted: EnvironmentSpec, forge: Forge | None = None) -> Pipeline:
        return (await self.deeds(forge).create_pipeline(secrets_stored(wanted))).pipeline

    async def remove(self, wanted: EnvironmentSpec, forge: Forge | None = None) -> Receipt:
        return (await self.deeds(forge).remove_pipeline(deletion_requested(wanted))).receipt

    async def existing(self, repository: str) -> None:
        """A repository with an application of its own in it."""
        await self.forge.create(repository, description="An application", homepage="")
        await self.push(repository, "main", {"src/main.js": b"console.log('ours')\n"})

    async def push(self, repository: str, branch: str, files: dict[str, bytes]) -> str:
        """A developer's commit on a branch, which is made from the default one where it does not exist."""
        branches = await self.forge.branches(repository)
        found = await self.forge.find(repository)
        assert found is not None
        head = branches.get(branch) or branches[found.default_branch]
        commit = await self.forge.commit(
            repository,
            files=[File(path, content) for path, content in files.items()],
            parent=head,
            keep_other_files=True,
            message="Work",
            at=NOON,
        )
        move = self.forge.forward_branch if branch in branches else self.forge.create_branch
        await move(repository, branch, commit)
        return commit

    async def merge(self, repository: str, head: str, base: str) -> None:
        """Fast-forward `base` to `head`, which merges their pull request."""
        await self.forge.forward_branch(repository, base, (await self.forge.branches(repository))[head])

    async def state(self, repository: str) -> dict[str, Any] | None:
        """Everything there is, told without what differs between two repositories that were made alike."""
        found = await self.forge.find(repository)
        if found is None:
            return None
        name = repository.partition("/")[2]
        histories = {
            branch: [commit.message for commit in await self.forge.history(repository, branch, limit=10)]
            for branch in await self.forge.branches(repository)
        }
        pulls = [(pull.base, pull.open) for pull in await self.forge.pull_requests(repository, head=f"slipway/{name}")]
        told = {
            "description": found.description,
            "default_branch": found.default_branch,
            "topics": list(await self.forge.topics(repository)),
            "variables": dict(await self.forge.variables(repository)),
            "environment": await self.forge.has_environment(repository, name),
            "histories": histories,
            "pulls": pulls,
        }
        upper = name.upper().replace("-", "_")
        alike: dict[str, Any] = json.loads(json.dumps(told).replace(name, "NAME").replace(upper, "UPPER"))
        return alike


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    with forge_process(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


def client_of(forge: ForgeProcess) -> GitHubForge:
    return GitHubForge(forge.api, SecretStr(forge.tokens["slipway"]), pause_seconds=(0, 0))


@pytest.fixture(params=["memory", "embedded"])
def bench(request: pytest.FixtureRequest) -> Workbench:
    if request.param == "memory":
        return Workbench(InMemoryForge())
    return Workbench(client_of(request.getfixturevalue("embedded")))


def workflow_of(name: str) -> str:
    return f".github/workflows/slipway-{name}.yml"


# -- a repository of our own -------------------------------------------------------------------------------------------


async def test_a_new_repository_holds_the_skeleton_the_workflow_and_our_marks(bench: Workbench) -> None:
    pipeline = await bench.create(spec("new-api"))

    assert pipeline.origin == "created"
    assert pipeline.pull_request_url is None
    assert pipeline.branch == "main"
    assert pipeline.clone_url.startswith("http")
    repository = await bench.forge.find("acme/new-api")
    assert repository is not None
    assert repository.id == pipeline.repository_id
    assert repository.description == "Node.js API of the Slipway environment new-api"
    assert TOPIC in await bench.forge.topics("acme/new-api")
    variables = await bench.forge.variables("acme/new-api")
    assert variables[URL_VARIABLE] == PLATFORM
    assert variables["SLIPWAY_ENV_NEW_API"] == variables["SLIPWAY_MADE_FOR"]
    assert await bench.forge.has_environment("acme/new-api", "new-api")
    assert await bench.forge.branches("acme/new-api") == {"main": pipeline.commit}
    package = await bench.forge.read("acme/new-api", "package.json", branch="main")
    assert package is not None
    assert b'"name": "new-api"' in package
    workflow = await bench.forge.read("acme/new-api", pipeline.workflow_path, branch="main")
    assert workflow is not None
    assert b"Deploy to new-api" in workflow


async def test_the_chosen_branch_is_the_only_one_and_the_default(bench: Workbench) -> None:
    pipeline = await bench.create(spec("trunk-api", branch="release/1.x"))

    repository = await bench.forge.find("acme/trunk-api")
    assert repository is not None
    assert repository.default_branch == "release/1.x"
    assert await bench.forge.branches("acme/trunk-api") == {"release/1.x": pipeline.commit}


async def test_called_twice_nothing_changes(bench: Workbench) -> None:
    first = await bench.create(spec("twice-api"))
    before = await bench.state("acme/twice-api")
    assert await bench.create(spec("twice-api")) == first
    assert await bench.state("acme/twice-api") == before


async def test_called_again_after_developers_pushed_nothing_of_theirs_is_touched(bench: Workbench) -> None:
    first = await bench.create(spec("used-api"))
    theirs = await bench.push("acme/used-api", "main", {"src/routes.js": b"// ours now\n"})

    assert await bench.create(spec("used-api")) == first
    assert (await bench.forge.branches("acme/used-api"))["main"] == theirs


async def test_a_repository_of_another_teams_environment_is_refused_by_name(bench: Workbench) -> None:
    await bench.create(spec("their-api"))
    before = await bench.state("acme/their-api")
    ours = spec("our-api", repository="acme/their-api", owner={"person": "bob", "team": "search"})

    with pytest.raises(PermanentError, match="their-api") as refused:
        await bench.create(ours)

    assert refused.value.code == "repository_taken"
    assert await bench.state("acme/their-api") == before
    assert await bench.remove(ours) == Receipt()
    assert await bench.state("acme/their-api") == before


async def test_two_environments_of_a_team_share_a_repository(bench: Workbench) -> None:
    await bench.create(spec("shop-api"))
    await bench.push("acme/shop-api", "staging", {"README.md": b"# Shop\n"})
    staging = spec("shop-staging", repository="acme/shop-api", branch="staging")

    pipeline = await bench.create(staging)

    assert pipeline.origin == "attached"
    assert pipeline.pull_request_url is not None
    kept = await bench.remove(spec("shop-api"))
    assert "the pipeline of shop-staging" in kept.left_behind[0].reason
    assert (await bench.forge.variables("acme/shop-api"))[URL_VARIABLE] == PLATFORM
    await bench.remove(staging)
    assert await bench.forge.variables("acme/shop-api") == {}


async def test_two_replicas_at_once_make_one_pipeline(bench: Workbench) -> None:
    made = await asyncio.gather(*(bench.create(spec("raced-api")) for _ in range(4)), return_exceptions=True)
    pipelines = [pipeline for pipeline in made if isinstance(pipeline, Pipeline)]
    assert pipelines
    assert all(isinstance(other, Pipeline | TransientError) for other in made), made
    settled = await bench.create(spec("raced-api"))
    assert {pipeline.commit for pipeline in pipelines} == {settled.commit}
    assert await bench.forge.branches("acme/raced-api") == {"main": settled.commit}


async def test_binary_and_executable_files_arrive_unchanged(bench: Workbench) -> None:
    await bench.existing("acme/binary-api")
    picture = bytes(range(256))
    await bench.push("acme/binary-api", "main", {"logo.png": picture})
    assert await bench.forge.read("acme/binary-api", "logo.png", branch="main") == picture


async def test_the_same_commit_twice_is_one_commit(bench: Workbench) -> None:
    await bench.existing("acme/same-api")
    parent = (await bench.forge.branches("acme/same-api"))["main"]
    made = [
        await bench.forge.commit(
            "acme/same-api",
            files=[File("run.sh", b"#!/bin/sh\n", executable=True)],
            parent=parent,
            keep_other_files=False,
            message="Run",
            at=NOON,
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]


async def test_a_branch_never_moves_but_forward(bench: Workbench) -> None:
    await bench.existing("acme/forward-api")
    first = (await bench.forge.branches("acme/forward-api"))["main"]
    second = await bench.push("acme/forward-api", "main", {"a": b"a"})
    with pytest.raises(PermanentError):
        await bench.forge.forward_branch("acme/forward-api", "main", first)
    with pytest.raises(PermanentError):
        await bench.forge.create_branch("acme/forward-api", "main", first)
    assert await bench.forge.branches("acme/forward-api") == {"main": second}


async def test_removing_what_is_not_there_is_no_error(bench: Workbench) -> None:
    await bench.existing("acme/bare-api")
    before = await bench.state("acme/bare-api")
    await bench.forge.delete_variable("acme/bare-api", "NOTHING")
    await bench.forge.delete_environment("acme/bare-api", "nothing")
    await bench.forge.delete_branch("acme/bare-api", "nothing")
    await bench.forge.delete("acme/nothing")
    assert await bench.forge.read("acme/bare-api", "nothing", branch="main") is None
    assert await bench.forge.history("acme/bare-api", "nothing", limit=1) == []
    assert await bench.state("acme/bare-api") == before


# -- a repository that exists ------------------------------------------------------------------------------------------


async def test_an_existing_repository_is_offered_the_workflow_in_a_pull_request(bench: Workbench) -> None:
    await bench.existing("acme/old-api")
    head = (await bench.forge.branches("acme/old-api"))["main"]

    pipeline = await bench.create(spec("old-api"))

    assert pipeline.origin == "attached"
    assert pipeline.pull_request_url is not None
    branches = await bench.forge.branches("acme/old-api")
    assert branches == {"main": head, "slipway/old-api": pipeline.commit}
    assert await bench.forge.read("acme/old-api", workflow_of("old-api"), branch="main") is None
    for path in (workflow_of("old-api"), "src/main.js"):
        assert await bench.forge.read("acme/old-api", path, branch="slipway/old-api") is not None
    assert TOPIC not in await bench.forge.topics("acme/old-api")


async def test_attaching_twice_opens_one_pull_request(bench: Workbench) -> None:
    await bench.existing("acme/again-api")
    first = await bench.create(spec("again-api"))
    before = await bench.state("acme/again-api")
    assert await bench.create(spec("again-api")) == first
    assert await bench.state("acme/again-api") == before
    assert len(await bench.forge.pull_requests("acme/again-api", head="slipway/again-api")) == 1


async def test_where_the_workflow_is_already_merged_nothing_is_offered(bench: Workbench) -> None:
    await bench.existing("acme/merged-api")
    await bench.create(spec("merged-api"))
    await bench.merge("acme/merged-api", "slipway/merged-api", "main")

    pipeline = await bench.create(spec("merged-api"))

    assert pipeline.pull_request_url is None
    assert pipeline.commit == (await bench.forge.branches("acme/merged-api"))["main"]


async def test_a_branch_that_does_not_exist_is_refused_and_nothing_is_changed(bench: Workbench) -> None:
    await bench.existing("acme/nobranch-api")
    before = await bench.state("acme/nobranch-api")
    with pytest.raises(PermanentError, match="no branch feature-x"):
        await bench.create(spec("nobranch-api", branch="feature-x"))
    assert await bench.state("acme/nobranch-api") == before


async def test_a_foreign_branch_of_our_name_is_not_overwritten(bench: Workbench) -> None:
    await bench.existing("acme/squat-api")
    theirs = await bench.push("acme/squat-api", "slipway/squat-api", {"x": b"x"})
    with pytest.raises(PermanentError, match="slipway/squat-api"):
        await bench.create(spec("squat-api"))
    receipt = (await bench.deeds().remove_pipeline(pipeline_failed(spec("squat-api")))).receipt
    assert (await bench.forge.branches("acme/squat-api"))["slipway/squat-api"] == theirs
    assert [left.resource.kind for left in receipt.left_behind] == ["branch"]


async def test_a_repository_that_deploys_to_another_platform_is_refused(bench: Workbench) -> None:
    await bench.existing("acme/other-api")
    await bench.forge.set_variable("acme/other-api", URL_VARIABLE, "https://slipway.example.com")
    with pytest.raises(PermanentError, match="another platform"):
        await bench.create(spec("other-api"))
    assert await bench.forge.variables("acme/other-api") == {URL_VARIABLE: "https://slipway.example.com"}


async def test_an_organisation_that_does_not_exist_is_an_answer(bench: Workbench) -> None:
    with pytest.raises(PermanentError) as refused:
        await bench.create(spec("lost-api", repository="nobody/lost-api"))
    assert refused.value.code == "forge_not_found"


# -- the road back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heard", [deletion_requested, pipeline_failed])
async def test_undo_mirrors_do_in_a_new_repository(bench: Workbench, heard: Callable[..., Any]) -> None:
    name = "gone-" + heard.__name__.replace("_", "-")
    await bench.create(spec(name, branch="develop"))

    receipt = (await bench.deeds().remove_pipeline(heard(spec(name, branch="develop")))).receipt

    assert [(resource.kind, resource.id) for resource in receipt.removed] == [("repository", f"acme/{name}")]
    assert receipt.left_behind == ()
    assert await bench.forge.find(f"acme/{name}") is None


async def test_undo_mirrors_do_in_an_existing_repository(bench: Workbench) -> None:
    await bench.existing("acme/back-api")
    before = await bench.state("acme/back-api")
    await bench.create(spec("back-api"))

    receipt = await bench.remove(spec("back-api"))

    after = await bench.state("acme/back-api")
    assert after is not None
    assert before is not None
    assert [open_ for _, open_ in after.pop("pulls")] == [False]
    assert before.pop("pulls") == []
    assert after == before
    assert sorted({resource.kind for resource in receipt.removed}) == [
        "branch",
        "deployment_environment",
        "pull_request",
        "variable",
    ]
    assert receipt.left_behind == ()


async def test_a_repository_with_work_in_it_is_left_and_said_to_be(bench: Workbench) -> None:
    await bench.create(spec("busy-api"))
    theirs = await bench.push("acme/busy-api", "main", {"src/routes.js": b"// weeks of work\n"})

    receipt = await bench.remove(spec("busy-api"))

    assert [left.resource.id for left in receipt.left_behind] == ["acme/busy-api"]
    assert "commits that Slipway did not make" in receipt.left_behind[0].reason
    assert (await bench.forge.branches("acme/busy-api"))["main"] == theirs
    assert await bench.forge.variables("acme/busy-api") == {}
    assert await bench.forge.topics("acme/busy-api") == ()
    assert not await bench.forge.has_environment("acme/busy-api", "busy-api")


async def test_what_was_left_can_be_used_by_the_next_life_of_the_name(bench: Workbench) -> None:
    await bench.create(spec("phoenix-api"))
    theirs = await bench.push("acme/phoenix-api", "main", {workflow_of("phoenix-api"): b"name: mine\non: push\n"})
    await bench.remove(spec("phoenix-api"))

    again = await bench.deeds().create_pipeline(secrets_stored(spec("phoenix-api"), SECOND_LIFE))

    assert again.pipeline.origin == "attached"
    assert (await bench.forge.branches("acme/phoenix-api"))["main"] == theirs


async def test_a_pull_request_that_an_earlier_life_merged_is_not_taken_for_ours(bench: Workbench) -> None:
    await bench.existing("acme/reborn-api")
    first = await bench.create(spec("reborn-api"))
    await bench.merge("acme/reborn-api", "slipway/reborn-api", "main")
    await bench.push("acme/reborn-api", "main", {workflow_of("reborn-api"): b"name: mine\non: push\n"})
    await bench.remove(spec("reborn-api"))

    again = (await bench.deeds().create_pipeline(secrets_stored(spec("reborn-api"), SECOND_LIFE))).pipeline

    assert again.pull_request_url is not None
    assert again.pull_request_url != first.pull_request_url


async def test_an_environment_that_changed_hands_is_removed_all_the_same(bench: Workbench) -> None:
    await bench.create(spec("handed-api"))
    handed = spec("handed-api", owner={"person": "bob", "team": "search"})
    assert [resource.kind for resource in (await bench.remove(handed)).removed] == ["repository"]


async def test_a_repository_where_people_talk_is_left(bench: Workbench) -> None:
    await bench.create(spec("talk-api"))
    await bench.forge.create_branch("acme/talk-api", "idea", (await bench.forge.branches("acme/talk-api"))["main"])
    await bench.push("acme/talk-api", "idea", {"a": b"a"})
    await bench.forge.open_pull_request("acme/talk-api", head="idea", base="main", title="Idea", body="")
    await bench.forge.delete_branch("acme/talk-api", "idea")
    receipt = await bench.remove(spec("talk-api"))
    assert [left.reason for left in receipt.left_behind] == ["holds issues or pull requests"]


async def test_a_claimed_repository_that_is_left_loses_the_claim(bench: Workbench) -> None:
    with contextlib.suppress(TransientError):
        await bench.create(spec("claim-api"), Interrupted(bench.forge, at=2, after=False))
    await bench.push("acme/claim-api", "main", {"a": b"a"})
    receipt = (await bench.deeds().remove_pipeline(pipeline_failed(spec("claim-api")))).receipt
    assert [left.resource.kind for left in receipt.left_behind] == ["repository"]
    repository = await bench.forge.find("acme/claim-api")
    assert repository is not None
    assert repository.description == ""


async def test_a_merged_workflow_is_left_and_said_to_be(bench: Workbench) -> None:
    await bench.existing("acme/kept-api")
    await bench.create(spec("kept-api"))
    await bench.merge("acme/kept-api", "slipway/kept-api", "main")

    receipt = await bench.remove(spec("kept-api"))

    assert [left.resource.kind for left in receipt.left_behind] == ["workflow"]
    assert list(await bench.forge.branches("acme/kept-api")) == ["main"]


async def test_removing_twice_or_what_never_was_removes_nothing(bench: Workbench) -> None:
    assert await bench.remove(spec("never-api")) == Receipt()
    await bench.existing("acme/foreign-api")
    before = await bench.state("acme/foreign-api")
    assert await bench.remove(spec("foreign-api")) == Receipt()
    assert await bench.state("acme/foreign-api") == before


async def test_a_late_removal_of_an_earlier_life_leaves_the_later_one_alone(bench: Workbench) -> None:
    await bench.deeds().create_pipeline(secrets_stored(spec("later-api"), SECOND_LIFE))
    before = await bench.state("acme/later-api")
    assert await bench.remove(spec("later-api")) == Receipt()
    assert await bench.state("acme/later-api") == before


# -- broken off at every write -----------------------------------------------------------------------------------------


async def test_the_forge_is_ready_and_a_wrong_token_is_said_to_be(embedded: ForgeProcess) -> None:
    await client_of(embedded).check()
    with pytest.raises(PermanentError) as refused:
        await GitHubForge(embedded.api, SecretStr("wrong"), pause_seconds=(0, 0)).check()
    assert refused.value.code == "forge_credentials"


@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
async def test_lost_answers_of_what_cannot_be_repeated_are_settled_by_reading(bench: Workbench, existing: bool) -> None:
    """Creating a repository, placing its branch, opening a pull request: each is there, so nobody has to try again."""
    kind = f"settled-{'old' if existing else 'new'}"
    whole = spec(f"{kind}-x")
    if existing:
        await bench.existing(whole.repository)
    raised = 0
    writes = await _writes_of(bench, lambda forge: bench.create(whole, forge))
    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await bench.existing(broken.repository)
        try:
            await bench.create(broken, Interrupted(bench.forge, at, after=True))
        except TransientError:
            raised += 1
    assert raised == writes - 2


async def _writes_of(bench: Workbench, deed: Callable[[Forge], Any]) -> int:
    counting = Interrupted(bench.forge, at=0, after=False)
    await deed(counting)
    return counting.writes


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
async def test_creation_broken_off_at_any_write_is_finished_by_repeating_it(
    bench: Workbench, existing: bool, after: bool
) -> None:
    kind = f"{'old' if existing else 'new'}-{'answer' if after else 'request'}"
    whole = spec(f"{kind}-x", branch="main" if existing else "develop")
    if existing:
        await bench.existing(whole.repository)
    writes = await _writes_of(bench, lambda forge: bench.create(whole, forge))
    wanted = await bench.state(whole.repository)
    assert writes >= 6

    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await bench.existing(broken.repository)
        try:
            first = await bench.create(broken, Interrupted(bench.forge, at, after))
        except TransientError:
            first = await bench.create(broken)
        assert await bench.state(broken.repository) == wanted, f"after breaking off at write {at}"
        assert await bench.create(broken) == first


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
@pytest.mark.parametrize("existing", [False, True], ids=["new", "existing"])
async def test_what_was_begun_and_broken_off_at_any_write_is_undone(
    bench: Workbench, existing: bool, after: bool
) -> None:
    kind = f"undo-{'old' if existing else 'new'}-{'answer' if after else 'request'}"
    whole = spec(f"{kind}-x", branch="main" if existing else "develop")
    if existing:
        await bench.existing(whole.repository)
    untouched = await bench.state(whole.repository)
    writes = await _writes_of(bench, lambda forge: bench.create(whole, forge))

    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await bench.existing(broken.repository)
        with contextlib.suppress(TransientError):
            await bench.create(broken, Interrupted(bench.forge, at, after))
        receipt = (await bench.deeds().remove_pipeline(pipeline_failed(broken))).receipt
        state = await bench.state(broken.repository)
        assert receipt.left_behind == ()
        if state is not None:
            state["pulls"] = [pull for pull in state["pulls"] if pull[1]]
        assert state == untouched, f"after breaking off at write {at}"


@pytest.mark.parametrize("after", [False, True], ids=["request-lost", "answer-lost"])
async def test_removal_broken_off_at_any_write_is_finished_by_repeating_it(bench: Workbench, after: bool) -> None:
    kind = f"rm-{'answer' if after else 'request'}"
    at, finished = 0, False
    while not finished:
        at += 1
        broken = spec(f"{kind}-{at}")
        await bench.existing(broken.repository)
        before = await bench.state(broken.repository)
        await bench.create(broken)
        interrupted = Interrupted(bench.forge, at, after)
        with contextlib.suppress(TransientError):
            await bench.remove(broken, interrupted)
            finished = interrupted.writes < at
        await bench.remove(broken)
        state = await bench.state(broken.repository)
        assert state is not None
        assert before is not None
        state["pulls"] = [pull for pull in state["pulls"] if pull[1]]
        assert state == before, f"after breaking off at write {at}"
    assert at > 4

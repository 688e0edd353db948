"""What a preview of a pull request promises, on the twin in memory and on the embedded forge."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from chassis.failures import PermanentError, TransientError
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
)
from contracts.signals import PreviewNoted
from contracts.values import EnvironmentSpec, Failure, PullRequest
from services.cicd.adapters.memory import InMemoryForge
from services.cicd.domain import Mark
from services.cicd.domain.previews import Comment
from services.cicd.handlers.commenting import PreviewComments
from tests import samples
from tests.contract.pipelines.workbench import NEW, PLATFORM, Interrupted, Workbench, at_version, workflow_of, writes_of
from tests.integration.forge_process import ForgeProcess
from tests.unit.cicd.events import FIRST_LIFE, KEY, NOON, secrets_stored

CI = ".github/workflows/ci.yml"
Offer = Callable[[str, dict[str, bytes]], int]


@pytest.fixture
def offer(bench: Workbench, request: pytest.FixtureRequest) -> Offer:
    """A stranger's pull request from their fork, or a push of theirs to it; answers its number."""
    if isinstance(bench.forge, InMemoryForge):
        forge = bench.forge
        return lambda repository, files: forge.offer_from_fork(repository, "colours", files)
    process: ForgeProcess = request.getfixturevalue("embedded")
    login = next(login for login in process.tokens if login != "slipway")

    def offer(repository: str, files: dict[str, bytes]) -> int:
        origin = process.client(login).get_repo(repository)
        fork = origin.create_fork()
        if "colours" not in {one.name for one in fork.get_branches()}:
            fork.create_git_ref("refs/heads/colours", fork.get_git_ref("heads/main").object.sha)
        for path, content in files.items():
            fork.create_file(path, f"Offer {path}", content.decode(), branch="colours")
        pulls = list(origin.get_pulls(head=f"{login}:colours"))
        return pulls[0].number if pulls else origin.create_pull("main", f"{login}:colours", title="Offer").number

    return offer


def preview(name: str, number: int, approved: str | None = None, **changes: Any) -> EnvironmentSpec:
    """The preview of a pull request to the repository of the environment `name`."""
    pull = PullRequest(number=number, approved_commit=approved)
    more: dict[str, Any] = {"repository": f"acme/{name}", "branch": "colours", "pull_request": pull}
    return samples.spec(f"{name}-pr-{number}", **more, **changes)


async def with_pull_request(bench: Workbench, name: str) -> tuple[str, int]:
    """An environment's repository, in which somebody has opened a pull request; answers its head, and its number."""
    await bench.create(samples.spec(name))
    head = await bench.push(f"acme/{name}", "colours", {"src/colours.js": b"// red\n", CI: b"on: push\njobs: {}\n"})
    pull = await bench.forge.open_pull_request(f"acme/{name}", head="colours", base="main", title="Colours", body="")
    return head, pull.number


def comments_of(bench: Workbench, forge: Any = None) -> PreviewComments:
    return PreviewComments(bench.forge, forge or bench.forge, KEY, PLATFORM)  # type: ignore[arg-type]


def noted(wanted: EnvironmentSpec, what: str, minutes: int = 0, **data: Any) -> PreviewNoted:
    """The gateway decided something."""
    number = wanted.pull_request.number if wanted.pull_request else 0
    return PreviewNoted.model_validate(
        {
            "id": KEY.derive(f"{what} {minutes}", "preview_noted"),
            "source": "gateway",
            "subject": data.pop("subject", wanted.name),
            "time": NOON + timedelta(minutes=minutes),
            "data": {"repository": wanted.repository, "number": number, "what": what, **data},
        }
    )


def verdict(wanted: EnvironmentSpec, kind: Any, minutes: int, **more: Any) -> Any:
    """The catalog said how a run ended."""
    made: dict[str, Any] = {
        "infrastructure": samples.infrastructure(wanted.name),
        "secrets": samples.secrets(wanted.name),
        "pipeline": samples.pipeline(wanted.name),
    }
    gone: dict[str, Any] = {"left_behind": ()}
    failure = Failure(step="pipeline", code="x", message="It broke, @all.", next_step="Mend `it`.")
    data: dict[type, Any] = {
        EnvironmentReady: lambda: EnvironmentReadyData(spec=wanted, duration_seconds=3, **made, **more),
        EnvironmentFailed: lambda: EnvironmentFailedData(
            spec=wanted, failure=failure, created=(), undone=(), duration_seconds=3, **gone, **more
        ),
        EnvironmentDeleted: lambda: EnvironmentDeletedData(spec=wanted, removed=(), duration_seconds=3, **gone),
    }
    event = samples.follows(KEY, kind, data[kind](), secrets_stored(wanted), source="catalog")
    return event.model_copy(update={"time": NOON + timedelta(minutes=minutes)})


async def comments(bench: Workbench, wanted: EnvironmentSpec) -> list[str]:
    """Our comments under the pull request: there may be one at most."""
    number = wanted.pull_request.number if wanted.pull_request else 0
    forge: Any = bench.forge
    if isinstance(forge, InMemoryForge):
        return [one.body for one in forge._pull(wanted.repository, number).comments]
    return list(
        await forge.on(
            wanted.repository,
            "read all comments",
            lambda repo: [one.body for one in repo.get_issue(number).get_comments()],
        )
    )


# -- the branch --------------------------------------------------------------------------------------------------------


async def test_a_preview_is_deployed_from_a_branch_of_ours_and_the_pull_request_is_left_alone(
    bench: Workbench,
) -> None:
    head, number = await with_pull_request(bench, "shop")
    wanted = preview("shop", number)

    pipeline = await bench.create(wanted)

    branches = await bench.forge.branches("acme/shop")
    assert (pipeline.branch, pipeline.commit, pipeline.pull_request_url) == (
        wanted.deployed_branch,
        branches[wanted.deployed_branch],
        None,
    )
    assert branches["colours"] == head
    [shown] = await bench.forge.history("acme/shop", pipeline.commit, limit=1)
    assert shown.parents == (head,)
    workflow = await bench.workflow(wanted, pipeline.commit)
    assert workflow is not None
    assert f'branches: ["{wanted.deployed_branch}"]' in workflow
    assert await bench.forge.read("acme/shop", "src/colours.js", at=pipeline.commit) == b"// red\n"
    # Nothing else runs because of this branch.
    assert list(await bench.forge.files_in("acme/shop", ".github/workflows", at=pipeline.commit)) == [
        workflow_of(wanted.name)
    ]
    assert await bench.forge.has_environment("acme/shop", wanted.name)


async def test_doing_it_twice_is_doing_it_once_and_a_push_moves_it(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "twice")
    wanted = preview("twice", number)
    first = await bench.create(wanted)
    assert await bench.create(wanted) == first
    newer = await bench.push("acme/twice", "colours", {"src/colours.js": b"// blue\n"})
    await comments_of(bench).note(noted(wanted, "moved", 1))
    moved = (await bench.forge.branches("acme/twice"))[wanted.deployed_branch]
    assert (await bench.forge.history("acme/twice", moved, limit=1))[0].parents == (newer,)
    assert await bench.workflow(wanted, moved) == await bench.workflow(wanted, first.commit)
    await comments_of(bench).note(noted(wanted, "moved", 2))
    assert (await bench.forge.branches("acme/twice"))[wanted.deployed_branch] == moved
    [body] = await comments(bench, wanted)
    assert f"Commit `{newer[:12]}` is being deployed." in body
    log = "http://forge.test/runs/1"
    await comments_of(bench).note(noted(wanted, "not_deployed", 3, commit=moved, log_url=log))
    [body] = await comments(bench, wanted)
    assert body.endswith(f"Commit `{newer[:12]}` could not be deployed ([log]({log})). What was live before still is.")
    await comments_of(bench).note(noted(wanted, "deployed", 4, commit=moved))
    [body] = await comments(bench, wanted)
    assert body.endswith(f"Deployed commit `{newer[:12]}`.")


async def test_an_update_changes_its_workflow_and_nothing_else(bench: Workbench) -> None:
    head, number = await with_pull_request(bench, "newer")
    wanted = preview("newer", number)
    await bench.create(wanted)
    bench.publish(NEW)
    updated = await bench.update(at_version(NEW, wanted), wanted)
    [shown] = await bench.forge.history("acme/newer", updated.commit, limit=1)
    assert shown.parents == (head,)
    assert NEW in (await bench.workflow(wanted, updated.commit) or "")
    before = await bench.forge.branches("acme/newer")
    assert (await bench.restore(at_version(NEW, wanted), wanted)).left_behind == ()
    assert await bench.forge.branches("acme/newer") == before


async def test_deleting_it_takes_the_branch_away_and_leaves_the_rest(bench: Workbench) -> None:
    head, number = await with_pull_request(bench, "gone")
    wanted = preview("gone", number)
    before = await bench.state("acme/gone")
    await bench.create(wanted)
    receipt = await bench.remove(wanted)
    assert (receipt.left_behind, receipt.kept) == ((), ())
    assert await bench.state("acme/gone") == before
    assert (await bench.forge.branches("acme/gone"))["colours"] == head
    # What is told of it after that moves nothing.
    await comments_of(bench).note(noted(wanted, "moved", 1))
    assert wanted.deployed_branch not in await bench.forge.branches("acme/gone")


async def test_a_branch_that_is_somebody_elses_is_left_alone(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "taken")
    wanted = preview("taken", number)
    theirs = await bench.push("acme/taken", wanted.deployed_branch, {"x": b"theirs"})
    if isinstance(bench.forge, InMemoryForge):
        bench.forge.push("acme/taken", wanted.deployed_branch, {"y": b"theirs"}, "Theirs")
        theirs = (await bench.forge.branches("acme/taken"))[wanted.deployed_branch]
    with pytest.raises(PermanentError, match="is not this environment's"):
        await bench.create(wanted)
    assert (await bench.forge.branches("acme/taken"))[wanted.deployed_branch] == theirs


async def test_a_pull_request_that_is_not_there_is_refused(bench: Workbench) -> None:
    await with_pull_request(bench, "missing")
    with pytest.raises(PermanentError, match="no pull request 999"):
        await bench.create(preview("missing", 999))


async def test_of_a_fork_only_the_agreed_commit_is_shown(bench: Workbench, offer: Offer) -> None:
    await bench.create(samples.spec("forked"))
    number = offer("acme/forked", {"one.js": b"1", ".github/workflows/evil.yml": b"on: push"})
    pull = await bench.forge.pull_request("acme/forked", number)
    assert pull is not None
    agreed = pull.head_commit
    wanted = preview("forked", number, agreed)
    pipeline = await bench.create(wanted)
    assert (await bench.forge.history("acme/forked", pipeline.commit, limit=1))[0].parents == (agreed,)
    assert list(await bench.forge.files_in("acme/forked", ".github/workflows", at=pipeline.commit)) == [
        workflow_of(wanted.name)
    ]
    offer("acme/forked", {"two.js": b"2"})
    pull = await bench.forge.pull_request("acme/forked", number)
    assert pull is not None
    assert pull.head_commit != agreed
    assert await bench.create(wanted) == pipeline
    await comments_of(bench).note(noted(wanted, "moved", 1, commit=pull.head_commit))
    moved = (await bench.forge.branches("acme/forked"))[wanted.deployed_branch]
    assert (await bench.forge.history("acme/forked", moved, limit=1))[0].parents == (pull.head_commit,)
    # What was agreed to last stays, whatever run comes after it.
    bench.publish(NEW)
    updated = await bench.update(at_version(NEW, wanted), wanted)
    assert (await bench.forge.history("acme/forked", updated.commit, limit=1))[0].parents == (pull.head_commit,)


async def test_a_creation_that_breaks_off_anywhere_is_finished_by_repeating_it(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "broken")
    wanted = preview("broken", number)
    count = await writes_of(lambda forge: bench.create(wanted, forge), bench.forge)
    whole = await bench.state("acme/broken")
    await bench.remove(wanted)
    for at in range(1, count + 1):
        for after in (False, True):
            try:
                await bench.create(wanted, Interrupted(bench.forge, at, after))
            except TransientError:
                await bench.create(wanted)
            assert await bench.state("acme/broken") == whole
            await bench.remove(wanted)


# -- the comment -------------------------------------------------------------------------------------------------------


async def test_one_comment_is_kept_up_to_date_in_place(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "told")
    wanted = preview("told", number, expires_at=NOON + timedelta(days=7))
    desk = comments_of(bench)
    seen = []
    for deed in (
        partial(desk.note, noted(wanted, "creating")),
        partial(desk.tell, verdict(wanted, EnvironmentReady, 1)),
        partial(desk.note, noted(wanted, "deleting", 2)),
        partial(desk.tell, verdict(wanted, EnvironmentDeleted, 3)),
    ):
        await deed()
        await deed()
        [body] = await comments(bench, wanted)
        seen.append(body)
    assert [next(line for line in body.splitlines() if "State" in line) for body in seen] == [
        "- **State:** being created",
        "- **State:** ready",
        "- **State:** being deleted",
        "- **State:** deleted",
    ]
    assert f"- **URL:** {samples.infrastructure(wanted.name).url}" in seen[1]
    assert all(f"### Preview `{wanted.name}`" in body and "- **Updated:**" in body for body in seen)
    assert "- **Expires:**" in seen[1]


async def test_what_is_older_never_replaces_what_is_newer(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "late")
    wanted = preview("late", number)
    desk = comments_of(bench)
    await desk.tell(verdict(wanted, EnvironmentReady, 5))
    before = await comments(bench, wanted)
    await desk.note(noted(wanted, "creating", 1))
    assert await comments(bench, wanted) == before


async def test_a_refusal_is_a_note_and_says_nothing_else_of_a_preview_that_is_there(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "no")
    wanted = preview("no", number)
    desk = comments_of(bench)
    await desk.note(noted(wanted, "refused", 1, subject=None, reason="Ask @everyone in <b>#1</b>.", person="mallory"))
    [body] = await comments(bench, wanted)
    assert "- **State:** none" in body
    assert "@everyone" not in body
    assert "<b>" not in body.partition("<!-- slipway note ")[2].replace("\\<", "")
    await desk.tell(verdict(wanted, EnvironmentReady, 2))
    await desk.note(noted(wanted, "refused", 3, subject=None, reason="No."))
    [body] = await comments(bench, wanted)
    assert "- **State:** ready" in body
    assert body.rstrip().endswith("Not done. No.")


async def test_a_failure_is_said_and_a_failed_change_leaves_the_state(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "fails")
    wanted = preview("fails", number)
    desk = comments_of(bench)
    await desk.tell(verdict(wanted, EnvironmentFailed, 1))
    [body] = await comments(bench, wanted)
    assert "- **State:** failed" in body
    assert "It broke" in body
    assert "@all" not in body
    await desk.tell(verdict(wanted, EnvironmentReady, 2))
    await desk.tell(verdict(wanted, EnvironmentFailed, 3, previous=wanted))
    [body] = await comments(bench, wanted)
    assert "- **State:** ready" in body
    assert "was undone" in body


class LostAnswer:
    """A forge that does what it is told, and whose answer to the first comment is lost."""

    def __init__(self, forge: Any) -> None:
        self._forge = forge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._forge, name)

    async def add_comment(self, repository: str, number: int, body: str) -> Comment:
        await self._forge.add_comment(repository, number, body)
        raise TransientError("the forge did not answer")


async def test_a_comment_whose_answer_was_lost_is_found_again_and_others_are_left_alone(bench: Workbench) -> None:
    _, number = await with_pull_request(bench, "lost")
    wanted = preview("lost", number)
    forge: Any = bench.forge
    other = "<!-- slipway preview 11111111-1111-4111-8111-111111111111 2026-01-01T00:00:00+00:00 -->\nMine!"
    await forge.add_comment("acme/lost", number, other)
    await comments_of(bench, LostAnswer(forge)).note(noted(wanted, "creating"))
    await comments_of(bench).tell(verdict(wanted, EnvironmentReady, 1))
    first, second = await comments(bench, wanted)
    assert first == other
    assert "- **State:** ready" in second


def test_the_gateway_and_this_service_mean_the_same_branch() -> None:
    wanted = preview("same", 7)
    assert wanted.deployed_branch == Mark(wanted.name, FIRST_LIFE, "payments").branch

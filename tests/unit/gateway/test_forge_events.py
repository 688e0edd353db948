"""What GitHub tells: who is believed, what counts, and what follows for previews and deployments."""

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from contracts.events import EnvironmentDeletionRequested, EnvironmentRequested, RunCancelRequested
from contracts.signals import DeploymentRecorded, PreviewNoted
from contracts.values import PullRequest
from services.gateway.domain.policy import Policy
from services.gateway.domain.previews import names
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.unit.gateway.rig import HOOK_SECRET, Rig, ask, end, path, principal

ADDRESS = "/api/v1/github/events"
HEAD, NEWER = "a" * 40, "b" * 40


def pull_request(action: str, *, sender: str = "ada", **changes: Any) -> dict[str, Any]:
    """A `pull_request` as GitHub tells of it, as far as anybody here looks at it."""
    fork = changes.pop("fork", None)
    label = changes.pop("label", None)
    labels = changes.pop("labels", [label] if label and action == "labeled" else [])
    return {
        "action": action,
        "number": 7,
        "pull_request": {
            "number": 7,
            "state": changes.pop("state", "closed" if action == "closed" else "open"),
            "updated_at": changes.pop("updated_at", "2026-11-23T16:00:00Z"),
            "labels": [{"name": name} for name in labels],
            "head": {
                "ref": changes.pop("branch", "colours"),
                "sha": changes.pop("sha", HEAD),
                "repo": {"full_name": fork or "acme/demo-api"},
            },
            "base": {"ref": "main", "sha": "0" * 40, "repo": {"full_name": "acme/demo-api"}},
        },
        **({"label": {"name": label}} if label else {}),
        "repository": {"full_name": "acme/demo-api", "id": 1},
        "sender": {"login": sender},
        **changes,
    }


def comment(text: str, *, sender: str = "ada", association: str = "MEMBER", **issue: Any) -> dict[str, Any]:
    """An `issue_comment` on the same pull request."""
    return {
        "action": "created",
        "issue": {"number": 7, "pull_request": {"url": "https://api.github.test/pulls/7"}} | issue,
        "comment": {"body": text, "author_association": association},
        "repository": {"full_name": "acme/demo-api"},
        "sender": {"login": sender},
    }


def workflow_run(action: str, **changes: Any) -> dict[str, Any]:
    """A `workflow_run` of the workflow of demo-api."""
    run = {
        "id": 4711,
        "run_attempt": 1,
        "path": ".github/workflows/slipway-demo-api.yml",
        "event": "push",
        "conclusion": None,
        "head_branch": "main",
        "head_sha": HEAD,
        "actor": {"login": "ada"},
        "html_url": "https://github.test/acme/demo-api/actions/runs/4711",
        "run_started_at": "2026-01-01T10:00:00Z",
        "updated_at": "2026-01-01T10:00:42Z",
    }
    return {"action": action, "workflow_run": run | changes, "repository": {"full_name": "acme/demo-api"}}


def signed(body: bytes, secret: str = HOOK_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def tell(rig: Rig, payload: Any, event: str = "pull_request", delivery: str = "d-1") -> str:
    """A delivery whose signature was checked; and everything that follows and is due."""
    outcome = await rig.hearsay.hear(event, delivery, payload)
    while await rig.hearsay.do_next():
        pass
    return outcome


async def post(rig: Rig, *bodies: bytes, event: str = "pull_request", **headers: Any) -> list[int]:
    """Deliver over HTTP, each body under an id of its own; the answers' status codes."""
    found = []
    async with rig.client() as client:
        for number, body in enumerate(bodies):
            sent: dict[str, Any] = {
                "X-Hub-Signature-256": signed(body),
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": f"d-{number}",
            } | headers
            told = {key: value for key, value in sent.items() if value is not None}
            found.append((await client.post(ADDRESS, content=body, headers=told)).status_code)
    return found


async def with_demo_api(rig: Rig, **more: Any) -> Answered:
    """The environment that uses the repository; ada is a member of its team."""
    await rig.token(person="ada")
    answered = await rig.asking.create(principal(), ask(**more), None)
    end(rig, answered, "ready")
    return answered


def begun(rig: Rig) -> list[EnvironmentRequested]:
    """The previews that were asked for."""
    asked = [event for event in rig.log.events_said if isinstance(event, EnvironmentRequested)]
    return [event for event in asked if event.data.spec.pull_request is not None]


def notes(rig: Rig) -> list[tuple[str, str | None]]:
    """What was said about previews, and of which environment."""
    return [(one.data.what, one.subject) for one in rig.signals.said.values() if isinstance(one, PreviewNoted)]


def reason(rig: Rig) -> str:
    """Why the last one was refused."""
    [*_, last] = [one for one in rig.signals.said.values() if isinstance(one, PreviewNoted)]
    assert last.data.what == "refused"
    return last.data.reason


def settle(rig: Rig, verdict: str = "ready") -> Answered:
    """The verdict over the run that was begun last."""
    answered = Answered(list(rig.requests.rows.values())[-1])
    end(rig, answered, verdict)
    return answered


async def test_the_label_makes_a_preview_like_the_environment_of_the_base_branch() -> None:
    rig = Rig()
    first = await with_demo_api(rig)
    assert await tell(rig, pull_request("labeled", label="preview")) == "accepted"
    [request] = begun(rig)
    spec, model = request.data.spec, first.request.run.spec
    assert (spec.name, spec.kind, spec.branch) == ("demo-api-pr-7", "preview", "colours")
    assert (spec.golden_path, spec.repository, spec.owner.team) == (
        model.golden_path,
        model.repository,
        model.owner.team,
    )
    assert (spec.pull_request, request.data.requested_by) == (PullRequest(number=7), "ada")
    assert notes(rig) == [("creating", "demo-api-pr-7")]


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (pull_request("opened", labels=["preview"]), "pull_request"),
        (pull_request("reopened", labels=["Preview", "bug"]), "pull_request"),
        (pull_request("labeled", label="PREVIEW", sender="Ada-At-GitHub"), "pull_request"),
    ],
)
async def test_a_pull_request_that_comes_with_the_label_has_a_preview(payload: Any, event: str) -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, payload, event)
    assert [request.data.requested_by for request in begun(rig)] == ["ada"]


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (pull_request("opened"), "pull_request"),
        (pull_request("labeled", label="bug", labels=["bug", "preview"]), "pull_request"),
        (pull_request("labeled", label="preview", state="closed"), "pull_request"),
        (pull_request("edited", labels=["preview"]), "pull_request"),
        (pull_request("synchronize", labels=["preview"]), "pull_request"),
        (comment("nice! /slipway preview"), "issue_comment"),
        (comment("/slipway preview", pull_request=None), "issue_comment"),
        (comment("/slipway preview") | {"action": "edited"}, "issue_comment"),
        (comment("/slipwaypreview"), "issue_comment"),
        (comment("> /slipway preview"), "issue_comment"),
        (pull_request("opened", labels=["preview"], fork="mallory/demo-api"), "pull_request"),
        (pull_request("reopened", labels=["preview"], fork="mallory/demo-api"), "pull_request"),
        (pull_request("synchronize", labels=["preview"], fork="mallory/demo-api"), "pull_request"),
        ({"zen": "x"}, "ping"),
        ({"action": "created"}, "star"),
    ],
)
async def test_nothing_else_makes_one(payload: Any, event: str) -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("opened"), delivery="d-0")
    await tell(rig, payload, event)
    assert begun(rig) == []


async def test_a_comment_makes_a_preview_of_what_was_told_of_last() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("opened", branch="colours"), delivery="d-0")
    await tell(rig, comment("  /slipway   preview \r\nplease"), "issue_comment")
    assert [request.data.spec.branch for request in begun(rig)] == ["colours"]


async def test_a_comment_on_an_unknown_pull_request_says_what_to_do() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, comment("/slipway preview"), "issue_comment")
    assert begun(rig) == []
    assert "put the label" in reason(rig)


async def test_an_unknown_command_is_answered_with_those_there_are() -> None:
    rig = Rig()
    await tell(rig, comment("/slipway make me a sandwich"), "issue_comment")
    assert "`/slipway preview`" in reason(rig)


async def test_a_fork_has_no_preview_until_a_member_says_so_and_then_of_that_commit_only() -> None:
    rig = Rig()
    await with_demo_api(rig)
    fork: dict[str, Any] = {"fork": "mallory/demo-api", "sender": "mallory"}
    await tell(rig, pull_request("opened", **fork), delivery="d-0")
    stranger = comment("/slipway preview", sender="mallory", association="NONE")
    await tell(rig, stranger, "issue_comment", delivery="d-1")
    assert begun(rig) == []
    assert "for members" in reason(rig)
    await tell(rig, comment("/slipway preview"), "issue_comment", delivery="d-2")
    [request] = begun(rig)
    assert request.data.spec.pull_request == PullRequest(number=7, approved_commit=HEAD)
    assert request.data.spec.branch == "pull/7/head"
    settle(rig)
    later = "2026-11-23T17:00:00Z"
    await tell(rig, pull_request("synchronize", sha=NEWER, updated_at=later, **fork), delivery="d-3")
    assert notes(rig)[-1] == ("creating", "demo-api-pr-7")
    await tell(rig, comment("/slipway preview"), "issue_comment", delivery="d-4")
    assert notes(rig)[-1] == ("moved", "demo-api-pr-7")
    assert [one.data.commit for one in rig.signals.said.values() if isinstance(one, PreviewNoted)][-1] == NEWER


async def test_who_names_the_commit_that_they_looked_at_gets_no_other() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("opened", fork="mallory/demo-api", sender="mallory"), delivery="d-0")
    await tell(rig, comment(f"/slipway preview {NEWER[:12]}"), "issue_comment", delivery="d-1")
    assert begun(rig) == []
    assert HEAD[:12] in reason(rig)
    await tell(rig, comment(f"/slipway preview {HEAD[:12]}"), "issue_comment", delivery="d-2")
    assert len(begun(rig)) == 1


@pytest.mark.parametrize("association", ["NONE", "CONTRIBUTOR", "FIRST_TIMER", "", "member"])
async def test_who_has_a_members_name_and_is_none_on_github_is_no_member(association: str) -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("opened"), delivery="d-0")
    await tell(rig, comment("/slipway preview", association=association), "issue_comment")
    assert begun(rig) == []


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ({"person": "bob", "teams": ("search",)}, "team"),
        ({"person": "bob", "role": "viewer", "teams": ("payments",)}, "role developer"),
        ({"person": "bob", "teams": ("payments",), "expires_at": samples.AT}, "for members"),
        ({"person": "somebody", "teams": ("payments",)}, "for members"),
    ],
)
async def test_who_may_not_create_in_the_team_gets_none(token: dict[str, Any], said: str) -> None:
    rig = Rig()
    await with_demo_api(rig)
    teams = token.pop("teams")
    await rig.token(token.pop("role", "developer"), *teams, **token)
    await tell(rig, pull_request("labeled", label="preview", sender="bob"))
    assert begun(rig) == []
    assert said in reason(rig)


async def test_an_admin_of_the_platform_asks_for_their_own_teams_only() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await rig.token("admin", "search", person="root")
    await tell(rig, pull_request("labeled", label="preview", sender="root"))
    assert begun(rig) == []


async def test_a_session_makes_a_member_too() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await rig.session(person="grace")
    await tell(rig, pull_request("labeled", label="preview", sender="grace"))
    assert [request.data.requested_by for request in begun(rig)] == ["grace"]


async def test_without_an_environment_of_the_repository_there_is_no_preview() -> None:
    rig = Rig()
    await rig.token(person="ada")
    await tell(rig, pull_request("labeled", label="preview"))
    assert "Create one first" in reason(rig)


async def test_environments_that_differ_are_refused_and_the_base_branch_decides() -> None:
    rig = Rig()
    rig.golden_paths.paths.append(path().model_copy(update={"name": "other"}))
    await with_demo_api(rig)
    twin = ask("second", golden_path="other", repository="acme/demo-api", branch="trunk")
    end(rig, await rig.asking.create(principal(), twin, None), "ready")
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-1")
    [request] = begun(rig)
    assert request.data.spec.golden_path == "nodejs-api"
    twin = ask("third", golden_path="other", repository="acme/demo-api")
    end(rig, await rig.asking.create(principal(), twin, None), "ready")
    other = pull_request("labeled", label="preview")
    other["pull_request"]["number"] = 8
    await tell(rig, other, delivery="d-2")
    assert "differ" in reason(rig)


async def test_a_used_up_quota_is_said_where_it_was_asked_for() -> None:
    rig = Rig(policy=Policy.model_validate({"defaults": {"previews_per_repository": 0}}))
    await with_demo_api(rig, kind="production")
    await tell(rig, pull_request("labeled", label="preview"))
    assert begun(rig) == []
    assert "previews of the repository acme/demo-api" in reason(rig)


async def test_a_delivery_counts_once_and_a_second_label_begins_nothing() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"))
    assert await tell(rig, pull_request("labeled", label="preview")) == "repeated"
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-2")
    assert len(begun(rig)) == 1
    assert notes(rig) == [("creating", "demo-api-pr-7")]


async def test_what_was_kept_and_not_done_is_done_again_and_once() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"))
    kept = rig.forge_events.kept["d-1"]
    await rig.forge_events.later(kept.position, 0)
    assert await rig.hearsay.do_next()
    assert len(begun(rig)) == 1


@pytest.mark.parametrize("payload", [pull_request("closed"), pull_request("unlabeled", label="preview")])
async def test_closing_or_unlabelling_deletes_whoever_does_it(payload: dict[str, Any]) -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-1")
    settle(rig)
    await tell(rig, payload | {"sender": {"login": "mallory"}}, delivery="d-2")
    [deletion] = [event for event in rig.log.events_said if isinstance(event, EnvironmentDeletionRequested)]
    assert (deletion.subject, deletion.data.requested_by) == ("demo-api-pr-7", "mallory")
    assert notes(rig)[-1] == ("deleting", "demo-api-pr-7")
    settle(rig, "deleted")
    await tell(rig, pull_request("reopened", labels=["preview"]), delivery="d-3")
    assert len(begun(rig)) == 2


async def test_a_member_deletes_by_a_comment_and_a_stranger_does_not() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-1")
    settle(rig)
    text = "/slipway preview delete"
    await tell(rig, comment(text, sender="mallory"), "issue_comment", delivery="d-2")
    assert "for members" in reason(rig)
    await tell(rig, comment(text), "issue_comment", delivery="d-3")
    assert notes(rig)[-1] == ("deleting", "demo-api-pr-7")
    settle(rig, "deleted")
    await tell(rig, comment(text), "issue_comment", delivery="d-4")
    assert "no preview" in reason(rig)


async def test_closing_while_it_is_made_calls_the_creation_off_and_nothing_is_left() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-1")
    creation = Answered(list(rig.requests.rows.values())[-1])
    await tell(rig, pull_request("closed"), delivery="d-2")
    [cancelled] = [event for event in rig.log.events_said if isinstance(event, RunCancelRequested)]
    assert cancelled.run_id == creation.request.event_id
    end(rig, creation, "failed")
    rig.clock.at += timedelta(seconds=10)
    while await rig.hearsay.do_next():
        pass
    assert rig.forge_events.due == {}
    assert not [event for event in rig.log.events_said if isinstance(event, EnvironmentDeletionRequested)]


async def test_a_push_to_a_branch_of_the_repository_moves_its_preview() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-1")
    await tell(rig, pull_request("synchronize", sha=NEWER), delivery="d-2")
    assert notes(rig) == [("creating", "demo-api-pr-7"), ("moved", "demo-api-pr-7")]


@pytest.mark.parametrize(
    ("repository", "number", "expected"),
    [
        ("acme/demo-api", 7, "demo-api-pr-7"),
        ("acme/Demo_API.v2", 12, "demo-api-v2-pr-12"),
        ("acme/9lives", 1, "r-9lives-pr-1"),
        ("acme/___", 1, "r-pr-1"),
        ("acme/" + "x" * 100, 2147483647, None),
        ("acme/" + "ab-" * 30, 123, None),
    ],
)
def test_a_name_keeps_the_rules_whatever_the_repository_is_called(
    repository: str, number: int, expected: str | None
) -> None:
    found = names(repository, number)
    for name in found:
        ask(name)
        assert name.endswith(f"-pr-{number}")
    assert expected in {None, found[0]}
    assert names(repository.replace("acme", "other"), number)[1] != found[1]


async def test_a_name_that_is_somebody_elses_is_left_alone() -> None:
    rig = Rig()
    await with_demo_api(rig)
    end(rig, await rig.asking.create(principal(), ask("demo-api-pr-7"), None), "ready")
    await tell(rig, pull_request("labeled", label="preview"))
    assert [request.subject for request in begun(rig)] == [names("acme/demo-api", 7)[1]]


# -- deployments -------------------------------------------------------------------------------------------------------


def deployments(rig: Rig) -> list[DeploymentRecorded]:
    return [one for one in rig.signals.said.values() if isinstance(one, DeploymentRecorded)]


async def test_a_run_of_our_workflow_is_a_deployment_told_once_in_each_state() -> None:
    rig = Rig()
    await with_demo_api(rig)
    for number, (action, conclusion) in enumerate(
        [("requested", None), ("in_progress", None), ("completed", "success"), ("completed", "success")]
    ):
        await tell(rig, workflow_run(action, conclusion=conclusion), "workflow_run", f"d-{number}")
    told = deployments(rig)
    assert [one.data.state for one in told] == ["queued", "started", "succeeded"]
    last = told[-1]
    assert (last.subject, last.data.commit, last.data.branch, last.data.author) == ("demo-api", HEAD, "main", "ada")
    assert (last.data.duration_seconds, str(last.data.log_url)) == (
        42.0,
        "https://github.test/acme/demo-api/actions/runs/4711",
    )
    assert last.data.deployment_id == f"{HEAD[:12]}-4711-1"


async def test_a_preview_says_which_pull_request_it_is_of() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"))
    settle(rig)
    async with rig.client(await rig.token()) as client:
        shown = (await client.get("/api/v1/environments/demo-api-pr-7")).json()
    url = f"{shown['pipeline']['repository_url']}/pull/7"
    assert shown["pull_request"] == {"number": 7, "url": url, "approved_commit": None}
    async with rig.browser(await rig.session()) as browser:
        page = (await browser.get("/environments/demo-api-pr-7")).text
    assert "pull request 7" in page


async def test_what_came_of_a_deployment_to_a_preview_is_noted_once() -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, pull_request("labeled", label="preview"), delivery="d-1")
    settle(rig)
    view = await rig.log.environment("demo-api-pr-7")
    assert view is not None
    assert view.pipeline is not None
    of_preview = {"path": ".github/workflows/slipway-demo-api-pr-7.yml", "head_branch": view.pipeline.branch}
    for number, (action, conclusion) in enumerate(
        [("in_progress", None), ("completed", "failure"), ("completed", "failure"), ("completed", "success")]
    ):
        run = workflow_run(action, conclusion=conclusion, run_attempt=1 + (conclusion == "success"), **of_preview)
        await tell(rig, run, "workflow_run", f"r-{number}")
    assert notes(rig)[1:] == [("not_deployed", "demo-api-pr-7"), ("deployed", "demo-api-pr-7")]


@pytest.mark.parametrize(
    "changes",
    [
        {"path": ".github/workflows/ci.yml"},
        {"path": ".github/workflows/slipway-other.yml"},
        {"path": ".github/workflows/slipway-../../x.yml"},
        {"head_branch": "colours"},
        {"head_branch": None},
        {"event": "pull_request"},
        {"conclusion": "skipped"},
        {"conclusion": None},
    ],
)
async def test_other_runs_are_no_deployments(changes: dict[str, Any]) -> None:
    rig = Rig()
    await with_demo_api(rig)
    await tell(rig, workflow_run("completed", **({"conclusion": "failure"} | changes)), "workflow_run")
    assert deployments(rig) == []


async def test_nobody_tells_of_another_repositorys_environment() -> None:
    rig = Rig()
    await with_demo_api(rig)
    forged = workflow_run("completed", conclusion="failure") | {"repository": {"full_name": "evil/demo-api"}}
    await tell(rig, forged, "workflow_run")
    assert deployments(rig) == []


async def test_a_deployment_of_another_tool_is_told_by_its_statuses() -> None:
    rig = Rig()
    await with_demo_api(rig)

    def status(state: str, **more: Any) -> dict[str, Any]:
        return {
            "action": "created",
            "deployment": {"id": 9, "sha": HEAD, "ref": "main", "environment": "demo-api"},
            "deployment_status": {"state": state, "log_url": "", "created_at": "2026-01-01T10:00:42Z"},
            "repository": {"full_name": "acme/demo-api"},
            **more,
        }

    for number, state in enumerate(["queued", "in_progress", "success", "inactive"]):
        await tell(rig, status(state), "deployment_status", f"d-{number}")
    await tell(rig, status("failure", workflow_run={"id": 1}), "deployment_status", "d-9")
    assert [(one.data.deployment_id, one.data.state, one.data.author) for one in deployments(rig)] == [
        ("github-9", "queued", "github"),
        ("github-9", "started", "github"),
        ("github-9", "succeeded", "github"),
    ]


# -- who is believed ---------------------------------------------------------------------------------------------------


BODY = json.dumps(pull_request("labeled", label="preview")).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": None},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": signed(b"something else")},
        {"X-Hub-Signature-256": signed(BODY, "another secret")},
        {"X-Hub-Signature-256": signed(BODY).upper()},
        {"X-Hub-Signature-256": "sha256=é".encode("latin-1")},
        {"X-Hub-Signature-256": None, "X-Hub-Signature": "sha1=" + hmac.new(b"x", BODY, hashlib.sha1).hexdigest()},
        {"X-Hub-Signature-256": "sha1=" + hmac.new(HOOK_SECRET.encode(), BODY, hashlib.sha1).hexdigest()},
        {"X-Hub-Signature-256": None, "Authorization": "Bearer slw_x"},
        {"X-Hub-Signature-256": signed(json.dumps(json.loads(BODY), sort_keys=True).encode())},
    ],
)
async def test_nobody_is_believed_who_does_not_sign_these_very_bytes(headers: dict[str, Any]) -> None:
    rig = Rig()
    assert await post(rig, BODY, **headers) == [401]
    assert rig.forge_events.kept == {}


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"7",
    b"{",
    b'{"action": NaN}',
    b'{"action":"x","action":"y"}',
    b"\xff\xfe",
    b"[" * 100_000,
    json.dumps({"pull_request": None, "action": None, "repository": []}).encode(),
    json.dumps(pull_request("labeled", label="preview", sha="; rm -rf /")).encode(),
    json.dumps(pull_request("labeled", label="preview") | {"repository": {"full_name": "../../x"}}).encode(),
    json.dumps(pull_request("labeled", label="preview") | {"sender": 7}).encode(),
    json.dumps(comment("/slipway preview", number=-1)).encode(),
    json.dumps(comment("/slipway preview", number="7")).encode(),
]


@pytest.mark.parametrize("event", ["pull_request", "issue_comment", "workflow_run", "deployment_status"])
async def test_what_github_would_not_have_written_is_refused_and_the_gateway_lives(event: str) -> None:
    rig = Rig()
    assert set(await post(rig, *HOSTILE, event=event)) <= {400, 422}
    assert rig.forge_events.kept == {}
    assert await post(rig, BODY) == [202]


async def test_a_delivery_has_an_id_and_a_size() -> None:
    rig = Rig()
    for delivery in (None, "x" * 101):
        headers: dict[str, Any] = {"X-GitHub-Delivery": delivery}
        assert await post(rig, BODY, **headers) == [422]
    assert await post(rig, b" " * (1024 * 1024 + 1)) == [413]


async def test_without_a_secret_nothing_is_heard() -> None:
    assert await post(Rig(hook=False), BODY) == [404]

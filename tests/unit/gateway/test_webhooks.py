"""The forge's webhooks: who is believed, what counts, and what follows."""

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest

from contracts.events import EnvironmentUpdateRequested
from contracts.plans import CommittedState
from contracts.values import EnvironmentSpec
from services.gateway.domain.policy import Policy
from services.gateway.handlers.settling import Answered
from tests.unit.gateway.rig import HOOK_SECRET, Rig, ask, end, path, principal

ADDRESS = "/api/v1/webhooks/forge"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def push(*paths: str, login: str = "bob", **changes: Any) -> dict[str, Any]:
    touched = list(paths or ("environments/demo-api/manifest.yaml",))
    return {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": COMMIT,
        "deleted": False,
        "repository": {"full_name": "platform/environments", "id": 1},
        "sender": {"login": login, "id": 7},
        "pusher": {"name": login},
        "commits": [{"id": COMMIT, "added": [], "modified": touched, "removed": []}],
        **changes,
    }


def signed(body: bytes, secret: str = HOOK_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def tell(rig: Rig, payload: Any, *, delivery: str = "d-1", event: str = "push", **headers: Any) -> httpx.Response:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    sent: dict[str, Any] = {
        "X-Hub-Signature-256": signed(body),
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "Content-Type": "application/json",
    } | headers
    async with rig.client() as client:
        return await client.post(ADDRESS, content=body, headers={k: v for k, v in sent.items() if v is not None})


async def ready(rig: Rig) -> Answered:
    answered = await rig.asking.create(principal(), ask(), None)
    end(rig, answered, "ready")
    return answered


def commit(rig: Rig, first: Answered, commit_id: str = COMMIT, **changes: Any) -> EnvironmentSpec:
    """Somebody committed this."""
    spec = first.request.run.spec
    parameters = {**spec.parameters, **changes.pop("parameters", {})}
    wanted = EnvironmentSpec.model_validate({**spec.model_dump(), "parameters": parameters, **changes})
    state = CommittedState(spec=wanted, incarnation=first.request.incarnation, commit=commit_id)
    rig.repository.committed["demo-api"] = state
    return wanted


async def test_a_pushed_change_is_a_request_like_any_other() -> None:
    rig = Rig()
    first = await ready(rig)
    wanted = commit(rig, first, branch="dev", parameters={"instances": 3})
    answer = await tell(rig, push())
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["items"]
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert (said.data.spec, said.data.previous) == (wanted, first.request.run.spec)
    assert (said.data.cause, said.data.requested_by) == ("git", "bob")
    assert (item["environment"], item["outcome"], item["run_id"]) == ("demo-api", "begun", str(said.id))


async def test_a_delivery_counts_once_and_a_commit_begins_one_run() -> None:
    rig = Rig()
    commit(rig, await ready(rig), branch="dev")
    before = len(rig.log.events_said)
    assert len((await tell(rig, push())).json()["items"]) == 1
    assert (await tell(rig, push())).json()["items"] == []
    end(rig, _last_run(rig), "ready")
    assert (await tell(rig, push(), delivery="d-2")).json()["items"][0]["outcome"] == "unchanged"
    assert len(rig.log.events_said) == before + 2


def _last_run(rig: Rig) -> Answered:
    return Answered([row for row in rig.requests.rows.values() if row.operation == "update"][-1])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Hub-Signature-256": None},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": "sha256="},
        {"X-Hub-Signature-256": "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"X-Hub-Signature-256": signed(b"something else")},
        {"X-Hub-Signature-256": signed(json.dumps(push()).encode(), "another secret")},
        {"X-Hub-Signature-256": signed(json.dumps(push()).encode()).upper()},
        {"X-Hub-Signature-256": "sha256=é".encode("latin-1")},
        {"X-Hub-Signature-256": None, "X-Hub-Signature": "sha1=" + "0" * 40},
        {"X-Hub-Signature-256": None, "Authorization": "Bearer slw_x"},
    ],
)
async def test_nobody_is_believed_who_does_not_sign(headers: dict[str, Any]) -> None:
    rig = Rig()
    commit(rig, await ready(rig), branch="dev")
    before = len(rig.log.events_said)
    answer = await tell(rig, push(), **headers)
    assert answer.status_code == 401
    assert len(rig.log.events_said) == before


async def test_a_body_in_another_order_is_another_body() -> None:
    rig = Rig()
    payload = push()
    other = json.dumps(dict(reversed(payload.items()))).encode()
    answer = await tell(rig, other, **{"X-Hub-Signature-256": signed(json.dumps(payload).encode())})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"null", 422),
        (b"[]", 422),
        (b"1", 422),
        (b"", 400),
        (b"{", 400),
        (b'{"ref": 1}', 422),
        (b"[" * 50_000, 400),
        (json.dumps(push(commits=None)).encode(), 422),
        (json.dumps(push(commits=[{"added": [1]}])).encode(), 422),
        (json.dumps(push(sender={"login": None})).encode(), 422),
        (json.dumps(push(repository="platform/environments")).encode(), 422),
        (b"x" * 300_000, 413),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_whatever_is_signed_is_still_read_with_care(body: bytes, status: int) -> None:
    rig = Rig()
    answer = await tell(rig, body)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers", [{"X-GitHub-Delivery": None}, {"X-GitHub-Event": None}, {"X-GitHub-Delivery": "a b"}]
)
async def test_a_delivery_has_an_id_and_says_of_what(headers: dict[str, Any]) -> None:
    assert (await tell(Rig(), push(), **headers)).status_code == 422


@pytest.mark.parametrize(
    "payload",
    [
        push(login="slipway-provisioner"),
        push(ref="refs/heads/other"),
        push(ref="refs/tags/main"),
        push(deleted=True),
        push(repository={"full_name": "acme/demo-api"}),
        push("README.md", "environments/README.md", "modules/environments/demo-api/x"),
        push("environments/../demo-api/x", "environments/*/x", "environments/Demo/x", "environments/kube-system/x"),
        push(commits=[]),
    ],
)
async def test_what_does_not_count_changes_nothing(payload: dict[str, Any]) -> None:
    rig = Rig()
    commit(rig, await ready(rig), branch="dev")
    before = len(rig.log.events_said)
    answer = await tell(rig, payload)
    assert (answer.status_code, answer.json()["items"]) == (200, [])
    assert len(rig.log.events_said) == before


@pytest.mark.parametrize("event", ["ping", "pull_request", "workflow_run"])
async def test_other_news_is_heard_and_changes_nothing(event: str) -> None:
    rig = Rig()
    commit(rig, await ready(rig), branch="dev")
    answer = await tell(rig, {"zen": "x"}, event=event)
    assert (answer.status_code, answer.json()["items"]) == (200, [])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "production"}, "kind"),
        ({"owner": {"person": "eve", "team": "search"}}, "owner"),
        ({"repository": "acme/other"}, "repository"),
        ({"path": "services/other"}, "path"),
        ({"golden_path": "worker"}, "golden_path"),
        ({"parameters": {"region": "us"}}, "parameters.region"),
        ({"parameters": {"instances": 99}}, "parameters.instances"),
        ({"parameters": {"unknown": 1}}, "parameters"),
        ({"golden_path_version": "9.0.0"}, "golden_path_version"),
    ],
)
async def test_git_is_no_way_around_any_rule(change: dict[str, Any], word: str) -> None:
    rig = Rig()
    commit(rig, await ready(rig), **change)
    before = len(rig.log.events_said)
    [item] = (await tell(rig, push())).json()["items"]
    assert item["outcome"] == "refused"
    assert item["detail"].startswith(word)
    assert len(rig.log.events_said) == before


async def test_a_quota_counts_for_git_as_well() -> None:
    rig = Rig(policy=Policy.read({"defaults": {"cost_per_month": 12}}))
    commit(rig, await ready(rig), parameters={"instances": 5})
    [item] = (await tell(rig, push())).json()["items"]
    assert (item["outcome"], "cost" in item["detail"] or "month" in item["detail"]) == ("refused", True)


async def test_a_manifest_that_cannot_be_read_says_why() -> None:
    rig = Rig()
    await ready(rig)
    rig.repository.committed["demo-api"] = CommittedState(refused="the file is not there", commit=COMMIT)
    [item] = (await tell(rig, push())).json()["items"]
    assert (item["outcome"], item["detail"]) == ("refused", "the file is not there")


async def test_a_directory_that_disappears_deletes_nothing() -> None:
    rig = Rig()
    await ready(rig)
    before = len(rig.log.events_said)
    payload = push(commits=[{"added": [], "modified": [], "removed": ["environments/demo-api/manifest.yaml"]}])
    [item] = (await tell(rig, payload)).json()["items"]
    assert (item["outcome"], len(rig.log.events_said)) == ("ignored", before)


async def test_the_manifest_of_another_life_or_of_nobody_changes_nothing() -> None:
    rig = Rig()
    first = await ready(rig)
    commit(rig, first, branch="dev")
    end(rig, await rig.asking.delete(principal(), "demo-api", None), "deleted")
    assert (await tell(rig, push())).json()["items"][0]["outcome"] == "ignored"
    await ready(rig)
    assert (await tell(rig, push(), delivery="d-2")).json()["items"][0]["outcome"] == "ignored"
    assert (await tell(rig, push("environments/nobodys/x"), delivery="d-3")).json()["items"][0]["outcome"] == "ignored"


async def test_while_a_run_is_under_way_or_nobody_can_read_the_push_is_to_be_told_of_again() -> None:
    rig = Rig()
    commit(rig, await ready(rig), branch="dev")
    rig.repository.away = True
    assert (await tell(rig, push())).status_code == 503
    rig.repository.away = False
    repair = await rig.asking.repair(principal(), "demo-api", None)
    busy = await tell(rig, push())
    assert (busy.status_code, int(busy.headers["Retry-After"]) > 0) == (503, True)
    end(rig, repair, "ready")
    assert (await tell(rig, push())).json()["items"][0]["outcome"] == "begun"


async def test_a_push_that_touches_too_much_changes_nothing() -> None:
    rig = Rig()
    answer = await tell(rig, push(*(f"environments/env-{number}/manifest.yaml" for number in range(51))))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "commits")


async def test_whoever_pushed_under_a_name_that_is_none_of_ours_is_the_forge() -> None:
    rig = Rig()
    commit(rig, await ready(rig), branch="dev")
    await tell(rig, push(login="bob<script>"))
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert said.data.requested_by == "forge"


async def test_a_new_version_may_be_pushed() -> None:
    rig = Rig()
    commit(rig, await ready(rig), golden_path_version="1.3.0")
    rig.golden_paths.paths = [path(version="1.3.0")]
    assert (await tell(rig, push())).json()["items"][0]["outcome"] == "begun"


async def test_where_no_forge_is_set_up_nothing_is_heard() -> None:
    rig = Rig(hook=False)
    assert (await tell(rig, push())).status_code == 404

"""Webhooks and notifications over HTTP: who may do what, and what is shown of it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from chassis.signing import SigningKey
from contracts.webhooks import SentNotification
from services.gateway.handlers.notifying import Notifying
from tests import samples
from tests.unit.gateway.rig import Rig

HOOKS = "/api/v1/webhooks"
WISH = {"url": "https://hooks.test/x", "kinds": ["environment_ready"], "description": "the pager"}


async def made(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await api.post(HOOKS, json={**WISH, **changes})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{HOOKS}/{found['id']}"
    return found


def told(team: str | None, way: str = "slack", **changes: Any) -> SentNotification:
    values = {
        "id": str(uuid4()),
        "way": way,
        "target": "deployments",
        "event_id": uuid4(),
        "kind": "environment_ready",
        "environment": "demo-api",
        "team": team,
        "state": "sent",
        "attempts": 1,
        "at": samples.AT,
        **changes,
    }
    return SentNotification.model_validate(values)


async def test_a_secret_is_shown_when_it_is_made_and_never_again() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        first = await made(api)
        assert first["secret"].startswith("whsec_")
        assert (first["team"], first["state"], first["generation"]) == ("payments", "active", 1)
        one, listed = await api.get(f"{HOOKS}/{first['id']}"), await api.get(HOOKS)
        assert "secret" not in one.json()
        assert listed.json()["items"] == [one.json()]

        rotated = (await api.post(f"{HOOKS}/{first['id']}:rotate-secret")).json()

        assert (rotated["generation"], rotated["rotated_at"]) == (2, first["created_at"])
        assert rotated["secret"] not in {first["secret"], (await api.get(f"{HOOKS}/{first['id']}")).text}


async def test_a_request_that_is_repeated_makes_one_webhook_and_shows_its_secret_again() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        answers = [await api.post(HOOKS, json=WISH, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        other = await api.post(HOOKS, json={**WISH, "kinds": []}, headers={"Idempotency-Key": "k"})

    assert answers[0].json() == answers[1].json()
    assert len(rig.notifier.hooks) == 1
    assert (other.status_code, other.json()["type"]) == (422, "urn:slipway:problem:idempotency_key_reused")


async def test_another_teams_webhook_is_not_there_on_any_verb() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        theirs = f"{HOOKS}/{(await made(api))['id']}"
    [hook] = rig.notifier.hooks.values()
    delivery = rig.notifier.deliver(hook.id, "environment_ready")
    async with rig.client(await rig.token("developer", "search")) as api:
        answers = [
            await api.get(theirs),
            await api.patch(theirs, json={"state": "paused"}),
            await api.delete(theirs),
            await api.post(f"{theirs}:test"),
            await api.post(f"{theirs}:rotate-secret"),
            await api.get(f"{theirs}/deliveries"),
            await api.post(f"{theirs}/deliveries/{delivery.id}:redeliver"),
        ]
        nobodys = await api.get(f"{HOOKS}/{uuid4()}")
        assert (await api.get(HOOKS)).json() == {"items": []}
        assert (await api.get(HOOKS, params={"team": "payments"})).json() == {"items": []}
        assert (await api.post(HOOKS, json={**WISH, "team": "payments"})).status_code == 403

    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].json()["detail"] == nobodys.json()["detail"]
    assert rig.notifier.hooks == {hook.id: hook}


async def test_a_viewer_sees_no_webhook_and_an_admin_sees_everybodys() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        theirs = f"{HOOKS}/{(await made(api))['id']}"
    async with rig.client(await rig.token("viewer")) as api:
        assert [(await api.get(path)).status_code for path in (HOOKS, theirs, f"{theirs}/deliveries")] == [403] * 3
        assert (await api.get("/api/v1/notifications")).status_code == 200
    async with rig.client(await rig.token("admin", "platform", person="root")) as api:
        assert (await api.get(theirs)).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "http://hooks.test/"}, "url"),
        ({"url": ""}, "url"),
        ({"kinds": ["everything"]}, "kinds"),
        ({"environment": "../etc"}, "environment"),
        ({"golden_path": "Node JS"}, "golden_path"),
        ({"description": "x" * 201}, "description"),
        ({"secret": "whsec_mine"}, "body"),
    ],
)
async def test_what_breaks_a_rule_is_refused_with_its_field_and_without_its_value(
    changes: dict[str, Any], field: str
) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        answer = await api.post(HOOKS, json={**WISH, **changes})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not rig.notifier.hooks


async def test_a_webhook_is_changed_paused_and_taken_away() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        path = f"{HOOKS}/{(await made(api, environment='demo-api'))['id']}"
        changed = await api.patch(path, json={"state": "paused", "environment": "", "kinds": []})
        assert changed.status_code == 200
        assert [changed.json()[name] for name in ("state", "environment", "kinds", "description")] == [
            "paused",
            None,
            [],
            "the pager",
        ]
        assert (await api.patch(path, json={"state": "disabled"})).status_code == 422
        assert (await api.delete(path)).status_code == 204
        assert (await api.delete(path)).status_code == 404


async def test_a_test_tells_what_came_back() -> None:
    rig = Rig()
    rig.notifier.answers = 500
    async with rig.client(await rig.token()) as api:
        path = f"{HOOKS}/{(await made(api))['id']}"
        tested = (await api.post(f"{path}:test")).json()
        listed = (await api.get(f"{path}/deliveries")).json()

    assert (tested["state"], tested["kind"]) == ("failed", "webhook_test")
    assert [(one["status_code"], one["error"]) for one in tested["attempts"]] == [(500, "It answered 500.")]
    assert listed == {"items": [tested], "next_cursor": None}


async def test_deliveries_are_paged_and_sent_again() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as api:
        path = f"{HOOKS}/{(await made(api))['id']}"
        [hook] = rig.notifier.hooks
        sent = [rig.notifier.deliver(hook, "environment_ready", "demo-api") for _ in range(3)]
        first = (await api.get(f"{path}/deliveries", params={"limit": 2})).json()
        rest = (await api.get(f"{path}/deliveries", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        forged = await api.get(f"{path}/deliveries", params={"cursor": "Mg"})
        again = await api.post(f"{path}/deliveries/{sent[0].id}:redeliver")
        unknown = await api.post(f"{path}/deliveries/{uuid4()}:redeliver")
        await api.patch(path, json={"state": "paused"})
        paused = await api.post(f"{path}/deliveries/{sent[0].id}:redeliver")

    assert [one["id"] for one in (*first["items"], *rest["items"])] == [str(one.id) for one in reversed(sent)]
    assert rest["next_cursor"] is None
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    assert (forged.status_code, unknown.status_code, paused.status_code) == (422, 404, 409)
    assert paused.json()["type"] == "urn:slipway:problem:webhook_not_active"


async def test_notifications_are_shown_to_the_teams_that_were_told() -> None:
    rig = Rig()
    rig.notifier.told = [told("payments"), told("search"), told(None), told("payments", "webhook")]
    path = "/api/v1/notifications"
    async with rig.client(await rig.token()) as api:
        seen = (await api.get(path)).json()
        paged = (await api.get(path, params={"limit": 1})).json()
        assert len((await api.get(path, params={"way": "webhook"})).json()["items"]) == 1
        assert (await api.get(path, params={"team": "search"})).json()["items"] == []
        assert (await api.get(path, params={"environment": "other"})).json()["items"] == []
        other = await api.get(path, params={"cursor": paged["next_cursor"], "way": "slack"})
    async with rig.client(await rig.token("admin", "platform")) as api:
        everything = (await api.get(path)).json()

    assert [(one["way"], one["team"]) for one in seen["items"]] == [("webhook", "payments"), ("slack", "payments")]
    assert paged["items"] == seen["items"][:1]
    assert other.status_code == 422
    assert len(everything["items"]) == 4


async def test_without_a_key_no_webhook_can_be_made() -> None:
    rig = Rig()
    off = Notifying(rig.notifier, None, rig.telling.derive)
    on = Notifying(rig.notifier, SigningKey(b"w" * 32).secret, rig.telling.derive)
    object.__setattr__(rig.gateway, "notifying", off)
    async with rig.client(await rig.token()) as api:
        refused = await api.post(HOOKS, json=WISH)
        object.__setattr__(rig.gateway, "notifying", on)
        path = f"{HOOKS}/{(await made(api))['id']}"
        object.__setattr__(rig.gateway, "notifying", off)
        rotated = await api.post(f"{path}:rotate-secret")
        listed = await api.get(HOOKS)

    assert (refused.status_code, rotated.status_code, listed.status_code) == (503, 503, 200)
    assert "SLIPWAY_GATEWAY_WEBHOOKS_KEY_FILE" in refused.json()["detail"]

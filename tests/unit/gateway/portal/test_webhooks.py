"""Webhooks and notifications on their pages: a secret once, what came back only as text, nobody else's."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from contracts.webhooks import OUTWARD_KINDS, SentNotification
from services.gateway.portal import words
from services.gateway.portal.webhooks import address_of
from tests.unit.gateway.rig import Rig

ORIGIN = {"Origin": "http://slipway.test"}
URL = "https://ci.example.com/hook?token=xyz"


async def post(client: httpx.AsyncClient, address: str, **sent: str) -> httpx.Response:
    text = (await client.get("/feedback")).text
    token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
    return await client.post(address, data={"csrf_token": token, "request_key": str(uuid4()), **sent}, headers=ORIGIN)


async def made(rig: Rig, client: httpx.AsyncClient, **more: str) -> tuple[UUID, str]:
    """A webhook, and the page that shows its secret."""
    answer = await post(client, "/webhooks", url=URL, **more)
    assert answer.status_code == 200
    return next(reversed(rig.notifier.hooks)), answer.text


async def test_a_secret_is_shown_once_and_the_same_form_makes_one_webhook() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        key = str(uuid4())
        pages = [(await post(client, "/webhooks", url=URL, request_key=key)).text for _ in "12"]
        [hook] = rig.notifier.hooks.values()
        assert all("whsec_" in text for text in pages)
        shown = (await client.get(f"/webhooks/{hook.id}")).text
        listed = (await client.get("/webhooks")).text
        rotated = (await post(client, f"/webhooks/{hook.id}/rotate")).text
    assert "whsec_" not in shown + listed
    assert "whsec_" in rotated
    assert pages[0].partition("whsec_")[2][:20] != rotated.partition("whsec_")[2][:20]
    assert "ci.example.com/hook" in listed
    assert "token=xyz" not in listed


async def test_what_is_chosen_is_asked_for_and_changed() -> None:
    rig = Rig()
    wanted = {"kind.environment_ready": "true", "environment": "demo-api", "description": "A wall"}
    async with rig.browser(await rig.session()) as client:
        identity, text = await made(rig, client, **wanted)
        assert 'name="kind.environment_ready" value="true" checked' in text
        hook = rig.notifier.hooks[identity]
        assert (hook.kinds, hook.environment, hook.golden_path) == (("environment_ready",), "demo-api", None)
        changed = await post(client, f"/webhooks/{identity}", url=URL, golden_path="nodejs-api")
        assert changed.status_code == 303
        hook = rig.notifier.hooks[identity]
        assert (hook.kinds, hook.environment, hook.golden_path) == ((), None, "nodejs-api")
        assert (await post(client, f"/webhooks/{identity}/pause")).status_code == 303
        assert rig.notifier.hooks[identity].state == "paused"
        assert "Make it active" in (await client.get(f"/webhooks/{identity}")).text
        assert (await post(client, f"/webhooks/{identity}/resume")).status_code == 303
        assert (await post(client, f"/webhooks/{identity}/delete")).status_code == 303
    assert rig.notifier.hooks == {}


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://169.254.169.254/", "", "x" * 1001])
async def test_a_refused_address_is_shown_beside_its_field_and_nothing_is_made(url: str) -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        answer = await post(client, "/webhooks", url=url)
        identity, _ = await made(rig, client)
        changed = await post(client, f"/webhooks/{identity}", url=url)
    for refused in (answer, changed):
        assert refused.status_code == 422
        assert 'id="wrong-url"' in refused.text
    assert rig.notifier.hooks[identity].url == URL


async def test_a_test_says_what_came_back_and_what_was_answered_is_only_text() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        identity, _ = await made(rig, client)
        assert "The test arrived" in (await post(client, f"/webhooks/{identity}/test")).text
        rig.notifier.answers = 500
        failed = await post(client, f"/webhooks/{identity}/test")
        assert "The test did not arrive" in failed.text
        assert "It answered 500 in 50 ms." in failed.text
        attempt = rig.notifier.sent[-1].attempts[0].model_copy(update={"answer": "<img src=x onerror=alert(1)>"})
        rig.notifier.sent[-1] = rig.notifier.sent[-1].model_copy(update={"attempts": (attempt,)})
        text = (await client.get(f"/webhooks/{identity}")).text
    assert "&lt;img src=x" in text
    assert "<img" not in text


async def test_a_delivery_is_sent_again_and_the_page_looks_until_it_is() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        identity, _ = await made(rig, client)
        delivery = rig.notifier.deliver(identity, "environment_ready", "demo-api")
        assert "every 3s" not in (await client.get(f"/webhooks/{identity}")).text
        again = await post(client, f"/webhooks/{identity}/deliveries/{delivery.id}/redeliver")
        assert again.status_code == 303
        assert "every 3s" in (await client.get(f"/webhooks/{identity}")).text
        await post(client, f"/webhooks/{identity}/pause")
        refused = await post(client, f"/webhooks/{identity}/deliveries/{delivery.id}/redeliver")
        assert refused.status_code == 409
        assert "Make it active first" in refused.text
        assert (await post(client, f"/webhooks/{identity}/deliveries/x/redeliver")).status_code == 404


async def test_another_teams_webhook_is_not_there_and_a_viewer_sees_none() -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        identity, _ = await made(rig, client)
    async with rig.browser(await rig.session("developer", "search", person="eve")) as client:
        assert "ci.example.com" not in (await client.get("/webhooks")).text
        assert (await client.get(f"/webhooks/{identity}")).status_code == 404
        for deed in ("", "/pause", "/resume", "/test", "/rotate", "/delete"):
            assert (await post(client, f"/webhooks/{identity}{deed}", url=URL)).status_code == 404
    async with rig.browser(await rig.session("viewer", person="vic")) as client:
        assert (await client.get("/webhooks")).status_code == 403
        assert 'href="/webhooks"' not in (await client.get("/notifications")).text
    assert rig.notifier.hooks[identity].state == "active"


def sent(rig: Rig, number: int, **more: Any) -> SentNotification:
    values: dict[str, Any] = {
        "id": str(number),
        "way": "slack",
        "target": "deployments",
        "event_id": UUID(int=number),
        "kind": "environment_ready",
        "environment": "demo-api",
        "team": "payments",
        "state": "sent",
        "attempts": 1,
        "at": rig.clock.now() - timedelta(minutes=number),
    }
    return SentNotification.model_validate({**values, **more})


async def test_notifications_are_ones_teams_narrowed_down_and_go_on_where_a_page_ended() -> None:
    rig = Rig()
    rig.notifier.told += [
        sent(rig, 1, way="webhook", target="ci.example.com", state="failed", attempts=3, environment="old-api"),
        sent(rig, 2, team="search", environment="secret-api"),
        *(sent(rig, number) for number in range(3, 54)),
    ]
    async with rig.browser(await rig.session("viewer")) as client:
        text = (await client.get("/notifications")).text
        assert "#deployments" in text
        assert "secret-api" not in text
        assert "old-api" not in text
        address = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert "old-api" in (await client.get(address)).text
        narrowed = (await client.get("/notifications", params={"way": "webhook"})).text
        assert "3 attempts" in narrowed
        assert "#deployments" not in narrowed
        assert "Nothing matches" in (await client.get("/notifications", params={"environment": "nobody"})).text
        assert (await client.get("/notifications", params={"way": "pigeon"})).status_code == 422
        assert (await client.get("/notifications", params={"cursor": "forged"})).status_code == 422


def test_an_address_in_a_table_shows_no_token_and_is_not_too_long() -> None:
    assert address_of("https://user:pw@example.com:8443/a?token=x#y") == "example.com/a"
    assert len(address_of(f"https://example.com/{'a' * 500}")) < 60


def test_every_kind_of_event_has_a_name_of_its_own() -> None:
    names = [words.event_name(kind) for kind in OUTWARD_KINDS]
    assert len(set(names)) == len(names)

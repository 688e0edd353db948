"""What every page keeps, whatever it shows: no script of its own, nothing from elsewhere, hostile text as text."""

import html
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from markupsafe import escape

from contracts.events import EnvironmentFailed, EnvironmentFailedData
from contracts.step_log import StepLine
from contracts.values import Failure, LeftBehind, Resource
from contracts.webhooks import Webhook
from services.gateway.api.browser import CSRF_FIELD
from services.gateway.domain.rollouts import Rollout
from services.gateway.portal import PAGES, assets
from services.gateway.portal.rendering import KEY_FIELD, SECTIONS
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, principal
from tests.unit.hostile import inputs

SLY = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "a\0b",
    "{{cycler.__init__.__globals__}}",
    "\u0430dmin\u202e",
)
"""One of each sort; every text of the corpus is shown by the test before."""
LONG = "a-name-that-has-exactly-40-characters-42"


async def made(rig: Rig, name: str = "demo-api", **more: Any) -> str:
    """An environment that is ready; returns its run's id."""
    answered = await rig.asking.create(principal(), ask(name, **more), None)
    end(rig, answered, "ready")
    return str(answered.request.event_id)


def furnish(rig: Rig) -> None:
    """A rollout and a webhook, for the pages of one of them."""
    rollout = Rollout(UUID(int=1), b"", "nodejs-api", "9.0.0", "pat", samples.AT)
    rig.rollout_store.rows[rollout.id] = rollout
    hook = Webhook(
        id=UUID(int=1),
        team="payments",
        url="https://ci.example.com/hook",
        created_by="ada",
        created_at=samples.AT,
        updated_at=samples.AT,
    )
    rig.notifier.hooks[hook.id] = hook


async def failed(rig: Rig, name: str, text: str) -> str:
    """A creation that failed with this message; returns its run's id."""
    answered = await rig.asking.create(principal(), ask(name), None)
    request = answered.request
    data = EnvironmentFailedData(
        spec=request.run.spec,
        failure=Failure(step="secrets", code="x", message=text, next_step=text),
        created=(),
        undone=(),
        left_behind=(LeftBehind(resource=Resource(kind=text, id=text), reason=text),),
        duration_seconds=1,
    )
    rig.log.say(EnvironmentFailed, name, data, run_id=request.event_id, incarnation=request.incarnation)
    rig.log.write(StepLine(run_id=request.event_id, environment=name, step="secrets", time=samples.AT, text=text))
    return str(request.event_id)


def addresses(name: str, run: str) -> list[str]:
    """Every page that is read, filled in."""
    no_pages = {"/assets/{file}", "/environments/{name}/upgrade", "/rollouts/new"}
    of_one = {"/rollouts/{id}", "/webhooks/{id}"}
    return ["/rollouts/new?golden_path=nodejs-api"] + [
        page.path.format(
            name="nodejs-api" if "golden" in page.path else name,
            id=UUID(int=1) if page.path in of_one else run,
            path="nodejs-api",
        )
        for page in PAGES
        if page.method == "GET" and page.path not in no_pages
    ]


async def every_page(client: AsyncClient, name: str, run: str) -> dict[str, str]:
    """What each of them shows."""
    shown = {}
    for address in addresses(name, run):
        answer = await client.get(address)
        assert (address, answer.status_code) == (address, 200), answer.text
        shown[address] = answer.text
    return shown


async def test_a_page_holds_no_script_and_no_style_of_its_own_and_loads_nothing_from_elsewhere() -> None:
    rig = Rig()
    furnish(rig)
    run = await made(rig)
    async with rig.browser(await rig.session("admin", "payments")) as client:
        for address, text in (await every_page(client, "demo-api", run)).items():
            assert not re.findall(r"<script(?![^>]*\ssrc=)", text), address
            assert not re.findall(r"<style|\sstyle=|\son[a-z]+=|\shx-on", text), address
            loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*\s(?:src|href)="([^"]+)"', text)
            assert loaded
            assert all(one.startswith("/assets/") for one in loaded), address
            for one in loaded:
                asset = await client.get(one)
                assert asset.status_code == 200
                assert "immutable" in asset.headers["Cache-Control"]


async def test_every_page_says_where_one_is_and_by_a_title_of_its_own() -> None:
    rig = Rig()
    furnish(rig)
    run = await made(rig)
    async with rig.browser(await rig.session("admin", "payments")) as client:
        titles = [
            re.findall("<title>(.*?) · Slipway</title>", text)
            for text in (await every_page(client, "demo-api", run)).values()
        ]
    assert all(len(one) == 1 for one in titles)
    names = [one[0] for one in titles]
    assert sorted(set(names)) == sorted(names)


async def test_every_form_that_changes_something_carries_the_sessions_token() -> None:
    rig = Rig()
    furnish(rig)
    run = await made(rig)
    async with rig.browser(await rig.session("admin", "payments")) as client:
        for address, text in (await every_page(client, "demo-api", run)).items():
            forms = re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.DOTALL)
            assert all(f'name="{CSRF_FIELD}"' in form for form in forms), address


async def test_hostile_text_is_shown_as_text() -> None:
    rig = Rig()
    texts = inputs("texts")
    runs = [await failed(rig, f"demo-{number}", text) for number, text in enumerate(texts)]
    async with rig.browser(await rig.session()) as client:
        for number, (run, text) in enumerate(zip(runs, texts, strict=True)):
            for address in (f"/runs/{run}", f"/runs/{run}/log", f"/environments/demo-{number}"):
                assert str(escape(text)) in (await client.get(address)).text


@pytest.mark.parametrize("text", SLY)
async def test_what_stands_in_an_address_is_shown_as_text_and_never_breaks_a_page(text: str) -> None:
    rig = Rig()
    await made(rig)
    asked = {
        "/environments": ("q", "team", "state", "sort", "cursor", "only", "owned"),
        "/create/nodejs-api": ("name", "kind", "branch", "path", "parameters.instances", "again"),
        "/graph": ("environment",),
        "/audit": ("person", "environment", "action", "before"),
        "/insights": ("months", "golden_path", "team"),
        "/runs": ("environment", "cursor", "q", "state", "kind", "golden_path", "by", "from", "to"),
        "/notifications": ("way", "environment", "team", "cursor"),
        "/webhooks": ("done",),
        "/feedback": ("about", "done"),
        "/environments/demo-api": ("from", "to", "done"),
    }
    async with rig.browser(await rig.session()) as client:
        for address, names in asked.items():
            for name in names:
                answer = await client.get(address, params={name: text})
                assert answer.status_code in {200, 404, 422}, (address, name, answer.status_code)
                if "<" in text:
                    assert text not in answer.text


async def test_five_hundred_are_shown_fifty_at_a_time_and_each_once() -> None:
    rig = Rig()
    names = [f"api-{number:03d}" for number in range(119)] + [LONG]
    for number, name in enumerate(names):
        await made(rig, name, repository=f"acme/r{number}")
    seen: list[str] = []
    async with rig.browser(await rig.session()) as client:
        address = "/environments"
        while address:
            text = (await client.get(address)).text
            rows = re.findall(r'<th scope="row" class="name"><a href="/environments/([a-z0-9-]+)"', text)
            assert len(rows) <= 50
            seen += rows
            following = re.findall(r'rel="next" href="([^"]+)"', text)
            address = html.unescape(following[0]) if following else ""
    assert sorted(seen) == sorted(names)


async def test_a_cursor_of_another_list_is_refused() -> None:
    rig = Rig()
    for number in range(51):
        await made(rig, f"api-{number:03d}", repository=f"acme/r{number}")
    async with rig.browser(await rig.session()) as client:
        following = re.findall(r'rel="next" href="([^"]+)"', (await client.get("/environments")).text)[0]
        other = await client.get(html.unescape(following) + "&kind=production")
    assert other.status_code == 422


@pytest.mark.parametrize("section", [section for group in SECTIONS for section in group], ids=lambda one: one.name)
async def test_an_empty_section_tells_what_to_do(section: Any) -> None:
    rig = Rig()
    async with rig.browser(await rig.session()) as client:
        text = (await client.get(section.address)).text
    assert f'href="{section.address}" aria-current="page"' in text
    assert 'class="empty"' in text or section.name in {"golden_paths", "feedback"}


async def test_a_part_that_is_away_is_told_with_a_way_out() -> None:
    rig = Rig()
    await made(rig)
    rig.log.away = True
    async with rig.browser(await rig.session()) as client:
        answer = await client.get("/environments")
    assert answer.status_code == 503
    assert "Not at the moment" in answer.text
    assert "Try again" in answer.text
    assert int(answer.headers["Retry-After"]) > 0


async def test_an_asset_of_another_version_is_not_there() -> None:
    async with Rig().browser() as client:
        answer = await client.get("/assets/portal.000000000000.js")
    assert answer.status_code == 404
    assert assets.address("portal.js") != "/assets/portal.000000000000.js"


async def test_a_form_without_its_key_changes_nothing() -> None:
    rig = Rig()
    await made(rig)
    said = len(rig.log.events_said)
    async with rig.browser(await rig.session()) as client:
        page = (await client.get("/environments/demo-api")).text
        token = re.findall(rf'name="{CSRF_FIELD}" value="([^"]+)"', page)[0]
        headers = {"Origin": "http://slipway.test"}
        answer = await client.post(
            "/environments/demo-api/extend", data={CSRF_FIELD: token, "ttl": "14d"}, headers=headers
        )
        assert answer.status_code == 422
        sent = {CSRF_FIELD: token, KEY_FIELD: "one", "ttl": "14d"}
        answers = [await client.post("/environments/demo-api/extend", data=sent, headers=headers) for _ in "12"]
    assert [one.status_code for one in answers] == [303, 303]
    assert len(rig.log.events_said) == said + 1


async def test_times_are_relative_with_the_exact_one_on_hover() -> None:
    rig = Rig()
    await made(rig)
    rig.clock.at += timedelta(hours=3)
    async with rig.browser(await rig.session()) as client:
        text = (await client.get("/environments/demo-api")).text
    assert 'title="2026-11-23 09:00:00 UTC" data-relative>3 hours ago<' in text

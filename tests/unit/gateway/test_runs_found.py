"""Runs, narrowed down: by the API, and on the page, where every choice stands in the address."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.gateway.rig import Rig, ask, end, principal


async def town() -> Rig:
    """Runs of two people and two teams, on two days, in three states."""
    rig = Rig()
    for name, person, team, verdict in (
        ("old-shop", "ada", "payments", "ready"),
        ("shop", "bob", "payments", "failed"),
        ("ledger", "ada", "payments", "ready"),
        ("secret", "eve", "search", "failed"),
    ):
        answered = await rig.asking.create(principal("developer", team, person=person), ask(name), None)
        end(rig, answered, verdict)
        rig.clock.at += timedelta(days=1)
    await rig.asking.create(principal(person="bob"), ask("busy"), None)
    return rig


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, ["busy", "ledger", "shop", "old-shop"]),
        ({"state": "failed"}, ["shop"]),
        ({"state": "running", "person": "bob"}, ["busy"]),
        ({"person": "ada"}, ["ledger", "old-shop"]),
        ({"q": "shop"}, ["shop", "old-shop"]),
        ({"kind": "delete"}, []),
        ({"golden_path": "worker"}, []),
        ({"since": "2026-11-24T00:00:00Z", "until": "2026-11-25T00:00:00Z"}, ["shop"]),
    ],
)
async def test_the_api_finds_runs_by_every_condition(conditions: dict[str, str], found: list[str]) -> None:
    rig = await town()
    async with rig.client(await rig.token()) as client:
        body = (await client.get("/api/v1/runs", params=conditions)).json()
    assert [run["environment"] for run in body["items"]] == found
    assert body["counts"] is None


async def test_runs_are_counted_by_state_for_whoever_asks_and_sees_them() -> None:
    rig = await town()
    async with rig.client(await rig.token()) as client:
        body = (await client.get("/api/v1/runs", params={"counts": "true", "state": "failed"})).json()
    assert {one["state"]: one["count"] for one in body["counts"]} == {
        "running": 1, "undoing": 0, "succeeded": 2, "failed": 1,
    }  # fmt: skip


async def test_a_cursor_belongs_to_its_conditions() -> None:
    rig = await town()
    async with rig.client(await rig.token()) as client:
        page = (await client.get("/api/v1/runs", params={"person": "ada", "limit": 1})).json()
        rest = {"person": "ada", "limit": 1, "cursor": page["next_cursor"]}
        assert [run["environment"] for run in (await client.get("/api/v1/runs", params=rest)).json()["items"]] == [
            "old-shop"
        ]
        assert (await client.get("/api/v1/runs", params={**rest, "person": "bob"})).status_code == 422


async def shown(rig: Rig, **asked: Any) -> str:
    async with rig.browser(await rig.session()) as client:
        answer = await client.get("/runs", params=asked)
        assert answer.status_code == 200
        return answer.text


async def test_the_page_shows_what_its_address_asks_for() -> None:
    rig = await town()
    text = await shown(rig, by="me", state="succeeded", to="2026-11-23")
    assert "Create old-shop" in text
    assert "Create ledger" not in text
    assert 'name="to" value="2026-11-23"' in text
    assert '<option value="succeeded" selected>Succeeded (1)</option>' in text
    text = await shown(rig, **{"from": "2026-11-24", "to": "2026-11-24"})
    assert "Create shop" in text
    assert "Create ledger" not in text


async def test_an_empty_page_says_which_filter_to_drop() -> None:
    rig = await town()
    text = await shown(rig, by="me", state="failed", golden_path="nodejs-api")
    assert "once you drop one of these" in text
    for kept_without in ("state=failed&amp;golden_path=nodejs-api", "golden_path=nodejs-api&amp;by=me"):
        assert f'class="button" href="/runs?{kept_without}"' in text
    assert 'href="/runs?state=failed&amp;by=me"' not in text  # it would not help
    assert "nor all but one" in await shown(rig, q="zzz", kind="delete", golden_path="worker")


@pytest.mark.parametrize(
    "asked",
    [
        {"state": "x"},
        {"kind": "${7*7}"},
        {"from": "yesterday"},
        {"to": "9999-12-31"},
        {"by": "<b>"},
        {"q": "a\0b"},
        {"q": "a" * 41},
    ],
)
async def test_what_is_no_filter_is_refused_and_not_echoed(asked: dict[str, str]) -> None:
    rig = await town()
    async with rig.browser(await rig.session()) as client:
        answer = await client.get("/runs", params=asked)
    assert answer.status_code == 422
    assert "<b>" not in answer.text.partition("<main")[2].replace("</b>", "")


async def test_a_cursor_of_the_page_goes_on_where_it_ended() -> None:
    rig = Rig()
    for number in range(51):
        await rig.asking.create(principal(), ask(f"env-{number:02}"), None)
    text = await shown(rig, by="me")
    assert "Create env-50" in text
    assert "Create env-00" not in text
    address = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    async with rig.browser(await rig.session()) as client:
        older = (await client.get(address)).text
    assert "Create env-00" in older
    assert "by=me" in address

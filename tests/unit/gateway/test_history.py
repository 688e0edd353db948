"""The past of an environment, at the API: as it was, what changed, and who may know."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.handlers.settling import Answered
from tests.unit.gateway.rig import Rig, ask, end, principal

HOUR = timedelta(hours=1)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def _two_states(rig: Rig) -> None:
    """An environment made at the beginning, ready after one hour and changed after two."""
    ada = principal()
    made = await rig.asking.create(ada, ask(), "1")
    rig.clock.at += HOUR
    end(rig, made, "ready")
    rig.clock.at += HOUR
    changed = await rig.asking.update(ada, "demo-api", ChangeEnvironment(branch="next"), "2")
    assert isinstance(changed, Answered)
    end(rig, changed, "ready")


async def _get(rig: Rig, path: str, *, team: str = "payments", **query: Any) -> httpx.Response:
    async with rig.client(await rig.token("viewer", team)) as client:
        return await client.get(f"/api/v1/environments/demo-api/{path}", params=query)


async def test_an_environment_is_shown_as_it_was(rig: Rig) -> None:
    began = rig.clock.at
    await _two_states(rig)

    seen = [
        (await _get(rig, "moment", at=(began + after).isoformat())).json() for after in (0 * HOUR, 1.5 * HOUR, 3 * HOUR)
    ]

    assert [moment["environment"]["state"] for moment in seen] == ["creating", "ready", "ready"]
    assert [moment["environment"]["branch"] for moment in seen] == ["main", "main", "next"]
    assert [moment["run"]["kind"] for moment in seen] == ["create", "create", "update"]
    assert [moment["events"] for moment in seen] == [1, 2, 4]


async def test_before_it_was_there_it_is_not_found(rig: Rig) -> None:
    began = rig.clock.at
    await _two_states(rig)

    assert (await _get(rig, "moment", at=(began - HOUR).isoformat())).status_code == 404


async def test_what_changed_is_named(rig: Rig) -> None:
    began = rig.clock.at
    await _two_states(rig)

    answer = await _get(rig, "changes", since=(began + HOUR).isoformat(), until=(began + 3 * HOUR).isoformat())

    fields = {change["field"] for change in answer.json()["changes"]}
    assert {"spec", "run_id"} <= fields
    assert "name" not in fields


async def test_a_time_that_ends_before_it_begins_is_refused(rig: Rig) -> None:
    await _two_states(rig)

    answer = await _get(rig, "changes", since="2026-01-02T00:00:00Z", until="2026-01-01T00:00:00Z")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "until"


async def test_a_time_without_an_offset_is_refused(rig: Rig) -> None:
    await _two_states(rig)

    assert (await _get(rig, "moment", at="2026-01-01T00:00:00")).status_code == 422


async def test_another_teams_past_is_not_there(rig: Rig) -> None:
    began = rig.clock.at
    await _two_states(rig)

    for path, query in (("moment", {"at": began.isoformat()}), ("changes", {"since": began.isoformat()})):
        assert (await _get(rig, path, team="search", **query)).status_code == 404


async def test_of_an_earlier_life_only_those_who_saw_it_are_told(rig: Rig) -> None:
    began = rig.clock.at
    first = await rig.asking.create(principal("developer", "search", person="bob"), ask(), "1")
    end(rig, first, "failed")
    rig.clock.at += HOUR
    gone = await rig.asking.delete(principal("developer", "search", person="bob"), "demo-api", "2")
    end(rig, gone, "deleted")
    rig.clock.at += HOUR
    await rig.asking.create(principal(), ask(), "3")

    assert (await _get(rig, "moment", at=began.isoformat())).status_code == 404
    changes = (await _get(rig, "changes", since=began.isoformat(), until=rig.clock.at.isoformat())).json()["changes"]
    assert all(change["before"] is None for change in changes), "everything began with its own environment"

"""Insights and the audit at the API: whose they are, and as a table."""

import csv
import io
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contracts.insights import AuditEntry, AuditPage, Insights, Period, Spread
from services.gateway.domain.people import Role
from tests.unit.gateway.rig import Rig

AT = datetime(2026, 11, 23, tzinfo=UTC)
SPREAD = Spread(count=3, mean_seconds=2, p50_seconds=1.5, p90_seconds=4)


def entry(team: str, **changes: Any) -> AuditEntry:
    values = {"sequence": 1, "time": AT, "action": "environment_requested", "environment": "shop", "run_id": uuid4()}
    return AuditEntry.model_validate({**values, "team": team, "person": "ada", **changes})


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.chronicle.found = Insights(
        periods=(Period(start=AT.replace(day=1), end=AT, creation=SPREAD, runs_succeeded=3),)
    )
    rig.chronicle.entries = AuditPage(items=(entry("payments", reason="=cmd()"), entry("search")), next_before=1)
    return rig


async def _get(rig: Rig, path: str, *, role: Role = "viewer", **query: Any) -> httpx.Response:
    async with rig.client(await rig.token(role)) as client:
        return await client.get(f"/api/v1/{path}", params=query)


async def test_insights_are_told_month_by_month(rig: Rig) -> None:
    answer = await _get(rig, "insights", months=1)

    [period] = answer.json()["periods"]
    assert (period["creation"]["p90_seconds"], period["delivery"]) == (4, None)
    assert [query.teams for query in rig.chronicle.asked] == [("payments",)]


async def test_an_administrator_sees_everybodys_and_may_choose(rig: Rig) -> None:
    await _get(rig, "insights", role="admin")
    await _get(rig, "audit", role="admin", team="search")

    assert [query.teams for query in rig.chronicle.asked] == [None, ("search",)]


async def test_another_teams_are_nobodys(rig: Rig) -> None:
    assert (await _get(rig, "audit", team="search")).json()["items"] == []
    assert [query.teams for query in rig.chronicle.asked] == [()]


async def test_the_audit_says_who_did_what(rig: Rig) -> None:
    page = (await _get(rig, "audit", person="ada", limit=10)).json()

    assert [(one["person"], one["team"]) for one in page["items"]] == [("ada", "payments")]
    assert page["next_before"] == 1


async def test_both_are_to_be_had_as_a_table_in_which_nothing_is_a_formula(rig: Rig) -> None:
    months, audit = [
        list(csv.DictReader(io.StringIO((await _get(rig, path, format="csv")).text))) for path in ("insights", "audit")
    ]

    assert (months[0]["month"], months[0]["creations"], months[0]["satisfaction"]) == ("2026-11", "3", "")
    assert audit[0]["reason"] == "'=cmd()"


@pytest.mark.parametrize("query", [{"months": 0}, {"months": 37}, {"format": "xml"}, {"team": "a b"}])
async def test_what_cannot_be_meant_is_refused(rig: Rig, query: dict[str, Any]) -> None:
    assert (await _get(rig, "insights", **query)).status_code == 422

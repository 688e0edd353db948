"""What would happen, and agreeing to it."""

from typing import Any

import pytest

from contracts.events import EnvironmentUpdateRequested
from contracts.plans import PlannedChange
from contracts.queries import StepDuration
from contracts.values import Resource
from services.gateway.domain.policy import Policy
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

CREATE = {"name": "demo-api", "golden_path": "nodejs-api"}
NEW, OLD = "/api/v1/environments:plan", "/api/v1/environments/demo-api:plan"


def will(action: Any, kind: str = "database", identity: str = "apps/x") -> PlannedChange:
    return PlannedChange(action=action, resource=Resource(kind=kind, id=identity), detail="branch")


async def test_a_plan_says_what_happens_what_it_costs_how_long_it_takes_and_what_is_left() -> None:
    rig = Rig(policy=Policy.read({"defaults": {"environments": 3, "cost_per_month": 30}}))
    rig.planner.changes = (will("create"), will("create", "route"))
    rig.log.measured["nodejs-api"] = (StepDuration(step="total", count=9, p50_seconds=12, p90_seconds=30),)
    end(rig, await rig.asking.create(principal(), ask("other"), None), "ready")
    before = len(rig.log.events_said)
    async with rig.client(await rig.token()) as client:
        answer = await client.post(NEW, json=CREATE | {"parameters": {"instances": 2}})
    assert answer.status_code == 200, answer.text
    plan = answer.json()
    assert plan["counts"] == {"create": 2, "update": 0, "replace": 0, "destroy": 0}
    resource = {"kind": "database", "id": "apps/x"}
    assert plan["changes"][0] == {"action": "create", "resource": resource, "detail": "branch", "loses_data": False}
    assert plan["cost"] == {"currency": "EUR", "per_hour": "0.025", "per_month": "18.25"}
    assert plan["expected"] == {"p50_seconds": 12, "p90_seconds": 30, "measured": True}
    assert plan["spec"]["parameters"]["instances"] == 2
    team = {"scope": "payments"}
    assert plan["quota"] == {
        "environments": team | {"used": "1", "limit": "3", "left": "2"},
        "previews_of_repository": {"scope": "acme/demo-api", "used": "0", "limit": "5", "left": "5"},
        "cost_per_month": team | {"used": "10.95", "limit": "30", "left": "19.05"},
    }
    assert plan["warnings"] == []
    assert len(rig.log.events_said) == before
    assert len(rig.requests.rows) == 1


async def test_before_anything_was_measured_the_golden_path_says_how_long() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        plan = (await client.post(NEW, json=CREATE)).json()
    assert plan["expected"] == {"p50_seconds": 30, "p90_seconds": None, "measured": False}


async def test_what_loses_data_or_has_no_room_is_warned_of() -> None:
    rig = Rig(policy=Policy.read({"teams": {"payments": {"environments": 0}}}))
    rig.planner.changes = (will("replace"), will("destroy", "route", "r"), will("update"))
    async with rig.client(await rig.token()) as client:
        warnings = (await client.post(NEW, json=CREATE)).json()["warnings"]
    assert [warning.split(" is ")[0] for warning in warnings[:2]] == ["database apps/x", "route r"]
    assert "0 of 0" in warnings[2]
    assert len(warnings) == 3


async def test_a_plan_of_a_change_is_made_against_what_exists() -> None:
    rig = Rig()
    first = await rig.asking.create(principal(), ask(), None)
    async with rig.client(await rig.token()) as client:
        busy = (await client.post(OLD, json={"branch": "dev"})).json()
        assert "creating" in busy["warnings"][0]
        end(rig, first, "ready")
        plan = (await client.post(OLD, json={"branch": "dev"})).json()
    assert (plan["environment"], plan["spec"]["branch"], plan["warnings"]) == ("demo-api", "dev", [])
    spec, incarnation = rig.planner.asked[-1]
    assert (spec.branch, incarnation) == ("dev", first.request.incarnation)


async def test_what_was_agreed_to_is_done_and_anything_else_is_not() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        agreed = (await client.post(NEW, json=CREATE)).json()["hash"]
        rig.clock.at = samples.AT.replace(hour=10)
        rig.planner.changes = (will("destroy"),)
        refused = await client.post("/api/v1/environments", json=CREATE | {"plan": agreed})
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:slipway:problem:plan_outdated")
        other = await client.post("/api/v1/environments", json=CREATE | {"plan": agreed, "branch": "dev"})
        assert other.status_code == 409
        assert rig.log.events_said == []
        rig.planner.changes = ()
        key = {"Idempotency-Key": "k"}
        done = await client.post("/api/v1/environments", json=CREATE | {"plan": agreed}, headers=key)
        assert done.status_code == 202
        rig.planner.changes = (will("update"),)
        again = await client.post("/api/v1/environments", json=CREATE | {"plan": agreed}, headers=key)
        assert (again.status_code, again.json()) == (202, done.json())


@pytest.mark.parametrize("verb", ["", ":upgrade"])
async def test_a_change_is_agreed_to_likewise(verb: str) -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask(), None), "ready")
    change: dict[str, Any] = {"branch": "dev"}
    if verb:
        rig.golden_paths.paths = [path(version="1.3.0")]
        change = {"golden_path_version": "1.3.0"}
    method = "POST" if verb else "PATCH"
    async with rig.client(await rig.token()) as client:
        agreed = (await client.post(OLD, json=change)).json()["hash"]
        body = {"plan": agreed} | ({} if verb else change)
        rig.planner.changes = (will("replace"),)
        refused = await client.request(method, f"/api/v1/environments/demo-api{verb}", json=body)
        assert (refused.status_code, refused.json()["environment"]["state"]) == (409, "ready")
        rig.planner.changes = ()
        assert (await client.request(method, f"/api/v1/environments/demo-api{verb}", json=body)).status_code == 202


@pytest.mark.parametrize(("kind", "meant"), [("database", True), ("route", False)])
async def test_who_agrees_to_a_plan_that_loses_data_accepts_the_loss(kind: str, meant: bool) -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask(), None), "ready")
    rig.planner.changes = (will("replace", kind),)
    async with rig.client(await rig.token()) as client:
        plan = (await client.post(OLD, json={"branch": "next"})).json()
        assert plan["changes"][0]["loses_data"] is meant
        answer = await client.patch(OLD.removesuffix(":plan"), json={"branch": "next", "plan": plan["hash"]})
    assert answer.status_code == 202, answer.text
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert said.data.accepts_loss is meant


async def test_who_agrees_to_no_plan_accepts_no_loss() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask(), None), "ready")
    rig.planner.changes = (will("replace"),)
    async with rig.client(await rig.token()) as client:
        assert (await client.patch(OLD.removesuffix(":plan"), json={"branch": "next"})).status_code == 202
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert not said.data.accepts_loss


async def test_a_provisioner_that_is_away_is_503_and_nothing_begins() -> None:
    rig = Rig()
    rig.planner.away = True
    async with rig.client(await rig.token()) as client:
        assert (await client.post(NEW, json=CREATE)).status_code == 503
        answer = await client.post("/api/v1/environments", json=CREATE | {"plan": "0" * 64})
        assert answer.status_code == 503
    assert rig.requests.rows == {}


@pytest.mark.parametrize("plan", ["", "x" * 64, "0" * 63, "0" * 65, "A" * 64, 1])
async def test_a_plan_is_named_by_its_hash(plan: Any) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.post("/api/v1/environments", json=CREATE | {"plan": plan})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "plan")


async def test_a_viewer_plans_nothing_and_another_team_plans_nothing_of_ours() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(principal(), ask(), None), "ready")
    async with rig.client(await rig.token("viewer")) as viewer:
        assert (await viewer.post(NEW, json=CREATE)).status_code == 403
    async with rig.client(await rig.token("developer", "search", person="eve")) as eve:
        assert (await eve.post(OLD, json={})).status_code == 404
    assert rig.planner.asked == []

"""Rollouts on twins: rehearsed, canaries first, in batches, stopped by themselves, steered by people."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.events import EnvironmentFailed, EnvironmentReady, EnvironmentUpdateRequested
from contracts.plans import Plan, PlannedChange
from contracts.values import EnvironmentSpec, Resource
from services.gateway.adapters.memory import MemoryPlanner
from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.domain.refusals import (
    ForbiddenError,
    InvalidError,
    KeyReusedError,
    RolloutEndedError,
    RolloutUnderWayError,
)
from services.gateway.domain.rollouts import PATIENCE, Rollout, StartRollout
from services.gateway.handlers.rolling import AT_ONCE, Rolling
from services.gateway.handlers.settling import Answered
from tests.unit.gateway.rig import Rig, ask, end, path, principal
from tests.unit.golden_paths.samples import manifest

ADMIN = principal("admin", person="pat")
ADA = principal()
DATABASE = PlannedChange(action="replace", resource=Resource(kind="database", id="apps/x"))
ROUTE = PlannedChange(action="update", resource=Resource(kind="route", id="x"))


class PlannerByName(MemoryPlanner):
    """What would happen depends on whose plan it is."""

    def __init__(self, changes: Callable[[EnvironmentSpec], tuple[PlannedChange, ...]]) -> None:
        super().__init__()
        self.changes_of = changes

    async def plan(self, spec: EnvironmentSpec, incarnation: UUID | None) -> Plan:
        self.changes = self.changes_of(spec)
        return await super().plan(spec, incarnation)


async def rig_of(*names: str, planner: MemoryPlanner | None = None, live: str | None = None) -> Rig:
    """Environments that are ready, `live` one in production, and a newer version of their golden path."""
    rig = Rig(planner=planner or MemoryPlanner(changes=(ROUTE,)))
    for name in names:
        answered = await rig.asking.create(ADA, ask(name, kind="production" if name == live else None), None)
        end(rig, answered, "ready")
    rig.golden_paths.paths = [path(version="9.0.0")]
    return rig


async def start(rig: Rig, key: str | None = None, **more: Any) -> Rollout:
    return await rig.rollouts.start(ADMIN, StartRollout.model_validate({"golden_path": "nodejs-api", **more}), key)


async def now(rig: Rig, rollout: Rollout) -> Rollout:
    return await rig.rollouts.find(ADMIN, rollout.id)


async def driven(rig: Rig, rollout: Rollout) -> Rollout:
    """As far as it goes by itself."""
    while await rig.rolling.look():
        pass
    return await now(rig, rollout)


def begun(rig: Rig) -> list[EnvironmentUpdateRequested]:
    return [event for event in rig.log.events_said if isinstance(event, EnvironmentUpdateRequested)]


def finish(rig: Rig, verdict: str = "ready", *names: str) -> None:
    """The verdicts over the runs that are under way."""
    ends = (EnvironmentReady, EnvironmentFailed)
    over = {event.run_id for event in rig.log.events_said if isinstance(event, ends)}
    for request in list(rig.requests.rows.values()):
        if request.operation != "update" or request.event_id in over or request.refusal is not None:
            continue
        if not names or request.environment in names:
            end(rig, Answered(request), verdict)


def states(rollout: Rollout) -> dict[str, str]:
    return {member.environment: member.state for member in rollout.members}


async def test_everything_is_upgraded_canaries_first_then_in_batches() -> None:
    names = [f"env-{number}" for number in range(6)]
    rig = await rig_of(*names)
    rollout = await start(rig, canaries=1, batch_size=3)
    sizes = []
    for _ in range(3):
        rollout = await driven(rig, rollout)
        sizes.append(len(rollout.members_in("begun")))
        assert rollout.status == "running"
        finish(rig)
    rollout = await driven(rig, rollout)
    assert sizes == [1, 3, 2]
    assert (rollout.status, rollout.ended_at is not None) == ("done", True)
    assert set(states(rollout).values()) == {"upgraded"}
    assert {event.data.cause for event in begun(rig)} == {"upgrade"}
    assert {event.data.spec.golden_path_version for event in begun(rig)} == {"9.0.0"}
    assert {event.data.requested_by for event in begun(rig)} == {"pat"}
    assert len(begun(rig)) == 6


async def test_the_next_batch_waits_for_every_one_of_the_batch_before() -> None:
    rig = await rig_of("env-1", "env-2", "env-3")
    rollout = await start(rig, canaries=0, batch_size=2)
    await driven(rig, rollout)
    finish(rig, "ready", "env-1")
    rollout = await driven(rig, rollout)
    assert states(rollout) == {"env-1": "upgraded", "env-2": "begun", "env-3": "pending"}


async def test_previews_go_before_staging_and_production_and_what_changes_before_what_does_not() -> None:
    planner = PlannerByName(lambda spec: () if spec.name == "a-same" else (ROUTE,))
    rig = await rig_of("a-live", "a-same", "b-preview", planner=planner, live="a-live")
    rollout = await driven(rig, await start(rig, canaries=1, batch_size=1))
    assert [member.environment for member in rollout.members_in_order()] == ["b-preview", "a-same", "a-live"]
    assert rollout.by_rehearsal() == {"unchanged": 1, "changed": 2, "loses_data": 0, "refused": 0}


async def test_it_stops_by_itself_when_one_fails_and_a_person_may_let_it_go_on() -> None:
    rig = await rig_of("env-1", "env-2", "env-3")
    rollout = await start(rig, canaries=1, batch_size=1)
    await driven(rig, rollout)
    finish(rig, "failed")
    rollout = await driven(rig, rollout)
    assert (rollout.status, rollout.reason) == ("stopped", "env-1: It broke.")
    assert len(begun(rig)) == 1
    await rig.rollouts.resume(ADMIN, rollout.id)
    for _ in range(2):
        rollout = await driven(rig, rollout)
        finish(rig)
    rollout = await driven(rig, rollout)
    assert states(rollout) == {"env-1": "failed", "env-2": "upgraded", "env-3": "upgraded"}
    assert (rollout.status, rollout.ended_at is not None) == ("done", True)


async def test_whose_data_would_be_lost_is_held_back_unless_asked_for() -> None:
    planner = PlannerByName(lambda spec: (DATABASE,) if spec.name == "env-1" else (ROUTE,))
    rig = await rig_of("env-1", "env-2", planner=planner)
    rollout = await driven(rig, await start(rig, rehearse_only=True))
    assert (rollout.status, rollout.by_rehearsal()["loses_data"]) == ("done", 1)
    assert begun(rig) == []
    [held] = rollout.members_in("held")
    assert "database apps/x would lose its data" in held.reason
    rollout = await driven(rig, await start(rig))
    finish(rig)
    assert states(await driven(rig, rollout)) == {"env-1": "held", "env-2": "upgraded"}
    rollout = await driven(rig, await start(rig, include_replacing=True))
    finish(rig)
    assert states(await driven(rig, rollout)) == {"env-1": "upgraded"}


async def test_what_was_rehearsed_is_what_is_done_and_else_it_is_rehearsed_again() -> None:
    lost: set[str] = set()
    planner = PlannerByName(lambda spec: (DATABASE,) if spec.name in lost else (ROUTE,))
    rig = await rig_of("env-1", planner=planner)
    rollout = await driven(rig, await start(rig, pause_after_rehearsal=True))
    assert (rollout.status, begun(rig)) == ("paused", [])
    lost.add("env-1")
    await rig.rollouts.resume(ADMIN, rollout.id)
    rollout = await driven(rig, rollout)
    assert (states(rollout), rollout.status, begun(rig)) == ({"env-1": "held"}, "done", [])


async def test_what_cannot_be_brought_there_is_held_with_the_reason() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask("env-1", parameters={"instances": 4}), None), "ready")
    parameters = manifest()["parameters"]
    parameters["properties"]["instances"]["maximum"] = 3
    rig.golden_paths.paths = [path(version="9.0.0", parameters=parameters)]
    rollout = await driven(rig, await start(rig))
    [member] = rollout.members
    assert (member.state, rollout.status) == ("held", "done")
    assert member.reason.startswith("parameters.instances must be 3")


async def test_a_busy_environment_is_waited_for_and_left_out_in_the_end() -> None:
    rig = await rig_of("env-1", "env-2")
    rollout = await driven(rig, await start(rig, pause_after_rehearsal=True, canaries=0))
    other = await rig.asking.update(ADA, "env-1", ChangeEnvironment(branch="next"), None)
    assert isinstance(other, Answered)
    await rig.rollouts.resume(ADMIN, rollout.id)
    rollout = await driven(rig, rollout)
    assert states(rollout) == {"env-1": "pending", "env-2": "begun"}
    finish(rig, "ready", "env-2")
    rollout = await driven(rig, rollout)
    assert (states(rollout)["env-1"], rollout.status) == ("pending", "running")
    rig.clock.at += PATIENCE + timedelta(seconds=1)
    rollout = await driven(rig, rollout)
    [skipped] = rollout.members_in("skipped")
    assert "Another run of it is under way" in skipped.reason
    assert (rollout.status, rollout.ended_at is not None) == ("done", True)


async def test_what_was_deleted_meanwhile_is_left_out() -> None:
    rig = await rig_of("env-1")
    rollout = await driven(rig, await start(rig, pause_after_rehearsal=True))
    end(rig, await rig.asking.delete(ADA, "env-1", None), "deleted")
    await rig.rollouts.resume(ADMIN, rollout.id)
    rollout = await driven(rig, rollout)
    assert (states(rollout), rollout.status) == ({"env-1": "skipped"}, "done")


async def test_a_paused_rollout_begins_nothing_and_what_is_under_way_ends() -> None:
    rig = await rig_of("env-1", "env-2")
    rollout = await start(rig, canaries=1, batch_size=1)
    await driven(rig, rollout)
    assert (await rig.rollouts.pause(ADMIN, rollout.id)).reason == "Paused by pat."
    finish(rig)
    rollout = await driven(rig, rollout)
    assert (states(rollout), rollout.status) == ({"env-1": "upgraded", "env-2": "pending"}, "paused")
    await rig.rollouts.resume(ADMIN, rollout.id)
    assert states(await driven(rig, rollout))["env-2"] == "begun"


async def test_a_cancelled_rollout_is_over_when_its_runs_are() -> None:
    rig = await rig_of("env-1", "env-2")
    rollout = await start(rig, canaries=1)
    await driven(rig, rollout)
    cancelled = await rig.rollouts.cancel(ADMIN, rollout.id)
    assert (states(cancelled), cancelled.ended_at) == ({"env-1": "begun", "env-2": "skipped"}, None)
    with pytest.raises(RolloutEndedError):
        await rig.rollouts.resume(ADMIN, rollout.id)
    finish(rig)
    rollout = await driven(rig, rollout)
    assert (states(rollout)["env-1"], rollout.status, rollout.ended_at is not None) == ("upgraded", "cancelled", True)


@pytest.mark.parametrize(("verb", "then"), [("pause", "pending"), ("cancel", "skipped")])
async def test_what_was_not_asked_for_yet_is_not_asked_for_any_more(verb: str, then: str) -> None:
    rig = await rig_of(*(f"env-{number}" for number in range(6)))
    rollout = await start(rig, canaries=0, batch_size=6)
    while not begun(rig):
        await rig.rolling.look()
    await getattr(rig.rollouts, verb)(ADMIN, rollout.id)
    rollout = await driven(rig, rollout)
    assert len(begun(rig)) == len(rollout.members_in("begun")) == AT_ONCE
    assert [member.state for member in rollout.members[AT_ONCE:]] == [then, then]


async def test_where_nobody_has_an_older_version_it_is_done_at_once() -> None:
    rig = await rig_of("env-1")
    rig.golden_paths.paths = [path()]
    rollout = await start(rig)
    assert (rollout.status, rollout.members) == ("done", ())
    assert await rig.rolling.look() is False


async def test_only_the_kinds_that_are_named_go_along() -> None:
    rig = await rig_of("env-1", "env-2", live="env-2")
    assert list(states(await start(rig, kinds=["production"]))) == ["env-2"]


# -- two of everything


async def test_many_replicas_begin_each_upgrade_once() -> None:
    names = [f"env-{number}" for number in range(9)]
    rig = await rig_of(*names)
    replicas = [Rolling(rig.rollout_store, rig.asking) for _ in range(5)]
    rollout = await start(rig, canaries=2, batch_size=4)
    for _ in range(60):
        await asyncio.gather(*(replica.look() for replica in replicas))
        finish(rig)
    rollout = await now(rig, rollout)
    assert rollout.status == "done"
    assert sorted(event.subject for event in begun(rig)) == names


async def test_a_driver_that_died_between_asking_and_keeping_leaves_one_run() -> None:
    rig = await rig_of("env-1")
    rollout = await start(rig)
    while not (before := await now(rig, rollout)).members_in("begun"):
        await rig.rolling.look()
    await rig.rolling.look()
    assert len(begun(rig)) == 1
    rig.rollout_store.rows[rollout.id] = replace(before, revision=(await now(rig, rollout)).revision)
    rollout = await driven(rig, rollout)
    assert len(begun(rig)) == 1
    assert rollout.members[0].run_id == begun(rig)[0].id


async def test_what_a_person_decided_meanwhile_wins_over_a_step() -> None:
    rig = await rig_of("env-1")
    rollout = await start(rig)
    before = await now(rig, rollout)
    await rig.rollouts.pause(ADMIN, rollout.id)
    assert not await rig.rollout_store.save(replace(before, status="done"), before)
    assert (await driven(rig, rollout)).status == "paused"


async def test_a_provisioner_that_is_away_is_waited_for() -> None:
    rig = await rig_of("env-1")
    rig.planner.away = True
    rollout = await driven(rig, await start(rig))
    assert (rollout.phase, rollout.status) == ("rehearsal", "running")
    assert "cannot be planned now" in rollout.members[0].reason
    rig.planner.away = False
    rollout = await driven(rig, rollout)
    assert states(rollout) == {"env-1": "begun"}


async def test_a_bus_that_is_away_when_an_upgrade_is_asked_for_is_waited_for() -> None:
    rig = await rig_of("env-1")
    rollout = await driven(rig, await start(rig, pause_after_rehearsal=True))
    rig.log.fail_after_storing = 1
    await rig.rollouts.resume(ADMIN, rollout.id)
    await driven(rig, rollout)
    finish(rig)
    rollout = await driven(rig, rollout)
    assert (rollout.status, len(begun(rig))) == ("done", 1)


# -- who may, and the API


async def test_one_at_a_time_for_each_golden_path() -> None:
    rig = await rig_of("env-1")
    rollout = await start(rig)
    with pytest.raises(RolloutUnderWayError, match=str(rollout.id)):
        await start(rig)
    await rig.rollouts.cancel(ADMIN, rollout.id)
    assert (await start(rig)).id != rollout.id


async def test_the_same_key_begins_one_rollout_and_not_another() -> None:
    rig = await rig_of("env-1")
    assert (await start(rig, "k")).id == (await start(rig, "k")).id
    with pytest.raises(KeyReusedError):
        await start(rig, "k", canaries=3)


@pytest.mark.parametrize(
    ("more", "field"), [({"golden_path": "no-such-path"}, "golden_path"), ({"version": "1.0.0"}, "version")]
)
async def test_only_what_is_on_offer_is_rolled_out(more: dict[str, str], field: str) -> None:
    rig = await rig_of("env-1")
    with pytest.raises(InvalidError) as refused:
        await start(rig, **more)
    assert refused.value.errors[0].field == field


async def test_rollouts_are_for_admins() -> None:
    rig = await rig_of("env-1")
    with pytest.raises(ForbiddenError):
        await rig.rollouts.start(ADA, StartRollout(golden_path="nodejs-api"), None)
    async with rig.client(await rig.token()) as client:
        for method, address in (
            ("POST", ""), ("GET", ""), ("GET", f"/{uuid4()}"), ("POST", f"/{uuid4()}:pause"),
        ):  # fmt: skip
            body = {"golden_path": "nodejs-api"} if (method, address) == ("POST", "") else None
            assert (await client.request(method, f"/api/v1/rollouts{address}", json=body)).status_code == 403


async def test_the_api_tells_what_stands_how() -> None:
    rig = await rig_of("env-1", "env-2")
    async with rig.client(await rig.token("admin", person="pat")) as client:
        answer = await client.post("/api/v1/rollouts", json={"golden_path": "nodejs-api"})
        assert answer.status_code == 202, answer.text
        address = answer.headers["Location"]
        again = await client.post("/api/v1/rollouts", json={"golden_path": "nodejs-api"})
        assert (again.status_code, again.json()["type"]) == (409, "urn:slipway:problem:rollout_under_way")
        await driven(rig, await rig.rollouts.find(ADMIN, UUID(answer.json()["id"])))
        told = (await client.get(address)).json()
        assert told["counts"] == {"pending": 1, "begun": 1, "upgraded": 0, "failed": 0, "held": 0, "skipped": 0}
        assert told["rehearsal"] == {"unchanged": 0, "changed": 2, "loses_data": 0, "refused": 0}
        [first, second] = told["members"]
        assert (first["environment"], first["batch"], second["batch"]) == ("env-1", 0, 1)
        assert first["run_id"] == str(begun(rig)[0].id)
        assert first["rehearsal"]["counts"] == {"create": 0, "update": 1, "replace": 0, "destroy": 0}
        for verb, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
            assert (await client.post(f"{address}:{verb}")).json()["status"] == status
        refused = await client.post(f"{address}:resume")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:slipway:problem:rollout_ended")
        assert (await client.get(f"/api/v1/rollouts/{uuid4()}")).status_code == 404
        [listed] = (await client.get("/api/v1/rollouts")).json()["items"]
        assert "members" not in listed
        assert listed["counts"]["skipped"] == 1


@pytest.mark.parametrize(
    "more", [{"canaries": -1}, {"canaries": 51}, {"batch_size": 0}, {"batch_size": 101}, {"kinds": []},
             {"kinds": ["king"]}, {"golden_path": "../x"}, {"include_replacing": "yes"}, {"colour": "blue"}],
    ids=str,
)  # fmt: skip
async def test_what_is_no_rollout_is_refused(more: dict[str, Any]) -> None:
    rig = await rig_of("env-1")
    async with rig.client(await rig.token("admin")) as client:
        answer = await client.post("/api/v1/rollouts", json={"golden_path": "nodejs-api", **more})
    assert answer.status_code == 422
    assert rig.rollout_store.rows == {}


async def test_no_batch_mixes_previews_with_production() -> None:
    rig = await rig_of("env-1", "env-2", "env-3", live="env-1")
    rollout = await driven(rig, await start(rig, canaries=0, batch_size=3))
    batches = {member.environment: member.batch for member in rollout.members}
    assert batches == {"env-1": 2, "env-2": 1, "env-3": 1}

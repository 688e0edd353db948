"""Changing what exists: PATCH, upgrade, repair, and what stands in their way."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from chassis.failures import TransientError
from contracts.events import EnvironmentExtended, EnvironmentUpdateRequested, InfraDestroyed, Undone
from contracts.queries import EnvironmentView
from contracts.values import Receipt
from services.gateway.domain.changes import ChangeEnvironment, UpgradeEnvironment
from services.gateway.domain.lifetime import expiry
from services.gateway.domain.refusals import (
    ChangedMeanwhileError,
    InvalidError,
    KeyReusedError,
    NothingThereError,
    RunUnderWayError,
    UnknownThingError,
)
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ADA = principal()
BOB = principal(person="bob")
EVE = principal("developer", "search", person="eve")


def change(**more: Any) -> ChangeEnvironment:
    return ChangeEnvironment.model_validate(more)


async def ready(rig: Rig, **more: Any) -> Answered:
    """An environment that is there."""
    answered = await rig.asking.create(ADA, ask(**more), None)
    end(rig, answered, "ready")
    return answered


async def begun(found: Any) -> Answered:
    answered = await found
    assert isinstance(answered, Answered)
    return answered


async def test_an_update_says_the_whole_state_and_the_one_before_it() -> None:
    rig = Rig()
    first = await ready(rig)
    answered = await begun(rig.asking.update(BOB, "demo-api", change(parameters={"instances": 3}, branch="dev"), None))
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert said.data.previous == first.request.run.spec
    assert said.data.spec.parameters == {"instances": 3, "database": True, "region": "eu", "ratio": 0.5}
    assert (said.data.spec.branch, said.data.spec.owner.person) == ("dev", "ada")
    assert (said.data.requested_by, said.data.cause) == ("bob", "person")
    assert (said.incarnation, said.run_id) == (first.request.incarnation, answered.request.event_id)


@pytest.mark.parametrize(
    "nothing", [{}, {"branch": "main"}, {"parameters": {"instances": 1}}, {"golden_path_version": "1.2.3"}]
)
async def test_what_changes_nothing_begins_no_run(nothing: dict[str, Any]) -> None:
    rig = Rig()
    await ready(rig)
    before = len(rig.log.events_said)
    assert isinstance(await rig.asking.update(ADA, "demo-api", change(**nothing), None), EnvironmentView)
    async with rig.client(await rig.token()) as client:
        answer = await client.patch("/api/v1/environments/demo-api", json=nothing)
    assert (answer.status_code, answer.json()["state"], answer.json()["name"]) == (200, "ready", "demo-api")
    assert len(rig.log.events_said) == before


async def test_null_is_the_golden_paths_default_again() -> None:
    rig = Rig()
    await ready(rig, parameters={"instances": 4, "database": False})
    answered = await begun(rig.asking.update(ADA, "demo-api", change(parameters={"instances": None}), None))
    assert answered.request.run.spec.parameters == {"instances": 1, "database": False, "region": "eu", "ratio": 0.5}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"parameters": {"instances": 99}}, "parameters.instances"),
        ({"parameters": {"region": "us"}}, "parameters.region"),
        ({"parameters": {"nothing": None}}, "parameters"),
        ({"golden_path_version": "9.9.9"}, "golden_path_version"),
    ],
)
async def test_a_change_that_breaks_a_rule_is_refused(wrong: dict[str, Any], field: str) -> None:
    rig = Rig()
    await ready(rig)
    with pytest.raises(InvalidError) as refused:
        await rig.asking.update(ADA, "demo-api", change(**wrong), None)
    assert [error.field for error in refused.value.errors] == [field]


async def test_the_same_key_gets_the_same_answer_also_when_the_change_was_made_long_ago() -> None:
    rig = Rig()
    await ready(rig)
    wanted = change(parameters={"instances": 3})
    first = await begun(rig.asking.update(ADA, "demo-api", wanted, "key"))
    end(rig, first, "ready")
    again = await begun(rig.asking.update(ADA, "demo-api", wanted, "key"))
    assert (again.replayed, again.request.event_id) == (True, first.request.event_id)
    with pytest.raises(KeyReusedError):
        await rig.asking.update(ADA, "demo-api", change(branch="dev"), "key")
    with pytest.raises(KeyReusedError):
        await rig.asking.upgrade(ADA, "demo-api", UpgradeEnvironment(), "key")


async def test_one_of_ten_updates_at_once_begins() -> None:
    rig = Rig()
    await ready(rig)
    answers = await asyncio.gather(
        *(rig.asking.update(ADA, "demo-api", change(branch=f"b{n}"), None) for n in range(10)), return_exceptions=True
    )
    assert [isinstance(answer, Answered) for answer in answers].count(True) == 1
    assert [isinstance(answer, RunUnderWayError) for answer in answers].count(True) == 9


async def test_while_a_run_is_under_way_even_a_change_to_nothing_is_refused() -> None:
    rig = Rig()
    await ready(rig)
    await rig.asking.update(ADA, "demo-api", change(parameters={"instances": 3}), None)
    with pytest.raises(RunUnderWayError):
        await rig.asking.update(ADA, "demo-api", change(parameters={"instances": 1}), None)


async def test_nothing_is_changed_of_what_was_never_made() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "failed")
    with pytest.raises(NothingThereError):
        await rig.asking.update(ADA, "demo-api", change(branch="dev"), None)
    end(rig, await rig.asking.delete(ADA, "demo-api", None), "deleted")
    with pytest.raises(UnknownThingError):
        await rig.asking.update(ADA, "demo-api", change(branch="dev"), None)


async def test_an_update_that_was_left_unfinished_does_not_undo_what_somebody_else_changed_meanwhile() -> None:
    rig = Rig()
    await ready(rig)
    view = await rig.reading.environment(ADA, "demo-api")
    rig.log.fail_before_storing = 1
    with pytest.raises(TransientError):
        await rig.asking.update(ADA, "demo-api", change(parameters={"instances": 3}), "key")
    end(rig, await begun(rig.asking.update(BOB, "demo-api", change(branch="dev"), None)), "ready")
    rig.clock.at += timedelta(seconds=60)
    await rig.keeping.look()
    with pytest.raises(ChangedMeanwhileError):
        await rig.asking.update(ADA, "demo-api", change(parameters={"instances": 3}), "key")
    after = await rig.reading.environment(ADA, "demo-api")
    assert (after.spec.branch, after.spec.parameters) == ("dev", view.spec.parameters)


async def test_an_update_that_was_left_unfinished_is_carried_out() -> None:
    rig = Rig()
    await ready(rig)
    rig.log.fail_before_storing = 1
    with pytest.raises(TransientError):
        await rig.asking.update(ADA, "demo-api", change(parameters={"instances": 3}), "key")
    rig.clock.at += timedelta(seconds=60)
    await rig.keeping.look()
    [row] = [row for row in rig.requests.rows.values() if row.operation == "update"]
    assert rig.log.events_said[-1].id == row.event_id


async def test_an_update_leaves_an_end_that_was_moved_where_it_is() -> None:
    rig = Rig()
    first = await ready(rig)
    view = await rig.reading.environment(ADA, "demo-api")
    for moved in (samples.AT + timedelta(days=20), None):
        request = first.request
        said = expiry(view, moved, "ada", "a demo" if moved is None else "")
        rig.log.say(EnvironmentExtended, "demo-api", said, run_id=request.event_id, incarnation=request.incarnation)
        answered = await begun(rig.asking.update(ADA, "demo-api", change(branch=f"b{moved is None}"), None))
        assert answered.request.run.spec.expires_at == moved
        end(rig, answered, "ready")


# -- versions


async def test_an_upgrade_goes_to_the_version_on_offer_keeps_choices_and_takes_new_defaults() -> None:
    rig = Rig()
    await ready(rig, parameters={"instances": 4})
    async with rig.client(await rig.token()) as client:
        assert (await client.get("/api/v1/environments/demo-api")).json()["update_available"] is None
        assert (await client.post("/api/v1/environments/demo-api:upgrade")).status_code == 200
        newer = {
            "instances": {"type": "integer", "title": "Instances", "default": 2, "minimum": 1, "maximum": 5},
            "region": {"type": "string", "title": "Region", "default": "us"},
            "memory": {"type": "integer", "title": "Memory", "default": 256},
        }
        rig.golden_paths.paths = [
            path(
                version="1.10.0",
                parameters={"properties": newer},
                overridable=["instances"],
                prices={"currency": "EUR"},
                dependencies=[],
            )
        ]
        assert (await client.get("/api/v1/environments/demo-api")).json()["update_available"] == "1.10.0"
        answer = await client.post("/api/v1/environments/demo-api:upgrade")
    assert (answer.status_code, answer.json()["environment"]["state"]) == (202, "updating")
    assert answer.json()["run"]["kind"] == "update"
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert (said.data.cause, said.data.spec.golden_path_version) == ("upgrade", "1.10.0")
    assert said.data.spec.parameters == {"instances": 4, "region": "us", "memory": 256}


async def test_a_choice_that_a_new_version_does_not_allow_is_for_a_person_to_make_anew() -> None:
    rig = Rig()
    await ready(rig, parameters={"instances": 4})
    fewer = {"instances": {"type": "integer", "title": "Instances", "default": 1, "maximum": 2}}
    prices = {"currency": "EUR"}
    rig.golden_paths.paths = [
        path(
            version="2.0.0",
            parameters={"properties": fewer},
            overridable=["instances"],
            prices=prices,
            dependencies=[],
            defaults={},
        )
    ]
    with pytest.raises(InvalidError) as refused:
        await rig.asking.upgrade(ADA, "demo-api", UpgradeEnvironment(), None)
    assert [error.field for error in refused.value.errors] == ["parameters.instances"]
    wanted = change(golden_path_version="2.0.0", parameters={"instances": 2})
    answered = await begun(rig.asking.update(ADA, "demo-api", wanted, None))
    assert answered.request.run.spec.parameters == {"instances": 2}
    assert answered.request.run.cause == "upgrade"


async def test_an_environment_whose_golden_path_is_gone_changes_its_branch_and_nothing_else() -> None:
    rig = Rig()
    await ready(rig)
    rig.golden_paths.paths = []
    for wrong in ({"parameters": {"instances": 2}}, {"golden_path_version": "2.0.0"}):
        with pytest.raises(InvalidError):
            await rig.asking.update(ADA, "demo-api", change(**wrong), None)
    with pytest.raises(InvalidError):
        await rig.asking.upgrade(ADA, "demo-api", UpgradeEnvironment(), None)
    assert (await begun(rig.asking.update(ADA, "demo-api", change(branch="dev"), None))).request.operation == "update"


# -- repair


async def test_a_repair_is_an_update_to_the_same_state() -> None:
    rig = Rig()
    first = await ready(rig)
    async with rig.client(await rig.token()) as client:
        answer = await client.post("/api/v1/environments/demo-api:repair")
        again = await client.post("/api/v1/environments/demo-api:repair")
    assert (answer.status_code, again.status_code) == (202, 409)
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert said.data.spec == said.data.previous == first.request.run.spec
    assert said.data.cause == "drift"


async def test_another_teams_environment_is_not_there_to_be_changed() -> None:
    rig = Rig()
    await ready(rig)
    for deed in (
        rig.asking.update(EVE, "demo-api", change(branch="dev"), None),
        rig.asking.upgrade(EVE, "demo-api", UpgradeEnvironment(), None),
        rig.asking.repair(EVE, "demo-api", None),
    ):
        with pytest.raises(UnknownThingError):
            await deed


async def test_a_failed_update_that_left_things_in_place_may_be_changed_again() -> None:
    rig = Rig()
    await ready(rig)
    failed = await begun(rig.asking.update(ADA, "demo-api", change(branch="dev"), None))
    end(rig, failed, "failed")
    view = await rig.reading.environment(ADA, "demo-api")
    assert view.spec.branch == "main"
    assert isinstance(await rig.asking.update(ADA, "demo-api", change(branch="dev"), None), Answered)


def receipt() -> Undone:
    return Undone(spec=samples.spec(), receipt=Receipt())


async def test_cleaning_up_again_is_deleting_what_failed() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    run_id, incarnation = first.request.event_id, first.request.incarnation
    rig.log.say(InfraDestroyed, "demo-api", receipt(), run_id=run_id, incarnation=incarnation)
    end(rig, first, "failed", left_behind=True)
    async with rig.client(await rig.token()) as client:
        answer = await client.delete("/api/v1/environments/demo-api")
    assert (answer.status_code, answer.json()["run"]["kind"]) == (202, "delete")

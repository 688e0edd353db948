"""Calling runs off and trying them again."""

from datetime import timedelta
from uuid import uuid4

import pytest

from contracts.events import (
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraFailed,
    InfraReady,
    InfraReadyData,
    RunCancelRequested,
    StepFailed,
)
from contracts.values import Failure
from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.domain.refusals import (
    NameTakenError,
    NotFailedError,
    RunEndedError,
    RunUnderWayError,
    UnknownThingError,
)
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, principal

ADA = principal()
EVE = principal("developer", "search", person="eve")


def fail_a_step(rig: Rig, answered: Answered) -> None:
    request = answered.request
    failure = Failure(step="infrastructure", code="x", message="It broke.", next_step="Mend it.")
    rig.log.say(
        InfraFailed,
        request.environment,
        StepFailed(spec=request.run.spec, failure=failure),
        run_id=request.event_id,
        incarnation=request.incarnation,
    )


async def test_calling_off_says_so_on_the_run_that_is_under_way() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    async with rig.client(await rig.token(person="bob")) as client:
        answer = await client.post(f"/api/v1/runs/{first.request.event_id}:cancel", headers={"Idempotency-Key": "k"})
        again = await client.post(f"/api/v1/runs/{first.request.event_id}:cancel", headers={"Idempotency-Key": "k"})
        once_more = await client.post(f"/api/v1/runs/{first.request.event_id}:cancel")
    assert [answer.status_code, again.status_code, once_more.status_code] == [202, 202, 202]
    assert (answer.json()["id"], answer.json()["called_off_by"]) == (str(first.request.event_id), "bob")
    said = [event for event in rig.log.events_said if isinstance(event, RunCancelRequested)]
    assert [(event.run_id, event.incarnation) for event in said] == [
        (first.request.event_id, first.request.incarnation)
    ]
    assert said[0].id != first.request.event_id


async def test_a_run_that_is_over_or_turning_back_is_not_called_off() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "ready")
    with pytest.raises(RunEndedError):
        await rig.steering.cancel(ADA, str(first.request.event_id), None)
    other = await rig.asking.create(ADA, ask("other"), None)
    fail_a_step(rig, other)
    with pytest.raises(RunUnderWayError):
        await rig.steering.cancel(ADA, str(other.request.event_id), None)


async def test_a_deletion_is_not_called_off() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask(), None), "ready")
    gone = await rig.asking.delete(ADA, "demo-api", None)
    with pytest.raises(RunUnderWayError):
        await rig.steering.cancel(ADA, str(gone.request.event_id), None)


async def test_a_run_that_ends_while_it_is_being_called_off_is_told_so() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    rig.log.before_the_next_is_stored = lambda: end(rig, first, "ready")
    with pytest.raises(RunEndedError):
        await rig.steering.cancel(ADA, str(first.request.event_id), None)
    assert not any(isinstance(event, RunCancelRequested) for event in rig.log.events_said)


async def test_progress_of_the_run_does_not_keep_it_from_being_called_off() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    request = first.request

    def goes_on() -> None:
        data = InfraReadyData(spec=request.run.spec, infrastructure=samples.infrastructure())
        rig.log.say(InfraReady, "demo-api", data, run_id=request.event_id, incarnation=request.incarnation)

    rig.log.before_the_next_is_stored = goes_on
    run = await rig.steering.cancel(ADA, str(request.event_id), None)
    assert run.called_off_by == "ada"


# -- again


@pytest.mark.parametrize(("ttl", "days"), [(None, 7), ("2d", 2)])
async def test_a_failed_creation_is_tried_again_with_the_same_state_and_all_of_its_time(
    ttl: str | None, days: int
) -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(parameters={"instances": 3}, branch="dev", ttl=ttl), None)
    end(rig, first, "failed", left_behind=True)
    rig.clock.at += timedelta(days=3)
    async with rig.client(await rig.token(person="bob")) as client:
        answer = await client.post(f"/api/v1/runs/{first.request.event_id}:retry")
    assert answer.status_code == 202
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentRequested)
    wanted = first.request.run.spec.model_copy(update={"expires_at": rig.clock.at + timedelta(days=days)})
    assert (said.data.spec, said.data.cause, said.data.requested_by) == (wanted, "retry", "bob")
    assert said.incarnation == said.id != first.request.incarnation
    assert answer.json()["run"] == answer.json()["run"] | {"id": str(said.id), "kind": "create"}


async def test_a_failed_update_is_tried_again_from_what_there_is() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "ready")
    update = await rig.asking.update(ADA, "demo-api", ChangeEnvironment(branch="dev"), None)
    assert isinstance(update, Answered)
    end(rig, update, "failed")
    again = await rig.steering.retry(ADA, str(update.request.event_id), None)
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentUpdateRequested)
    assert (said.data.spec.branch, said.data.cause) == ("dev", "retry")
    assert said.data.previous == first.request.run.spec
    assert said.incarnation == first.request.incarnation
    assert again.request.operation == "update"


async def test_a_failed_deletion_is_tried_again() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask(), None), "ready")
    gone = await rig.asking.delete(ADA, "demo-api", None)
    end(rig, gone, "failed")
    again = await rig.steering.retry(ADA, str(gone.request.event_id), None)
    assert (again.request.operation, again.request.run.cause) == ("delete", "retry")


async def test_only_the_latest_run_is_tried_again_and_only_if_it_failed() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    with pytest.raises(NotFailedError):
        await rig.steering.retry(ADA, str(first.request.event_id), None)
    end(rig, first, "failed")
    second = await rig.steering.retry(ADA, str(first.request.event_id), "key")
    with pytest.raises(NotFailedError):
        await rig.steering.retry(ADA, str(first.request.event_id), None)
    end(rig, second, "ready")
    with pytest.raises(NotFailedError):
        await rig.steering.retry(ADA, str(second.request.event_id), None)
    replayed = await rig.steering.retry(ADA, str(first.request.event_id), "key")
    assert (replayed.replayed, replayed.request.event_id) == (True, second.request.event_id)


async def test_a_name_that_somebody_else_took_meanwhile_is_not_taken_back() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "failed")

    def taken() -> None:
        spec = samples.spec(owner={"person": "eve", "team": "search"})
        run = uuid4()
        data = {"spec": spec, "requested_by": "eve"}
        rig.log.say(EnvironmentRequested, "demo-api", data, run_id=run, incarnation=run, event_id=run)

    rig.log.before_the_next_is_stored = taken
    with pytest.raises(NameTakenError):
        await rig.steering.retry(ADA, str(first.request.event_id), None)


async def test_another_teams_run_is_not_there_to_be_steered() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    run = str(first.request.event_id)
    for deed in (rig.steering.cancel(EVE, run, None), rig.steering.retry(EVE, run, None)):
        with pytest.raises(UnknownThingError):
            await deed
    for nonsense in ("x", "*", str(first.request.id)):
        with pytest.raises(UnknownThingError):
            await rig.steering.cancel(ADA, nonsense, None)


async def test_a_viewer_steers_nothing() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    async with rig.client(await rig.token("viewer")) as client:
        for verb in ("cancel", "retry"):
            answer = await client.post(f"/api/v1/runs/{first.request.event_id}:{verb}")
            assert answer.status_code == 403
            assert answer.json()["instance"].endswith(f":{verb}")

"""Asking for runs: keys, conflicts, and what survives a crash at any point."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.failures import TransientError
from contracts.events import (
    EnvironmentDeletionRequested,
    EnvironmentRequested,
)
from services.gateway.domain.refusals import (
    ForbiddenError,
    InvalidError,
    KeyReusedError,
    NameTakenError,
    RunUnderWayError,
    UnknownThingError,
)
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ADA = principal()
EVE = principal("developer", "search", person="eve")


# -- what is asked for


async def test_a_name_is_enough() -> None:
    rig = Rig()
    answered = await rig.asking.create(ADA, ask(), None)
    spec = answered.request.run.spec
    assert (spec.kind, spec.branch, spec.repository) == ("preview", "main", "acme/demo-api")
    assert spec.owner.model_dump() == {"person": "ada", "team": "payments"}
    assert spec.parameters == {"instances": 1, "database": True, "region": "eu", "ratio": 0.5}
    assert spec.expires_at == samples.AT + timedelta(days=7)


async def test_a_preview_lives_seven_days_where_the_golden_path_does_not_say() -> None:
    rig = Rig()
    rig.golden_paths.paths = [path(defaults={})]
    preview = await rig.asking.create(ADA, ask(), None)
    production = await rig.asking.create(ADA, ask("demo-prod", kind="production"), None)
    assert preview.request.run.spec.expires_at == samples.AT + timedelta(days=7)
    assert production.request.run.spec.expires_at is None


async def test_what_is_said_wins_over_every_default() -> None:
    rig = Rig()
    wanted = ask(repository="other/thing", branch="dev", kind="production", parameters={"instances": 5}, team="search")
    answered = await rig.asking.create(principal("developer", "payments", "search"), wanted, None)
    spec = answered.request.run.spec
    assert (spec.repository, spec.branch, spec.kind, spec.owner.team) == ("other/thing", "dev", "production", "search")
    assert spec.parameters["instances"] == 5


async def test_somebody_of_two_teams_has_to_choose() -> None:
    with pytest.raises(InvalidError) as refused:
        await Rig().asking.create(principal("developer", "payments", "search"), ask(), None)
    assert [error.field for error in refused.value.errors] == ["team"]


async def test_a_viewer_asks_in_vain() -> None:
    with pytest.raises(ForbiddenError):
        await Rig().asking.create(principal("viewer"), ask(), None)


# -- keys


async def test_fifty_at_once_with_one_key_begin_one_run_and_hear_the_same() -> None:
    rig = Rig()
    answers = await asyncio.gather(*(rig.asking.create(ADA, ask(), "key") for _ in range(50)))
    assert len(rig.log.events_said) == 1
    assert len({answered.request.event_id for answered in answers}) == 1
    assert [answered.replayed for answered in answers].count(False) == 1


async def test_fifty_at_once_without_a_key_begin_one_run() -> None:
    rig = Rig()
    answers = await asyncio.gather(*(rig.asking.create(ADA, ask(), None) for _ in range(50)), return_exceptions=True)
    assert len(rig.log.events_said) == 1
    assert [isinstance(answer, NameTakenError) for answer in answers].count(True) == 49


async def test_the_same_key_for_another_request_is_refused() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask(), "key")
    with pytest.raises(KeyReusedError):
        await rig.asking.create(ADA, ask(branch="dev"), "key")
    with pytest.raises(KeyReusedError):
        await rig.asking.delete(ADA, "demo-api", "key")
    assert len(rig.log.events_said) == 1


async def test_a_key_belongs_to_whoever_made_it() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask("one"), "key")
    answered = await rig.asking.create(EVE, ask("two"), "key")
    assert (answered.replayed, answered.request.environment) == (False, "two")


async def test_a_refusal_is_repeated_for_the_same_key() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), "one")
    with pytest.raises(NameTakenError):
        await rig.asking.create(ADA, ask(), "two")
    end(rig, first, "deleted")
    with pytest.raises(NameTakenError):
        await rig.asking.create(ADA, ask(), "two")
    assert not (await rig.asking.create(ADA, ask(), "three")).replayed


async def test_a_golden_path_that_changed_meanwhile_does_not_change_the_answer() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), "key")
    rig.golden_paths.paths = [path(version="9.0.0")]
    rig.clock.at += timedelta(days=3)
    assert (await rig.asking.create(ADA, ask(), "key")).request == first.request


async def test_the_second_asker_finishes_what_the_first_one_left() -> None:
    """The first one died between its row and its event."""
    rig = Rig()
    rig.log.away = True
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask(), "key")
    rig.log.away = False
    answered = await rig.asking.create(ADA, ask(), "key")
    assert answered.replayed
    assert [event.id for event in rig.log.events_said] == [answered.request.event_id]


async def test_a_publish_whose_answer_was_lost_is_not_a_conflict_with_itself() -> None:
    rig = Rig()
    rig.log.fail_after_storing = 1
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask(), "key")
    answered = await rig.asking.create(ADA, ask(), "key")
    assert len(rig.log.events_said) == 1
    assert answered.request.sequence == 1


# -- conflicts


async def test_a_name_of_ones_own_is_refused_with_what_it_is_doing() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "ready")
    with pytest.raises(NameTakenError) as refused:
        await rig.asking.create(ADA, ask(), None)
    assert refused.value.standing is not None
    assert (refused.value.standing.state, refused.value.standing.run_id) == ("ready", first.request.event_id)


async def test_a_name_of_another_team_is_refused_with_nothing_but_that() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask(), None)
    with pytest.raises(NameTakenError) as refused:
        await rig.asking.create(EVE, ask(), None)
    assert refused.value.standing is None
    assert "payments" not in str(refused.value)


async def test_a_name_is_free_again_after_deletion() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "ready")
    gone = await rig.asking.delete(ADA, "demo-api", None)
    end(rig, gone, "deleted")
    again = await rig.asking.create(EVE, ask(), None)
    assert again.request.incarnation not in {first.request.incarnation, None}


@pytest.mark.parametrize(("left_behind", "who", "free"), [(False, EVE, True), (True, ADA, True), (True, EVE, False)])
async def test_what_a_failed_creation_left_behind_is_never_another_teams(
    left_behind: bool, who: Any, free: bool
) -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "failed", left_behind=left_behind)
    if free:
        await rig.asking.create(who, ask(), None)
    else:
        with pytest.raises(NameTakenError):
            await rig.asking.create(who, ask(), None)


async def test_a_log_that_is_ahead_of_the_catalog_is_waited_for_and_never_overruled() -> None:
    rig = Rig()
    rig.log.folded = 0
    run = uuid4()
    rig.log.say(
        EnvironmentRequested,
        "demo-api",
        {"spec": samples.spec(owner={"person": "eve", "team": "search"}), "requested_by": "eve"},
        run_id=run,
        incarnation=run,
        event_id=run,
    )
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask(), "key")
    rig.log.folded = None
    with pytest.raises(NameTakenError):
        await rig.asking.create(ADA, ask(), "key")
    assert len(rig.log.events_said) == 1


# -- deleting


async def test_deleting_begins_a_run_of_the_same_incarnation() -> None:
    rig = Rig()
    first = await rig.asking.create(ADA, ask(), None)
    end(rig, first, "ready")
    gone = await rig.asking.delete(ADA, "demo-api", None)
    said = rig.log.events_said[-1]
    assert isinstance(said, EnvironmentDeletionRequested)
    assert said.incarnation == first.request.incarnation
    assert said.id == said.run_id == gone.request.event_id
    assert said.data.spec == first.request.run.spec


async def test_two_deletions_at_once_begin_one_run() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask(), None), "ready")
    answers = await asyncio.gather(
        *(rig.asking.delete(ADA, "demo-api", None) for _ in range(10)), return_exceptions=True
    )
    assert [isinstance(answer, Answered) for answer in answers].count(True) == 1
    assert [isinstance(answer, RunUnderWayError) for answer in answers].count(True) == 9


async def test_an_environment_that_is_being_made_is_not_deleted() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask(), None)
    with pytest.raises(RunUnderWayError):
        await rig.asking.delete(ADA, "demo-api", None)


async def test_what_failed_can_be_deleted_with_what_it_left() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask(), None), "failed", left_behind=True)
    assert (await rig.asking.delete(ADA, "demo-api", None)).request.operation == "delete"


async def test_a_repeated_deletion_is_answered_from_its_key_after_the_environment_is_gone() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask(), None), "ready")
    gone = await rig.asking.delete(ADA, "demo-api", "key")
    end(rig, gone, "deleted")
    again = await rig.asking.delete(ADA, "demo-api", "key")
    assert (again.replayed, again.request.event_id) == (True, gone.request.event_id)
    with pytest.raises(UnknownThingError):
        await rig.asking.delete(ADA, "demo-api", "another")


async def test_another_teams_environment_is_not_there_to_be_deleted() -> None:
    rig = Rig()
    end(rig, await rig.asking.create(ADA, ask(), None), "ready")
    with pytest.raises(UnknownThingError):
        await rig.asking.delete(EVE, "demo-api", None)


# -- keeping


async def test_a_request_whose_event_was_never_published_is_published_under_the_same_id() -> None:
    rig = Rig()
    rig.log.away = True
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask(), "key")
    rig.log.away = False
    [row] = rig.requests.rows.values()
    rig.clock.at += timedelta(seconds=60)
    await rig.keeping.look()
    assert [event.id for event in rig.log.events_said] == [row.event_id]
    assert (await rig.asking.create(ADA, ask(), "key")).request.event_id == row.event_id


async def test_an_event_that_the_stream_lost_after_acknowledging_it_is_published_again() -> None:
    rig = Rig()
    answered = await rig.asking.create(ADA, ask(), "key")
    lost = rig.log.events_said.pop()
    rig.clock.at += timedelta(seconds=60)
    await rig.keeping.look()
    assert [event.id for event in rig.log.events_said] == [lost.id]
    assert await rig.keeping.look() == 1
    assert (await rig.asking.create(ADA, ask(), "key")).request.event_id == answered.request.event_id


async def test_a_request_that_is_still_under_way_is_left_alone() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask(), "key")
    rig.log.events_said.clear()
    await rig.keeping.look()
    assert rig.log.events_said == []


async def test_a_confirmed_request_is_never_published_again() -> None:
    rig = Rig()
    await rig.asking.create(ADA, ask(), "key")
    assert await rig.keeping.look() == 1
    rig.log.events_said.clear()
    rig.clock.at += timedelta(days=1)
    assert await rig.keeping.look() == 0
    assert rig.log.events_said == []


async def test_an_unfinished_request_whose_name_was_taken_meanwhile_is_refused_and_says_so() -> None:
    rig = Rig()
    rig.log.away = True
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask(), "key")
    rig.log.away = False
    await rig.asking.create(EVE, ask(), None)
    rig.clock.at += timedelta(seconds=60)
    await rig.keeping.look()
    with pytest.raises(NameTakenError):
        await rig.asking.create(ADA, ask(), "key")
    assert len(rig.log.events_said) == 1


async def test_one_request_that_has_to_wait_does_not_hold_up_the_others() -> None:
    rig = Rig()
    rig.log.away = True
    for name in ("one", "two"):
        with pytest.raises(TransientError):
            await rig.asking.create(ADA, ask(name), None)
    rig.log.away = False
    rig.log.fail_after_storing = 1
    rig.clock.at += timedelta(seconds=60)
    await rig.keeping.look()
    assert {event.subject for event in rig.log.events_said} == {"one", "two"}


async def test_a_crash_after_the_publish_is_found_out_by_asking_the_catalog() -> None:
    rig = Rig()
    rig.log.fail_after_storing = 1
    with pytest.raises(TransientError):
        await rig.asking.create(ADA, ask(), "key")
    assert await rig.keeping.look() == 1
    [row] = rig.requests.rows.values()
    assert (row.state, row.confirmed, row.sequence) == ("accepted", True, 1)
    assert len(rig.log.events_said) == 1


async def test_nothing_is_shown_as_missing_that_was_accepted() -> None:
    rig = Rig()
    answered = await rig.asking.create(ADA, ask(), "key")
    rig.log.folded = 0
    for look in (
        rig.reading.environment(ADA, "demo-api"),
        rig.reading.run(ADA, str(answered.request.event_id)),
    ):
        with pytest.raises(TransientError):
            await look
    rig.log.folded = None
    assert (await rig.reading.environment(ADA, "demo-api")).state == "creating"
    assert (await rig.reading.run(ADA, str(answered.request.event_id))).id == UUID(str(answered.request.event_id))

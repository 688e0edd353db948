"""The past of an environment, asked of the twin in memory and of a real Postgres."""

from datetime import timedelta
from typing import cast

import pytest

from contracts.events import EnvironmentDeleted, EnvironmentReady, EnvironmentRequested
from contracts.history import Compare, GetMoment
from contracts.signals import DeploymentRecorded, HealthChanged
from services.catalog.adapters.postgres_history import PostgresHistory
from services.catalog.handlers import Remembering
from services.catalog.ports import History
from tests.contract.catalogs import KEY, NOW, Real, World, heard, stored, told
from tests.stories import Story

INSTANT = timedelta(microseconds=1)


@pytest.fixture
def remembering(world: World) -> Remembering:
    return Remembering(PostgresHistory(world.database) if isinstance(world, Real) else cast("History", world.store))


async def test_the_state_at_each_event_is_what_was_known_then(world: World, remembering: Remembering) -> None:
    story = Story(KEY).create().ready()
    await stored(world, Story(KEY, "other").create().ready(), story)

    states = []
    for event in story.events:
        moment = await remembering.moment(GetMoment(environment="demo-api", at=event.time))
        assert moment.environment is not None
        assert moment.run is not None
        states.append((moment.environment.state, moment.run.state, moment.events))

    assert states[0] == ("creating", "running", 1)
    assert states[-1] == ("ready", "succeeded", len(story.events))
    assert [events for _, _, events in states] == list(range(1, len(story.events) + 1))


async def test_the_state_now_is_the_live_view(world: World, remembering: Remembering) -> None:
    story = Story(KEY).create().ready().update(parameters={"instances": 3}).create().ready()
    await stored(world, story)

    moment = await remembering.moment(GetMoment(environment="demo-api", at=story.last.time + timedelta(days=9)))

    live = await world.store.known("demo-api")
    assert live is not None
    assert moment.environment is not None
    apart = {"cost": None, "alive_seconds": 0}
    assert moment.environment.model_copy(update=apart) == live.environment.model_copy(update=apart)
    assert moment.run == live.run


async def test_before_its_first_event_there_is_nothing(world: World, remembering: Remembering) -> None:
    story = Story(KEY).create().ready()
    await stored(world, story)

    for name, at in (("demo-api", story.request.time - INSTANT), ("nobody", story.last.time)):
        moment = await remembering.moment(GetMoment(environment=name, at=at))
        assert (moment.environment, moment.run, moment.events) == (None, None, 0)


async def test_what_an_update_changed_is_named_field_by_field(world: World, remembering: Remembering) -> None:
    story = Story(KEY).create().ready()
    before = story.last.time
    story.update(parameters={"instances": 3}).create().ready()
    await stored(world, story)

    found = await remembering.difference(Compare(environment="demo-api", since=before, until=story.last.time))

    assert found.before is not None
    assert found.after is not None
    by_field = {change.field: (change.before, change.after) for change in found.changes}
    was = found.before.spec.parameters.get("instances")
    assert by_field["spec.parameters.instances"] == (was, 3)
    assert by_field["run_id"] == (str(found.before.run_id), str(found.after.run_id))
    assert not by_field.keys() & {"version", "last_sequence", "updated_at", "name", "spec.branch"}


async def test_between_two_moments_without_an_event_nothing_changed(world: World, remembering: Remembering) -> None:
    story = Story(KEY).create().ready()
    await stored(world, story)
    query = Compare(environment="demo-api", since=story.last.time, until=story.last.time + timedelta(days=1))

    assert (await remembering.difference(query)).changes == ()


async def test_a_name_that_was_used_again_shows_the_life_of_that_time(world: World, remembering: Remembering) -> None:
    first = Story(KEY).create().ready().delete().deleted()
    second = Story(KEY, time=first.last.time + timedelta(hours=1)).create().ready()
    await stored(world, first, second)

    then = await remembering.moment(GetMoment(environment="demo-api", at=first.last.time))
    now = await remembering.moment(GetMoment(environment="demo-api", at=second.last.time))

    assert then.environment is not None
    assert now.environment is not None
    assert isinstance(first.last, EnvironmentDeleted)
    assert isinstance(second.last, EnvironmentReady)
    assert isinstance(second.request, EnvironmentRequested)
    assert (then.environment.state, then.environment.incarnation) == ("deleted", first.request.incarnation)
    assert (now.environment.state, now.environment.incarnation) == ("ready", second.request.incarnation)


async def test_what_was_before_this_life_may_be_left_out(world: World, remembering: Remembering) -> None:
    first = Story(KEY).create().ready().delete().deleted()
    second = Story(KEY, time=first.last.time + timedelta(hours=1)).create().ready()
    await stored(world, first, second)
    query = Compare(environment="demo-api", since=first.last.time, until=second.last.time)

    whole = await remembering.difference(query)
    own = await remembering.difference(query.model_copy(update={"incarnation": second.request.incarnation}))

    assert whole.before is not None
    assert own.before is None
    assert all(change.before is None for change in own.changes)


async def test_what_was_known_from_outside_is_that_of_the_moment(world: World, remembering: Remembering) -> None:
    story = Story(KEY, time=NOW - timedelta(hours=3)).create().ready()
    await stored(world, story)
    deployment = {"deployment_id": "d1", "commit": "a" * 40, "branch": "main", "author": "ada"}
    await told(
        world,
        heard(DeploymentRecorded, "demo-api", deployment | {"state": "started"}, time=NOW - timedelta(hours=2)),
        heard(DeploymentRecorded, "demo-api", deployment | {"state": "succeeded"}, time=NOW - timedelta(hours=1)),
        heard(HealthChanged, "demo-api", {"state": "down", "reason": "It does not answer."}, time=NOW),
    )

    seen = [
        (await remembering.moment(GetMoment(environment="demo-api", at=NOW - timedelta(minutes=ago)))).environment
        for ago in (150, 90, 30, 0)
    ]
    found = await remembering.difference(Compare(environment="demo-api", since=NOW - timedelta(minutes=90), until=NOW))

    assert [(one.deployment, one.running) for one in seen if one is not None] == [
        ("none", "unknown"),
        ("deploying", "unknown"),
        ("deployed", "unknown"),
        ("deployed", "down"),
    ]
    changed = {change.field: (change.before, change.after) for change in found.changes}
    assert changed["deployment"] == ("deploying", "deployed")
    assert changed["running"] == ("unknown", "down")
    assert not changed.keys() & {"alive_seconds", "cost"}

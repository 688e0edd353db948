"""What the clock brings about, on the catalog's twins and a clock that stands still until it is moved."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import (
    AccessChange,
    AccessGranted,
    DriftDetected,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentExtended,
    EnvironmentUpdateRequested,
    Expiry,
)
from contracts.queries import EnvironmentView
from contracts.timers import Timer
from contracts.values import Resource
from tests import samples
from tests.stories import Story
from tests.unit.catalog.test_handlers import KEY, World

END = samples.AT + timedelta(days=7)
DATABASE = Resource(kind="database", id="apps/env_demo_api")


class Days(World):
    """A world in which time goes by."""

    async def begin(self, **changes: Any) -> Story:
        """An environment that is ready, with its timers set."""
        story = Story(KEY, **{"expires_at": END, **changes}).create()
        self.tell(*story.events)
        await self.settle()
        return story

    async def settle(self) -> None:
        """Fold what is there, say what follows, and set the timers that have moved, until nothing is left to do."""
        told = -1
        while told != len(self.stream):
            told = len(self.stream)
            await self.fold()
        await self.timekeeper._set_noticed()  # what `keep_set` does when it is woken

    async def at(self, now: datetime) -> None:
        """It is now: what is due fires, and everything follows from it."""
        self.clock.at = now
        for _ in range(20):
            due = self.timers.due(self.clock.at)
            for one in due:
                await self.timekeeper.fired(one)
            await self.settle()
            if not due:
                return
        raise AssertionError("it fires for ever")

    async def extend(self, story: Story, expires_at: datetime | None) -> None:
        """The gateway extends it; nothing is folded yet."""
        data = Expiry(spec=story.request.data.spec, expires_at=expires_at, requested_by="ada")
        self.tell(story.add(EnvironmentExtended, data, source="gateway", **_cause()))

    async def view(self) -> EnvironmentView:
        known = await self.store.known("demo-api")
        assert known is not None
        return known.environment


def _cause() -> dict[str, Any]:
    cause = uuid4()
    return {"causationid": cause, "id": KEY.derive(cause, EnvironmentExtended.kind)}


@pytest.fixture
def world() -> Days:
    return Days()


async def test_an_environment_is_warned_of_then_expires_and_is_deleted_once(world: Days) -> None:
    await world.begin()
    for before in (timedelta(days=2), timedelta(hours=2)):
        await world.at(END - before - timedelta(seconds=1))
        said = len(world.said(EnvironmentExpiring))
        await world.at(END - before)
        await world.at(END - before + timedelta(seconds=5))
        assert len(world.said(EnvironmentExpiring)) == said + 1
    await world.at(END - timedelta(seconds=1))
    assert world.said(EnvironmentExpired) == []

    await world.at(END)
    (expired,), (asked,) = world.said(EnvironmentExpired), world.said(EnvironmentDeletionRequested)
    assert isinstance(asked, EnvironmentDeletionRequested)
    assert (asked.causation_id, asked.run_id, asked.correlation_id) == (expired.id, asked.id, asked.id)
    assert (asked.data.requested_by, asked.data.cause, asked.source) == ("slipway", "expiry", "catalog")
    view = await world.view()
    assert (view.state, view.run_id) == ("deleting", asked.id)

    await world.at(END + timedelta(days=1))
    assert len(world.said(EnvironmentDeletionRequested)) == 1


async def test_one_that_is_extended_is_not_deleted_and_warned_of_its_new_end(world: Days) -> None:
    story = await world.begin()
    await world.at(END - timedelta(hours=1))
    await world.extend(story, END + timedelta(days=7))
    await world.settle()
    await world.at(END + timedelta(days=1))
    assert world.said(EnvironmentExpired) == []
    assert len(world.said(EnvironmentExpiring)) == 1

    await world.at(END + timedelta(days=5))
    assert len(world.said(EnvironmentExpiring)) == 2
    await world.at(END + timedelta(days=7))
    assert len(world.said(EnvironmentDeletionRequested)) == 1


@pytest.mark.parametrize("expires_at", [END + timedelta(days=1), None])
async def test_an_extension_that_is_in_the_log_and_not_folded_yet_wins(
    world: Days, expires_at: datetime | None
) -> None:
    story = await world.begin()
    await world.extend(story, expires_at)
    world.clock.at = END
    for one in world.timers.due(END):
        await world.timekeeper.fired(one)  # the catalog has not seen it
    assert world.said(EnvironmentExpired) == []

    await world.settle()
    await world.at(END + timedelta(minutes=1))
    assert world.said(EnvironmentExpired) == []
    assert await world.store.unsaid(0) == []


async def test_an_extension_between_the_end_and_the_deletion_wins(world: Days) -> None:
    story = await world.begin()
    world.clock.at = END
    for one in world.timers.due(END):
        await world.timekeeper.fired(one)
    (expired,) = world.said(EnvironmentExpired)
    story.events.append(expired)
    await world.extend(story, END + timedelta(days=1))
    await world.at(END + timedelta(seconds=2))
    assert world.said(EnvironmentDeletionRequested) == []
    assert (await world.view()).state == "ready"

    await world.at(END + timedelta(days=1))
    assert len(world.said(EnvironmentExpired)) == 2
    assert len(world.said(EnvironmentDeletionRequested)) == 1


async def test_a_deletion_that_something_harmless_overtook_is_asked_for_again(world: Days) -> None:
    story = await world.begin()
    world.clock.at = END
    for one in world.timers.due(END):
        await world.timekeeper.fired(one)
    assert len(world.said(EnvironmentExpired)) == 1
    data = AccessChange(requested_by="ada", role="viewer", person="bob")
    world.tell(story.add(AccessGranted, data, source="secrets"))
    await world.settle()
    assert world.said(EnvironmentDeletionRequested) == []

    await world.at(END + timedelta(seconds=2))
    assert len(world.said(EnvironmentExpired)) == 1
    assert len(world.said(EnvironmentDeletionRequested)) == 1


async def test_a_decision_that_could_not_be_said_is_said_by_the_sweep_while_it_holds(world: Days) -> None:
    await world.begin()
    world.log.is_away = True
    await world.at(END)
    assert world.said(EnvironmentExpired) == []

    world.log.is_away = False
    await world.catalog.sweep(grace_seconds=0)
    await world.settle()
    assert len(world.said(EnvironmentDeletionRequested)) == 1


async def test_a_timer_that_comes_too_early_is_set_again(world: Days) -> None:
    await world.begin()
    view = await world.view()
    early = Timer(environment=view.name, incarnation=view.incarnation, kind="expiry", due_at=END)
    world.timers.pending.clear()
    await world.timekeeper.fired(early)

    assert world.said(EnvironmentExpired) == []
    assert world.timers.pending["demo-api", "expiry"].due_at == END


async def test_a_timer_of_nobody_or_of_one_that_is_gone_says_nothing(world: Days) -> None:
    story = await world.begin()
    story.ready().delete().deleted()
    world.tell(*story.events[5:])
    await world.settle()
    for name in ("demo-api", "nobody"):
        await world.timekeeper.fired(Timer(environment=name, incarnation=uuid4(), kind="expiry", due_at=END))

    assert world.said(EnvironmentExpired) == []


async def test_lost_timers_are_set_again_from_the_projection(world: Days) -> None:
    await world.begin()
    before = dict(world.timers.pending)
    assert {kind for _, kind in before} == {"expiry", "warning", "drift_check"}
    world.timers.pending.clear()
    await world.timekeeper._set_all()

    assert world.timers.pending == before


@given(
    steps=st.lists(
        st.one_of(st.tuples(st.just("wait"), st.integers(1, 100)), st.tuples(st.just("extend"), st.integers(1, 100))),
        max_size=8,
    )
)
async def test_nothing_is_deleted_before_the_last_end_that_was_given_and_everything_after(
    steps: list[tuple[str, int]],
) -> None:
    world, end = Days(), END
    story = await world.begin(kind="staging")
    for word, hours in steps:
        if word == "wait":
            await world.at(world.clock.at + timedelta(hours=hours))
        elif (await world.view()).state == "ready":
            end = world.clock.at + timedelta(hours=hours)
            await world.extend(story, end)
            await world.settle()
        assert bool(world.said(EnvironmentDeletionRequested)) == (world.clock.at >= end)
    await world.at(max(end, world.clock.at))

    assert len(world.said(EnvironmentDeletionRequested)) == 1


# -- drift -------------------------------------------------------------------------------------------------------------


async def test_drift_of_a_preview_is_said_and_repaired_once(world: Days) -> None:
    await world.begin(expires_at=None)
    world.planner.differs["demo-api"] = (DATABASE,)
    await world.timekeeper.check_drift("demo-api")
    await world.settle()

    (drift,), (repair,) = world.said(DriftDetected), world.said(EnvironmentUpdateRequested)
    assert isinstance(repair, EnvironmentUpdateRequested)
    assert (repair.causation_id, repair.run_id, repair.data.cause) == (drift.id, repair.id, "drift")
    assert repair.data.spec == repair.data.previous
    await world.timekeeper.check_drift("demo-api")
    assert world.planner.asked == ["demo-api"], "nobody asks while it is repaired"


async def test_drift_of_production_is_said_once_and_said_to_be_gone(world: Days) -> None:
    await world.begin(kind="production", expires_at=None)
    world.planner.differs["demo-api"] = (DATABASE,)
    for _ in range(2):
        await world.timekeeper.check_drift("demo-api")
        await world.settle()
    assert len(world.said(DriftDetected)) == 1
    assert world.said(EnvironmentUpdateRequested) == []
    assert (await world.view()).drift == (DATABASE,)

    world.planner.differs.clear()
    for _ in range(2):
        await world.timekeeper.check_drift("demo-api")
        await world.settle()
    assert len(world.said(DriftDetected)) == 2
    assert (await world.view()).drift == ()


async def test_drift_that_was_seen_before_something_else_happened_is_not_said(world: Days) -> None:
    story = await world.begin()
    world.planner.differs["demo-api"] = (DATABASE,)
    await world.extend(story, END + timedelta(days=1))
    await world.timekeeper.check_drift("demo-api")

    assert world.said(DriftDetected) == []
    await world.settle()
    await world.timekeeper.check_drift("demo-api")
    assert len(world.said(DriftDetected)) == 1


async def test_a_check_sets_the_next_one_first(world: Days) -> None:
    await world.begin()
    first = world.timers.pending["demo-api", "drift_check"].due_at
    world.clock.at = first
    for one in world.timers.due(first):
        await world.timekeeper.fired(one)

    assert world.timers.pending["demo-api", "drift_check"].due_at == first + timedelta(hours=1)
    await world.timekeeper.finish()

"""The catalog's deeds on its twins: folding, saying, looking after what was left unsaid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest

from chassis.bus import Bus
from chassis.clock import FixedClock
from chassis.failures import TransientError
from chassis.identity import EventKey
from chassis.publishing import Publisher
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event
from contracts.events import EnvironmentReady, RunStalled, parse
from services.catalog.adapters.memory import MemoryEventStore
from services.catalog.adapters.memory_bus import MemoryLog, MemoryPlanner, MemoryTimers
from services.catalog.domain.records import Decision
from services.catalog.domain.reminders import Rhythm
from services.catalog.handlers import Handlers, Timekeeper
from tests import samples
from tests.stories import Story
from tests.waiting import until

KEY = EventKey(b"k" * 32)
NOW = samples.AT + timedelta(seconds=10)
TRACEPARENT = f"00-{7:032x}-{8:016x}-01"


@dataclass
class World:
    """A log that is a list, and a catalog that reads it."""

    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))
    stream: list[LogMessage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryEventStore(self.clock)
        self.log = MemoryLog(self._hear)
        self.log.messages = self.stream  # type: ignore[assignment]
        self.timers, self.planner = MemoryTimers(), MemoryPlanner()
        self.timekeeper = Timekeeper(
            store=self.store,
            signals=self.store.signals,
            log=self.log,
            timers=self.timers,
            planner=self.planner,
            key=KEY,
            clock=self.clock,
            rhythm=Rhythm(warn_before=(timedelta(days=2), timedelta(hours=2)), drift_every=timedelta(hours=1)),
        )
        bus = Bus.__new__(Bus)  # composing an event needs no connection
        self.catalog = Handlers(
            store=self.store,
            log=self.log,
            key=KEY,
            publisher=Publisher(bus, "catalog", KEY, self.clock),
            clock=self.clock,
            stall_after_seconds=300,
            timekeeper=self.timekeeper,
        )

    def tell(self, *events: Event) -> list[LogMessage]:
        return [self._stored(subjects.of(event).encode(), event.to_json()) for event in events]

    def tell_raw(self, subject: str, body: bytes) -> LogMessage:
        return self._stored(subject.encode(), body)

    async def fold(self) -> None:
        position = await self.catalog.position()
        if rest := self.stream[position:]:
            assert await self.catalog.fold(position, rest)
        await self.catalog.finish()

    def _stored(self, subject: bytes, body: bytes) -> LogMessage:
        self.stream.append(LogMessage(len(self.stream) + 1, subject, body))
        return self.stream[-1]

    def _hear(self, decision: Decision) -> None:
        self._stored(decision.subject.encode(), decision.body)

    def said(self, kind: type[Event]) -> Sequence[Event]:
        return [event for event in (parse(message.body) for message in self.stream) if isinstance(event, kind)]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_verdict_follows_its_cause_in_the_same_run_and_trace(world: World) -> None:
    story = Story(KEY, traceparent=TRACEPARENT).create()
    world.tell(*story.events)
    await world.fold()

    (ready,) = world.said(EnvironmentReady)
    assert ready.id == KEY.derive(story.last.id, "environment_ready")
    assert (ready.causation_id, ready.run_id, ready.incarnation) == (story.last.id, *[story.request.id] * 2)
    assert (ready.source, ready.traceparent, ready.time) == ("catalog", TRACEPARENT, NOW)

    await world.fold()
    known = (await world.store.load(["demo-api"]))[1]["demo-api"]
    assert (known.environment.state, known.run.state) == ("ready", "succeeded")


async def test_a_fold_that_comes_too_late_changes_nothing(world: World) -> None:
    told = world.tell(*Story(KEY).create().events)
    assert await world.catalog.fold(0, told[:2])

    assert not await world.catalog.fold(0, told)
    assert not await world.catalog.fold(1, told[1:])
    assert await world.catalog.position() == 2


async def test_an_event_of_before_is_kept_as_a_duplicate(world: World) -> None:
    story = Story(KEY).create()
    world.tell(*story.events)
    await world.fold()
    world.tell(story.request, story.last)
    await world.fold()

    assert len(world.said(EnvironmentReady)) == 1
    position = await world.catalog.position()
    assert position == len(world.stream)
    assert await world.store.recorded([story.request.id]) == {story.request.id}
    assert world.log.dead_letters == []


async def test_what_is_not_believed_is_laid_aside_once(world: World) -> None:
    story = Story(KEY)
    world.tell_raw("environment.demo-api.infra_ready", b"junk")
    world.tell_raw("environment.other.environment_requested", story.request.to_json())
    world.tell(story.request.model_copy(update={"id": uuid4()}))
    world.tell(*Story(KEY, "ghost").create("infrastructure").events[1:])
    await world.fold()
    await world.catalog.sweep()

    reasons = [letter.rejection for letter in world.log.dead_letters]
    assert reasons == ["malformed", "misplaced", "forged", "orphaned"]


async def test_what_could_not_be_laid_aside_is_laid_aside_later(world: World) -> None:
    world.log.is_away = True
    message = world.tell_raw("environment.demo-api.infra_ready", b"junk")
    await world.fold()
    world.log.is_away = False
    await world.catalog.sweep()
    await world.catalog.sweep()

    assert [letter.message.body for letter in world.log.dead_letters] == [message.body]


async def test_a_verdict_that_could_not_be_said_is_said_by_the_sweep(world: World) -> None:
    world.log.is_away = True
    world.tell(*Story(KEY).create().events)
    await world.fold()
    assert world.said(EnvironmentReady) == []

    world.log.is_away = False
    await world.catalog.sweep()
    assert world.said(EnvironmentReady) == []  # it is left to whoever made it for a moment
    world.clock.at += timedelta(seconds=5)
    await world.catalog.sweep()
    await world.catalog.sweep()
    assert len(world.said(EnvironmentReady)) == 1


async def test_a_verdict_counts_as_said_only_when_the_copy_has_it(world: World) -> None:
    world.tell(*Story(KEY).create().events)
    await world.fold()
    lost = world.stream.pop()  # the stream was lost with what had been said last
    world.log.said.clear()
    world.clock.at += timedelta(seconds=90)
    with pytest.raises(TimeoutError, match="unsaid for 90 s"):
        await world.catalog.check()
    await world.catalog.sweep()

    assert world.stream[-1].body == lost.body
    await world.fold()
    await world.catalog.check()
    assert await world.store.unsaid(0) == []


async def test_an_old_verdict_is_not_said_again_while_the_log_already_has_it(world: World) -> None:
    story = Story(KEY).create().ready()
    world.clock.at += timedelta(days=30)
    told = world.tell(*story.events)
    assert await world.catalog.fold(0, told[:4])  # a copy made anew, and the verdict in the next batch
    await world.catalog.finish()
    await world.catalog.sweep(grace_seconds=0)

    assert world.log.said == {}
    await world.fold()
    assert await world.store.unsaid(0) == []


async def test_a_verdict_on_a_run_that_is_over_is_forgotten(world: World) -> None:
    world.log.is_away = True
    world.tell(*Story(KEY).create().events)
    await world.fold()
    world.log.is_away = False
    world.tell(Story(KEY).request)
    await world.catalog.sweep(grace_seconds=0)

    assert world.said(EnvironmentReady) == []
    assert await world.store.unsaid(0) == []


async def test_a_stalled_run_is_said_once_per_step(world: World) -> None:
    story = Story(KEY, traceparent=TRACEPARENT).create("infrastructure")
    world.tell(*story.events)
    await world.fold()
    world.clock.at += timedelta(seconds=299)
    await world.catalog.look_for_stalled_runs()
    assert world.said(RunStalled) == []

    world.clock.at += timedelta(seconds=2)
    for _ in range(3):
        await world.catalog.look_for_stalled_runs()
        await world.fold()
    (stalled,) = world.said(RunStalled)
    assert isinstance(stalled, RunStalled)
    assert (stalled.data.step, stalled.data.waiting_seconds) == ("secrets", 301)
    assert stalled.traceparent == TRACEPARENT

    world.tell(Story(KEY, cause=story.request.causation_id).create("secrets").last)
    await world.fold()
    world.clock.at += timedelta(seconds=301)
    await world.catalog.look_for_stalled_runs()
    assert [event.data.step for event in world.said(RunStalled) if isinstance(event, RunStalled)] == [
        "secrets",
        "pipeline",
    ]


async def test_a_run_that_waits_for_its_verdict_has_not_stalled(world: World) -> None:
    world.log.is_away = True
    world.tell(*Story(KEY).create().events)
    await world.fold()
    world.clock.at += timedelta(hours=1)

    assert await world.store.stalling(300) == []


async def test_the_copy_knows_its_own_messages(world: World) -> None:
    (told,) = world.tell(Story(KEY).request)
    await world.fold()

    assert await world.catalog.holds(told)
    assert not await world.catalog.holds(LogMessage(1, told.subject, b"another"))
    assert not await world.catalog.holds(LogMessage(2, told.subject, told.body))


async def test_saying_goes_on_beside_folding(world: World) -> None:
    told = world.tell(*Story(KEY).create().events)
    assert await world.catalog.fold(0, told)

    await until(lambda: world.said(EnvironmentReady), what="the verdict")


async def test_what_a_newer_release_said_is_left_to_its_own_catalog(world: World) -> None:
    known = Story(KEY, "a-one").create()
    world.tell(*known.events[:2])
    newer = Story(KEY, "b-two").request.to_json().replace(b".v1", b".v2")
    world.tell_raw("environment.b-two.environment_requested", newer)
    world.tell(*known.events[2:])

    assert not await world.catalog.fold(0, world.stream)
    assert await world.catalog.position() == 2, "what comes before it is folded"
    with pytest.raises(TransientError, match="newer release"):
        await world.catalog.fold(2, world.stream[2:])
    assert await world.catalog.position() == 2
    assert not await world.store.rejected()

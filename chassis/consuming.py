"""The one way in: fetch, check, look, do, say, acknowledge.

Invariants
- A message is acknowledged only after its outcome is stored. Everything before the ack is safe to repeat.
- A message that is not one of ours (malformed, misplaced, forged) is laid aside and its neighbours do not notice.
- Exactly one place, `failures.decide`, says what a failure means.
- No message is dropped: it ends acknowledged, handed back with a delay, or laid aside.
- What a newer release said and this one cannot read is left to a newer process (`leaving`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4

import structlog
from faststream import AckPolicy
from faststream.nats import NatsMessage
from nats.aio.msg import Msg
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from chassis import dead_letters, metrics, tracing
from chassis.bus import Bus, ConflictError
from chassis.failures import RETRY_DELAYS_SECONDS, GiveUp, PermanentError, Retry, decide
from chassis.heartbeat import Heartbeat
from chassis.identity import EventKey
from chassis.leaving import Leaving
from chassis.looking import Sight, is_first_copy, is_just_stored, look
from chassis.publishing import Publisher
from chassis.pulling import Pull
from contracts import subjects
from contracts.envelope import Event, ServiceName, Value
from contracts.events import parse
from contracts.topology import CONSUMERS, ConsumerSpec
from contracts.upcasting import is_genuine

_log = structlog.get_logger(__name__)

E = TypeVar("E", bound=Event)

_OTHER: Final = "other"
"""What the metrics call a kind of event that a service does not hear."""
DELIVERIES_BEFORE_POISON: Final = 12
"""A message that was delivered this often without ever being settled is taken to kill whoever handles it."""


@dataclass(frozen=True)
class GaveUp:
    """What a failed deed leaves for the event that tells of it."""

    error: PermanentError
    attempts: int


@dataclass(frozen=True)
class Subscription(Generic[E]):
    """One row of a service's table: on this event, do this deed, say that.

    `deed` returns the data of `says` (or None where the service says nothing). Where the deed fails for good, `explain`
    turns the failure into the data of `or_else`; a row without `or_else` has its message laid aside instead.
    """

    hears: type[E]
    deed: Callable[[E], Awaitable[Value | None]]
    says: type[Event] | None = None
    or_else: type[Event] | None = None
    explain: Callable[[E, GaveUp], Value] | None = None
    retry_delays_seconds: Sequence[float] = RETRY_DELAYS_SECONDS
    of_run: bool = True
    """False where the event belongs to the environment and not to a run, so that no later run makes it late."""

    @property
    def goes_forward(self) -> bool:
        """Whether it makes something, so that calling the run off stops it. What undoes is never called off."""
        return self.or_else is not None and self.or_else is not self.says

    @property
    def outcomes(self) -> tuple[type[Event], ...]:
        """The kinds of event that may come of it."""
        return tuple({kind for kind in (self.says, self.or_else) if kind is not None})


WaitingListener = Callable[[Event, Retry, Exception], Awaitable[None]]


async def _nobody_listens(event: Event, retry: Retry, error: Exception) -> None:
    """The default: a wait is only logged."""


@dataclass
class Consumer:
    """Carries out a service's subscriptions."""

    bus: Bus
    service: ServiceName
    key: EventKey
    publisher: Publisher
    subscriptions: Sequence[Subscription[Any]]
    workers: int
    fetch_batch: int
    ack_wait_seconds: float
    on_waiting: WaitingListener = _nobody_listens
    read: Callable[[bytes], Event] = parse
    """What makes an event of a message. Raises `ValidationError`."""
    leave_seconds: float = 5.0
    """How soon a message that was left to a newer process may come to it."""
    _rows: Mapping[str, Subscription[Any]] = field(init=False)
    _meters: Mapping[str, metrics.Meter] = field(init=False)
    _slots: asyncio.Semaphore = field(init=False)
    _heartbeat: Heartbeat = field(init=False)
    _pulls: list[Pull] = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _leaving: Leaving = field(init=False)
    _draining: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._rows = {row.hears.kind: row for row in self.subscriptions}
        self._meters = {kind: metrics.Meter(self.service, kind) for kind in (*self._rows, _OTHER)}
        self._slots = asyncio.Semaphore(self.workers)
        self._heartbeat = Heartbeat(self.ack_wait_seconds)
        self._leaving = Leaving(self.bus, self.service, self._heartbeat, self.leave_seconds)
        self._pulls = [self._subscribe(spec) for spec in self.durables]

    def _subscribe(self, spec: ConsumerSpec) -> Pull:
        """FastStream hears what arrives at an inbox; what is asked to go there is a standing request of ours. Its own
        fetching asks twice for nearly every message, and starts a group of tasks for each."""
        inbox = f"{self.bus.inbox_prefix}.{spec.stream}.{uuid4().hex}"
        pull = Pull(self.bus, spec, self._receive, self._room, inbox=inbox)

        async def hear(message: NatsMessage) -> None:
            await pull.on_message(message.raw_message)

        subscriber = self.bus.broker.subscriber(inbox, parser=_as_it_is, ack_policy=AckPolicy.MANUAL, no_reply=True)
        subscriber(hear)
        return pull

    @property
    def durables(self) -> tuple[ConsumerSpec, ...]:
        """The durable consumers of events that this service's table fetches from: those of its own name. What a service
        reads besides (facts, timers, what it passes on) has other ones."""
        heard = {subjects.ENVIRONMENTS, subjects.REPLAYS}
        return tuple(
            spec
            for spec in CONSUMERS
            if spec.service == self.service and spec.stream in heard and spec.durable == self.service
        )

    async def run(self) -> None:
        """Fetch, and beat for every message in flight, until cancelled. FastStream must have been started."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heartbeat.run())
            for pull in self._pulls:
                tasks.create_task(pull.run())

    async def drain(self, grace_seconds: float) -> None:
        """Finish what is in flight within `grace_seconds`; hand the rest back, to be delivered at once to another."""
        self._draining = True
        for pull in self._pulls:
            await pull.stop()
        for subscriber in self.bus.broker.subscribers:
            await subscriber.stop()
        await self._leaving.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _room(self) -> int:
        """How many messages may be asked for: no more than can be begun at once."""
        return min(self.fetch_batch, self.workers - len(self._tasks))

    def _receive(self, raw: Msg) -> None:
        """Take a message into the work in flight."""
        self._heartbeat.add(id(raw), raw.in_progress)
        task = asyncio.create_task(self._work(raw))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        for pull in self._pulls:
            pull.go_on()

    async def _work(self, raw: Msg) -> None:
        started = time.perf_counter()
        meter = self._meters.get(raw.subject.rpartition(".")[2]) or self._meters[_OTHER]
        meter.begin()
        outcome = "handed back"
        try:
            # Two durables may have been asked for the same free worker.
            async with self._slots:
                if self._draining:
                    await raw.nak()
                else:
                    outcome = await self._settle(raw)
        except asyncio.CancelledError:
            await raw.nak()
        except Exception as error:  # noqa: BLE001 - the last line: nothing may end the loop, and nothing is dropped
            _log.warning("could not settle a message", subject=raw.subject, error=str(error), exc_info=True)
            await raw.nak(delay=RETRY_DELAYS_SECONDS[0])
        finally:
            self._heartbeat.remove(id(raw))
            meter.end(outcome, time.perf_counter() - started)

    async def _settle(self, raw: Msg) -> str:
        try:
            event = self.read(raw.data)
            self._check(event, raw.subject)
        except (ValidationError, _MisplacedError) as error:
            if is_genuine(raw.data, subjects.original(raw.subject), self.key.derive) and self._leaving.may(raw):
                self._leaving.leave(raw)
                return "left"
            await self._lay_aside(raw, "malformed" if isinstance(error, ValidationError) else "forged", error)
            await raw.ack()
            return "laid aside"
        row = self._rows[event.kind]
        deed = getattr(row.deed, "__name__", event.kind)
        with tracing.span(
            f"{self.service} {deed}",
            kind=SpanKind.CONSUMER,
            parent=event.traceparent,
            attributes={
                "messaging.system": "nats",
                "messaging.destination.template": f"environment.*.{event.kind}",
                "messaging.message.id": str(event.id),
                "slipway.environment": event.subject,
                "slipway.run_id": str(event.run_id),
            },
        ) as span:
            outcome = await self._carry_out(row, event, raw)
            span.set_attribute("slipway.outcome", outcome)
            return outcome

    async def _carry_out(self, row: Subscription[Any], event: Event, raw: Msg) -> str:
        delivered = raw.metadata.num_delivered
        sight: Sight | None = None
        try:
            if row.outcomes:
                place = _known_place(event, raw)
                fresh = is_just_stored(raw.metadata.timestamp, delivered)
                sight = await look(
                    self.bus, self.key, event, place, row.outcomes, of_run=row.of_run, just_stored=place > 0 and fresh
                )
                if sight.view in {"already said", "run is over"}:
                    await raw.ack()
                    return sight.view
                _stop_if_called_off(row, sight)
            if delivered > DELIVERIES_BEFORE_POISON:
                raise PermanentError(
                    "ends_its_worker",
                    f"handling this was begun {delivered - 1} times and never ended",
                    next_step="Look at this service's log around the trace, then replay the dead letter.",
                )
            data = await row.deed(event)
            if row.says is not None:
                if data is None:
                    raise TypeError(f"{row.deed} must return the data of {row.says.__name__}")
                await self._say(row, self.publisher.compose(row.says, data, event), event, sight)
        except Exception as error:  # noqa: BLE001 - every failure is decided here, and only here
            return await self._fail(row, event, raw, error)
        await raw.ack()
        return "done"

    async def _say(self, row: Subscription[Any], outcome: Event, event: Event, sight: Sight | None) -> None:
        """Store the outcome. One that goes forward is stored only while nothing has happened since the look, so that a
        run which was called off in the meantime turns back instead."""
        if sight is None or not row.goes_forward:
            await self.publisher.store(outcome)
            return
        while True:
            try:
                await self.publisher.store(outcome, after_sequence=sight.newest_sequence)
            except ConflictError:
                sight = await look(self.bus, self.key, event, 0, row.outcomes, of_run=row.of_run)
                if sight.view in {"already said", "run is over"}:
                    return
                _stop_if_called_off(row, sight)
            else:
                return

    async def _fail(self, row: Subscription[Any], event: Event, raw: Msg, error: Exception) -> str:
        verdict = decide(error, raw.metadata.num_delivered, row.retry_delays_seconds)
        if isinstance(verdict, Retry):
            _log.warning(
                "a step waits for its next attempt",
                event_kind=event.kind,
                environment=event.subject,
                run_id=str(event.run_id),
                attempt=verdict.attempt,
                delay_seconds=verdict.delay_seconds,
                error_type=type(error).__name__,
                error=str(error)[:500],
            )
            await self.on_waiting(event, verdict, error)
            await raw.nak(delay=verdict.delay_seconds)
            return "waiting"
        return await self._give_up(row, event, raw, verdict)

    async def _give_up(self, row: Subscription[Any], event: Event, raw: Msg, verdict: GiveUp) -> str:
        _log.error(
            "a step failed for good",
            event_kind=event.kind,
            environment=event.subject,
            run_id=str(event.run_id),
            code=verdict.error.code,
            attempts=verdict.attempts,
            error=str(verdict.error)[:500],
            exc_info=verdict.error.__cause__,
        )
        if row.or_else is None or row.explain is None:
            await self._lay_aside(raw, verdict.error.code, verdict.error)
        else:
            await self.publisher.say(row.or_else, row.explain(event, GaveUp(verdict.error, verdict.attempts)), event)
        await raw.ack()
        return "failed"

    def _check(self, event: Event, subject: str) -> None:
        """Refuse an event that stands on the wrong subject, or whose id does not follow from its cause."""
        original = subjects.original(subject)
        if subjects.of(event) != original:
            raise _MisplacedError(f"an event {event.type} of {event.subject} stands on {original}")
        if event.id != self.key.derive(event.causation_id, event.kind):
            raise _MisplacedError("the event's id does not follow from its cause")
        if event.kind not in self._rows:
            raise _MisplacedError(f"{self.service} does not hear {event.kind}")

    async def _lay_aside(self, raw: Msg, reason: str, error: Exception) -> None:
        if isinstance(error, ValidationError):
            text = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:5]
            )
        else:
            text = str(error)
        await dead_letters.lay_aside(
            self.bus,
            service=self.service,
            subject=raw.subject,
            stream=raw.metadata.stream,
            sequence=raw.metadata.sequence.stream,
            body=raw.data,
            reason=reason,
            error=text,
        )


async def _as_it_is(raw: Msg) -> NatsMessage:
    """For FastStream: nothing of a message is its business. Its own parser would take it for one that nobody is to
    acknowledge, and an id that is not given is made of randomness that nobody looks at."""
    return NatsMessage(raw_message=raw, body=raw.data, correlation_id=raw.reply)


def _stop_if_called_off(row: Subscription[Any], sight: Sight) -> None:
    if row.goes_forward and sight.view == "called off":
        raise PermanentError(
            "called_off",
            "The run was called off.",
            next_step="Nothing: what the run had made is being taken away again.",
        )


def _known_place(event: Event, raw: Msg) -> int:
    """Where on the log the event's first copy is, if this message is certainly that; 0 otherwise."""
    place = raw.metadata
    first = place.stream == subjects.ENVIRONMENTS and is_first_copy(event, place.timestamp)
    return place.sequence.stream if first else 0


class _MisplacedError(Exception):
    """A well-formed event that cannot have come from where it says."""

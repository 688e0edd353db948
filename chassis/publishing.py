"""The one way out: an event is built here, with an id that follows from its cause, and is stored before anybody goes
on.

Invariant: `say` may be called any number of times for the same cause and kind; the log holds one event.
"""

from typing import TypeVar, cast
from uuid import UUID

from pydantic import ValidationError

from chassis import tracing
from chassis.bus import Bus, ConflictError, Expectation, Stored
from chassis.clock import Clock
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event, ServiceName, Value
from contracts.signals import Signal

E = TypeVar("E", bound=Event)


class Publisher:
    """Says a service's events."""

    def __init__(self, bus: Bus, service: ServiceName, key: EventKey, clock: Clock) -> None:
        self._bus = bus
        self._service = service
        self._key = key
        self._clock = clock

    def id_of(self, kind: type[Event], cause: UUID) -> UUID:
        """The id that an event of this kind has when `cause` brings it about."""
        return self._key.derive(cause, kind.kind)

    def compose(self, kind: type[E], data: Value, because: Event) -> E:
        """The event of this kind that `because` brings about, in the same run. Nothing is said yet."""
        return kind.model_validate(
            {
                "id": self._key.derive(because.id, kind.kind),
                "source": self._service,
                "type": _type_of(kind),
                "subject": because.subject,
                "time": self._clock.now(),
                "incarnation": because.incarnation,
                "runid": because.run_id,
                "correlationid": because.correlation_id,
                "causationid": because.id,
                "traceparent": tracing.traceparent() or because.traceparent,
                "data": data,
            }
        )

    async def say(self, kind: type[E], data: Value, because: Event) -> E:
        """Say that `because` had this outcome; returns when it is stored. Raises as `Bus.publish`."""
        event = self.compose(kind, data, because)
        await self.store(event)
        return event

    async def store(self, event: Event, *, after_sequence: int | None = None) -> Stored:
        """Put a composed event on the log; with `after_sequence` only if nothing has happened to its environment since.
        Raises as `Bus.publish`; a ConflictError may also mean that it is there already."""
        return await self._bus.publish(
            subjects.of(event),
            event.to_json(),
            stream=subjects.ENVIRONMENTS,
            message_id=str(event.id),
            expect=Expectation(subjects.every_event_of(event.subject), after_sequence)
            if after_sequence is not None
            else None,
        )

    async def begin_run(
        self,
        kind: type[E],
        data: Value,
        *,
        environment: str,
        cause: UUID,
        last_sequence: int,
        incarnation: UUID | None = None,
        traceparent: str | None = None,
    ) -> tuple[E, int]:
        """Begin a run: store its request on the condition that nothing has happened to the environment since
        `last_sequence`. Returns the event and its stream sequence.

        The id follows from `cause`, so asking again for the same cause finds the run that was begun. A request without
        `incarnation` begins a new one. Raises `ConflictError` where somebody else was first.
        """
        return await self.tell(
            kind,
            data,
            environment=environment,
            cause=cause,
            last_sequence=last_sequence,
            incarnation=incarnation,
            traceparent=traceparent,
        )

    async def tell(
        self,
        kind: type[E],
        data: Value,
        *,
        environment: str,
        cause: UUID,
        last_sequence: int | None = None,
        incarnation: UUID | None = None,
        run_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> tuple[E, int]:
        """Say what no other event brought about: a person's wish, a decision of the clock. Its id follows from `cause`.

        Without `last_sequence` it is unconditional; without `incarnation` or `run_id` it is the first of its own.
        Returns the event and its stream sequence. Raises `ConflictError` where the condition does not hold.
        """
        event_id = self._key.derive(cause, kind.kind)
        event = kind.model_validate(
            {
                "id": event_id,
                "source": self._service,
                "type": _type_of(kind),
                "subject": environment,
                "time": self._clock.now(),
                "incarnation": incarnation or event_id,
                "runid": run_id or event_id,
                "correlationid": event_id,
                "causationid": cause,
                "traceparent": traceparent or tracing.traceparent(),
                "data": data,
            }
        )
        try:
            stored = await self.store(event, after_sequence=last_sequence)
        except ConflictError:
            # A single server checks the expectation before the message id, so our own earlier success looks like this.
            last = await self._bus.last_stored(subjects.ENVIRONMENTS, subjects.of(event))
            ours = _read(kind, last.data) if last is not None else None
            if last is None or last.seq is None or ours is None or ours.id != event_id:
                raise
            return ours, last.seq
        return event, stored.sequence


def _read(kind: type[E], body: bytes | None) -> E | None:
    try:
        return kind.model_validate_json(body or b"")
    except ValidationError:
        return None


def _type_of(kind: type[Event]) -> str:
    return cast("str", kind.model_fields["type"].default)


class FactPublisher:
    """Says facts on the stream `SIGNALS`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def say(self, signal: Signal) -> None:
        """Store a fact: once, however often it is said within two minutes. Raises `TransientError` where the bus is
        away and `PermanentError` where it denies."""
        await self._bus.publish(
            subjects.of_signal(signal), signal.to_json(), stream=subjects.SIGNALS, message_id=str(signal.id)
        )

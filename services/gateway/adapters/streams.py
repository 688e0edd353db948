"""Reading the bus's streams by position, with direct gets (JetStream API `$JS.API.DIRECT.GET.<stream>`): a run's events
and log lines, and dead letters."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from pydantic import ValidationError

from chassis import dead_letters as headers
from chassis import tracing
from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from contracts import subjects
from contracts.envelope import Event
from contracts.events import parse
from contracts.step_log import StepLine
from contracts.topology import CONSUMERS, STREAMS
from services.gateway.ports import DeadLetter, Wake

_NOT_FOUND: Final = "404"
_ADVISORY: Final = "$JS.EVENT.ADVISORY.CONSUMER."
_PAGE: Final = 50
"""How many dead letters are read at once."""


@dataclass(frozen=True)
class _Message:
    sequence: int
    subject: str
    headers: dict[str, str]
    body: bytes


async def _get(bus: Bus, stream: str, question: dict[str, Any]) -> _Message | None:
    """One message of a stream; None where there is none. Raises as `Bus.ask`."""
    answer = await bus.ask(f"$JS.API.DIRECT.GET.{stream}", json.dumps(question).encode())
    found: dict[str, str] = dict(answer.headers or {})
    status = found.get("Status")
    if status == _NOT_FOUND:
        return None
    if status is not None or "Nats-Sequence" not in found:
        raise TransientError(f"the stream {stream} cannot be read: {found.get('Description', 'no reason given')}")
    return _Message(int(found["Nats-Sequence"]), found["Nats-Subject"], found, answer.data)


class _Heard(Protocol):
    @property
    def subject(self) -> str: ...


@dataclass(eq=False)
class _Waker:
    """Fulfils `ports.Wake`."""

    told: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self) -> None:
        self.told.clear()

    async def wait(self, timeout_seconds: float) -> bool:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.told.wait()
        except TimeoutError:
            return False
        return True


class StreamRunLog:
    """Fulfils `ports.RunLog`. One subscription of each kind serves every reader of this process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: defaultdict[str, set[_Waker]] = defaultdict(set)

    async def listen(self) -> None:
        """Begin to hear what is published."""
        await self._bus.listen(subjects.ALL_ENVIRONMENT_EVENTS, self._hear)
        for spec in STREAMS:
            if spec.name == subjects.STEP_LOGS:
                for subject in spec.subjects:
                    await self._bus.listen(subject, self._hear)

    async def event_after(self, environment: str, sequence: int) -> tuple[int, Event | None] | None:
        """See the port."""
        found = await self._next(subjects.ENVIRONMENTS, subjects.every_event_of(environment), sequence)
        if found is None:
            return None
        try:
            return found.sequence, parse(found.body)
        except ValidationError:
            return found.sequence, None

    async def line_after(self, run_id: UUID, sequence: int) -> tuple[int, StepLine | None] | None:
        """See the port."""
        found = await self._next(subjects.STEP_LOGS, subjects.step_logs_of(run_id), sequence)
        if found is None:
            return None
        try:
            return found.sequence, StepLine.model_validate_json(found.body)
        except ValidationError:
            return found.sequence, None

    @contextmanager
    def watch(self, environment: str, run_id: UUID) -> Iterator[Wake]:
        """See the port."""
        waker = _Waker()
        keys = (environment, str(run_id))
        for key in keys:
            self._waiting[key].add(waker)
        try:
            yield waker
        finally:
            for key in keys:
                self._waiting[key].discard(waker)
                if not self._waiting[key]:
                    del self._waiting[key]

    async def _hear(self, message: _Heard) -> None:
        # The second token of either subject is what a reader waits for: an environment's name or a run's id.
        for waker in self._waiting.get(message.subject.split(".", 2)[1], ()):
            waker.told.set()

    async def _next(self, stream: str, subject: str, after: int) -> _Message | None:
        return await _get(self._bus, stream, {"seq": after + 1, "next_by_subj": subject})


class StreamDeadLetters:
    """Fulfils `ports.DeadLetters`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def page(self, before: int | None, limit: int) -> list[DeadLetter]:
        """See the port."""
        answer = await self._bus.ask(f"$JS.API.STREAM.INFO.{subjects.DEAD_LETTERS}", b"")
        state = json.loads(answer.data).get("state")
        if state is None:
            raise TransientError("the dead letters cannot be read")
        # A stream that never held anything begins at 0, which is no message.
        first, newest = max(int(state["first_seq"]), 1), int(state["last_seq"])
        sequence = newest if before is None else min(newest, before - 1)
        letters: list[DeadLetter] = []
        while sequence >= first and len(letters) < limit:
            sequences = range(sequence, max(first - 1, sequence - _PAGE), -1)
            found = await asyncio.gather(*(self.find(one) for one in sequences))
            letters += [letter for letter in found if letter is not None]
            sequence = sequences[-1] - 1
        return letters[:limit]

    async def find(self, sequence: int) -> DeadLetter | None:
        """See the port."""
        message = await _get(self._bus, subjects.DEAD_LETTERS, {"seq": sequence})
        return _letter(message) if message is not None else None

    async def replay(self, letter: DeadLetter, message_id: str, by: str) -> int:
        """See the port."""
        if not letter.replayable:
            raise PermanentError(
                "not_replayable", f"{letter.service} takes nothing back", next_step="Look at its log instead."
            )
        stored = await self._bus.publish(
            subjects.replay(letter.service, _original(letter.subject)),
            letter.body,
            stream=subjects.REPLAYS,
            message_id=message_id,
            headers={"Slipway-Replayed-By": by, "Slipway-Dead-Letter": str(letter.sequence)},
        )
        return stored.sequence


def _letter(message: _Message) -> DeadLetter:
    time = message.headers.get("Nats-Time-Stamp")
    common: dict[str, Any] = {
        "sequence": message.sequence,
        "time": datetime.fromisoformat(_microseconds(time)) if time else None,
        "body": message.body,
    }
    if message.subject.startswith(_ADVISORY):
        return _advisory(message, common)
    service = message.subject.split(".")[1]
    subject = message.headers.get(headers.SUBJECT_HEADER) or message.subject.split(".", 2)[2]
    original = message.headers.get(headers.SEQUENCE_HEADER, "")
    return DeadLetter(
        **common,
        service=service,
        subject=subject,
        reason=message.headers.get(headers.REASON_HEADER, "unknown"),
        error=message.headers.get(headers.ERROR_HEADER, ""),
        original_sequence=int(original) if original.isdigit() else None,
        trace_id=tracing.trace_id_of(message.headers.get(headers.TRACEPARENT_HEADER)),
        replayable=_takes_replays(service),
    )


def _advisory(message: _Message, common: dict[str, Any]) -> DeadLetter:
    """What the server itself says of a message that it gave up: the net under our own counting."""
    try:
        said = json.loads(message.body)
    except ValueError:
        said = {}
    reason = message.subject.removeprefix(_ADVISORY).split(".")[0].lower()
    return DeadLetter(
        **common,
        service=str(said.get("consumer", "unknown")),
        subject=message.subject,
        reason=reason,
        error=f"the bus gave up a message of {said.get('stream', '?')} after {said.get('deliveries', '?')} tries",
        original_sequence=said.get("stream_seq"),
        trace_id=None,
        replayable=False,
    )


def _takes_replays(service: str) -> bool:
    return any(consumer.service == service and consumer.stream == subjects.REPLAYS for consumer in CONSUMERS)


def _original(subject: str) -> str:
    """Where it first stood: a replay that failed again stands on `replay.<service>.<original>`."""
    return subject.split(".", 2)[2] if subject.startswith("replay.") else subject


def _microseconds(time: str) -> str:
    """RFC 3339 with nanoseconds, cut to what `datetime` holds."""
    head, _, fraction = time.removesuffix("Z").partition(".")
    return f"{head}.{fraction[:6].ljust(6, '0')}+00:00"

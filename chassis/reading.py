"""Reading what a durable delivers, beside the events that `consuming` carries out: timers, facts.

Invariant: a message is answered when its deed returns, and only then.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from chassis.bus import Bus
from chassis.failures import TransientError
from chassis.pulling import Pull, stream_sequence
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)

ACK: Final = b"+ACK"


def later(seconds: float) -> bytes:
    """The answer that has a message come again after a while (NATS ADR-37: `-NAK` with a delay)."""
    return b"-NAK " + json.dumps({"delay": int(seconds * 1e9)}).encode()


class _Message(Protocol):
    """A message of the stream, as far as it matters here."""

    subject: str
    reply: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A message that arrived."""

    subject: str
    body: bytes
    reply: str

    @property
    def kind(self) -> str:
        """The last token of its subject."""
        return self.subject.rpartition(".")[2]

    @property
    def sequence(self) -> int:
        """Its place in the stream."""
        return stream_sequence(self.reply)


class Reader:
    """Feeds the body of each message to `deed`, which says what to answer the bus: `ACK`, or `later`."""

    def __init__(
        self,
        bus: Bus,
        spec: ConsumerSpec,
        deed: Callable[[bytes], Awaitable[bytes]],
        *,
        batch: int,
        workers: int = 1,
    ) -> None:
        """`batch` is how many messages wait at most; `workers` how many deeds go on at once."""
        self._bus = bus
        self._deed = deed
        self._workers = workers
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._pull = Pull(bus, spec, self._receive, lambda: batch - self._waiting.qsize())

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pull.run())
            for _ in range(self._workers):
                tasks.create_task(self._work())

    def _receive(self, message: _Message) -> None:
        self._waiting.put_nowait((message.reply, message.data))

    async def _work(self) -> None:
        while True:
            reply, body = await self._waiting.get()
            await self._bus.client.publish(reply, await self._deed(body))
            self._pull.go_on()


class _BrokenError(Exception):
    """A deed broke, and nothing says that it would not break again."""


class BatchReader:
    """Feeds whatever has arrived meanwhile to `deed` together, one batch at a time, so that many messages cost little
    more than one. A message is acknowledged when `deed` returns. Where something is away (`TransientError`) all of
    them come again later; where one of them breaks the deed, each is tried by itself, and what fails then comes again
    later."""

    def __init__(
        self,
        bus: Bus,
        spec: ConsumerSpec,
        deed: Callable[[Sequence[Found]], Awaitable[None]],
        *,
        batch: int,
        linger_seconds: float = 0.0,
        later_seconds: float = 5.0,
    ) -> None:
        """`batch` is how many messages wait at most; `linger_seconds` for how long more are gathered after the first;
        `later_seconds` when a message that failed comes again."""
        self._bus = bus
        self._spec = spec
        self._deed = deed
        self._linger_seconds = linger_seconds
        self._later = later(later_seconds)
        self._waiting: list[Found] = []
        self._arrived = asyncio.Event()
        self._pull = Pull(bus, spec, self._receive, lambda: batch - len(self._waiting))

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pull.run())
            tasks.create_task(self._work())

    def _receive(self, message: _Message) -> None:
        self._waiting.append(Found(message.subject, message.data, message.reply))
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if self._linger_seconds:
                await asyncio.sleep(self._linger_seconds)
            self._arrived.clear()
            found, self._waiting = self._waiting, []
            try:
                await self._answer(found, ACK if await self._try(found) else self._later)
            except _BrokenError:
                for one in found:
                    await self._alone(one)
            self._pull.go_on()

    async def _alone(self, one: Found) -> None:
        try:
            await self._answer([one], ACK if await self._try([one]) else self._later)
        except _BrokenError:
            await self._answer([one], self._later)

    async def _try(self, found: Sequence[Found]) -> bool:
        """Whether it is done; not so where something is away. Raises `_BrokenError` for anything else."""
        try:
            await self._deed(found)
        except TransientError as error:
            _log.warning(
                "what was read is handled later",
                durable=self._spec.durable,
                stream=self._spec.stream,
                messages=len(found),
                error=str(error)[:500],
            )
            return False
        except Exception as error:
            _log.warning(
                "what was read could not be handled",
                durable=self._spec.durable,
                stream=self._spec.stream,
                messages=len(found),
                error_type=type(error).__name__,
                exc_info=True,
            )
            raise _BrokenError from error
        return True

    async def _answer(self, found: Sequence[Found], answer: bytes) -> None:
        for one in found:
            await self._bus.client.publish(one.reply, answer)

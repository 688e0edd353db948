"""Reading what a durable delivers, beside the events that `consuming` carries out: timers, facts.

Invariant: a message is answered when its deed returns, and only then.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from chassis.bus import Bus
from chassis.pulling import Pull
from contracts.topology import ConsumerSpec

ACK: Final = b"+ACK"


def later(seconds: float) -> bytes:
    """The answer that has a message come again after a while (NATS ADR-37: `-NAK` with a delay)."""
    return b"-NAK " + json.dumps({"delay": int(seconds * 1e9)}).encode()


class _Message(Protocol):
    """A message of the stream, as far as it matters here."""

    reply: str
    data: bytes


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

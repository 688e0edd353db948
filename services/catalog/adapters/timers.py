"""Message schedules of the bus (NATS ADR-51): setting a timer, and hearing of those that fire.

A schedule is a message on `timer.set.<name>.<kind>`; a later one on the same subject replaces it. What it fires
reaches consumers of the stream only.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Final, Protocol
from uuid import uuid4

import structlog
from pydantic import ValidationError

from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from chassis.pulling import Pull
from contracts import subjects
from contracts.timers import Timer
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)

_WORKERS: Final = 4
_BATCH: Final = 100
_FIRED_TTL: Final = "1h"
"""How long the stream keeps what has fired: it is a hint, and whatever it called for is found again by the sweep."""
_LATER: Final = b"-NAK " + json.dumps({"delay": 1_000_000_000}).encode()


class BusTimers:
    """See `ports.Timers`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def set(self, timer: Timer) -> None:
        due_at = timer.due_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        headers = {
            "Nats-Schedule": f"@at {due_at}",
            "Nats-Schedule-Target": subjects.timer_fired(timer.environment, timer.kind),
            "Nats-Schedule-TTL": _FIRED_TTL,
        }
        await self._bus.publish(
            subjects.timer_set(timer.environment, timer.kind),
            timer.model_dump_json().encode(),
            stream=subjects.TIMERS,
            message_id=str(uuid4()),  # setting the same timer again is meant
            headers=headers,
        )


class _Firing(Protocol):
    """A message of the stream, as far as it matters here."""

    reply: str
    data: bytes


class Firings:
    """Feeds what fires to `decide`; a firing is acknowledged when that returns, and comes again where it cannot."""

    def __init__(self, bus: Bus, spec: ConsumerSpec, decide: Callable[[Timer], Awaitable[None]]) -> None:
        self._bus = bus
        self._decide = decide
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._pull = Pull(bus, spec, self._receive, lambda: _BATCH - self._waiting.qsize())

    async def run(self) -> None:
        """Hear until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pull.run())
            for _ in range(_WORKERS):
                tasks.create_task(self._work())

    def _receive(self, message: _Firing) -> None:
        self._waiting.put_nowait((message.reply, message.data))

    async def _work(self) -> None:
        while True:
            reply, body = await self._waiting.get()
            await self._bus.client.publish(reply, await self._handle(body))
            self._pull.go_on()

    async def _handle(self, body: bytes) -> bytes:
        try:
            await self._decide(Timer.model_validate_json(body))
        except ValidationError as error:
            _log.error("what fired is not a timer of ours", errors=error.error_count())
        except (TransientError, PermanentError) as error:
            _log.warning("a timer waits", error=str(error))
            return _LATER
        return b"+ACK"

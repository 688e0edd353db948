"""Message schedules of the bus (NATS ADR-51): setting a timer, and hearing of those that fire.

A schedule is a message on `timer.set.<name>.<kind>`; a later one on the same subject replaces it. What it fires
reaches consumers of the stream only.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Final
from uuid import uuid4

import structlog
from pydantic import ValidationError

from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from chassis.reading import ACK, Reader, later
from contracts import subjects
from contracts.timers import Timer
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)

_WORKERS: Final = 4
_BATCH: Final = 100
_FIRED_TTL: Final = "1h"
"""How long the stream keeps what has fired: it is a hint, and whatever it called for is found again by the sweep."""
_LATER_SECONDS: Final = 1.0


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


class Firings:
    """Feeds what fires to `decide`; a firing is acknowledged when that returns, and comes again where it cannot."""

    def __init__(self, bus: Bus, spec: ConsumerSpec, decide: Callable[[Timer], Awaitable[None]]) -> None:
        self._decide = decide
        self.run = Reader(bus, spec, self._handle, batch=_BATCH, workers=_WORKERS).run
        """Hear until cancelled."""

    async def _handle(self, body: bytes) -> bytes:
        try:
            await self._decide(Timer.model_validate_json(body))
        except ValidationError as error:
            _log.error("what fired is not a timer of ours", errors=error.error_count())
        except (TransientError, PermanentError) as error:
            _log.warning("a timer waits", error=str(error))
            return later(_LATER_SECONDS)
        return ACK

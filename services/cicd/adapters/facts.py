"""Saying facts, and reading what was said last."""

from datetime import datetime

from pydantic import ValidationError

from chassis.bus import Bus
from chassis.publishing import FactPublisher
from contracts import subjects
from contracts.signals import Signal, TicketChanged
from contracts.upcasting import read


class BusFacts:
    """Fulfils `ports.Facts`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._publisher = FactPublisher(bus)

    async def say(self, signal: Signal) -> None:
        """See the port."""
        await self._publisher.say(signal)

    async def last_change(self) -> datetime | None:
        """See the port. What stands there and is none counts as nothing: everything is told once more."""
        last = await self._bus.last(subjects.SIGNALS, subjects.of_platform(TicketChanged))
        try:
            return read(TicketChanged.model_validate_json, last.data or b"").time if last is not None else None
        except ValidationError:
            return None

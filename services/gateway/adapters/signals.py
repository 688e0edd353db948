"""Facts from outside, put on the stream `SIGNALS`."""

from chassis.bus import Bus
from contracts import subjects
from contracts.signals import Signal


class BusSignals:
    """Fulfils `ports.Signals`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def say(self, signal: Signal) -> None:
        """See the port."""
        await self._bus.publish(
            subjects.of_signal(signal), signal.to_json(), stream=subjects.SIGNALS, message_id=str(signal.id)
        )

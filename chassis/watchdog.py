"""Watches the durables a service fetches from: asks after each, shows its lag, and makes readiness red while one is
missing. Whoever fetches from it goes on asking, and finds it when it is back."""

import asyncio
import time
from collections.abc import Sequence

import nats.errors
import structlog
from nats.js.errors import APIError, NotFoundError

from chassis import metrics
from chassis.bus import Bus
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)


class Watchdog:
    """One look at every durable each `interval_seconds`."""

    def __init__(self, bus: Bus, durables: Sequence[ConsumerSpec], interval_seconds: float = 5.0) -> None:
        self._bus = bus
        self._durables = durables
        self._interval_seconds = interval_seconds
        self._missing: dict[str, str] = {}
        self._moved: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            for spec in self._durables:
                await self._look(spec)
            await asyncio.sleep(self._interval_seconds)

    async def check(self) -> None:
        """Raise where a durable is missing."""
        if self._missing:
            raise LookupError("; ".join(self._missing.values()))

    async def _look(self, spec: ConsumerSpec) -> None:
        path = f"{spec.stream}/{spec.durable}"
        try:
            info = await self._bus.jetstream.consumer_info(spec.stream, spec.durable)
        except NotFoundError:
            if path not in self._missing:
                _log.error("a durable is missing", durable=path)
            self._missing[path] = f"the durable {path} is missing: `make up` makes it again"
            return
        except (nats.errors.Error, APIError, TimeoutError) as error:
            _log.warning("could not look at a durable", durable=path, error_type=type(error).__name__)
            return
        if self._missing.pop(path, None):
            _log.info("a durable is back", durable=path)
        # A service may have several durables of a stream; that of its own name is the one that is meant without one.
        stream = spec.stream if spec.durable == spec.service else path
        metrics.CONSUMER_PENDING.labels(spec.service, stream).set(info.num_pending or 0)
        metrics.CONSUMER_LAG.labels(spec.service, stream).set(self._waiting_seconds(path, info))

    def _waiting_seconds(self, path: str, info: object) -> float:
        """How long something has been waiting without the durable moving on."""
        delivered = getattr(getattr(info, "delivered", None), "stream_seq", 0) or 0
        pending = getattr(info, "num_pending", 0) or 0
        now = time.monotonic()
        last, since = self._moved.get(path, (-1, now))
        if delivered != last or not pending:
            last, since = delivered, now
        self._moved[path] = (last, since)
        return now - since

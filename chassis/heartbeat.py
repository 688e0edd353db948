"""Signs of life for every message in flight: one task for all of them, from the moment a message arrives until it is
settled, so that neither a long Terraform run nor a wait for a free worker makes the server deliver it again."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)


class Heartbeat:
    """Calls `beat` of everything registered, at a third of the server's patience."""

    def __init__(self, ack_wait_seconds: float) -> None:
        self._interval_seconds = ack_wait_seconds / 3
        self._alive: dict[int, Callable[[], Awaitable[object]]] = {}

    def add(self, key: int, beat: Callable[[], Awaitable[object]]) -> None:
        """Keep `key` alive from now on."""
        self._alive[key] = beat

    def remove(self, key: int) -> None:
        """Let `key` go."""
        self._alive.pop(key, None)

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            beats = list(self._alive.values())
            for result in await asyncio.gather(*(beat() for beat in beats), return_exceptions=True):
                if isinstance(result, Exception):
                    _log.warning("heartbeat failed", error_type=type(result).__name__)

"""Messages that a newer release said and this one cannot read, left to a newer process of the same service: it shares
the durable while one replaces the other.

Invariant: what is left is not lost: its copy is stored before it is acknowledged, and after a day it is left no more.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

import structlog
from nats.aio.msg import Msg

from chassis.bus import Bus
from chassis.heartbeat import Heartbeat
from contracts import subjects
from contracts.envelope import ServiceName

_log = structlog.get_logger(__name__)

SINCE_HEADER: Final = "Slipway-Left-Since"
"""Seconds since 1970 at which a message was first left to a newer process."""
LEFT_FOR_SECONDS: Final = 86400.0
"""How long a message is left for. After a day no release is on its way any more; a dead letter shows it to somebody."""


@dataclass
class Leaving:
    """What one process leaves. `pause_seconds` is how soon a message may come to a newer one."""

    bus: Bus
    service: ServiceName
    heartbeat: Heartbeat
    pause_seconds: float
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)

    @staticmethod
    def may(raw: Msg) -> bool:
        """Whether this message has not been left for too long."""
        since = _since(raw)
        return since.isdecimal() and time.time() - int(since) < LEFT_FOR_SECONDS

    def leave(self, raw: Msg) -> None:
        """Leave a message, without keeping a worker from its work; it is answered later."""
        _log.warning("left a message to a newer release", subject=raw.subject, sequence=raw.metadata.sequence.stream)
        task = asyncio.create_task(self._put_back(raw))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Hand back at once what waits to be left."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _put_back(self, raw: Msg) -> None:
        """After a while put a copy where dead letters are sent back to, and acknowledge. A copy has no attempts behind
        it; a message that was handed back would come to whoever can read it with none left."""
        place = raw.metadata
        self.heartbeat.add(~id(raw), raw.in_progress)
        try:
            await asyncio.sleep(self.pause_seconds)
            await self.bus.publish(
                subjects.replay(self.service, subjects.original(raw.subject)),
                raw.data,
                stream=subjects.REPLAYS,
                message_id=f"left-{self.service}-{place.stream}-{place.sequence.stream}",
                headers={SINCE_HEADER: _since(raw)},
            )
            await raw.ack()
        except asyncio.CancelledError:
            await raw.nak()
        except Exception as error:  # noqa: BLE001 - the last line: nothing is dropped
            _log.warning("could not leave a message", subject=raw.subject, error=str(error))
            await raw.nak(delay=self.pause_seconds)
        finally:
            self.heartbeat.remove(~id(raw))


def _since(raw: Msg) -> str:
    return (raw.headers or {}).get(SINCE_HEADER) or str(int(time.time()))

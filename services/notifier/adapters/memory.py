"""The twins: a ledger and a messenger in memory, which keep the promises of the ports (one contract suite runs on them
and on the real ones). For tests, rehearsals and whoever wants to run the service with nothing beside it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from chassis.clock import Clock
from chassis.failures import PermanentError, TransientError
from services.notifier.domain import Announcement
from services.notifier.ports import Notification, NotSentError, State


@dataclass
class MemoryEntry:
    """A row; fulfils `ports.Entry`."""

    clock: Clock
    state: State = "new"
    first_begun_at: datetime | None = None
    attempts: int = 0
    ts: str | None = None
    begun: bool = False

    async def begin(self) -> None:
        """An attempt begins."""
        self.state, self.attempts, self.ts, self.begun = "sending", self.attempts + 1, None, True
        self.first_begun_at = self.first_begun_at or self.clock.now()

    async def settle(self, state: Literal["unsent", "sent", "stale"], ts: str | None = None) -> None:
        """What became of it."""
        self.state, self.ts = state, ts


class MemoryLedger:
    """Fulfils `ports.Ledger`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: set[Notification] = set()
        self.rows: dict[Notification, MemoryEntry] = {}

    @asynccontextmanager
    async def hold(self, notification: Notification, *, begin: bool = False) -> AsyncIterator[MemoryEntry]:
        """The row, for one at a time."""
        if notification in self._held:
            raise TransientError("another worker sends this right now", delay_seconds=5.0)
        self._held.add(notification)
        entry = self.rows.setdefault(notification, MemoryEntry(self._clock))
        entry.begun = False
        try:
            if begin and entry.state == "new":
                await entry.begin()
            yield entry
        finally:
            self._held.discard(notification)


@dataclass(frozen=True)
class Posted:
    """A message in a channel."""

    ts: str
    event_id: UUID
    announcement: Announcement
    at: datetime


@dataclass
class MemoryMessenger:
    """Fulfils `ports.Messenger`. `away` lets no call through; `busy_seconds` refuses posts until it is None again."""

    clock: Clock
    channels: dict[str, list[Posted]] = field(default_factory=lambda: {"deployments": []})
    away: bool = False
    busy_seconds: float | None = None

    async def find(self, notification: Notification, since: datetime) -> str | None:
        """The message that carries the event's id."""
        for posted in self._channel(notification.channel):
            if posted.event_id == notification.event_id and posted.at >= since:
                return posted.ts
        return None

    async def post(self, notification: Notification, announcement: Announcement) -> str:
        """Put a message into the channel."""
        channel = self._channel(notification.channel)
        if self.busy_seconds is not None:
            raise NotSentError("Slack is busy", delay_seconds=self.busy_seconds)
        at = self.clock.now()
        ts = f"{int(at.timestamp())}.{len(channel):06}"
        channel.append(Posted(ts, notification.event_id, announcement, at))
        return ts

    def _channel(self, name: str) -> list[Posted]:
        if self.away:
            raise TransientError("Slack did not answer")
        if name not in self.channels:
            raise PermanentError(
                "slack_channel_not_found", f"Slack refused for #{name}", next_step=f"Create the channel #{name}."
            )
        return self.channels[name]

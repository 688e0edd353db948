"""The deed: tell the team, once.

Invariant: a message is posted only while its row says `sending` and nobody else holds the row; where an earlier
attempt may have arrived, the channel is searched first, and what is found there is adopted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from chassis.clock import Clock
from chassis.failures import PermanentError
from services.notifier import domain
from services.notifier.domain import Announced, Announcement, Channels
from services.notifier.domain.webhooks import Disabled
from services.notifier.ports import Entry, Ledger, Messenger, Notification, NotSentError

_log = structlog.get_logger(__name__)

WEBHOOK_DISABLED: Final = "webhook_disabled"


@dataclass(frozen=True)
class Handlers:
    """The deeds of the notifier."""

    ledger: Ledger
    messenger: Messenger
    channels: Channels
    clock: Clock
    platform_url: str
    stale_after: timedelta

    async def announce(self, event: Announced) -> None:
        """Tell the owner's team about `event`."""
        owner = event.data.spec.owner
        channel = self.channels.of(owner)
        notification = Notification(event.id, event.kind, event.subject, channel, owner.team)

        def words(now: datetime) -> Announcement:
            return domain.announce(event, self.platform_url, now)

        async with self.ledger.hold(notification, begin=self._is_news(event)) as entry:
            if entry.state in ("sent", "stale"):
                return
            ts = await self._arrived(notification, entry)
            adopted = ts is not None
            if ts is None and not entry.begun and self._is_old(event, entry):
                await entry.settle("stale")
                _log.info("left old news unsaid", event_id=str(event.id), environment=event.subject)
                return
            if ts is None:
                ts = await self._send(notification, entry, words)
            await entry.settle("sent", ts)
        _log.info(
            "told the team",
            event_id=str(event.id),
            event_kind=event.kind,
            environment=event.subject,
            channel=channel,
            adopted=adopted,
        )

    async def tell_disabled(self, disabled: Disabled) -> None:
        """Tell a team, once, that nothing more is sent to a webhook of theirs. Raises as `announce`."""
        hook = disabled.hook
        channel = self.channels.of_team(hook.team)
        notification = Notification(disabled.notice_id, WEBHOOK_DISABLED, "", channel, hook.team)

        def words(_: datetime) -> Announcement:
            return domain.webhook_disabled(hook, self.platform_url)

        async with self.ledger.hold(notification) as entry:
            if entry.state in ("sent", "stale"):
                return
            ts = await self._arrived(notification, entry)
            if ts is None:
                ts = await self._send(notification, entry, words)
            await entry.settle("sent", ts)
        _log.info("told the team", event_id=str(disabled.notice_id), event_kind=WEBHOOK_DISABLED, channel=channel)

    def _is_news(self, event: Announced) -> bool:
        """Whether it is to be told where nobody has heard of it yet."""
        now = self.clock.now()
        return not domain.is_over(event, now) and not domain.is_stale(event, now, self.stale_after)

    def _is_old(self, event: Announced, entry: Entry) -> bool:
        """Whether it is not to be told any more: a warning when what it warns of has happened, anything else when it
        is first heard too late."""
        now = self.clock.now()
        return domain.is_over(event, now) or (entry.state == "new" and domain.is_stale(event, now, self.stale_after))

    async def _arrived(self, notification: Notification, entry: Entry) -> str | None:
        """Where an earlier attempt's message is, if it arrived."""
        if entry.begun or entry.state != "sending" or entry.first_begun_at is None:
            return None
        return await self.messenger.find(notification, entry.first_begun_at)

    async def _send(self, notification: Notification, entry: Entry, words: Callable[[datetime], Announcement]) -> str:
        if not entry.begun:
            await entry.begin()
        try:
            return await self.messenger.post(notification, words(self.clock.now()))
        except (NotSentError, PermanentError):
            await entry.settle("unsent")
            raise

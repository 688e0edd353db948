"""The deed: put what happens to a team's environments in that team's feed, where its programs read it.

Invariant: only the team whose environment it is gets it, and only while the team has a reader: a platform without
readers pays nothing for them. A feed has an event once, however often it is heard within the stream's duplicate window;
after that, and after a log that was put back, its CloudEvents id tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from chassis.clock import Clock
from contracts.topology import FEEDS_KEPT_SECONDS
from services.notifier.domain.news import News
from services.notifier.ports import Feeds, Readers

_KEPT = timedelta(seconds=FEEDS_KEPT_SECONDS)


@dataclass(frozen=True)
class Feeding:
    """Fills the feeds; fulfils `ports.Listener`."""

    readers: Readers
    feeds: Feeds
    clock: Clock

    def wants(self, kind: str) -> bool:  # noqa: ARG002 - the listener's signature
        """Everything, where anybody reads."""
        return bool(self.readers.teams())

    async def hear(self, news: Sequence[News]) -> None:
        """Put each in the feed of its team. What is older than a feed keeps is no news."""
        teams, oldest = self.readers.teams(), self.clock.now() - _KEPT
        for one in news:
            if one.owned.team in teams and one.message.time > oldest:
                await self.feeds.put(one)

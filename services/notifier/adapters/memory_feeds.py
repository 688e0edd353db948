"""The twins of the feeds: who reads, and what is there to read, in memory."""

from dataclasses import dataclass, field
from uuid import UUID

from services.notifier.domain.news import News


@dataclass
class MemoryReaders:
    """Fulfils `ports.Readers`."""

    read: set[str] = field(default_factory=set)

    def teams(self) -> frozenset[str]:
        """See the port."""
        return frozenset(self.read)


@dataclass
class MemoryFeeds:
    """Fulfils `ports.Feeds`. Its duplicate window has no end."""

    kept: dict[str, list[News]] = field(default_factory=dict)
    _ids: set[UUID] = field(default_factory=set)

    async def put(self, news: News) -> None:
        """See the port."""
        if news.message.id not in self._ids:
            self._ids.add(news.message.id)
            self.kept.setdefault(news.owned.team, []).append(news)

"""The feeds on the bus, and the list of who reads them in the file that the operator's command writes."""

import os
from pathlib import Path

import structlog
from pydantic import ValidationError

from chassis.bus import Bus
from contracts import subjects
from contracts.readers import ReaderList
from services.notifier.domain.news import News

_log = structlog.get_logger(__name__)


class FileReaders:
    """Fulfils `ports.Readers`. The file is read again whenever another one stands in its place, so a reader hears what
    is said right after it was added. One that cannot be read leaves the readers as they were."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._teams: frozenset[str] = frozenset()

    def teams(self) -> frozenset[str]:
        """See the port."""
        if self._path is None:
            return self._teams
        try:
            found = os.stat(self._path)  # noqa: PTH116 - asked for every message: half the time of pathlib's
        except FileNotFoundError:
            self._seen, self._teams = None, frozenset()
            return self._teams
        if (seen := (found.st_ino, found.st_mtime_ns, found.st_size)) != self._seen:
            self._seen = seen
            self._read(self._path)
        return self._teams

    def _read(self, path: Path) -> None:
        try:
            self._teams = ReaderList.model_validate_json(path.read_bytes()).teams
        except (OSError, ValidationError) as error:
            _log.error(
                "the list of readers cannot be read; the readers stay as they were",
                path=str(path),
                error_type=type(error).__name__,
            )
        else:
            _log.info("read who reads feeds", teams=sorted(self._teams))


class BusFeeds:
    """Fulfils `ports.Feeds`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def put(self, news: News) -> None:
        """See the port."""
        await self._bus.publish(
            subjects.fed(news.owned.team, news.environment, news.kind),
            news.body,
            stream=subjects.FEEDS,
            message_id=str(news.message.id),
        )

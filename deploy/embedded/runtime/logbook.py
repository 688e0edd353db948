"""What an application prints, kept as it came with the time it came, in files of bounded size.

Invariant: what one environment prints takes a bounded part of the disk and of our attention, and a value that was given
to it as a secret is not in it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from contracts.deployments import OutputLine

LINE_BYTES: Final = 16 * 1024
KEPT_FILES: Final = 3
_BACKLOG: Final = 2000
"""How many lines a reader may lag behind before it misses some."""
_HIDDEN: Final = "********"
_SHORTEST_SECRET: Final = 8
Stream = Literal["out", "err", "run"]


class Logbook:
    """The output of one environment: `app.log`, then `app.log.1`, `app.log.2`."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._path = directory / "app.log"
        self._max_bytes = max_bytes
        self._readers: set[asyncio.Queue[OutputLine]] = set()

    def write(self, release: str, stream: Stream, text: str, secrets: Iterable[str] = ()) -> None:
        """Keep one line and tell those who follow. A slot that has just gone keeps nothing any more."""
        for value in secrets:
            if len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, _HIDDEN)
        line = OutputLine(time=datetime.now(UTC), release=release, stream=stream, text=text.replace("\n", " "))
        with suppress(FileNotFoundError, NotADirectoryError):
            self._append(line)
        for reader in self._readers:
            if reader.full():
                reader.get_nowait()
            reader.put_nowait(line)

    def _append(self, line: OutputLine) -> None:
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(line.model_dump_json() + "\n")
            size = file.tell()
        if size > self._max_bytes:
            for number in range(KEPT_FILES - 1, 0, -1):
                older = self._file(number - 1)
                if older.exists():
                    older.replace(self._file(number))

    def _file(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def tail(self, lines: int, release: str | None = None) -> list[OutputLine]:
        """The last lines, the oldest first; of one release alone where it is named."""
        found: list[OutputLine] = []
        for number in range(KEPT_FILES):
            try:
                with self._file(number).open(encoding="utf-8") as file:
                    texts = file.readlines()
            except (FileNotFoundError, NotADirectoryError):
                break
            for text in reversed(texts):
                if len(found) >= lines:
                    return found[::-1]
                line = _read(text)
                if line is not None and release in {None, line.release}:
                    found.append(line)
        return found[::-1]

    async def follow(self, lines: int) -> AsyncIterator[OutputLine]:
        """The last lines, and then each as it comes, for ever."""
        reader: asyncio.Queue[OutputLine] = asyncio.Queue(_BACKLOG)
        self._readers.add(reader)
        try:
            for line in self.tail(lines):
                yield line
            while True:
                yield await reader.get()
        finally:
            self._readers.discard(reader)


def _read(text: str) -> OutputLine | None:
    """A line as it was written; None for one that a full disk or a kill cut short."""
    try:
        return OutputLine.model_validate_json(text)
    except ValueError:
        return None

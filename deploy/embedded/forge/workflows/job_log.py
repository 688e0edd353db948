"""The log of a job: one file of lines, each with its moment in front, as GitHub's.

Invariant: the file only grows, so a reader that remembers its place never sees a line twice; it stops at a limit and
says so.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_LIMIT_BYTES: Final = 16 * 1024 * 1024
_LONGEST_LINE: Final = 16 * 1024
_STAMP_LENGTH: Final = len("2026-11-23T12:47:54.1234567Z ")


class JobLog:
    """A log being written."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = path.open("wb")
        self.size = 0
        self._full = False

    def line(self, text: str) -> None:
        """Add a line (or several)."""
        for each in text.split("\n"):
            self._write(each[:_LONGEST_LINE])

    def _write(self, text: str) -> None:
        if self._full:
            return
        if self.size > _LIMIT_BYTES:
            self._full = True
            text = f"##[warning]The log is longer than {_LIMIT_BYTES // 1024 // 1024} MiB; what follows is left out."
        now = datetime.now(UTC)
        raw = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond * 10:07d}Z {text}\n".encode("utf-8", "replace")
        self._file.write(raw)
        self._file.flush()
        self.size += len(raw)

    def close(self) -> None:
        """No more lines."""
        self._file.close()


def lines(path: Path, start: int, end: int | None, limit_bytes: int) -> Iterator[str]:
    """The lines between two places of a log, without their moments; of more than `limit_bytes` the last ones. Nothing
    for a log that is not there."""
    try:
        with path.open("rb") as file:
            stop = path.stat().st_size if end is None else end
            file.seek(max(start, stop - limit_bytes))
            raw = file.read(max(0, stop - file.tell()))
    except FileNotFoundError:
        return
    found = raw.decode("utf-8", "replace").splitlines()
    if stop - start > limit_bytes:
        yield "…"
        found = found[1:]
    for line in found:
        yield line[_STAMP_LENGTH:]

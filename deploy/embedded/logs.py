"""Reading the logs that the supervisor keeps, one file a process."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from deploy.embedded.errors import PlatformError
from deploy.embedded.home import Home

_TAIL_BYTES = 64 << 10
_FOLLOW_SECONDS = 0.2


def log_file(home: Home, process: str) -> Path:
    """Where the supervisor writes what `process` prints."""
    return home.log / f"{process}.log"


def last_lines(home: Home, process: str, count: int = 15) -> str:
    """The end of a process's log; empty when it has printed nothing."""
    try:
        with log_file(home, process).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-count:])


def show(home: Home, processes: list[str], *, count: int, follow: bool) -> None:
    """Print the end of each log, named when there are several; with `follow` go on until interrupted."""
    known = [path.stem for path in sorted(home.log.glob("*.log"))]
    for process in processes:
        if process not in known:
            raise PlatformError(f"there is no log of {process!r}", remedy=f"known: {', '.join(known) or 'none yet'}")
    chosen = processes or known
    label = len(chosen) > 1
    offsets = {}
    for process in chosen:
        offsets[process] = log_file(home, process).stat().st_size
        _print(process, last_lines(home, process, count), label=label)
    while follow:
        for process in chosen:
            offsets[process] = _print_new(home, process, offsets[process], label=label)
        sys.stdout.flush()
        time.sleep(_FOLLOW_SECONDS)


def _print_new(home: Home, process: str, offset: int, *, label: bool) -> int:
    """Print whole lines after `offset` and answer the next one; a rotated log is read from its beginning."""
    try:
        with log_file(home, process).open("rb") as file:
            size = file.seek(0, 2)
            start = offset if size >= offset else 0
            file.seek(start)
            new = file.read()
    except FileNotFoundError:
        return 0
    whole = new[: new.rfind(b"\n") + 1]
    _print(process, whole.decode(errors="replace"), label=label)
    return start + len(whole)


def _print(process: str, text: str, *, label: bool) -> None:
    for line in text.splitlines():
        sys.stdout.write(f"{process:<12} | {line}\n" if label else f"{line}\n")

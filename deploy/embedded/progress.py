"""What the person sees, foremost while the platform starts: a live table on a terminal, plain lines anywhere else.

Plain lines are also what NO_COLOR, TERM=dumb and a pipe get, so a log of `make up` reads well.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

_LOOK = {
    "waiting": ("○", "dim"),
    "starting": ("◐", "yellow"),
    "ready": ("●", "green"),
    "failed": ("✕", "bold red"),
}


def is_interactive() -> bool:
    """Whether a person watches who wants to see things move."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def console() -> Console:
    """Standard output; without colour or control characters unless a terminal shows it."""
    interactive = is_interactive()
    # A pipe has no width: 80 columns would cut addresses short.
    return Console(highlight=False, no_color=not interactive, soft_wrap=True, width=None if interactive else 160)


def document(value: object, form: str) -> None:
    """Print `value` for a program: `form` is json or yaml."""
    if form == "yaml":
        sys.stdout.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
    else:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


class Progress(Protocol):
    """Told what happens to each part; may be called from several threads."""

    def starting(self, name: str) -> None:
        """`name` is being made or started."""

    def ready(self, name: str, seconds: float) -> None:
        """`name` answers, `seconds` after it was begun."""

    def failed(self, name: str) -> None:
        """`name` did not come up."""


class PlainProgress:
    """One line a change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def _say(self, line: str) -> None:
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def starting(self, name: str) -> None:
        """Nothing: a line when it is ready says enough."""

    def ready(self, name: str, seconds: float) -> None:
        """One line."""
        self._say(f"{name:<12} ready in {seconds:.1f} s")

    def failed(self, name: str) -> None:
        """One line."""
        self._say(f"{name:<12} failed")


class LiveProgress:
    """A table that changes in place."""

    def __init__(self, names: Sequence[str], live: Live) -> None:
        self._lock = threading.Lock()
        self._live = live
        self._states = dict.fromkeys(names, "waiting")
        self._begun: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def starting(self, name: str) -> None:
        """Show it as under way, with its clock running."""
        with self._lock:
            self._states[name] = "starting"
            self._begun[name] = time.monotonic()

    def ready(self, name: str, seconds: float) -> None:
        """Show it as done."""
        with self._lock:
            self._states[name] = "ready"
            self._seconds[name] = seconds

    def failed(self, name: str) -> None:
        """Show it as failed."""
        with self._lock:
            self._states[name] = "failed"
            self._seconds[name] = time.monotonic() - self._begun.get(name, time.monotonic())

    def __rich__(self) -> Table:
        """The table as it is now; rich asks for it ten times a second."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        with self._lock:
            for name, state in self._states.items():
                shape, style = _LOOK[state]
                begun = self._begun.get(name)
                seconds = self._seconds.get(name) or (time.monotonic() - begun if begun else None)
                elapsed = f"{seconds:.1f} s" if seconds is not None else ""
                table.add_row(Text(shape, style), Text(name), Text(state, style), Text(elapsed, "dim"))
        return table


@contextmanager
def shown(names: Sequence[str]) -> Iterator[Progress]:
    """The progress of `names` on standard output, in the form that suits it."""
    if not is_interactive():
        yield PlainProgress()
        return
    live = Live(console=console(), refresh_per_second=10)
    progress = LiveProgress(names, live)
    live.update(progress)
    with live:
        yield progress

"""What is printed where: results on standard output, progress on standard error, colour only for a terminal."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

STATE_STYLES = {
    "ready": "green", "succeeded": "green", "healthy": "green", "failed": "red", "down": "red", "creating": "blue",
    "running": "blue", "updating": "blue", "undoing": "yellow", "waiting": "yellow", "deleting": "yellow",
    "undone": "yellow", "degraded": "yellow", "deleted": "dim", "pending": "dim", "unknown": "dim",
}  # fmt: skip
STATE_SIGNS = {
    "ready": "●", "succeeded": "✓", "failed": "✗", "creating": "◐", "running": "◐", "updating": "◐", "undoing": "↩",
    "waiting": "…", "deleting": "↩", "undone": "↩", "deleted": "○", "pending": "·",
}  # fmt: skip


_PIPE_WIDTH = 1000


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Output:
    """The two streams of a command."""

    def __init__(self, form: Format = Format.TABLE) -> None:
        self.form = form
        # What reads a pipe wants whole lines; Rich would fold them at 80 columns.
        width = None if sys.stdout.isatty() else _PIPE_WIDTH
        self.result = Console(width=width, soft_wrap=True, highlight=False, markup=False)
        self.progress = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

    @property
    def for_programs(self) -> bool:
        """Whether a program reads the result."""
        return self.form is not Format.TABLE

    def document(self, value: Any) -> None:
        """Print a value for a program, unstyled."""
        if self.form is Format.YAML:
            sys.stdout.write(yaml.safe_dump(value, sort_keys=False, allow_unicode=True))
        else:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, empty: str) -> None:
        """Print rows under headings; `empty` says what to do where there are none."""
        table = Table(*columns, box=None, pad_edge=False, header_style="bold", expand=False)
        for column in table.columns:
            column.overflow = "fold"
        for row in rows:
            table.add_row(*row)
        if table.row_count:
            self.result.print(table)
        else:
            self.progress.print(empty)

    def facts(self, facts: Iterable[tuple[str, str | Text | None]]) -> None:
        """Print `name  value` lines; facts without a value are left out."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in facts:
            if value:
                table.add_row(name, value)
        self.result.print(table)

    def error(self, message: str, remedy: str = "", trace_id: str | None = None) -> None:
        """Say what went wrong, what to do next, and the trace that tells more."""
        self.progress.print(Text.assemble(("Error: ", "bold red"), message))
        if remedy:
            self.progress.print(Text(remedy))
        if trace_id:
            self.progress.print(Text(f"trace {trace_id}", style="dim"))


def state(word: str | None) -> Text:
    """A state as a sign and a word: never colour alone."""
    word = word or "unknown"
    return Text(f"{STATE_SIGNS.get(word, '?')} {word}", style=STATE_STYLES.get(word, ""))


def moment(text: str | None) -> datetime | None:
    """The instant in an RFC 3339 text."""
    return datetime.fromisoformat(text) if text else None


def ago(text: str | None, now: datetime | None = None) -> str:
    """How long before (or after) now, in one unit: `3 min ago`, `in 7 d`. A future that just began is whole."""
    at = moment(text)
    if at is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    size = abs(seconds)
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (float("inf"), 86_400, "d")):
        if size < limit:
            return f"{int(size // unit)} {name} ago" if seconds >= 0 else f"in {round(size / unit)} {name}"
    return ""


def seconds(value: float | None) -> str:
    """A duration: `0.42 s`, `12.3 s`, `4 min 10 s`."""
    if value is None:
        return ""
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"

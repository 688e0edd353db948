"""How values are said to a person: instants, durations, states, and text that comes from elsewhere.

Invariant: text from elsewhere (a log line, an error, a name) reaches a terminal only through `printable`, so it can
neither colour, move, rename nor rewrite anything there.
"""

import re
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

STATES = {
    "ready": ("●", "green"), "succeeded": ("✓", "green"), "healthy": ("●", "green"),
    "creating": ("◐", "blue"), "running": ("◐", "blue"), "updating": ("◐", "blue"),
    "waiting": ("…", "yellow"), "undoing": ("↩", "yellow"), "undone": ("↩", "yellow"), "deleting": ("↩", "yellow"),
    "degraded": ("▲", "yellow"), "failed": ("✗", "red"), "down": ("✗", "red"),
    "deleted": ("○", "dim"), "pending": ("·", "dim"), "revoked": ("○", "dim"),
    "refused": ("✗", "red"), "begun": ("◐", "blue"), "upgraded": ("✓", "green"), "done": ("✓", "green"),
    "paused": ("‖", "yellow"), "stopped": ("✗", "red"), "held": ("▲", "yellow"), "skipped": ("○", "dim"),
    "active": ("●", "green"), "disabled": ("✗", "red"), "delivered": ("✓", "green"),
    "cancelled": ("○", "dim"), "open": ("◐", "blue"), "closed": ("✓", "green"),
}  # fmt: skip
"""A sign and a style for each state: neither colour nor shape alone."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
"""Terminal control sequences (ECMA-48 §5.4 and §5.6): taken out whole, for tools colour their output."""
_CONTROLS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""C0 but tab and newline, C1, and what turns the direction of writing: made visible."""


def printable(value: object) -> str:
    """Text from elsewhere, harmless to a terminal; lines stay lines."""
    return _ESCAPES.sub("", str(value).replace("\r\n", "\n")).translate(_CONTROLS)


def one_line(value: object) -> str:
    """The same as a single line."""
    return " ".join(printable(value).split())


def state(name: str | None) -> Text:
    """A state as a sign and a word."""
    if not name:
        return Text("")
    sign, style = STATES.get(name, ("?", "dim"))
    return Text(f"{sign} {one_line(name)}", style=style)


def thing(item: dict[str, Any]) -> str:
    """A resource: `database apps/env_demo_api`."""
    return f"{item['kind'].replace('_', ' ')} {item['id']}"


def moment(text: str | None) -> datetime | None:
    """The instant in an RFC 3339 text."""
    return datetime.fromisoformat(text) if text else None


def clock(text: str | None) -> str:
    """The local time of day of an instant: `13:16:05`."""
    at = moment(text)
    return at.astimezone().strftime("%H:%M:%S") if at else ""


def date_and_time(text: str | None) -> str:
    """An instant in local time, to the minute: `2026-11-30 10:24`."""
    at = moment(text)
    return at.astimezone().strftime("%Y-%m-%d %H:%M") if at else ""


def ago(text: str | None, now: datetime | None = None) -> str:
    """How long before (or after) now, in one unit, to the nearest: `3 min ago`, `in 7 d`."""
    at = moment(text)
    if at is None:
        return ""
    since = ((now or datetime.now(UTC)) - at).total_seconds()
    size = abs(since)
    for limit, unit, name in ((59.5, 1, "s"), (3570, 60, "min"), (171_000, 3600, "h"), (float("inf"), 86_400, "d")):
        if size < limit:
            amount = f"{round(size / unit)} {name}"
            return f"{amount} ago" if since >= 0 else f"in {amount}"
    raise AssertionError("infinity is larger than any duration")


def when(text: str | None) -> str:
    """An instant both ways: `in 7 d (2026-11-30 10:24)`."""
    return f"{ago(text)} ({date_and_time(text)})" if text else ""


def seconds(value: float | None) -> str:
    """A duration: `0.42 s`, `12.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if value is None:
        return ""
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 59.95:
        return f"{value:.1f} s"
    whole = round(value)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Seconds from one instant to another; None where either is not known."""
    began, ended = moment(begin), moment(end)
    return (ended - began).total_seconds() if began and ended else None

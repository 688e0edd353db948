"""Templates and how they speak of time: relative, with the exact moment beside it.

Invariant: autoescape is on for every template and an undefined name is an error, not an empty string.
"""

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

_STATIC = Path(__file__).with_name("static")
_TEMPLATES = Path(__file__).with_name("templates")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_EXACT_FROM_SECONDS = 14 * _DAY
_NANOSECONDS = 1_000_000_000


def templates(directory: Path) -> Environment:
    """The environment for the templates of one stand-in; they may extend `base.html` of this package."""
    environment = Environment(
        loader=FileSystemLoader([directory, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"moment": moment, "ago": ago, "clock": clock, "duration": duration}
    return environment


def look(own: Path) -> list[Mount]:
    """Routes for the shared style sheet (`/look/base.css`) and the stand-in's own files (`/static/...`)."""
    return [Mount("/look", StaticFiles(directory=_STATIC)), Mount("/static", StaticFiles(directory=own))]


def moment(seconds: float) -> str:
    """A moment (seconds since 1970) exactly: `2026-11-23 09:15:02 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(seconds: float) -> str:
    """A moment's time of day: `09:15`, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M")


def ago(seconds: float, now: float) -> str:
    """A moment as seen from `now` (both seconds since 1970): `3 min ago`, or its date when long ago."""
    passed = now - seconds
    if passed < _MINUTE:
        return "just now"
    if passed < _HOUR:
        return f"{passed // _MINUTE:.0f} min ago"
    if passed < _DAY:
        return f"{passed // _HOUR:.0f} h ago"
    if passed < _EXACT_FROM_SECONDS:
        return f"{passed // _DAY:.0f} d ago"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def duration(nanoseconds: int) -> str:
    """A length of time in the unit that reads best: `870 µs`, `12.4 ms`, `1.25 s`, `3 min 20 s`."""
    seconds = nanoseconds / _NANOSECONDS
    if seconds >= _MINUTE:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    for limit, factor, unit in ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (0.0, 1e6, "µs")):
        if seconds >= limit:
            shown = seconds * factor
            # Three significant digits, no exponent, no trailing zeros.
            text = f"{shown:.{2 if shown < 9.995 else 1 if shown < 99.95 else 0}f}"
            return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"
    return "0 µs"

"""Time travel: an environment at any moment of its history, and what changed between two.

Moments are the environment's own events, counted from 1, so that an address says the same to whoever opens it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contracts.history import Change
from services.gateway.api.answers import EnvironmentAnswer
from services.gateway.api.browser import Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.environments import shown
from services.gateway.domain.refusals import UnknownThingError
from services.gateway.portal.history import Entry

_QUIET: Final = frozenset({"version", "last_sequence", "updated_at"})
"""Fields that are another with every event."""
_LONGEST: Final = 200


@dataclass(frozen=True)
class Changed:
    """One field, as people see it."""

    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Travel:
    """Two moments, the environment at the later one, and what changed between them."""

    earlier: int
    later: int
    since: datetime
    until: datetime
    then: EnvironmentAnswer | None
    changes: tuple[Changed, ...]


async def travel(
    visitor: Visitor, gateway: Gateway, name: str, entries: Sequence[Entry], asked: tuple[str, str]
) -> Travel | None:
    """What `asked`, two positions among `entries` (the oldest first), stands for; without them, from the first event to
    the last. None where there are not two."""
    if len(entries) < 2:
        return None
    one, other = (
        _position(text, default, len(entries)) for text, default in zip(asked, (1, len(entries)), strict=True)
    )
    earlier, later = min(one, other), max(one, other)
    since, until = entries[earlier - 1].at, entries[later - 1].at
    try:
        found = await gateway.remembering.difference(visitor.principal, name, since, until)
    except UnknownThingError:  # it was another team's then
        return Travel(earlier, later, since, until, None, ())
    then = await shown(found.after, visitor.principal, gateway) if found.after is not None else None
    changes = tuple(_changed(change) for change in found.changes if change.field not in _QUIET)
    return Travel(earlier, later, since, until, then, changes)


def _position(text: str, default: int, last: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        return default
    return max(1, min(int(text), last))


def _changed(change: Change) -> Changed:
    return Changed(change.field.removeprefix("spec.").replace("_", " "), _text(change.before), _text(change.after))


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

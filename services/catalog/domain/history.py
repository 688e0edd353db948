"""The past of one environment: the views as they were at a moment, and how two of them differ. Pure.

Invariant: the past is folded by the rules of today's views (`folding`), from the same events; so the state at this
moment is the live view.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from contracts.events import parse
from contracts.history import Change
from contracts.queries import EnvironmentView
from contracts.signals import parse_signal
from services.catalog.domain.folding import Known, fold
from services.catalog.domain.records import Message
from services.catalog.domain.signals import Facts, fold_fact, shown

_BOOKKEEPING: Final = {"version", "last_sequence", "updated_at", "cost", "alive_seconds"}
"""What changes with every event, or with time alone, and says nothing."""


def folded(messages: Iterable[Message]) -> Known | None:
    """What is known after these events of one name, oldest first."""
    known: Known | None = None
    for message in messages:
        known = fold(known, parse(message.body), message.sequence)
    return known


def with_facts(view: EnvironmentView, messages: Iterable[Message], at: datetime) -> EnvironmentView:
    """The environment at a moment with what was known from outside laid over it: the facts of that life until then."""
    facts = Facts(name=view.name, incarnation=view.incarnation)
    for message in messages:
        facts = fold_fact(facts, parse_signal(message.body), message.sequence)
    return shown(view, facts, at)


def changes(before: EnvironmentView | None, after: EnvironmentView | None) -> tuple[Change, ...]:
    """Every field in which two views differ, by name of the field. A list is compared as a whole."""
    return differing(_fields(before), _fields(after))


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every field in which two JSON objects differ, dotted where it lies within another, by its name."""
    was, now = dict(_leaves("", before)), dict(_leaves("", after))
    return tuple(
        Change(field=field, before=was.get(field), after=now.get(field))
        for field in sorted(was.keys() | now.keys())
        if was.get(field) != now.get(field)
    )


def _fields(view: EnvironmentView | None) -> Mapping[str, Any]:
    return view.model_dump(mode="json", exclude=_BOOKKEEPING) if view is not None else {}


def _leaves(path: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        if isinstance(inner, Mapping):
            yield from _leaves(here, inner)
        else:
            yield here, inner

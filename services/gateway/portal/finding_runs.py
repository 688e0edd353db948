"""Runs: the list of them, and what it is narrowed to. Every choice stands in the address."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, get_args

from fastapi import Request, Response

from contracts.queries import RUNS_COUNTED, RunKind, RunState
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.environments import page_of_runs
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.handlers.reading import RunSearch
from services.gateway.portal import runs, words
from services.gateway.portal.forms import understood
from services.gateway.portal.rendering import page

ROWS: Final = 50
ME: Final = "me"
"""In place of one's own name, so that an address means the same to whoever it is sent to."""
_FILTERS: Final = ("environment", "q", "state", "kind", "golden_path", "by", "from", "to")


@dataclass(frozen=True)
class Condition:
    """A filter that is set, as the page names it."""

    name: str
    text: str
    would_help: bool = False
    """Whether there are runs without it."""


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The runs of one's teams, the newest first, as far as they keep every condition."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    kept: dict[str, str] = {name: asked[name] for name in _FILTERS if name in asked}
    search = _search(visitor, kept)
    cursor = asked.get("cursor")
    found = await page_of_runs(gateway, visitor.principal, search, cursor, ROWS)
    paths = await gateway.golden_paths.all()
    conditions = [Condition(name, _said(name, value)) for name, value in kept.items()]
    if not found.items and conditions:
        conditions = list(await asyncio.gather(*(_weighed(visitor, gateway, kept, one) for one in conditions)))
    environment = kept.get("environment")
    return page(
        request,
        visitor,
        gateway,
        "runs.html",
        here="runs",
        title=f"Runs of {environment}" if environment else "Runs",
        runs=[(run, runs.seconds(run, gateway)) for run in found.items],
        next_cursor=found.next_cursor,
        cursor=cursor,
        environment=environment,
        kept=kept,
        conditions=conditions,
        states=[(one.state, words.RUN[one.state].word, _counted(one.count)) for one in found.counts or ()],
        kinds=[(kind, words.RUN_KINDS[kind]) for kind in get_args(RunKind)],
        paths=[(path.name, path.title) for path in paths],
        mine=kept.get("by") == ME,
    )


def _search(visitor: Visitor, kept: Mapping[str, str]) -> RunSearch:
    """What the address asks for. Raises `InvalidError`."""
    values: dict[str, Any] = {
        **{name: kept[name] for name in ("environment", "state", "kind", "golden_path") if name in kept},
        "name_contains": kept.get("q"),
        "person": visitor.principal.person if kept.get("by") == ME else kept.get("by"),
        "since": _day(kept, "from"),
        "until": _day(kept, "to", days=1),
        "counts": True,
    }
    return understood(RunSearch, values)


def _day(kept: Mapping[str, str], name: str, days: int = 0) -> datetime | None:
    """The beginning of a day, or of one so many later; in UTC as every time on the platform."""
    if name not in kept:
        return None
    try:
        return datetime.combine(date.fromisoformat(kept[name]) + timedelta(days=days), time(), UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError([BrokenRule(name, "must be a day, for instance 2026-11-23")]) from error


async def _weighed(visitor: Visitor, gateway: Gateway, kept: Mapping[str, str], one: Condition) -> Condition:
    """A condition, and whether there are runs without it."""
    others = {name: value for name, value in kept.items() if name != one.name}
    search = _search(visitor, others).model_copy(update={"counts": False})
    found = await gateway.reading.runs(visitor.principal, search, before=None, limit=1)
    return Condition(one.name, one.text, would_help=bool(found.items))


def _said(name: str, value: str) -> str:
    """A condition in words."""
    texts = {
        "environment": f"of {value}",
        "q": f"name contains {value}",
        "state": words.RUN[value].word if value in get_args(RunState) else value,
        "kind": words.RUN_KINDS.get(value, value),
        "golden_path": f"made with {value}",
        "by": "asked for by me" if value == ME else f"asked for by {value}",
        "from": f"from {value}",
        "to": f"to {value}",
    }
    return texts[name]


def _counted(number: int) -> str:
    return f"{number:,}+" if number >= RUNS_COUNTED else f"{number:,}"


PAGES: Final = (Page("GET", "/runs", show),)

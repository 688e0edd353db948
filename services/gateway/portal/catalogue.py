"""The catalogue: every environment one sees, as a table with facets, a search, an order, and fifty rows a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from fastapi import Request, Response
from pydantic import ValidationError

from contracts.golden_path import GoldenPath
from contracts.queries import (
    DeploymentState,
    EnvironmentOrder,
    Environments,
    EnvironmentState,
    FacetCount,
    Facets,
    RunningState,
)
from contracts.values import Kind
from services.gateway.api import problems, views
from services.gateway.api.answers import EnvironmentAnswer
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.refusals import InvalidError
from services.gateway.handlers.reading import Search
from services.gateway.portal import words
from services.gateway.portal.rendering import page

ROWS: Final = 50
FORGOTTEN_DAYS: Final = 14
"""Nobody touched it for so long: worth a question."""
_FILTERS: Final[tuple[str, ...]] = ("team", "kind", "golden_path", "state", "running", "deployment")
_TITLES: Final = {
    "team": "team",
    "kind": "kind",
    "golden_path": "golden path",
    "state": "state",
    "running": "health",
    "deployment": "deployment",
}
_VALUES: Final[dict[str, tuple[str, ...]]] = {
    "kind": get_args(Kind),
    "state": get_args(EnvironmentState),
    "running": get_args(RunningState),
    "deployment": get_args(DeploymentState),
}
_ORDERS: Final[tuple[EnvironmentOrder, ...]] = get_args(EnvironmentOrder)
_FALLING: Final = frozenset({"created_at", "updated_at", "cost", "last_activity_at"})
"""Orders that people want from the greatest down."""


@dataclass(frozen=True)
class Choice:
    """One value of a facet."""

    value: str
    text: str
    chosen: bool


@dataclass(frozen=True)
class Facet:
    """One select of the filters."""

    name: str
    title: str
    choices: tuple[Choice, ...]
    chosen: str


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The table. Everything that it depends on is in its address."""
    asked = {name: value for name, value in request.query_params.items() if value}
    mine = asked.get("owned") == "me"
    search = _search(asked, visitor, gateway, mine=mine)
    found = await gateway.reading.environments(visitor.principal, search)
    paths = {path.name: path for path in await gateway.golden_paths.all()}
    kept = {name: asked[name] for name in (*_FILTERS, "q", "owned", "sort", "down", "only") if name in asked}
    return page(
        request,
        visitor,
        gateway,
        "catalogue.html",
        here="catalogue",
        title="Catalogue",
        rows=rows_of(found, visitor, gateway, paths),
        found=found,
        facets=_facets(found.facets or Facets(), asked),
        asked=asked,
        kept=kept,
        narrowed=any(name in asked for name in (*_FILTERS, "q", "only")),
        mine=mine,
        sort=_order(asked),
        descending=asked.get("down") == "1",
        next_cursor=_cursor(gateway, visitor, kept, found),
        falling=_FALLING,
    )


def _order(asked: Mapping[str, str]) -> EnvironmentOrder:
    return next((order for order in _ORDERS if order == asked.get("sort")), "name")


def _search(asked: dict[str, str], visitor: Visitor, gateway: Gateway, *, mine: bool) -> Search:
    kept = {name: asked[name] for name in (*_FILTERS, "q", "owned", "sort", "down", "only") if name in asked}
    after = asked.get("cursor")
    values: dict[str, Any] = {
        **{name: asked[name] for name in _FILTERS if name in asked},
        "name_contains": asked["q"].strip().lower()[:40] if "q" in asked else None,
        "person": visitor.principal.person if mine else None,
        "forgotten_days": FORGOTTEN_DAYS if asked.get("only") == "forgotten" else None,
        "duplicates": asked.get("only") == "duplicates",
        "include_deleted": asked.get("state") == "deleted",
        "sort": _order(asked),
        "descending": asked.get("down") == "1",
        "after": gateway.cursors.read(_list_name(visitor, kept), after) if after else None,
        "limit": ROWS,
        "facets": True,
    }
    try:
        return Search.model_validate(values)
    except ValidationError as error:
        raise InvalidError(problems.broken_rules(error.errors())) from error


def _list_name(visitor: Visitor, kept: dict[str, str]) -> str:
    return f"portal catalogue {visitor.principal.subject} {sorted(kept.items())}"


def _cursor(gateway: Gateway, visitor: Visitor, kept: dict[str, str], found: Environments) -> str | None:
    if found.next_cursor is None:
        return None
    return gateway.cursors.make(_list_name(visitor, kept), found.next_cursor)


def _facets(counted: Facets, asked: dict[str, str]) -> list[Facet]:
    found = []
    for name in _FILTERS:
        counts: tuple[FacetCount, ...] = getattr(counted, name)
        known = {count.value: count.count for count in counts}
        values = list(known)
        chosen = asked.get(name, "")
        if chosen and chosen not in known:
            values.append(chosen)
        order = _VALUES.get(name)
        if order is not None:
            values = [value for value in order if value in values]
        choices = tuple(
            Choice(value, f"{_word(name, value)} ({known.get(value, 0):,})", value == chosen) for value in values
        )
        found.append(Facet(name, _TITLES[name], choices, chosen))
    return found


def _word(facet: str, value: str) -> str:
    kind = {"state": "environment", "running": "running", "deployment": "deployment"}.get(facet)
    return words.told(kind, value).word if kind is not None else value


def rows_of(
    found: Environments, visitor: Visitor, gateway: Gateway, paths: Mapping[str, GoldenPath]
) -> list[EnvironmentAnswer]:
    """The environments of an answer, as pages show them."""
    return [
        views.environment(view, paths.get(view.spec.golden_path), gateway.links, visitor.principal)
        for view in found.items
    ]


PAGES: Final = (Page("GET", "/environments", show),)

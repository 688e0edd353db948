"""The page of one environment: what it is now, and its tabs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request, Response

from services.gateway.api import views
from services.gateway.api.answers import EventAnswer
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.lifetime import lifetime
from services.gateway.domain.obstacles import BUSY_STATES
from services.gateway.portal import deployments, history
from services.gateway.portal.graph import HEIGHT, WIDTH, picture
from services.gateway.portal.rendering import after, page, safe_link
from services.gateway.portal.seeing import Seen, see
from services.gateway.portal.travelling import travel

_PAGE: Final = 500
_MOST_EVENTS: Final = 2_000
"""More than that of one environment's history is for the API."""
EXTENSIONS: Final = (("1d", "1 day"), ("3d", "3 days"), ("7d", "7 days"), ("14d", "14 days"), ("30d", "30 days"))
"""What the menu offers, from now."""


@dataclass(frozen=True)
class Tab:
    """One of the page's tabs."""

    name: str
    title: str
    address: str
    count: int | None = None


_More = Callable[[Request, Visitor, Gateway, Seen], Awaitable[dict[str, Any]]]


async def show(  # noqa: PLR0917 - as long as the page is wide
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    tab: str,
    problem: Problem | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    """The page, open at one tab. `problem` is why a form of it was refused, `typed` what was in it."""
    seen = await see(visitor, gateway, str(request.path_params["name"]))
    if sequence := after(request):
        # The catalogue folds in the log's order: once it has the run so far, it has the environment so far.
        await gateway.reading.run(visitor.principal, str(seen.view.run_id), at_least=sequence)
        seen = await see(visitor, gateway, seen.view.name)
    answer = seen.answer
    more = await _TABS[tab][1](request, visitor, gateway, seen)
    base = f"/environments/{answer.name}"
    counts = {
        "resources": len(answer.infrastructure.resources) if answer.infrastructure else 0,
        "secrets": len(answer.secrets.names) if answer.secrets else 0,
        "access": len(answer.access),
        "drift": len(answer.drift),
    }
    tabs = [
        Tab(name, title, base if name == "timeline" else f"{base}/{name}", counts.get(name))
        for name, (title, _) in _TABS.items()
    ]
    return page(
        request,
        visitor,
        gateway,
        "environment.html",
        here="catalogue",
        title=answer.name if tab == "timeline" else f"{_TABS[tab][0]} · {answer.name}",
        status=problem.status if problem is not None else 200,
        env=answer,
        path=seen.path,
        may=seen.may,
        busy=answer.state in BUSY_STATES,
        tab=tab,
        tabs=tabs,
        base=base,
        problem=problem,
        typed=typed or {},
        extensions=EXTENSIONS,
        lifetime=lifetime(seen.path, seen.view.spec.kind, gateway.living.wishing.defaults),
        url=safe_link(answer.url, gateway),
        repository_url=safe_link(answer.pipeline.repository_url, gateway) if answer.pipeline else None,
        preview_of=safe_link(answer.pull_request.url, gateway) if answer.pull_request else None,
        pull_request_url=safe_link(answer.pipeline.pull_request_url, gateway) if answer.pipeline else None,
        links=[(n.capitalize(), a) for n in ("logs", "metrics", "runbook") if (a := _outside(answer.links.get(n)))],
        **more,
    )


def _outside(address: str | None) -> str | None:
    """A golden path's link, where it leads somewhere: the portal's own paths are tabs already."""
    return address if address and address.startswith("https://") else None


async def timeline(request: Request, visitor: Visitor, gateway: Gateway, seen: Seen) -> dict[str, Any]:
    """What happened to it, the newest first; and the two moments to travel between."""
    entries = [history.entry(event) for event in await events_of(visitor, gateway, seen.view.name)]
    asked = (request.query_params.get("from", ""), request.query_params.get("to", ""))
    return {
        "entries": entries[::-1],
        "travelled": any(asked),
        "travel": await travel(visitor, gateway, seen.view.name, entries, asked),
    }


async def _graph(
    request: Request,  # noqa: ARG001 - every tab takes the same
    visitor: Visitor,
    gateway: Gateway,
    seen: Seen,
) -> dict[str, Any]:
    drawn = await gateway.reading.graph(visitor.principal, seen.view.name)
    return {"picture": picture(drawn), "size": (WIDTH, HEIGHT)}


async def events_of(visitor: Visitor, gateway: Gateway, name: str) -> list[EventAnswer]:
    """The history of an environment, the oldest first; of a very long one, its first part."""
    found: list[EventAnswer] = []
    after = 0
    while len(found) < _MOST_EVENTS:
        recorded, last = await gateway.reading.events(visitor.principal, name, after, _PAGE)
        found += [views.event(one) for one in recorded]
        if not last:
            break
        after = last
    return found


async def _nothing_more(
    request: Request,  # noqa: ARG001 - every tab takes the same
    visitor: Visitor,  # noqa: ARG001
    gateway: Gateway,  # noqa: ARG001
    seen: Seen,  # noqa: ARG001
) -> dict[str, Any]:
    return {}


_TABS: Final[Mapping[str, tuple[str, _More]]] = {
    "timeline": ("Timeline", timeline),
    "deployments": ("Deployments", deployments.deployments),
    "logs": ("Logs", deployments.logs),
    "resources": ("Resources", _nothing_more),
    "secrets": ("Secrets", _nothing_more),
    "access": ("Access", _nothing_more),
    "graph": ("Graph", _graph),
    "drift": ("Drift", _nothing_more),
}


def _opener(tab: str) -> Callable[[Request, Visitor, Gateway], Awaitable[Response]]:
    async def open_tab(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
        return await show(request, visitor, gateway, tab)

    return open_tab


PAGES: Final = tuple(
    Page("GET", "/environments/{name}" + ("" if tab == "timeline" else f"/{tab}"), _opener(tab)) for tab in _TABS
)

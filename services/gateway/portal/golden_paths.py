"""Golden paths: what is on offer, in which version, how it does and who uses it."""

from typing import Final

from fastapi import Request, Response

from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.policy import cost_per_month
from services.gateway.handlers.reading import Search
from services.gateway.portal.catalogue import rows_of
from services.gateway.portal.rendering import page
from services.gateway.portal.rollouts import due_of
from services.gateway.portal.statistics import statistics_of

_ROWS: Final = 50


async def show_list(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Every golden path, with how many environments are made with it."""
    rows = []
    for path in await gateway.golden_paths.all():
        found = await gateway.reading.environments(visitor.principal, Search(golden_path=path.name, limit=1))
        rows.append((path, await statistics_of(visitor, gateway, path), found.total))
    return page(request, visitor, gateway, "golden_paths.html", here="golden_paths", title="Golden paths", rows=rows)


async def show_one(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """One golden path: what it gives, what may be set, how long its steps take, and which environments have it."""
    path = await gateway.golden_path(str(request.path_params["name"]))
    found = await gateway.reading.environments(visitor.principal, Search(golden_path=path.name, limit=_ROWS))
    environments = rows_of(found, visitor, gateway, {path.name: path})
    return page(
        request,
        visitor,
        gateway,
        "golden_path.html",
        here="golden_paths",
        title=path.title,
        path=path,
        statistics=await statistics_of(visitor, gateway, path),
        kinds=[
            (
                kind,
                path.defaults.time_to_live.get(kind),
                str(cost_per_month(path, path.resolve(kind, {}))),
            )
            for kind in path.kinds
        ],
        environments=environments,
        total=found.total,
        due=await due_of(visitor, gateway, path) if visitor.principal.role == "admin" else None,
        outdated=sum(1 for env in environments if env.update_available),
    )


PAGES: Final = (
    Page("GET", "/golden-paths", show_list),
    Page("GET", "/golden-paths/{name}", show_one),
)

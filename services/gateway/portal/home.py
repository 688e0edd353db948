"""Home: what is mine, what I did last, what ends soon, what nobody looks after."""

import asyncio
from datetime import timedelta
from typing import Any, Final

from fastapi import Request, Response

from contracts.queries import Environments
from services.gateway.api import views
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.feedback import quarter
from services.gateway.handlers.reading import RunSearch, Search
from services.gateway.portal import runs
from services.gateway.portal.catalogue import FORGOTTEN_DAYS, rows_of
from services.gateway.portal.feedback import survey_is_due
from services.gateway.portal.rendering import now, page

_MINE: Final = 10
_RUNS: Final = 8
_FEW: Final = 5
SOON: Final = timedelta(days=2)
"""What ends sooner is worth a line here, as it is worth a warning."""


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The page."""
    person = visitor.principal.person

    async def find(**what: Any) -> Environments:
        return await gateway.reading.environments(visitor.principal, Search.model_validate(what))

    mine, ending, forgotten, duplicates, found_runs, asks = await asyncio.gather(
        find(person=person, limit=_MINE, sort="last_activity_at", descending=True),
        find(sort="expires_at", limit=_FEW),
        find(forgotten_days=FORGOTTEN_DAYS, limit=_FEW),
        find(duplicates=True, limit=_FEW),
        gateway.reading.runs(visitor.principal, RunSearch(person=person), before=None, limit=_RUNS),
        survey_is_due(visitor, gateway),
    )
    paths = {path.name: path for path in await gateway.golden_paths.all()}
    last = [views.run(run, gateway.links) for run in found_runs.items]
    soon = now(gateway) + SOON
    return page(
        request,
        visitor,
        gateway,
        "home.html",
        here="home",
        title="Home",
        mine=rows_of(mine, visitor, gateway, paths),
        mine_total=mine.total,
        runs=[(run, runs.seconds(run, gateway)) for run in last],
        ending=[
            env
            for env in rows_of(ending, visitor, gateway, paths)
            if env.expires_at is not None and env.expires_at < soon and env.state not in {"deleting", "deleted"}
        ],
        forgotten=rows_of(forgotten, visitor, gateway, paths),
        forgotten_total=forgotten.total,
        forgotten_days=FORGOTTEN_DAYS,
        duplicates=rows_of(duplicates, visitor, gateway, paths),
        duplicates_total=duplicates.total,
        quarter=quarter(now(gateway)) if asks else "",
    )


PAGES: Final = (Page("GET", "/", show),)

"""`/runs`: the passes of the saga; their live stream is in `stream`."""

from typing import Annotated, Final

from fastapi import Path, Query

from services.gateway.api import views
from services.gateway.api.answers import API, RunAnswer, RunPage
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import page_of_runs
from services.gateway.api.routing import Asker, Endpoint


async def list_runs(
    asker: Asker,
    gateway: Deeds,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> RunPage:
    """The runs of your teams' environments, newest first."""
    return await page_of_runs(gateway, asker, None, cursor, limit)


async def get_run(
    run_id: Annotated[str, Path(alias="id", description="The run's id")], asker: Asker, gateway: Deeds
) -> RunAnswer:
    """One run: its steps, what was created, and after a failure what was undone and what was left behind."""
    return views.run(await gateway.reading.run(asker, run_id), gateway.links)


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/runs", list_runs, VIEWER, 200, RunPage, "runs"),
    Endpoint("GET", f"{API}/runs/{{id}}", get_run, VIEWER, 200, RunAnswer, "runs"),
)

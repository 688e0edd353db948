"""`/runs`: the passes of the saga, and steering them; their live stream is in `stream`."""

from typing import Annotated, Final

from fastapi import Path, Query, Response

from contracts.envelope import Timestamp
from contracts.names import EnvironmentName, GoldenPathName, PersonName
from contracts.queries import PartOfName, RunKind, RunState
from services.gateway.api import views
from services.gateway.api.answers import API, Accepted, RunAnswer, RunPage
from services.gateway.api.auth import DEVELOPER, VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import begun, page_of_runs
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.handlers.reading import RunSearch

RunId = Annotated[str, Path(alias="id", description="The run's id")]


async def list_runs(
    *,
    asker: Asker,
    gateway: Deeds,
    environment: Annotated[EnvironmentName | None, Query(description="Only this environment's")] = None,
    state: Annotated[RunState | None, Query()] = None,
    kind: Annotated[RunKind | None, Query()] = None,
    golden_path: Annotated[GoldenPathName | None, Query()] = None,
    person: Annotated[PersonName | None, Query(description="Who asked for it")] = None,
    q: Annotated[PartOfName | None, Query(description="A part of the environment's name")] = None,
    since: Annotated[Timestamp | None, Query(description="Asked for then or later")] = None,
    until: Annotated[Timestamp | None, Query(description="Asked for before")] = None,
    counts: Annotated[bool, Query(description="Count by state as well")] = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> RunPage:
    """The runs of your teams' environments that keep every condition, newest first."""
    search = RunSearch(
        environment=environment,
        state=state,
        kind=kind,
        golden_path=golden_path,
        person=person,
        name_contains=q or None,
        since=since,
        until=until,
        counts=counts,
    )
    return await page_of_runs(gateway, asker, search, cursor, limit)


async def get_run(run_id: RunId, asker: Asker, gateway: Deeds) -> RunAnswer:
    """One run: its steps, what was created, and after a failure what was undone and what was left behind."""
    return views.run(await gateway.reading.run(asker, run_id), gateway.links)


async def cancel_run(run_id: RunId, asker: Asker, key: IdempotencyKey, gateway: Deeds) -> RunAnswer:
    """Call off a run that is under way. It stops at the next safe point and undoes what it did; follow its stream."""
    return views.run(await gateway.steering.cancel(asker, run_id, key), gateway.links)


async def retry_run(run_id: RunId, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response) -> Accepted:
    """Begin a failed run anew, for the same desired state. The answer names the new run."""
    return begun(await gateway.steering.retry(asker, run_id, key), gateway, response)


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/runs", list_runs, VIEWER, 200, RunPage, "runs"),
    Endpoint("GET", f"{API}/runs/{{id}}", get_run, VIEWER, 200, RunAnswer, "runs"),
    Endpoint("POST", f"{API}/runs/{{id}}:cancel", cancel_run, DEVELOPER, 202, RunAnswer, "runs"),
    Endpoint("POST", f"{API}/runs/{{id}}:retry", retry_run, DEVELOPER, 202, Accepted, "runs"),
)

"""`/environments`: ask for one, look at them, change one, ask for one to be taken away."""

from typing import Annotated, Final

from fastapi import Depends, Path, Query, Response

from contracts.names import BranchName, GoldenPathName, PersonName, RepositoryName, TeamName
from contracts.queries import (
    DeploymentState,
    EnvironmentOrder,
    EnvironmentState,
    EnvironmentView,
    PartOfName,
    RunningState,
)
from contracts.values import Kind
from services.gateway.api import views
from services.gateway.api.answers import API, Accepted, EnvironmentAnswer, EnvironmentPage, EventPage, RunCount, RunPage
from services.gateway.api.auth import DEVELOPER, VIEWER
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.admission import CreateEnvironment
from services.gateway.domain.changes import ChangeEnvironment, UpgradeEnvironment
from services.gateway.domain.people import Principal
from services.gateway.handlers.reading import RunSearch, Search
from services.gateway.handlers.settling import Answered

Name = Annotated[str, Path(description="The environment's name")]
REPLAYED_HEADER: Final = "Idempotency-Replayed"
RUNS_PER_PAGE: Final = 100
"""So many always fit into one message of the bus."""


async def create_environment(
    body: CreateEnvironment, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response
) -> Accepted:
    """Ask for a new environment. The answer comes when the request is recorded and its run has begun."""
    answered = await gateway.asking.create(asker, body, key)
    return begun(answered, gateway, response, created=True)


async def update_environment(
    *, name: Name, body: ChangeEnvironment, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response
) -> Accepted | Response:
    """Ask for another state: parameters, branch, version of the golden path. 200 with the environment where it has that
    state already; then no run begins."""
    return await _begun_or_as_it_is(await gateway.asking.update(asker, name, body, key), asker, gateway, response)


async def upgrade_environment(
    *,
    name: Name,
    body: UpgradeEnvironment | None = None,
    asker: Asker,
    key: IdempotencyKey,
    gateway: Deeds,
    response: Response,
) -> Accepted | Response:
    """Ask for the version of its golden path that is on offer (`update_available`). 200 with the environment where it
    has that version already."""
    ask = body or UpgradeEnvironment()
    return await _begun_or_as_it_is(await gateway.asking.upgrade(asker, name, ask, key), asker, gateway, response)


async def repair_environment(
    name: Name, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response
) -> Accepted:
    """Ask for what exists to be made again what the environment's state says it is (after `drift`)."""
    return begun(await gateway.asking.repair(asker, name, key), gateway, response)


async def delete_environment(
    name: Name, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response
) -> Accepted:
    """Ask for an environment to be taken away, with everything that was made for it; also for one that failed, to clean
    up again."""
    return begun(await gateway.asking.delete(asker, name, key), gateway, response)


def searched(
    *,
    team: Annotated[TeamName | None, Query()] = None,
    owner: Annotated[PersonName | None, Query(description="A person")] = None,
    kind: Annotated[Kind | None, Query()] = None,
    golden_path: Annotated[GoldenPathName | None, Query()] = None,
    state: Annotated[EnvironmentState | None, Query()] = None,
    running: Annotated[RunningState | None, Query()] = None,
    deployment: Annotated[DeploymentState | None, Query()] = None,
    repository: Annotated[RepositoryName | None, Query()] = None,
    branch: Annotated[BranchName | None, Query()] = None,
    q: Annotated[PartOfName | None, Query(description="A part of the name")] = None,
    forgotten_days: Annotated[
        int | None, Query(ge=1, le=3650, description="Previews and stagings nobody touched for so many days")
    ] = None,
    duplicates: Annotated[bool, Query(description="Only those of one kind, repository, branch and directory")] = False,
    include_deleted: Annotated[bool, Query()] = False,
    sort: Annotated[EnvironmentOrder | None, Query()] = None,
    descending: Annotated[bool, Query()] = False,
) -> Search:
    """What is looked for. What is forgotten comes with the longest forgotten first, unless another order is wanted."""
    return Search(
        team=team,
        person=owner,
        kind=kind,
        golden_path=golden_path,
        state=state,
        running=running,
        deployment=deployment,
        repository=repository,
        branch=branch,
        name_contains=q,
        forgotten_days=forgotten_days,
        duplicates=duplicates,
        include_deleted=include_deleted,
        sort=sort or ("last_activity_at" if forgotten_days is not None else "name"),
        descending=descending,
    )


Searched = Annotated[Search, Depends(searched)]
"""The filters of every list of environments."""


async def list_environments(
    *,
    asker: Asker,
    gateway: Deeds,
    search: Searched,
    facets: Annotated[bool, Query(description="Whether to count by team, kind, state and so on")] = False,
    cursor: Annotated[str | None, Query(max_length=600)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """The environments of your teams, and those that you were granted."""
    of_list = f"environments {asker.subject} {search.model_dump_json(exclude_none=True)}"
    after = gateway.cursors.read(of_list, cursor) if cursor is not None else None
    asked = search.model_copy(update={"after": after, "limit": limit, "facets": facets})
    found = await gateway.reading.environments(asker, asked)
    paths = {path.name: path for path in await gateway.golden_paths.all()}
    page = EnvironmentPage(
        items=[views.environment(view, paths.get(view.spec.golden_path), gateway.links, asker) for view in found.items],
        total=found.total,
        total_is_exact=found.total_is_exact,
        next_cursor=gateway.cursors.make(of_list, found.next_cursor) if found.next_cursor else None,
        facets=views.facets(found.facets),
    )
    # Written as it is: going through FastAPI, a page of fifty would take half as long again.
    return Response(page.model_dump_json(), media_type="application/json")


async def get_environment(name: Name, asker: Asker, gateway: Deeds) -> EnvironmentAnswer:
    """One environment; one that was deleted has the state `deleted`."""
    return await shown(await gateway.reading.environment(asker, name), asker, gateway)


async def list_environment_events(
    name: Name,
    asker: Asker,
    gateway: Deeds,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> EventPage:
    """The history of an environment, oldest first, exactly as the log has it."""
    found, next_after = await gateway.reading.events(asker, name, after, limit)
    return EventPage(items=[views.event(recorded) for recorded in found], next_after=next_after or None)


async def list_environment_runs(
    name: Name,
    asker: Asker,
    gateway: Deeds,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> RunPage:
    """The runs of an environment, newest first."""
    # Unchecked: what is no name is an environment that is not there, as everywhere.
    search = RunSearch().model_copy(update={"environment": name})
    return await page_of_runs(gateway, asker, search, cursor, limit)


async def page_of_runs(gateway: Deeds, asker: Asker, search: RunSearch, cursor: str | None, limit: int) -> RunPage:
    """A page of the runs that are looked for; a cursor belongs to its exact conditions."""
    of_list = f"runs {asker.subject} {search.model_dump_json(exclude={'counts'})}"
    before = int(gateway.cursors.read(of_list, cursor)) if cursor is not None else None
    size = min(limit, RUNS_PER_PAGE)
    found = await gateway.reading.runs(asker, search, before=before, limit=size)
    items = found.items
    more = gateway.cursors.make(of_list, str(items[-1].last_sequence)) if len(items) == size else None
    counts = [RunCount(state=one.value, count=one.count) for one in found.states] if search.counts else None
    return RunPage(items=[views.run(view, gateway.links) for view in items], next_cursor=more, counts=counts)


def begun(answered: Answered, gateway: Gateway, response: Response, *, created: bool = False) -> Accepted:
    """The answer to a request that began a run, and its headers."""
    accepted = views.accepted(answered, gateway.links)
    response.headers["Location"] = accepted.links.self if created else accepted.links.run
    if answered.replayed:
        response.headers[REPLAYED_HEADER] = "true"
    return accepted


async def shown(view: EnvironmentView, asker: Principal, gateway: Gateway) -> EnvironmentAnswer:
    """An environment as it is."""
    return views.environment(view, await gateway.golden_paths.find(view.spec.golden_path), gateway.links, asker)


async def _begun_or_as_it_is(
    found: Answered | EnvironmentView, asker: Principal, gateway: Gateway, response: Response
) -> Accepted | Response:
    if isinstance(found, Answered):
        return begun(found, gateway, response)
    answer = await shown(found, asker, gateway)
    return Response(answer.model_dump_json(), media_type="application/json")


_ONE = f"{API}/environments/{{name}}"
_AS_IT_IS: Final = {
    "responses": {200: {"model": EnvironmentAnswer, "description": "Nothing to do: the environment as it is"}}
}
ENDPOINTS: Final = (
    Endpoint("POST", f"{API}/environments", create_environment, DEVELOPER, 202, Accepted, "environments"),
    Endpoint("GET", f"{API}/environments", list_environments, VIEWER, 200, EnvironmentPage, "environments"),
    Endpoint("GET", _ONE, get_environment, VIEWER, 200, EnvironmentAnswer, "environments"),
    Endpoint("PATCH", _ONE, update_environment, DEVELOPER, 202, Accepted, "environments", options=_AS_IT_IS),
    Endpoint(
        "POST", f"{_ONE}:upgrade", upgrade_environment, DEVELOPER, 202, Accepted, "environments", options=_AS_IT_IS
    ),
    Endpoint("POST", f"{_ONE}:repair", repair_environment, DEVELOPER, 202, Accepted, "environments"),
    Endpoint("DELETE", _ONE, delete_environment, DEVELOPER, 202, Accepted, "environments"),
    Endpoint("GET", f"{_ONE}/events", list_environment_events, VIEWER, 200, EventPage, "environments"),
    Endpoint("GET", f"{_ONE}/runs", list_environment_runs, VIEWER, 200, RunPage, "environments"),
)

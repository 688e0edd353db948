"""Reading environments and runs.

Invariants
- A thing is always loaded by (principal, name): somebody else's and nobody's look alike.
- What a principal was told is accepted is there when it looks (read your writes), or the answer is "not now", never
  "no such thing".
"""

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import structlog
from pydantic import TypeAdapter, ValidationError

from chassis.failures import TransientError
from contracts.envelope import Timestamp, Value
from contracts.names import BranchName, EnvironmentName, GoldenPathName, PersonName, RepositoryName, TeamName
from contracts.queries import (
    DeploymentState,
    EnvironmentOrder,
    Environments,
    EnvironmentState,
    EnvironmentView,
    FindEnvironments,
    FindRuns,
    PartOfName,
    RecordedEvent,
    RunKind,
    RunningState,
    Runs,
    RunState,
    RunView,
    StepDuration,
)
from contracts.values import Kind
from services.gateway.domain.graphs import Drawn, draw
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import (
    NO_SUCH_ENVIRONMENT,
    NO_SUCH_RUN,
    UnavailableError,
    UnknownThingError,
)
from services.gateway.ports import Catalog, RequestStore

_log = structlog.get_logger(__name__)

_NAME: TypeAdapter[str] = TypeAdapter(EnvironmentName)
_NOT_YET = "Your request is accepted and not yet visible here. Ask again in a moment."


class Search(Value):
    """What is looked for among environments; each means what it means in `contracts.queries.FindEnvironments`."""

    team: TeamName | None = None
    person: PersonName | None = None
    kind: Kind | None = None
    running: RunningState | None = None
    deployment: DeploymentState | None = None
    repository: RepositoryName | None = None
    branch: BranchName | None = None
    forgotten_days: int | None = None
    duplicates: bool = False
    sort: EnvironmentOrder = "name"
    descending: bool = False
    facets: bool = False
    state: EnvironmentState | None = None
    golden_path: GoldenPathName | None = None
    name_contains: PartOfName | None = None
    include_deleted: bool = False
    after: str | None = None
    limit: int = 50


class RunSearch(Value):
    """What is looked for among runs; each means what it means in `contracts.queries.FindRuns`."""

    environment: EnvironmentName | None = None
    name_contains: PartOfName | None = None
    state: RunState | None = None
    kind: RunKind | None = None
    golden_path: GoldenPathName | None = None
    person: PersonName | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    counts: bool = False


@dataclass(frozen=True)
class Reading:
    """Answers what a principal may know."""

    requests: RequestStore
    catalog: Catalog

    async def environment(self, principal: Principal, name: str) -> EnvironmentView:
        """The environment of this name. Raises `UnknownThingError`, and `UnavailableError` where it was accepted and
        the catalog does not have it yet."""
        if not _is_a_name(name):
            raise UnknownThingError(NO_SUCH_ENVIRONMENT)
        floor = await self.requests.floor(environment=name)
        view = await self.catalog.environment(name, floor)
        if view is not None and principal.role_in(view) is not None:
            return view
        accepted = await self.requests.floor(environment=name, principal=principal.subject)
        if accepted > (view.last_sequence if view is not None else 0):
            raise UnavailableError(_NOT_YET)
        raise UnknownThingError(NO_SUCH_ENVIRONMENT)

    async def environments(self, principal: Principal, search: Search) -> Environments:
        """A page of the environments that the principal sees: those of its teams, and those that it was granted."""
        return await self.catalog.environments(
            FindEnvironments(
                min_sequence=await self.requests.floor(principal=principal.subject),
                teams=principal.visible_teams,
                granted_to=principal.granted_to,
                **dict(search),
            )
        )

    async def graph(self, principal: Principal, name: str) -> Drawn:
        """An environment with what it stands on and what stands on it. Raises as `environment`."""
        view = await self.environment(principal, name)
        found = await self.catalog.graph(name)
        every = found.environments or (view,)  # one that is deleted is connected with nothing
        seen = frozenset(one.name for one in every if principal.role_in(one) is not None)
        return draw(name, every, seen, complete=found.complete)

    async def events(self, principal: Principal, name: str, after: int, limit: int) -> tuple[list[RecordedEvent], int]:
        """A page of the environment's history, oldest first, and the sequence of the last event looked at (0 where
        there was none: the end). A name may have been another team's before: of earlier incarnations only those that
        are visible."""
        view = await self.environment(principal, name)
        page = await self.catalog.events(name, after, limit)
        shown = [recorded for recorded in page if _may_see(principal, view, recorded)]
        return shown, page[-1].sequence if page else 0

    async def run(self, principal: Principal, run_id: str, *, at_least: int = 0) -> RunView:
        """A run by its id, as the log has it up to a sequence at least. Raises as `environment`."""
        try:
            identity = UUID(run_id)
        except ValueError:
            raise UnknownThingError(NO_SUCH_RUN) from None
        floor = max(at_least, await self.requests.floor(event_id=identity))
        view = await self.catalog.run(identity, floor)
        if view is not None and (principal.sees(view.team) or await self._is_granted(principal, view)):
            return view
        if view is None and await self.requests.floor(event_id=identity, principal=principal.subject):
            raise UnavailableError(_NOT_YET)
        raise UnknownThingError(NO_SUCH_RUN)

    async def _is_granted(self, principal: Principal, run: RunView) -> bool:
        """Whether the run is of an environment that the principal was granted. A grant is for one life of a name."""
        view = await self.catalog.environment(run.environment)
        return view is not None and view.incarnation == run.incarnation and principal.role_in(view) is not None

    async def runs(self, principal: Principal, search: RunSearch, *, before: int | None, limit: int) -> Runs:
        """A page of runs, newest first: of one environment, or all that the principal sees. Raises as `environment`
        where one is named."""
        named = search.environment
        view = await self.environment(principal, named) if named is not None else None
        granted = view is not None and not principal.sees(view.spec.owner.team)
        question = FindRuns(
            min_sequence=await self.requests.floor(principal=principal.subject),
            teams=None if granted else principal.visible_teams,
            granted_to=None if granted else principal.granted_to,
            before_sequence=before,
            limit=limit,
            **dict(search),
        )
        found = await self.catalog.runs(question)
        if view is None or not granted:
            return found
        # A grant is for one life of a name, and what there is of others is not even counted.
        mine = tuple(run for run in found.items if run.incarnation == view.incarnation)
        return Runs(items=mine)

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]:
        """How long creations of this golden path take; nothing where that cannot be had now: a form must not wait for a
        statistic."""
        try:
            return await self.catalog.durations(golden_path)
        except TransientError as error:
            _log.info("no durations at the moment", error=str(error))
            return ()


def _is_a_name(text: str) -> bool:
    try:
        _NAME.validate_python(text)
    except ValidationError:
        return False
    return True


def _may_see(principal: Principal, view: EnvironmentView, recorded: RecordedEvent) -> bool:
    event = cast("dict[str, Any]", recorded.event)
    if event.get("incarnation") == str(view.incarnation):
        return True
    team = event.get("data", {}).get("spec", {}).get("owner", {}).get("team")
    return principal.visible_teams is None or (team is not None and principal.sees(team))

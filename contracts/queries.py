"""Questions to services and their answers (request/reply on the bus, JSON both ways), and the views they speak of.

A view is what a pure left fold over an environment's events gives. Times are the events' own.
"""

from decimal import Decimal
from typing import Annotated, ClassVar, Final, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints

from contracts.envelope import Timestamp, Value
from contracts.names import BranchName, EnvironmentName, GoldenPathName, PersonName, RepositoryName, TeamName
from contracts.values import (
    CurrencyCode,
    EnvironmentSpec,
    Failure,
    HourlyPrice,
    Infrastructure,
    Kind,
    LeftBehind,
    Pipeline,
    Resource,
    Secrets,
    Step,
)

EnvironmentState = Literal["creating", "updating", "ready", "undoing", "failed", "deleting", "deleted"]
RunKind = Literal["create", "update", "delete"]
RunState = Literal["running", "undoing", "succeeded", "failed"]
StepState = Literal["pending", "running", "waiting", "succeeded", "failed", "undoing", "undone"]
DeploymentState = Literal["none", "queued", "deploying", "deployed", "failed"]
RunningState = Literal["healthy", "degraded", "down", "unknown"]

PartOfName = Annotated[str, StringConstraints(max_length=40, pattern=r"^[^\x00]*$")]
"""Some of the letters of a name. Postgres knows no text with a zero in it."""


class StepView(Value):
    """One step of a run."""

    step: Step
    state: StepState = "pending"
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None


class RunView(Value):
    """One pass of the saga."""

    id: UUID
    environment: EnvironmentName
    incarnation: UUID
    kind: RunKind
    state: RunState
    requested_by: str
    cause: str = "person"
    """Why it was begun: person, expiry, drift, upgrade, git or retry."""
    called_off_by: str | None = None
    team: TeamName
    golden_path: GoldenPathName
    requested_at: Timestamp
    ended_at: Timestamp | None = None
    steps: tuple[StepView, ...]
    failure: Failure | None = None
    created: tuple[Resource, ...] = ()
    undone: tuple[Resource, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()
    kept: tuple[LeftBehind, ...] = ()
    """What stays on purpose."""
    stalled_since: Timestamp | None = None
    trace_id: str | None = None
    last_event_at: Timestamp
    last_sequence: int
    """Stream sequence of the run's last event."""


class Grant(Value):
    """A role that a person or a team has in one environment."""

    role: Literal["viewer", "developer", "admin"]
    person: PersonName | None = None
    team: TeamName | None = None


class DeploymentView(Value):
    """One deployment, as far as it has got."""

    deployment_id: str
    state: Literal["queued", "deploying", "deployed", "failed"]
    commit: str
    branch: str
    author: str
    at: Timestamp
    """When it got there."""
    duration_seconds: float | None = None
    log_url: str | None = None


class Rate(Value):
    """What an environment costs from a moment on; a price of None is not known."""

    since: Timestamp
    price: HourlyPrice | None = None


class CostView(Value):
    """What an environment costs and has cost. Amounts that are not known are None."""

    currency: CurrencyCode
    per_hour: Decimal | None = None
    per_month: Decimal | None = None
    """A month has 730 hours."""
    so_far: Decimal | None = None
    """Over its whole life: what was recorded, and for the rest of the time what its prices say."""
    recorded: Decimal = Decimal(0)
    """How much of that was recorded by somebody who knows."""


class EnvironmentView(Value):
    """What is known of an environment of this name: its latest incarnation.

    How it is deployed and whether it runs are two things, and neither is its state. They come of facts from outside
    (`contracts.signals`); the catalog adds them, the cost and `alive_seconds` when it answers.
    """

    name: EnvironmentName
    incarnation: UUID
    state: EnvironmentState
    running: RunningState = "unknown"
    running_since: Timestamp | None = None
    running_reason: str | None = None
    deployment: DeploymentState = "none"
    last_deployment: DeploymentView | None = None
    last_successful_deployment: DeploymentView | None = None
    cost: CostView | None = None
    alive_seconds: float | None = None
    """How long it has existed; None while it was never ready."""
    asked_price: HourlyPrice | None = None
    """The price of the desired state that was asked for last."""
    rates: tuple[Rate, ...] = ()
    """Since when it has existed at which price."""
    gone_at: Timestamp | None = None
    """When it ceased to exist."""
    spec: EnvironmentSpec
    created_at: Timestamp
    updated_at: Timestamp
    ready_at: Timestamp | None = None
    infrastructure: Infrastructure | None = None
    secrets: Secrets | None = None
    pipeline: Pipeline | None = None
    failure: Failure | None = None
    left_behind: tuple[LeftBehind, ...] = ()
    kept: tuple[LeftBehind, ...] = ()
    """What stays on purpose of an environment that is gone."""
    expires_at: Timestamp | None = None
    """When its time is up; None where it has no end."""
    kept_because: str | None = None
    """Why it has no end although its kind has one."""
    last_activity_at: Timestamp | None = None
    """The last thing a person or a deployment did to it."""
    access: tuple[Grant, ...] = ()
    """Grants beyond the owner's team."""
    drift: tuple[Resource, ...] = ()
    """What was found to differ from the environment's commit and is not repaired yet."""
    drift_detected_at: Timestamp | None = None
    run_id: UUID
    """The latest run."""
    version: int
    """How many events this environment has had, over all incarnations."""
    last_sequence: int
    """Stream sequence of its last event: what a conditional publish expects."""


class RecordedEvent(Value):
    """An event as it stands in the log."""

    sequence: int
    version: int
    subject: str
    event: dict[str, JsonValue]


class StepDuration(Value):
    """How long a step usually takes, from the platform's own history (successful creations of the last 30 days)."""

    step: Step | Literal["total"]
    count: int
    p50_seconds: float
    p90_seconds: float


Answer = TypeVar("Answer", bound=Value)


class Query(Value, Generic[Answer]):
    """A question; `name` is the last token of its subject."""

    name: ClassVar[str]
    service: ClassVar[str] = "catalog"
    """Who answers."""
    min_sequence: int = 0
    """Answer only when the catalog has folded this sequence (read your writes); waits two seconds at most."""


class FacetCount(Value):
    """How many have one value."""

    value: str
    count: int


class Facets(Value):
    """How many environments there are by each value of a property, the most frequent first. Every filter counts but the
    one on the property itself, so that another choice can be seen."""

    team: tuple[FacetCount, ...] = ()
    kind: tuple[FacetCount, ...] = ()
    golden_path: tuple[FacetCount, ...] = ()
    state: tuple[FacetCount, ...] = ()
    running: tuple[FacetCount, ...] = ()
    deployment: tuple[FacetCount, ...] = ()


class Environments(Value):
    items: tuple[EnvironmentView, ...]
    total: int
    total_is_exact: bool = True
    """False where there are more than `total` (and more than the facets count), and counting them all takes too
    long."""
    next_cursor: str | None = None
    facets: Facets | None = None


class GrantedTo(Value):
    """Somebody who may have been granted something, and the teams they work in."""

    person: PersonName
    teams: Annotated[tuple[TeamName, ...], Field(max_length=200)] = ()


EnvironmentOrder = Literal["name", "created_at", "expires_at", "updated_at", "cost", "last_activity_at"]


class FindEnvironments(Query[Environments]):
    """Environments that keep every condition that is given; deleted ones are left out unless asked for."""

    name = "environments"
    teams: tuple[TeamName, ...] | None = None
    """Only what these teams own; None means all."""
    granted_to: GrantedTo | None = None
    """Besides, what was granted to somebody; means nothing without `teams`."""
    team: TeamName | None = None
    person: PersonName | None = None
    """Its owner."""
    kind: Kind | None = None
    golden_path: GoldenPathName | None = None
    state: EnvironmentState | None = None
    running: RunningState | None = None
    deployment: DeploymentState | None = None
    repository: RepositoryName | None = None
    branch: BranchName | None = None
    name_contains: PartOfName | None = None
    forgotten_days: int | None = Field(default=None, ge=0, le=3650)
    """Ready previews and stagings that nobody has deployed to or changed for so many days."""
    duplicates: bool = False
    """Only those that have another one of the same kind, repository, branch and directory beside them."""
    include_deleted: bool = False
    sort: EnvironmentOrder = "name"
    """Those without an end come last by `expires_at`; `cost` is that of a month, and `updated_at` stands still while a
    run is under way."""
    descending: bool = False
    after: str | None = Field(default=None, max_length=120)
    """`next_cursor` of the page before, of the same question."""
    limit: int = Field(default=50, ge=1, le=500)
    facets: bool = False
    """Whether to count by properties as well."""


class OneEnvironment(Value):
    environment: EnvironmentView | None


class GetEnvironment(Query[OneEnvironment]):
    name = "environment"
    environment: EnvironmentName


class Events(Value):
    items: tuple[RecordedEvent, ...]


class GetEvents(Query[Events]):
    """The history of one environment, oldest first."""

    name = "events"
    environment: EnvironmentName
    after_sequence: int = 0
    limit: int = Field(default=500, ge=1, le=1000)


RUNS_COUNTED: Final = 1000
"""Runs of a state are counted so far and no further: that many means "that many or more"."""


class Runs(Value):
    items: tuple[RunView, ...]
    states: tuple[FacetCount, ...] = ()
    """How many there are in each state, as far as they are counted; every condition counts but those on the state and
    on where the page begins. Empty where nobody asked."""


class FindRuns(Query[Runs]):
    """Runs that keep every condition that is given, newest first: the one with the newest event."""

    name = "runs"
    environment: EnvironmentName | None = None
    name_contains: PartOfName | None = None
    """A part of the environment's name."""
    state: RunState | None = None
    kind: RunKind | None = None
    golden_path: GoldenPathName | None = None
    person: PersonName | None = None
    """Who asked for it."""
    since: Timestamp | None = None
    """Asked for then or later."""
    until: Timestamp | None = None
    """Asked for before."""
    counts: bool = False
    """Whether to count by state as well."""
    teams: tuple[TeamName, ...] | None = None
    granted_to: GrantedTo | None = None
    """Besides, runs of the present life of what was granted to somebody; means nothing without `teams`."""
    before_sequence: int | None = None
    limit: int = Field(default=50, ge=1, le=500)


class OneRun(Value):
    run: RunView | None


class GetRun(Query[OneRun]):
    name = "run"
    run_id: UUID


class Graph(Value):
    """Environments that are connected by what they depend on (`spec.depends_on`)."""

    environments: tuple[EnvironmentView, ...]
    complete: bool = True
    """False where there are more than one answer holds."""


class GetGraph(Query[Graph]):
    """An environment with all that it depends on and all that depends on it, over any number of steps. Names that
    nothing has are left out, deleted environments too."""

    name = "graph"
    environment: EnvironmentName


class Known(Value):
    ids: tuple[UUID, ...]


class WhichAreKnown(Query[Known]):
    """Which of these event ids are in the catalog's copy of the log."""

    name = "known"
    ids: tuple[UUID, ...] = Field(max_length=1000)


class Durations(Value):
    items: tuple[StepDuration, ...]


class GetDurations(Query[Durations]):
    name = "durations"
    golden_path: GoldenPathName


class Position(Value):
    sequence: int
    """The last sequence folded."""
    stream_sequence: int
    """The last sequence of the stream, as far as the catalog has seen."""
    lag_seconds: float


class GetPosition(Query[Position]):
    """How far the catalog's copy of the log reaches."""

    name = "position"


class Refused(Value):
    """The answer to a question that cannot be answered."""

    error: str

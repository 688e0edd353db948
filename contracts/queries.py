"""Questions to services and their answers (request/reply on the bus, JSON both ways), and the views they speak of.

A view is what a pure left fold over an environment's events gives. Times are the events' own.
"""

from typing import ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import Field, JsonValue

from contracts.envelope import Timestamp, Value
from contracts.names import EnvironmentName, GoldenPathName, PersonName, TeamName
from contracts.values import (
    EnvironmentSpec,
    Failure,
    Infrastructure,
    LeftBehind,
    Pipeline,
    Resource,
    Secrets,
    Step,
)

EnvironmentState = Literal["creating", "updating", "ready", "undoing", "failed", "deleting", "deleted"]
RunState = Literal["running", "undoing", "succeeded", "failed"]
StepState = Literal["pending", "running", "waiting", "succeeded", "failed", "undoing", "undone"]


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
    kind: Literal["create", "update", "delete"]
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


class EnvironmentView(Value):
    """What is known of an environment of this name: its latest incarnation."""

    name: EnvironmentName
    incarnation: UUID
    state: EnvironmentState
    running: Literal["healthy", "degraded", "down", "unknown"] = "unknown"
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


class Environments(Value):
    items: tuple[EnvironmentView, ...]
    total: int
    next_cursor: str | None = None


class FindEnvironments(Query[Environments]):
    """Environments by name, deleted ones left out unless asked for."""

    name = "environments"
    teams: tuple[TeamName, ...] | None = None
    """Only these teams'; None means all."""
    state: EnvironmentState | None = None
    golden_path: GoldenPathName | None = None
    name_contains: str | None = Field(default=None, max_length=40)
    include_deleted: bool = False
    after: str | None = Field(default=None, max_length=40)
    """The last name of the page before."""
    limit: int = Field(default=50, ge=1, le=500)


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


class Runs(Value):
    items: tuple[RunView, ...]


class FindRuns(Query[Runs]):
    """Runs, newest first."""

    name = "runs"
    environment: EnvironmentName | None = None
    teams: tuple[TeamName, ...] | None = None
    before_sequence: int | None = None
    limit: int = Field(default=50, ge=1, le=500)


class OneRun(Value):
    run: RunView | None


class GetRun(Query[OneRun]):
    name = "run"
    run_id: UUID


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

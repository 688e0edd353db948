"""The shapes of what leaves the platform; `views` fills them.

Invariant: an allow-list. A field that the catalog learns tomorrow is not shown before it is named here.
"""

from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, JsonValue

from contracts.envelope import Timestamp
from contracts.queries import EnvironmentState, RunState, StepState
from contracts.values import Kind, Owner, Step

API: Final = "/api/v1"


class Thing(BaseModel):
    """One resource."""

    kind: str
    id: str


class ThingLeft(Thing):
    """A resource that an undo left behind, and why."""

    reason: str


class FailureAnswer(BaseModel):
    """Why a step failed, and what to do."""

    step: Step
    code: str
    message: str
    next_step: str
    attempts: int


class Asked(BaseModel):
    """An environment as it was asked for."""

    name: str
    state: EnvironmentState
    kind: Kind
    golden_path: str
    golden_path_version: str
    owner: Owner
    repository: str
    branch: str
    parameters: dict[str, JsonValue]
    expires_at: Timestamp | None


class BegunRun(BaseModel):
    """A run as it begins."""

    id: UUID
    kind: str
    environment: str
    requested_at: Timestamp


class AcceptedLinks(BaseModel):
    """Where to look now."""

    self: str
    run: str
    stream: str
    events: str
    page: str
    trace: str | None


class Accepted(BaseModel):
    """The answer to a request that begins a run."""

    environment: Asked
    run: BegunRun
    links: AcceptedLinks
    trace_id: str | None


class DatabaseAnswer(BaseModel):
    """Where an environment's data lives."""

    host: str
    port: int
    database: str
    schema_name: str
    owner_role: str


class InfrastructureAnswer(BaseModel):
    """What Terraform made."""

    namespace: str
    commit: str
    database: DatabaseAnswer | None
    resources: list[Thing]


class SecretsAnswer(BaseModel):
    """Where secrets are; never what they are."""

    path: str
    version: int
    names: list[str]
    database_role: str | None
    access_group: str


class PipelineAnswer(BaseModel):
    """Where the code is, and what deploys it."""

    repository_url: str
    clone_url: str
    branch: str
    workflow_path: str
    commit: str
    origin: str
    pull_request_url: str | None


class EnvironmentAnswer(Asked):
    """An environment as it is."""

    incarnation: UUID
    running: str
    created_at: Timestamp
    updated_at: Timestamp
    ready_at: Timestamp | None
    url: str | None
    hostname: str | None
    infrastructure: InfrastructureAnswer | None
    secrets: SecretsAnswer | None
    pipeline: PipelineAnswer | None
    failure: FailureAnswer | None
    left_behind: list[ThingLeft]
    run_id: UUID
    links: dict[str, str | None]


class EnvironmentPage(BaseModel):
    """A page of environments, by name."""

    items: list[EnvironmentAnswer]
    total: int
    next_cursor: str | None


class StepAnswer(BaseModel):
    """One step of a run."""

    step: Step
    state: StepState
    started_at: Timestamp | None
    ended_at: Timestamp | None


class RunAnswer(BaseModel):
    """One pass of the saga."""

    id: UUID
    environment: str
    kind: str
    state: RunState
    requested_by: str
    team: str
    golden_path: str
    requested_at: Timestamp
    ended_at: Timestamp | None
    steps: list[StepAnswer]
    failure: FailureAnswer | None
    created: list[Thing]
    undone: list[Thing]
    left_behind: list[ThingLeft]
    stalled_since: Timestamp | None
    trace_id: str | None
    links: dict[str, str | None]


class RunPage(BaseModel):
    """A page of runs, newest first."""

    items: list[RunAnswer]
    next_cursor: str | None


class EventAnswer(BaseModel):
    """An event of the log."""

    sequence: int
    type: str
    kind: str
    source: str
    time: str
    run_id: str
    trace_id: str | None
    data: dict[str, Any]


class EventPage(BaseModel):
    """A page of an environment's history, oldest first."""

    items: list[EventAnswer]
    next_after: int | None

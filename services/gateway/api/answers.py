"""The shapes of what leaves the platform; `views` fills them.

Invariant: an allow-list. A field that the catalog learns tomorrow is not shown before it is named here.
"""

from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, JsonValue

from contracts.envelope import Timestamp
from contracts.queries import DeploymentState, EnvironmentState, RunningState, RunState, StepState
from contracts.values import EnvironmentSpec, Kind, Owner, Step
from services.gateway.domain.people import Role

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


class PullRequestAnswer(BaseModel):
    """The pull request that a preview is of."""

    number: int
    url: str | None
    """Where it is; null as long as the repository is not known."""
    approved_commit: str | None
    """Of a fork: the commit that a member agreed to at first; null where every push is shown."""


class GrantAnswer(BaseModel):
    """A role that a person or a team has in one environment."""

    role: Role
    person: str | None
    team: str | None


class DeploymentAnswer(BaseModel):
    """One deployment, as far as it has got."""

    deployment_id: str
    state: Literal["queued", "deploying", "deployed", "failed"]
    commit: str
    branch: str
    author: str
    at: Timestamp
    duration_seconds: float | None
    log_url: str | None


class CostAnswer(BaseModel):
    """What an environment costs and has cost; decimal numbers as text, null where that is not known."""

    currency: str
    per_hour: str | None
    per_month: str | None
    so_far: str | None
    recorded: str
    """How much of it was recorded by somebody who knows; the rest follows from prices."""


class EnvironmentAnswer(Asked):
    """An environment as it is. How it is deployed and whether it runs are two things."""

    incarnation: UUID
    running: RunningState
    running_since: Timestamp | None
    running_reason: str | None
    deployment: DeploymentState
    last_deployment: DeploymentAnswer | None
    last_successful_deployment: DeploymentAnswer | None
    cost: CostAnswer | None
    pull_request: PullRequestAnswer | None
    """Of which pull request it is a preview; null where it is of none."""
    depends_on: list[str]
    path: str | None
    """The directory of the repository that the application is in; null where it is all of it."""
    last_activity_at: Timestamp | None
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
    kept: list[ThingLeft]
    """What stays on purpose of one that is gone."""
    kept_because: str | None
    """Why it has no end."""
    update_available: str | None
    """The newer version of its golden path that is on offer."""
    access: list[GrantAnswer]
    drift: list[Thing]
    drift_detected_at: Timestamp | None
    your_role: Role
    run_id: UUID
    links: dict[str, str | None]


class FacetAnswer(BaseModel):
    """How many have one value."""

    value: str
    count: int


class FacetsAnswer(BaseModel):
    """How many environments there are by each value of a property, the most frequent first. Every filter counts but the
    one on the property itself."""

    team: list[FacetAnswer]
    kind: list[FacetAnswer]
    golden_path: list[FacetAnswer]
    state: list[FacetAnswer]
    running: list[FacetAnswer]
    deployment: list[FacetAnswer]


class EnvironmentPage(BaseModel):
    """A page of environments."""

    items: list[EnvironmentAnswer]
    total: int
    total_is_exact: bool
    """False: there are more than `total`, and counting them takes too long."""
    next_cursor: str | None
    facets: FacetsAnswer | None
    """Where they are asked for."""


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
    kept: list[ThingLeft]
    cause: str
    """Why it was begun: person, expiry, drift, upgrade, git or retry."""
    called_off_by: str | None
    stalled_since: Timestamp | None
    trace_id: str | None
    links: dict[str, str | None]


class RunCount(BaseModel):
    """How many runs are in one state."""

    state: str
    count: int


class RunPage(BaseModel):
    """A page of runs, newest first."""

    items: list[RunAnswer]
    next_cursor: str | None
    counts: list[RunCount] | None = None
    """How many there are in each state, whichever is asked for; up to 1000, which means that many or more."""


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


class Change(BaseModel):
    """What would happen to one resource."""

    action: Literal["create", "update", "replace", "destroy"]
    resource: Thing
    detail: str
    loses_data: bool
    """Whether it destroys what nobody could make again."""


class PlannedCost(BaseModel):
    """What the environment would cost; decimal numbers as text. A month has 730 hours."""

    currency: str | None
    per_hour: str
    per_month: str


class Expected(BaseModel):
    """How long it would take."""

    p50_seconds: float
    p90_seconds: float | None
    measured: bool
    """Whether this platform has measured it, or the golden path says so."""


class QuotaAnswer(BaseModel):
    """How much others use of one limit, and what is left; null where there is no limit."""

    scope: str
    used: str
    limit: str | None
    left: str | None


class PlanAnswer(BaseModel):
    """What would happen. Nothing has."""

    environment: str
    changes: list[Change]
    counts: dict[str, int]
    hash: str
    """Send it as `plan` with the request that you agree to."""
    spec: EnvironmentSpec
    cost: PlannedCost
    expected: Expected
    quota: dict[str, QuotaAnswer]
    warnings: list[str]


class AccessAnswer(BaseModel):
    """Who may use an environment."""

    owner: Owner
    items: list[GrantAnswer]


class AccessChanged(GrantAnswer):
    """What will be true of a grant, once the secrets service has done it."""

    environment: str
    change: Literal["granted", "revoked"]

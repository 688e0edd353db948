"""The client of Slipway's API: `Client`, and `AsyncClient` with the same methods to await. Needs httpx and pydantic.

Written by `python -m deploy.sdk` from the API's description, version 0.1.0; what is changed here by hand is lost.

    with Client("https://slipway.example.com", token_file="/run/secrets/slipway") as slipway:
        asked = slipway.create_environment(name="demo-api", golden_path="nodejs-api")
        print(slipway.wait(asked).url)

Invariants
- A request that changes something has an `Idempotency-Key`, made per call and kept over every repetition, so what is
  asked once happens once. A request without one is repeated only where it was certainly not carried out.
- What a newer platform says in addition is ignored; a value this client does not know is handed on as it is.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, wraps
from pathlib import Path
from types import TracebackType
from typing import (
    Any,
    Concatenate,
    Final,
    Generic,
    Literal,
    NotRequired,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
    overload,
)
from urllib.parse import quote
from uuid import UUID, uuid4

import anyio
import httpx
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic_core import to_jsonable_python

__all__ = ["AsyncClient", "Client", "FieldError", "Message", "RunFailedError", "SlipwayError", "Verdict"]

P = ParamSpec("P")
T = TypeVar("T")

_TIMEOUT_SECONDS: Final = 45.0
"""A plan may take 30 seconds."""
_STREAM_TIMEOUT: Final = httpx.Timeout(10, read=40)
"""The platform says something every 15 seconds."""
_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_LOOKS: Final = 200
_BUSY: Final = frozenset({429, 502, 503, 504})
_NOT_BEGUN: Final = 429
"""What is refused with this was not carried out."""


class _Answer(BaseModel):
    """What the platform says. Frozen."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class AcceptedLinks(_Answer):
    """Where to look now."""

    self: str
    run: str
    stream: str
    events: str
    page: str
    trace: str | None


class Owner(_Answer):
    """Who answers for an environment: a person and the team they asked for."""

    person: str
    team: str


class Asked(_Answer):
    """An environment as it was asked for."""

    name: str
    state: Literal["creating", "updating", "ready", "undoing", "failed", "deleting", "deleted"] | str
    kind: Literal["preview", "staging", "production"] | str
    golden_path: str
    golden_path_version: str
    owner: Owner
    repository: str
    branch: str
    parameters: dict[str, Any]
    expires_at: str | None


class BegunRun(_Answer):
    """A run as it begins."""

    id: UUID
    kind: str
    environment: str
    requested_at: str


class Accepted(_Answer):
    """The answer to a request that begins a run."""

    environment: Asked
    run: BegunRun
    links: AcceptedLinks
    trace_id: str | None


class GrantAnswer(_Answer):
    """A role that a person or a team has in one environment."""

    role: Literal["viewer", "developer", "admin"] | str
    person: str | None
    team: str | None


class AccessAnswer(_Answer):
    """Who may use an environment."""

    owner: Owner
    items: list[GrantAnswer]


class AccessChanged(_Answer):
    """What will be true of a grant, once the secrets service has done it."""

    role: Literal["viewer", "developer", "admin"] | str
    person: str | None
    team: str | None
    environment: str
    change: Literal["granted", "revoked"] | str


class CostAnswer(_Answer):
    """What an environment costs and has cost; decimal numbers as text, null where that is not known."""

    currency: str
    per_hour: str | None
    per_month: str | None
    so_far: str | None
    recorded: str


class DeploymentAnswer(_Answer):
    """One deployment, as far as it has got."""

    deployment_id: str
    state: Literal["queued", "deploying", "deployed", "failed"] | str
    commit: str
    branch: str
    author: str
    at: str
    duration_seconds: float | None
    log_url: str | None


class FailureAnswer(_Answer):
    """Why a step failed, and what to do."""

    step: Literal["infrastructure", "secrets", "pipeline"] | str
    code: str
    message: str
    next_step: str
    attempts: int


class DatabaseAnswer(_Answer):
    """Where an environment's data lives."""

    host: str
    port: int
    database: str
    schema_name: str
    owner_role: str


class Thing(_Answer):
    """One resource."""

    kind: str
    id: str


class InfrastructureAnswer(_Answer):
    """What Terraform made."""

    namespace: str
    commit: str
    database: DatabaseAnswer | None
    resources: list[Thing]


class PipelineAnswer(_Answer):
    """Where the code is, and what deploys it."""

    repository_url: str
    clone_url: str
    branch: str
    workflow_path: str
    commit: str
    origin: str
    pull_request_url: str | None


class PullRequestAnswer(_Answer):
    """The pull request that a preview is of."""

    number: int
    url: str | None
    approved_commit: str | None


class SecretsAnswer(_Answer):
    """Where secrets are; never what they are."""

    path: str
    version: int
    names: list[str]
    database_role: str | None
    access_group: str


class ThingLeft(_Answer):
    """A resource that an undo left behind, and why."""

    kind: str
    id: str
    reason: str


class EnvironmentAnswer(_Answer):
    """An environment as it is. How it is deployed and whether it runs are two things."""

    name: str
    state: Literal["creating", "updating", "ready", "undoing", "failed", "deleting", "deleted"] | str
    kind: Literal["preview", "staging", "production"] | str
    golden_path: str
    golden_path_version: str
    owner: Owner
    repository: str
    branch: str
    parameters: dict[str, Any]
    expires_at: str | None
    incarnation: UUID
    running: Literal["healthy", "degraded", "down", "unknown"] | str
    running_since: str | None
    running_reason: str | None
    deployment: Literal["none", "queued", "deploying", "deployed", "failed"] | str
    last_deployment: DeploymentAnswer | None
    last_successful_deployment: DeploymentAnswer | None
    cost: CostAnswer | None
    pull_request: PullRequestAnswer | None
    depends_on: list[str]
    path: str | None
    last_activity_at: str | None
    created_at: str
    updated_at: str
    ready_at: str | None
    url: str | None
    hostname: str | None
    infrastructure: InfrastructureAnswer | None
    secrets: SecretsAnswer | None
    pipeline: PipelineAnswer | None
    failure: FailureAnswer | None
    left_behind: list[ThingLeft]
    kept: list[ThingLeft]
    kept_because: str | None
    update_available: str | None
    access: list[GrantAnswer]
    drift: list[Thing]
    drift_detected_at: str | None
    your_role: Literal["viewer", "developer", "admin"] | str
    run_id: UUID
    links: dict[str, str | None]


class Warned(_Answer):
    """Something that the platform does otherwise than the manifest says."""

    field: str
    message: str


class AppliedAnswer(_Answer):
    """What became of a manifest: a run that was begun (`accepted`), or the environment as it is."""

    outcome: Literal["created", "updated", "unchanged"] | str
    accepted: Accepted | None
    environment: EnvironmentAnswer | None
    warnings: list[Warned]


class AttemptAnswer(_Answer):
    """One try to deliver, and what came back."""

    at: str
    duration_seconds: float
    status_code: int | None
    answer: str
    error: str | None


class AuditEntry(_Answer):
    """One thing that somebody did, or that the platform did by itself."""

    sequence: int
    time: str
    action: (
        Literal[
            "environment_requested",
            "environment_update_requested",
            "environment_deletion_requested",
            "run_cancel_requested",
            "access_requested",
            "access_revocation_requested",
            "environment_extended",
            "environment_expired",
            "drift_detected",
        ]
        | str
    )
    environment: str
    team: str
    person: str | None
    cause: str | None = None
    reason: str = ""
    detail: str = ""
    run_id: UUID
    trace_id: str | None = None


class AuditPage(_Answer):
    """AuditPage."""

    items: list[AuditEntry]
    next_before: int | None = None


class Change(_Answer):
    """What would happen to one resource."""

    action: Literal["create", "update", "replace", "destroy"] | str
    resource: Thing
    detail: str
    loses_data: bool


class ChangeAnswer(_Answer):
    """One field that is another than before, dotted: `infrastructure.commit`."""

    field: str
    before: Any
    after: Any


class CopyAnswer(_Answer):
    """One process of the application."""

    state: str
    reason: str
    restarts: int
    since: str


class Cost(_Answer):
    """What an environment with the defaults costs, by kind; decimal numbers as text."""

    currency: str
    per_hour: dict[str, str]


class DeadLetterAnswer(_Answer):
    """A message that a service could not handle."""

    sequence: int
    service: str
    subject: str
    reason: str
    error: str
    time: str | None
    size_bytes: int
    original_sequence: int | None
    trace_id: str | None
    replayable: bool


class DeadLetterPage(_Answer):
    """Dead letters, newest first."""

    items: list[DeadLetterAnswer]
    next_before: int | None


class DeadLetterWithBody(_Answer):
    """The same with the message's original bytes."""

    sequence: int
    service: str
    subject: str
    reason: str
    error: str
    time: str | None
    size_bytes: int
    original_sequence: int | None
    trace_id: str | None
    replayable: bool
    body_base64: str


class Spread(_Answer):
    """How long something took."""

    count: int
    mean_seconds: float
    p50_seconds: float
    p90_seconds: float


class Delivery(_Answer):
    """The four keys of DORA, from deployment facts: how often, how long, how often in vain, how long until mended."""

    succeeded: int
    failed: int
    per_day: float
    lead_time: Spread | None = None
    failure_rate: float | None = None
    time_to_restore: Spread | None = None


class DeliveryAnswer(_Answer):
    """One event for one webhook."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    kind: str
    environment: str | None
    state: Literal["waiting", "delivered", "failed"] | str
    created_at: str
    attempts: list[AttemptAnswer]
    attempt_count: int
    next_attempt_at: str | None


class DeliveryPage(_Answer):
    """Deliveries, newest first."""

    items: list[DeliveryAnswer]
    next_cursor: str | None


class KeptRelease(_Answer):
    """A release that can be gone back to."""

    deployment_id: str
    commit: str
    branch: str
    author: str
    received_at: str
    log_url: str | None
    live: bool


class PastDeployment(_Answer):
    """What became of one deployment."""

    deployment_id: str
    release_id: str
    state: str
    live: bool
    commit: str
    branch: str
    author: str
    at: str
    duration_seconds: float
    reason: str


class DeploymentsAnswer(_Answer):
    """What runs in an environment, and how it came about."""

    running: str
    reason: str
    since: str | None
    copies: list[CopyAnswer]
    releases: list[KeptRelease]
    items: list[PastDeployment]


class DifferenceAnswer(_Answer):
    """What changed after `since`, up to and including `until`."""

    since: str
    until: str
    changes: list[ChangeAnswer]


class Duration(_Answer):
    """How long a step usually takes, measured on this platform."""

    step: str
    count: int
    p50_seconds: float
    p90_seconds: float


class EdgeAnswer(_Answer):
    """`source` has `target`, or depends on it; both are ids of nodes."""

    source: str
    target: str
    kind: Literal["has", "depends_on"] | str


class Ended(_Answer):
    """How many sessions were ended."""

    ended: int


class FacetAnswer(_Answer):
    """How many have one value."""

    value: str
    count: int


class FacetsAnswer(_Answer):
    """How many environments there are by each value of a property, the most frequent first. Every filter counts but
    the one on the property itself."""

    team: list[FacetAnswer]
    kind: list[FacetAnswer]
    golden_path: list[FacetAnswer]
    state: list[FacetAnswer]
    running: list[FacetAnswer]
    deployment: list[FacetAnswer]


class EnvironmentPage(_Answer):
    """A page of environments."""

    items: list[EnvironmentAnswer]
    total: int
    total_is_exact: bool
    next_cursor: str | None
    facets: FacetsAnswer | None


class PullRequest(_Answer):
    """The pull request that a preview is of."""

    number: int
    approved_commit: str | None = None


class StaticFiles(_Answer):
    """Files that whoever stands in front can serve by itself, so that no process of the application needs to run."""

    directory: str
    not_found: str | None = None
    forever: str | None = None
    headers: dict[str, Any] = {}


class Runtime(_Answer):
    """What runs the application and how it is watched."""

    kind: Literal["process", "static"] | str = "process"
    language: str
    version: str
    start: list[str]
    port_variable: str | None = "PORT"
    health_path: str | None = "/healthz"
    ready_path: str | None = "/readyz"
    heartbeat_variable: str | None = None
    heartbeat_seconds: int = 30
    static: StaticFiles | None = None


class EnvironmentSpec(_Answer):
    """The desired state, complete: every default of the golden path is filled in."""

    name: str
    kind: Literal["preview", "staging", "production"] | str
    golden_path: str
    golden_path_version: str
    owner: Owner
    repository: str
    branch: str
    parameters: dict[str, Any] = {}
    expires_at: str | None = None
    depends_on: list[str] | None = None
    path: str | None = None
    runtime: Runtime | None = None
    pull_request: PullRequest | None = None


class EventAnswer(_Answer):
    """An event of the log."""

    sequence: int
    type: str
    kind: str
    source: str
    time: str
    run_id: str
    trace_id: str | None
    data: dict[str, Any]


class EventPage(_Answer):
    """A page of an environment's history, oldest first."""

    items: list[EventAnswer]
    next_after: int | None


class Expected(_Answer):
    """How long it would take."""

    p50_seconds: float
    p90_seconds: float | None
    measured: bool


class FactAnswer(_Answer):
    """A fact that was stored. One that was told before has the same id."""

    id: UUID
    environment: str
    kind: str
    time: str


class ReplyAnswer(_Answer):
    """What somebody wrote under a ticket: text, whatever it looks like."""

    author: str
    text: str
    at: str


class TicketAnswer(_Answer):
    """The ticket that feedback became."""

    id: str
    title: str
    url: str
    state: Literal["open", "closed"] | str
    outcome: Literal["completed", "not_planned", "duplicate"] | str | None
    opened_at: str
    changed_at: str | None
    replies: int
    reply: ReplyAnswer | None


class FeedbackAnswer(_Answer):
    """What you said, and what became of it; without a ticket while none is open."""

    id: UUID
    at: str
    text: str
    page: str
    run_id: UUID | None
    ticket: TicketAnswer | None


class FeedbackAnswers(_Answer):
    """A page of your feedback, the newest first."""

    items: list[FeedbackAnswer]
    next_cursor: str | None


class FeedbackGivenAnswer(_Answer):
    """What was said to the platform team."""

    id: UUID
    at: str


class TimeToLive(_Answer):
    """How long an environment of one kind lives."""

    days: int
    max_days: int


class GoldenPathAnswer(_Answer):
    """A golden path on offer."""

    name: str
    version: str
    title: str
    description: str
    owner: str
    language: str
    runtime_version: str
    kinds: list[Literal["preview", "staging", "production"] | str]
    default_kind: Literal["preview", "staging", "production"] | str
    default_branch: str
    time_to_live: dict[str, TimeToLive]
    forms: dict[str, dict[str, Any]]
    cost: Cost
    usual_duration_seconds: int
    durations: list[Duration]
    links: dict[str, str]


class GoldenPathList(_Answer):
    """Every golden path, by name."""

    items: list[GoldenPathAnswer]


class HealthAnswer(_Answer):
    """How well something is: the worst of itself and of what it depends on."""

    state: Literal["healthy", "degraded", "down", "unknown"] | str
    since: str | None
    because_of: str | None
    reason: str | None


class NodeAnswer(_Answer):
    """A thing of the graph. Only environments that are there have more than an id, a kind and a name."""

    id: str
    kind: str
    name: str
    environment: str | None
    state: str | None
    team: str | None
    running: Literal["healthy", "degraded", "down", "unknown"] | str | None
    health: HealthAnswer | None
    link: str | None


class GraphAnswer(_Answer):
    """Everything that is connected with one environment."""

    environment: str
    nodes: list[NodeAnswer]
    edges: list[EdgeAnswer]
    affected: list[str]
    affected_unseen: int
    complete: bool


class StepSpread(_Answer):
    """The same of one step."""

    count: int
    mean_seconds: float
    p50_seconds: float
    p90_seconds: float
    step: Literal["infrastructure", "secrets", "pipeline"] | str


class Period(_Answer):
    """A calendar month in UTC, as far as it has come."""

    start: str
    end: str
    creation: Spread | None = None
    steps: list[StepSpread] = []
    runs_succeeded: int = 0
    runs_failed: int = 0
    runs_retried: int = 0
    runs_stalled: int = 0
    expired: int = 0
    saved_per_month: float = 0.0
    first_deployment: Spread | None = None
    delivery: Delivery | None = None
    tickets: int = 0
    satisfaction: float | None = None
    answers: int = 0


class Insights(_Answer):
    """Months, the oldest first."""

    periods: list[Period]


class KubeconfigAnswer(_Answer):
    """A login of an environment's namespace."""

    environment: str
    namespace: str
    token: str
    expires_at: str
    kubeconfig: dict[str, Any]


class MyToken(_Answer):
    """The token of this request."""

    id: str
    name: str
    expires_at: str | None


class Me(_Answer):
    """Whoever asks."""

    person: str
    role: Literal["viewer", "developer", "admin"] | str
    teams: list[str]
    token: MyToken


class RehearsalAnswer(_Answer):
    """What the upgrade of one environment would do to its infrastructure."""

    outcome: Literal["unchanged", "changed", "loses_data", "refused"] | str
    counts: dict[str, int]
    lost: list[Thing]
    reason: str


class MemberAnswer(_Answer):
    """One environment of a rollout."""

    environment: str
    team: str
    kind: Literal["preview", "staging", "production"] | str
    version_before: str
    state: Literal["pending", "begun", "upgraded", "failed", "held", "skipped"] | str
    rehearsal: RehearsalAnswer | None
    batch: int | None
    run_id: UUID | None
    reason: str
    begun_at: str | None
    ended_at: str | None


class StepAnswer(_Answer):
    """One step of a run."""

    step: Literal["infrastructure", "secrets", "pipeline"] | str
    state: Literal["pending", "running", "waiting", "succeeded", "failed", "undoing", "undone"] | str
    started_at: str | None
    ended_at: str | None


class RunAnswer(_Answer):
    """One pass of the saga."""

    id: UUID
    environment: str
    kind: str
    state: Literal["running", "undoing", "succeeded", "failed"] | str
    requested_by: str
    team: str
    golden_path: str
    requested_at: str
    ended_at: str | None
    steps: list[StepAnswer]
    failure: FailureAnswer | None
    created: list[Thing]
    undone: list[Thing]
    left_behind: list[ThingLeft]
    kept: list[ThingLeft]
    cause: str
    called_off_by: str | None
    stalled_since: str | None
    trace_id: str | None
    links: dict[str, str | None]


class MomentAnswer(_Answer):
    """An environment as it was, and its latest run as far as that had come."""

    at: str
    environment: EnvironmentAnswer
    run: RunAnswer | None
    events: int


class NewToken(_Answer):
    """A token that was made just now, and the token itself: it is shown this once."""

    id: str
    name: str
    person: str
    role: Literal["viewer", "developer", "admin"] | str
    teams: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    token: str


class NotificationAnswer(_Answer):
    """One message that was sent, or waits to be."""

    id: str
    way: Literal["slack", "webhook"] | str
    target: str
    webhook_id: UUID | None
    event_id: UUID
    kind: str
    environment: str | None
    team: str | None
    state: Literal["sending", "waiting", "sent", "failed", "skipped"] | str
    attempts: int
    at: str


class NotificationPage(_Answer):
    """What was sent, newest first."""

    items: list[NotificationAnswer]
    next_cursor: str | None


class OutputLine(_Answer):
    """A line that an application printed."""

    time: str
    release: str
    stream: Literal["out", "err", "run"] | str
    text: str


class OutputAnswer(_Answer):
    """The last lines that an application printed, the oldest first."""

    items: list[OutputLine]


class PlannedCost(_Answer):
    """What the environment would cost; decimal numbers as text. A month has 730 hours."""

    currency: str | None
    per_hour: str
    per_month: str


class QuotaAnswer(_Answer):
    """How much others use of one limit, and what is left; null where there is no limit."""

    scope: str
    used: str
    limit: str | None
    left: str | None


class PlanAnswer(_Answer):
    """What would happen. Nothing has."""

    environment: str
    changes: list[Change]
    counts: dict[str, int]
    hash: str
    spec: EnvironmentSpec
    cost: PlannedCost
    expected: Expected
    quota: dict[str, QuotaAnswer]
    warnings: list[str]


class PlannedApplicationAnswer(_Answer):
    """What would become of a manifest. Nothing has."""

    outcome: Literal["created", "updated", "unchanged"] | str
    plan: PlanAnswer
    warnings: list[Warned]


class Urls(_Answer):
    """Where the parts of the platform are; null where there is none."""

    portal: str
    api: str
    openapi: str
    forge: str | None
    traces: str | None
    inbox: str | None
    environments: str | None


class Platform(_Answer):
    """This platform."""

    version: str
    api_version: str
    organisation: str
    urls: Urls


class RebuiltViews(_Answer):
    """What became of a page of names; those that differ are what the log says now, where that was asked for."""

    names: int
    events: int
    differing: list[str]
    next_after: str | None


class ReleaseAnswer(_Answer):
    """A deployment that is live."""

    deployment_id: str
    state: str
    url: str | None
    commit: str
    duration_seconds: float
    previous: str | None


class Replayed(_Answer):
    """Where a dead letter went."""

    service: str
    subject: str
    sequence: int


class RevealedWebhook(_Answer):
    """The same with its secret, which is shown this once."""

    id: UUID
    team: str
    url: str
    kinds: list[
        Literal[
            "environment_requested",
            "environment_update_requested",
            "environment_deletion_requested",
            "environment_ready",
            "environment_failed",
            "environment_deleted",
            "environment_expiring",
            "environment_expired",
            "environment_extended",
            "drift_detected",
            "run_stalled",
            "access_granted",
            "access_revoked",
            "deployment_recorded",
            "health_changed",
        ]
        | str
    ]
    environment: str | None
    golden_path: str | None
    description: str
    state: Literal["active", "paused", "disabled"] | str
    state_reason: str
    generation: int
    rotated_at: str | None
    created_by: str
    created_at: str
    updated_at: str
    failing_since: str | None
    delivered_at: str | None
    links: dict[str, str]
    secret: str


class RolloutAnswer(_Answer):
    """The same with its environments, in the order in which they go."""

    id: UUID
    golden_path: str
    version: str
    status: Literal["running", "paused", "stopped", "done", "cancelled"] | str
    phase: Literal["rehearsal", "canaries", "batches"] | str
    reason: str
    requested_by: str
    requested_at: str
    ended_at: str | None
    kinds: list[Literal["preview", "staging", "production"] | str] | None
    canaries: int
    batch_size: int
    include_replacing: bool
    rehearse_only: bool
    counts: dict[str, int]
    rehearsal: dict[str, int]
    links: dict[str, str]
    members: list[MemberAnswer]


class RolloutSummary(_Answer):
    """A rollout, and how many of its environments stand how."""

    id: UUID
    golden_path: str
    version: str
    status: Literal["running", "paused", "stopped", "done", "cancelled"] | str
    phase: Literal["rehearsal", "canaries", "batches"] | str
    reason: str
    requested_by: str
    requested_at: str
    ended_at: str | None
    kinds: list[Literal["preview", "staging", "production"] | str] | None
    canaries: int
    batch_size: int
    include_replacing: bool
    rehearse_only: bool
    counts: dict[str, int]
    rehearsal: dict[str, int]
    links: dict[str, str]


class RolloutPage(_Answer):
    """Rollouts, newest first."""

    items: list[RolloutSummary]


class RunCount(_Answer):
    """How many runs are in one state."""

    state: str
    count: int


class RunPage(_Answer):
    """A page of runs, newest first."""

    items: list[RunAnswer]
    next_cursor: str | None
    counts: list[RunCount] | None = None


class TokenAnswer(_Answer):
    """A token, without the token."""

    id: str
    name: str
    person: str
    role: Literal["viewer", "developer", "admin"] | str
    teams: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class TokenList(_Answer):
    """Tokens, newest first."""

    items: list[TokenAnswer]


class WebhookAnswer(_Answer):
    """A webhook, without its secret."""

    id: UUID
    team: str
    url: str
    kinds: list[
        Literal[
            "environment_requested",
            "environment_update_requested",
            "environment_deletion_requested",
            "environment_ready",
            "environment_failed",
            "environment_deleted",
            "environment_expiring",
            "environment_expired",
            "environment_extended",
            "drift_detected",
            "run_stalled",
            "access_granted",
            "access_revoked",
            "deployment_recorded",
            "health_changed",
        ]
        | str
    ]
    environment: str | None
    golden_path: str | None
    description: str
    state: Literal["active", "paused", "disabled"] | str
    state_reason: str
    generation: int
    rotated_at: str | None
    created_by: str
    created_at: str
    updated_at: str
    failing_since: str | None
    delivered_at: str | None
    links: dict[str, str]


class WebhookList(_Answer):
    """Webhooks, newest first."""

    items: list[WebhookAnswer]


class Message(_Answer):
    """One message of a run's stream: `step`, `log`, `stalled`, or at the end `verdict`."""

    event: str
    id: str
    data: dict[str, Any]


class Verdict(_Answer):
    """How a run ended."""

    event: str
    state: Literal["succeeded", "failed"] | str
    environment: str
    time: str
    url: str | None
    duration_seconds: float | None
    failure: FailureAnswer | None
    undone: list[Thing]
    left_behind: list[ThingLeft]
    kept: list[ThingLeft] = []
    trace_id: str | None


class FieldError(_Answer):
    """A field of the request, and the rule that its value breaks."""

    field: str
    rule: str


class SlipwayError(Exception):
    """Why a request was not answered (RFC 9457).

    `code` is stable (`name_taken`, `quota_exceeded`, ...), `detail` says what happened and what to do next, `errors`
    which fields break which rules, `trace_id` is what the platform team wants to know. `status` is 0 and `code`
    `unreachable` where the platform did not answer at all. `problem` is everything that was said.
    """

    def __init__(self, status: int, code: str, detail: str, *, problem: Mapping[str, Any] | None = None) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.problem = dict(problem or {})
        self.trace_id: str | None = self.problem.get("trace_id")
        self.errors = [FieldError.model_validate(error) for error in self.problem.get("errors", ())]
        rules = "".join(f"\n  {error.field} {error.rule}" for error in self.errors)
        super().__init__(f"{detail} ({code}{f', trace {self.trace_id}' if self.trace_id else ''}){rules}")


class RunFailedError(Exception):
    """A run that was waited for failed; `verdict` says in which step and why, what was undone and what was left."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        failure = verdict.failure
        reason = f" in the step {failure.step}: {failure.message} {failure.next_step}" if failure else ""
        super().__init__(f"The run of {verdict.environment} failed{reason}")


class Scaling(TypedDict):
    """How many instances run, from the fewest to the most."""

    min: int
    max: int


class ApplicationSpec(TypedDict):
    """What the application needs. What is left out is as the golden path has it."""

    runtime: Literal["nodejs-18", "nodejs-20", "nodejs-22", "nodejs-24"]
    database: NotRequired[Literal["postgresql", "none"] | None]
    cache: NotRequired[Literal["redis", "none"]]
    monitoring: NotRequired[Literal["enabled", "disabled"]]
    scaling: NotRequired[Scaling | None]
    ingress: NotRequired[Literal["internal", "public", "none"] | None]
    repository: NotRequired[str | None]
    branch: NotRequired[str | None]
    path: NotRequired[str | None]
    kind: NotRequired[Literal["preview", "staging", "production"] | None]
    team: NotRequired[str | None]
    goldenPath: NotRequired[str | None]
    dependsOn: NotRequired[list[str]]


class Metadata(TypedDict):
    """Which application."""

    name: str


class Application(TypedDict):
    """The manifest."""

    apiVersion: Literal["platform/v1"]
    kind: Literal["Application"]
    metadata: Metadata
    spec: ApplicationSpec


class ChangeAccess(TypedDict):
    """A role in one environment, for a person or a team."""

    role: Literal["viewer", "developer", "admin"]
    person: NotRequired[str | None]
    team: NotRequired[str | None]


class ChangeEnvironment(TypedDict):
    """What shall be another way; everything else stays."""

    parameters: NotRequired[dict[str, Any]]
    branch: NotRequired[str | None]
    golden_path_version: NotRequired[str | None]
    plan: NotRequired[str | None]
    depends_on: NotRequired[list[str] | None]


class ChangeHook(TypedDict):
    """What is to be different; what is not named stays as it is."""

    url: NotRequired[str | None]
    kinds: NotRequired[
        list[
            Literal[
                "environment_requested",
                "environment_update_requested",
                "environment_deletion_requested",
                "environment_ready",
                "environment_failed",
                "environment_deleted",
                "environment_expiring",
                "environment_expired",
                "environment_extended",
                "drift_detected",
                "run_stalled",
                "access_granted",
                "access_revoked",
                "deployment_recorded",
                "health_changed",
            ]
        ]
        | None
    ]
    environment: NotRequired[str | Literal[""] | None]
    golden_path: NotRequired[str | Literal[""] | None]
    description: NotRequired[str | None]
    state: NotRequired[Literal["active", "paused"] | None]


class CreateEnvironment(TypedDict):
    """What a developer says; everything but the first two has a default."""

    name: str
    golden_path: str
    repository: NotRequired[str | None]
    branch: NotRequired[str | None]
    kind: NotRequired[Literal["preview", "staging", "production"] | None]
    parameters: NotRequired[dict[str, Any]]
    team: NotRequired[str | None]
    plan: NotRequired[str | None]
    ttl: NotRequired[str | None]
    depends_on: NotRequired[list[str] | None]
    path: NotRequired[str | None]


class CreateHook(TypedDict):
    """A wish to be told what becomes of a team's environments."""

    url: str
    kinds: NotRequired[
        list[
            Literal[
                "environment_requested",
                "environment_update_requested",
                "environment_deletion_requested",
                "environment_ready",
                "environment_failed",
                "environment_deleted",
                "environment_expiring",
                "environment_expired",
                "environment_extended",
                "drift_detected",
                "run_stalled",
                "access_granted",
                "access_revoked",
                "deployment_recorded",
                "health_changed",
            ]
        ]
    ]
    environment: NotRequired[str | None]
    golden_path: NotRequired[str | None]
    description: NotRequired[str]
    team: NotRequired[str | None]


class CreateToken(TypedDict):
    """A new API token."""

    name: str
    role: NotRequired[Literal["viewer", "developer", "admin"]]
    teams: NotRequired[list[str] | None]
    expires_in_days: NotRequired[int]
    person: NotRequired[str | None]


class ExtendEnvironment(TypedDict):
    """Until when, counted from now."""

    ttl: str


class GiveFeedback(TypedDict):
    """A word to the platform team."""

    text: str
    page: NotRequired[str]
    run_id: NotRequired[UUID | None]


class GoBack(TypedDict):
    """Which release to make live again."""

    to: NotRequired[str | None]


class KeepEnvironment(TypedDict):
    """Why it shall have no end."""

    reason: str


class RebuildViews(TypedDict):
    """Which views to look at."""

    after: NotRequired[str]
    limit: NotRequired[int]
    replace: NotRequired[bool]


class RedeemCode(TypedDict):
    """A code that a person gave, and the verifier of the machine that it was given for."""

    code: str
    verifier: str


class StartRollout(TypedDict):
    """A rollout that is asked for."""

    golden_path: str
    version: NotRequired[str | None]
    kinds: NotRequired[list[Literal["preview", "staging", "production"]] | None]
    canaries: NotRequired[int]
    batch_size: NotRequired[int]
    include_replacing: NotRequired[bool]
    pause_after_rehearsal: NotRequired[bool]
    rehearse_only: NotRequired[bool]


class TellCost(TypedDict):
    """What an environment cost in a period."""

    amount: float
    currency: str
    period_start: datetime
    period_end: datetime


class TellDeployment(TypedDict):
    """A deployment that got somewhere."""

    deployment_id: str
    state: Literal["queued", "started", "succeeded", "failed"]
    commit: str
    branch: str
    author: str
    duration_seconds: NotRequired[float | None]
    log_url: NotRequired[str | None]


class TellHealth(TypedDict):
    """How an environment is."""

    state: Literal["healthy", "degraded", "down", "unknown"]
    reason: NotRequired[str]
    check: NotRequired[str]


class TellFact(TypedDict):
    """One fact about an environment: exactly one of the three."""

    deployment: NotRequired[TellDeployment | None]
    health: NotRequired[TellHealth | None]
    cost: NotRequired[TellCost | None]
    time: NotRequired[datetime | None]
    source: NotRequired[str]


class UpgradeEnvironment(TypedDict):
    """To the version on offer."""

    plan: NotRequired[str | None]


class ExportEnvironmentsQuery(TypedDict):
    """How `export_environments` may be narrowed."""

    team: NotRequired[str | None]
    owner: NotRequired[str | None]
    kind: NotRequired[Literal["preview", "staging", "production"] | None]
    golden_path: NotRequired[str | None]
    state: NotRequired[Literal["creating", "updating", "ready", "undoing", "failed", "deleting", "deleted"] | None]
    running: NotRequired[Literal["healthy", "degraded", "down", "unknown"] | None]
    deployment: NotRequired[Literal["none", "queued", "deploying", "deployed", "failed"] | None]
    repository: NotRequired[str | None]
    branch: NotRequired[str | None]
    q: NotRequired[str | None]
    forgotten_days: NotRequired[int | None]
    duplicates: NotRequired[bool]
    include_deleted: NotRequired[bool]
    sort: NotRequired[Literal["name", "created_at", "expires_at", "updated_at", "cost", "last_activity_at"] | None]
    descending: NotRequired[bool]


class ListEnvironmentsQuery(TypedDict):
    """How `list_environments` may be narrowed."""

    facets: NotRequired[bool]
    cursor: NotRequired[str | None]
    limit: NotRequired[int]
    team: NotRequired[str | None]
    owner: NotRequired[str | None]
    kind: NotRequired[Literal["preview", "staging", "production"] | None]
    golden_path: NotRequired[str | None]
    state: NotRequired[Literal["creating", "updating", "ready", "undoing", "failed", "deleting", "deleted"] | None]
    running: NotRequired[Literal["healthy", "degraded", "down", "unknown"] | None]
    deployment: NotRequired[Literal["none", "queued", "deploying", "deployed", "failed"] | None]
    repository: NotRequired[str | None]
    branch: NotRequired[str | None]
    q: NotRequired[str | None]
    forgotten_days: NotRequired[int | None]
    duplicates: NotRequired[bool]
    include_deleted: NotRequired[bool]
    sort: NotRequired[Literal["name", "created_at", "expires_at", "updated_at", "cost", "last_activity_at"] | None]
    descending: NotRequired[bool]


class ReleaseNote(TypedDict):
    """What a pipeline says of the build that it hands over."""

    deployment_id: str
    commit: str
    branch: str
    author: str
    log_url: NotRequired[str | None]


class RevokeAccessQuery(TypedDict):
    """How `revoke_access` may be narrowed."""

    role: Literal["viewer", "developer", "admin"]
    person: NotRequired[str | None]
    team: NotRequired[str | None]


class GetInsightsQuery(TypedDict):
    """How `get_insights` may be narrowed."""

    months: NotRequired[int]
    team: NotRequired[str | None]
    golden_path: NotRequired[str | None]


class GetAuditQuery(TypedDict):
    """How `get_audit` may be narrowed."""

    team: NotRequired[str | None]
    person: NotRequired[str | None]
    environment: NotRequired[str | None]
    action: NotRequired[
        Literal[
            "environment_requested",
            "environment_update_requested",
            "environment_deletion_requested",
            "run_cancel_requested",
            "access_requested",
            "access_revocation_requested",
            "environment_extended",
            "environment_expired",
            "drift_detected",
        ]
        | None
    ]
    before: NotRequired[int | None]
    limit: NotRequired[int]


class ListRunsQuery(TypedDict):
    """How `list_runs` may be narrowed."""

    environment: NotRequired[str | None]
    state: NotRequired[Literal["running", "undoing", "succeeded", "failed"] | None]
    kind: NotRequired[Literal["create", "update", "delete"] | None]
    golden_path: NotRequired[str | None]
    person: NotRequired[str | None]
    q: NotRequired[str | None]
    since: NotRequired[datetime | None]
    until: NotRequired[datetime | None]
    counts: NotRequired[bool]
    limit: NotRequired[int]
    cursor: NotRequired[str | None]


class ListNotificationsQuery(TypedDict):
    """How `list_notifications` may be narrowed."""

    team: NotRequired[str | None]
    environment: NotRequired[str | None]
    way: NotRequired[Literal["slack", "webhook"] | None]
    cursor: NotRequired[str | None]
    limit: NotRequired[int]


@dataclass(frozen=True)
class _Call(Generic[T]):
    """A request, and what its answer is by status."""

    method: str
    path: str
    answers: Mapping[int, Any]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    key: str | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent again though it may have been carried out."""
        return self.method == "GET" or self.key is not None

    def arguments(self) -> dict[str, Any]:
        """What httpx takes."""
        found: dict[str, Any] = {
            "params": {name: _text(value) for name, value in self.query.items() if value is not None},
            "headers": {"Idempotency-Key": self.key} if self.key is not None else {},
        }
        if self.body is not None:
            found["json"] = to_jsonable_python(self.body)
        if self.files is not None:
            found["files"] = self.files
        return found

    def read(self, response: httpx.Response) -> T:
        """The answer. Raises SlipwayError."""
        if not response.is_success:
            raise _error(response)
        kind = self.answers.get(response.status_code, next(iter(self.answers.values())))
        if kind is None:
            answer = None
        elif kind is str:
            answer = response.text
        else:
            answer = _adapter(kind).validate_json(response.content)
        return answer  # type: ignore[return-value] # `answers` and T are written together


@dataclass(frozen=True)
class _Pages(Generic[T]):
    """A list that goes on: the request for its first page, the parameter that asks for another, and the field of the
    answer that says with what."""

    first: _Call[Any]
    asks: str
    tells: str

    def after(self, page: Any) -> _Call[Any] | None:
        """The request for the page after `page`; None where there is none."""
        position = getattr(page, self.tells)
        if position is None or not page.items:
            return None
        query = {**self.first.query, self.asks: position}
        return _Call(self.first.method, self.first.path, self.first.answers, query)


class _Operation(Generic[P, T]):
    """A method that is described once: a `Client` answers, an `AsyncClient` gives what to await."""

    def __init__(self, describe: Callable[Concatenate[Any, P], _Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: "Client", owner: type[object]) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type[object]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, owner: type[object]) -> Self: ...

    def __get__(self, client: Any, owner: type[object]) -> Any:
        if client is None:
            return self

        @wraps(self._describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._describe(client, *args, **kwargs))

        return call


class _Iteration(Generic[P, T]):
    """A list as an iterator over all its pages, or as an asynchronous one."""

    def __init__(self, describe: Callable[Concatenate[Any, P], _Pages[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, client: "Client", owner: type[object]) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: type[object]) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, client: None, owner: type[object]) -> Self: ...

    def __get__(self, client: Any, owner: type[object]) -> Any:
        if client is None:
            return self

        @wraps(self._describe)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.each(self._describe(client, *args, **kwargs))

        return call


class _Operations:
    """What the API does."""

    @_Operation
    def export_environments(self, **query: Unpack[ExportEnvironmentsQuery]) -> _Call[list[EnvironmentAnswer]]:
        """Every environment that a list with the same filters would show, at once: as CSV (RFC 4180), or as a JSON
        array of what a list has."""
        return _Call(
            "GET", "/api/v1/environments/export", {200: list[EnvironmentAnswer]}, query={**query, "format": "json"}
        )

    @_Operation
    def get_catalog_info(self, name: str) -> _Call[str]:
        """One environment as entities of Backstage: a Component, and a Resource for each thing that it has."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}/catalog-info.yaml", {200: str})

    @_Operation
    def list_catalog_info(self) -> _Call[str]:
        """Every environment that you see, as entities of Backstage in one file of many documents."""
        return _Call("GET", "/api/v1/catalog-info.yaml", {200: str})

    @_Operation
    def create_environment(
        self, *, idempotency_key: str | None = None, **body: Unpack[CreateEnvironment]
    ) -> _Call[Accepted]:
        """Ask for a new environment. The answer comes when the request is recorded and its run has begun."""
        return _Call("POST", "/api/v1/environments", {202: Accepted}, key=idempotency_key or str(uuid4()), body=body)

    @_Operation
    def list_environments(self, **query: Unpack[ListEnvironmentsQuery]) -> _Call[EnvironmentPage]:
        """The environments of your teams, and those that you were granted."""
        return _Call("GET", "/api/v1/environments", {200: EnvironmentPage}, query={**query})

    @_Iteration
    def each_environment(self, **query: Unpack[ListEnvironmentsQuery]) -> _Pages[EnvironmentAnswer]:
        """What `list_environments` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call("GET", "/api/v1/environments", {200: EnvironmentPage}, query={**query}), "cursor", "next_cursor"
        )

    @_Operation
    def get_environment(self, name: str) -> _Call[EnvironmentAnswer]:
        """One environment; one that was deleted has the state `deleted`."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}", {200: EnvironmentAnswer})

    @_Operation
    def update_environment(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[ChangeEnvironment]
    ) -> _Call[Accepted | EnvironmentAnswer]:
        """Ask for another state: parameters, branch, version of the golden path. 200 with the environment where it
        has that state already; then no run begins."""
        return _Call(
            "PATCH",
            f"/api/v1/environments/{_at(name)}",
            {202: Accepted, 200: EnvironmentAnswer},
            key=idempotency_key or str(uuid4()),
            body=body,
        )

    @_Operation
    def delete_environment(self, name: str, *, idempotency_key: str | None = None) -> _Call[Accepted]:
        """Ask for an environment to be taken away, with everything that was made for it; also for one that failed,
        to clean up again."""
        return _Call(
            "DELETE", f"/api/v1/environments/{_at(name)}", {202: Accepted}, key=idempotency_key or str(uuid4())
        )

    @_Operation
    def upgrade_environment(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[UpgradeEnvironment]
    ) -> _Call[Accepted | EnvironmentAnswer]:
        """Ask for the version of its golden path that is on offer (`update_available`). 200 with the environment
        where it has that version already."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}:upgrade",
            {202: Accepted, 200: EnvironmentAnswer},
            key=idempotency_key or str(uuid4()),
            body=body or None,
        )

    @_Operation
    def repair_environment(self, name: str, *, idempotency_key: str | None = None) -> _Call[Accepted]:
        """Ask for what exists to be made again what the environment's state says it is (after `drift`)."""
        return _Call(
            "POST", f"/api/v1/environments/{_at(name)}:repair", {202: Accepted}, key=idempotency_key or str(uuid4())
        )

    @_Operation
    def list_environment_events(
        self, name: str, *, after: int | None = None, limit: int | None = None
    ) -> _Call[EventPage]:
        """The history of an environment, oldest first, exactly as the log has it."""
        return _Call(
            "GET", f"/api/v1/environments/{_at(name)}/events", {200: EventPage}, query={"after": after, "limit": limit}
        )

    @_Iteration
    def each_environment_event(
        self, name: str, *, after: int | None = None, limit: int | None = None
    ) -> _Pages[EventAnswer]:
        """What `list_environment_events` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call(
                "GET",
                f"/api/v1/environments/{_at(name)}/events",
                {200: EventPage},
                query={"after": after, "limit": limit},
            ),
            "after",
            "next_after",
        )

    @_Operation
    def list_environment_runs(
        self, name: str, *, limit: int | None = None, cursor: str | None = None
    ) -> _Call[RunPage]:
        """The runs of an environment, newest first."""
        return _Call(
            "GET", f"/api/v1/environments/{_at(name)}/runs", {200: RunPage}, query={"limit": limit, "cursor": cursor}
        )

    @_Iteration
    def each_environment_run(
        self, name: str, *, limit: int | None = None, cursor: str | None = None
    ) -> _Pages[RunAnswer]:
        """What `list_environment_runs` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call(
                "GET",
                f"/api/v1/environments/{_at(name)}/runs",
                {200: RunPage},
                query={"limit": limit, "cursor": cursor},
            ),
            "cursor",
            "next_cursor",
        )

    @_Operation
    def tell_fact(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[TellFact]
    ) -> _Call[FactAnswer]:
        """Tell a fact about an environment: a deployment, how it is, or what it cost. The same fact counts once,
        however often it is told; it shows as soon as the catalogue has read it."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}/facts",
            {202: FactAnswer},
            key=idempotency_key or str(uuid4()),
            body=body,
        )

    @_Operation
    def deploy(self, name: str, *, deployment: ReleaseNote, release: bytes) -> _Call[ReleaseAnswer]:
        """Hand over a release and wait until it is live. Shown instead of an API token: the OpenID Connect token of
        the environment's own workflow, for the audience `slipway`. A release that does not come up is not live: then
        this answers the problem `deployment_failed` with its last lines, and what was live before still is."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}/deployments",
            {200: ReleaseAnswer},
            files=_parts(deployment, release),
        )

    @_Operation
    def list_deployments(self, name: str) -> _Call[DeploymentsAnswer]:
        """What runs there, which releases can be gone back to, and what became of the latest deployments."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}/deployments", {200: DeploymentsAnswer})

    @_Operation
    def roll_back(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[GoBack]
    ) -> _Call[ReleaseAnswer]:
        """Make an earlier release live again, without building anything."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}:rollback",
            {200: ReleaseAnswer},
            key=idempotency_key or str(uuid4()),
            body=body or None,
        )

    @_Operation
    def read_output(self, name: str, *, lines: int | None = None) -> _Call[OutputAnswer]:
        """What the application printed. With `follow` a stream of messages `line`, each an object as in `items`."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}/logs", {200: OutputAnswer}, query={"lines": lines})

    @_Operation
    def get_environment_graph(self, name: str) -> _Call[GraphAnswer]:
        """An environment, its resources, what it depends on and what depends on it, each as well as the worst of
        what it stands on."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}/graph", {200: GraphAnswer})

    @_Operation
    def get_graph(self, *, environment: str) -> _Call[GraphAnswer]:
        """The same by a query parameter."""
        return _Call("GET", "/api/v1/graph", {200: GraphAnswer}, query={"environment": environment})

    @_Operation
    def plan_environment(self, **body: Unpack[CreateEnvironment]) -> _Call[PlanAnswer]:
        """What a new environment would be: every change, its cost, how long it takes, what is left of the quota.
        Takes up to half a minute; nothing is changed."""
        return _Call("POST", "/api/v1/environments:plan", {200: PlanAnswer}, body=body)

    @_Operation
    def plan_change(self, name: str, **body: Unpack[ChangeEnvironment]) -> _Call[PlanAnswer]:
        """What another state of an environment would change. Takes up to half a minute; nothing is changed."""
        return _Call("POST", f"/api/v1/environments/{_at(name)}:plan", {200: PlanAnswer}, body=body)

    @_Operation
    def list_feedback(self, *, limit: int | None = None, cursor: str | None = None) -> _Call[FeedbackAnswers]:
        """Your own feedback with its tickets, their state and the latest reply."""
        return _Call("GET", "/api/v1/feedback", {200: FeedbackAnswers}, query={"limit": limit, "cursor": cursor})

    @_Iteration
    def each_feedback(self, *, limit: int | None = None, cursor: str | None = None) -> _Pages[FeedbackAnswer]:
        """What `list_feedback` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call("GET", "/api/v1/feedback", {200: FeedbackAnswers}, query={"limit": limit, "cursor": cursor}),
            "cursor",
            "next_cursor",
        )

    @_Operation
    def give_feedback(
        self, *, idempotency_key: str | None = None, **body: Unpack[GiveFeedback]
    ) -> _Call[FeedbackGivenAnswer]:
        """Tell the platform team what is in your way; it becomes a ticket. The same key is the same word."""
        return _Call(
            "POST", "/api/v1/feedback", {202: FeedbackGivenAnswer}, key=idempotency_key or str(uuid4()), body=body
        )

    @_Operation
    def start_rollout(
        self, *, idempotency_key: str | None = None, **body: Unpack[StartRollout]
    ) -> _Call[RolloutAnswer]:
        """Begin a rollout: every environment that has an older version is rehearsed, then the canaries are upgraded,
        then the others in batches. It stops by itself when one fails."""
        return _Call("POST", "/api/v1/rollouts", {202: RolloutAnswer}, key=idempotency_key or str(uuid4()), body=body)

    @_Operation
    def list_rollouts(self, *, limit: int | None = None) -> _Call[RolloutPage]:
        """The newest rollouts."""
        return _Call("GET", "/api/v1/rollouts", {200: RolloutPage}, query={"limit": limit})

    @_Operation
    def get_rollout(self, rollout_id: UUID | str) -> _Call[RolloutAnswer]:
        """One rollout, with every environment of it."""
        return _Call("GET", f"/api/v1/rollouts/{_at(rollout_id)}", {200: RolloutAnswer})

    @_Operation
    def pause_rollout(self, rollout_id: UUID | str) -> _Call[RolloutAnswer]:
        """Begin nothing more until it is resumed; what is under way ends by itself."""
        return _Call("POST", f"/api/v1/rollouts/{_at(rollout_id)}:pause", {200: RolloutAnswer})

    @_Operation
    def resume_rollout(self, rollout_id: UUID | str) -> _Call[RolloutAnswer]:
        """Go on, also after it was stopped; what failed stays failed."""
        return _Call("POST", f"/api/v1/rollouts/{_at(rollout_id)}:resume", {200: RolloutAnswer})

    @_Operation
    def cancel_rollout(self, rollout_id: UUID | str) -> _Call[RolloutAnswer]:
        """End it; what is under way ends by itself, and what was upgraded stays so."""
        return _Call("POST", f"/api/v1/rollouts/{_at(rollout_id)}:cancel", {200: RolloutAnswer})

    @_Operation
    def extend_environment(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[ExtendEnvironment]
    ) -> _Call[EnvironmentAnswer]:
        """Give it more time, counted from now; a preview lives 30 days at most unless its golden path says
        otherwise."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}:extend",
            {200: EnvironmentAnswer},
            key=idempotency_key or str(uuid4()),
            body=body,
        )

    @_Operation
    def keep_environment(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[KeepEnvironment]
    ) -> _Call[EnvironmentAnswer]:
        """Take its end away, and say why."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}:keep",
            {200: EnvironmentAnswer},
            key=idempotency_key or str(uuid4()),
            body=body,
        )

    @_Operation
    def unkeep_environment(self, name: str, *, idempotency_key: str | None = None) -> _Call[EnvironmentAnswer]:
        """Give it an end again: what is usual for its kind, and a day at least."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}:unkeep",
            {200: EnvironmentAnswer},
            key=idempotency_key or str(uuid4()),
        )

    @_Operation
    def get_access(self, name: str) -> _Call[AccessAnswer]:
        """Who may use an environment: its owner's team, and everybody who was granted a role in it."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}/access", {200: AccessAnswer})

    @_Operation
    def grant_access(
        self, name: str, *, idempotency_key: str | None = None, **body: Unpack[ChangeAccess]
    ) -> _Call[AccessChanged]:
        """Grant a person or a team a role in one environment. It takes effect when the secrets service has done it."""
        return _Call(
            "POST",
            f"/api/v1/environments/{_at(name)}/access",
            {202: AccessChanged},
            key=idempotency_key or str(uuid4()),
            body=body,
        )

    @_Operation
    def revoke_access(
        self, name: str, *, idempotency_key: str | None = None, **query: Unpack[RevokeAccessQuery]
    ) -> _Call[AccessChanged]:
        """Take a role away again; name the person or the team."""
        return _Call(
            "DELETE",
            f"/api/v1/environments/{_at(name)}/access",
            {202: AccessChanged},
            key=idempotency_key or str(uuid4()),
            query={**query},
        )

    @_Operation
    def make_kubeconfig(self, name: str) -> _Call[KubeconfigAnswer]:
        """Make a login of the environment's namespace, for an hour at most. Each call makes another one."""
        return _Call("POST", f"/api/v1/environments/{_at(name)}/kubeconfig", {200: KubeconfigAnswer})

    @_Operation
    def get_moment(self, name: str, *, at: datetime) -> _Call[MomentAnswer]:
        """An environment as the log had it at a time."""
        return _Call("GET", f"/api/v1/environments/{_at(name)}/moment", {200: MomentAnswer}, query={"at": at})

    @_Operation
    def get_changes(self, name: str, *, since: datetime, until: datetime | None = None) -> _Call[DifferenceAnswer]:
        """What changed in an environment between two moments; `until` is now where it is left out."""
        return _Call(
            "GET",
            f"/api/v1/environments/{_at(name)}/changes",
            {200: DifferenceAnswer},
            query={"since": since, "until": until},
        )

    @_Operation
    def get_insights(self, **query: Unpack[GetInsightsQuery]) -> _Call[Insights]:
        """How the platform has done, month by month, as far as it is your teams'."""
        return _Call("GET", "/api/v1/insights", {200: Insights}, query={**query, "format": "json"})

    @_Operation
    def get_audit(self, **query: Unpack[GetAuditQuery]) -> _Call[AuditPage]:
        """Who did what in the environments of your teams, the newest first; go on with `before` = `next_before`."""
        return _Call("GET", "/api/v1/audit", {200: AuditPage}, query={**query, "format": "json"})

    @_Iteration
    def each_audit(self, **query: Unpack[GetAuditQuery]) -> _Pages[AuditEntry]:
        """What `get_audit` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call("GET", "/api/v1/audit", {200: AuditPage}, query={**query, "format": "json"}), "before", "next_before"
        )

    @_Operation
    def apply_application(
        self, *, idempotency_key: str | None = None, plan: str | None = None, **body: Unpack[Application]
    ) -> _Call[AppliedAnswer]:
        """Make the environment that an application's manifest asks for (`kind: Application`), or change it into
        that. 200 where it is that already; then no run begins. YAML (`application/yaml`) or JSON. With `plan`, only
        if that is still the hash of its plan; losing data needs one."""
        return _Call(
            "POST",
            "/api/v1/applications",
            {202: AppliedAnswer, 200: AppliedAnswer},
            key=idempotency_key or str(uuid4()),
            query={"plan": plan},
            body=body,
        )

    @_Operation
    def plan_application(self, **body: Unpack[Application]) -> _Call[PlannedApplicationAnswer]:
        """What an application's manifest would change. Takes up to half a minute; nothing is changed."""
        return _Call("POST", "/api/v1/applications:plan", {200: PlannedApplicationAnswer}, body=body)

    @_Operation
    def list_runs(self, **query: Unpack[ListRunsQuery]) -> _Call[RunPage]:
        """The runs of your teams' environments that keep every condition, newest first."""
        return _Call("GET", "/api/v1/runs", {200: RunPage}, query={**query})

    @_Iteration
    def each_run(self, **query: Unpack[ListRunsQuery]) -> _Pages[RunAnswer]:
        """What `list_runs` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(_Call("GET", "/api/v1/runs", {200: RunPage}, query={**query}), "cursor", "next_cursor")

    @_Operation
    def get_run(self, run_id: UUID | str) -> _Call[RunAnswer]:
        """One run: its steps, what was created, and after a failure what was undone and what was left behind."""
        return _Call("GET", f"/api/v1/runs/{_at(run_id)}", {200: RunAnswer})

    @_Operation
    def cancel_run(self, run_id: UUID | str, *, idempotency_key: str | None = None) -> _Call[RunAnswer]:
        """Call off a run that is under way. It stops at the next safe point and undoes what it did; follow its
        stream."""
        return _Call(
            "POST", f"/api/v1/runs/{_at(run_id)}:cancel", {202: RunAnswer}, key=idempotency_key or str(uuid4())
        )

    @_Operation
    def retry_run(self, run_id: UUID | str, *, idempotency_key: str | None = None) -> _Call[Accepted]:
        """Begin a failed run anew, for the same desired state. The answer names the new run."""
        return _Call("POST", f"/api/v1/runs/{_at(run_id)}:retry", {202: Accepted}, key=idempotency_key or str(uuid4()))

    @_Operation
    def list_golden_paths(self) -> _Call[GoldenPathList]:
        """The golden paths on offer."""
        return _Call("GET", "/api/v1/golden-paths", {200: GoldenPathList})

    @_Operation
    def get_golden_path(self, name: str) -> _Call[GoldenPathAnswer]:
        """One golden path, with how long its creations take on this platform."""
        return _Call("GET", f"/api/v1/golden-paths/{_at(name)}", {200: GoldenPathAnswer})

    @_Operation
    def get_me(self) -> _Call[Me]:
        """Who you are, and what your token lets you do."""
        return _Call("GET", "/api/v1/me", {200: Me})

    @_Operation
    def list_tokens(self) -> _Call[TokenList]:
        """Your tokens; as an admin everybody's."""
        return _Call("GET", "/api/v1/tokens", {200: TokenList})

    @_Operation
    def create_token(self, **body: Unpack[CreateToken]) -> _Call[NewToken]:
        """Make a token. It reaches no further than yours, and is shown in this answer only. An Idempotency-Key means
        nothing here: a token is not kept, so it cannot be shown again."""
        return _Call("POST", "/api/v1/tokens", {201: NewToken}, body=body)

    @_Operation
    def revoke_token(self, token_id: UUID | str) -> _Call[None]:
        """End a token: from now on it opens nothing."""
        return _Call("DELETE", f"/api/v1/tokens/{_at(token_id)}", {204: None})

    @_Operation
    def redeem_machine_code(self, **body: Unpack[RedeemCode]) -> _Call[NewToken]:
        """A token for the machine of whoever gave this code. The code counts once, and the token is shown in this
        answer only."""
        return _Call("POST", "/api/v1/machine-tokens", {201: NewToken}, body=body)

    @_Operation
    def end_my_token(self) -> _Call[None]:
        """End the token of this request: from now on it opens nothing."""
        return _Call("DELETE", "/api/v1/me/token", {204: None})

    @_Operation
    def end_sessions(self, person: str) -> _Call[Ended]:
        """Sign a person out, in every browser. Their API tokens stay: those are revoked one by one."""
        return _Call("DELETE", f"/api/v1/people/{_at(person)}/sessions", {200: Ended})

    @_Operation
    def list_webhooks(self, *, team: str | None = None) -> _Call[WebhookList]:
        """The webhooks of your teams."""
        return _Call("GET", "/api/v1/webhooks", {200: WebhookList}, query={"team": team})

    @_Operation
    def create_webhook(
        self, *, idempotency_key: str | None = None, **body: Unpack[CreateHook]
    ) -> _Call[RevealedWebhook]:
        """Be told of events by POST: CloudEvents in structured JSON mode, signed after the Standard Webhooks
        specification. The secret is in this answer; it is shown again only to whoever repeats the request with the
        same Idempotency-Key."""
        return _Call("POST", "/api/v1/webhooks", {201: RevealedWebhook}, key=idempotency_key or str(uuid4()), body=body)

    @_Operation
    def get_webhook(self, webhook_id: UUID | str) -> _Call[WebhookAnswer]:
        """One webhook."""
        return _Call("GET", f"/api/v1/webhooks/{_at(webhook_id)}", {200: WebhookAnswer})

    @_Operation
    def change_webhook(self, webhook_id: UUID | str, **body: Unpack[ChangeHook]) -> _Call[WebhookAnswer]:
        """Change, pause or resume a webhook. What happens while it is paused is not sent later."""
        return _Call("PATCH", f"/api/v1/webhooks/{_at(webhook_id)}", {200: WebhookAnswer}, body=body)

    @_Operation
    def delete_webhook(self, webhook_id: UUID | str) -> _Call[None]:
        """Take a webhook away, with the log of its deliveries."""
        return _Call("DELETE", f"/api/v1/webhooks/{_at(webhook_id)}", {204: None})

    @_Operation
    def test_webhook(self, webhook_id: UUID | str) -> _Call[DeliveryAnswer]:
        """Send a CloudEvent of type `slipway.webhook.test` now, also where the webhook is paused; the answer is what
        came back."""
        return _Call("POST", f"/api/v1/webhooks/{_at(webhook_id)}:test", {200: DeliveryAnswer})

    @_Operation
    def rotate_webhook_secret(self, webhook_id: UUID | str) -> _Call[RevealedWebhook]:
        """Make a new secret. For 24 hours every delivery is signed with both, the new one first."""
        return _Call("POST", f"/api/v1/webhooks/{_at(webhook_id)}:rotate-secret", {200: RevealedWebhook})

    @_Operation
    def list_deliveries(
        self, webhook_id: UUID | str, *, cursor: str | None = None, limit: int | None = None
    ) -> _Call[DeliveryPage]:
        """What a webhook was sent in the last 30 days, newest first, with every attempt and what came back."""
        return _Call(
            "GET",
            f"/api/v1/webhooks/{_at(webhook_id)}/deliveries",
            {200: DeliveryPage},
            query={"cursor": cursor, "limit": limit},
        )

    @_Iteration
    def each_deliverie(
        self, webhook_id: UUID | str, *, cursor: str | None = None, limit: int | None = None
    ) -> _Pages[DeliveryAnswer]:
        """What `list_deliveries` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call(
                "GET",
                f"/api/v1/webhooks/{_at(webhook_id)}/deliveries",
                {200: DeliveryPage},
                query={"cursor": cursor, "limit": limit},
            ),
            "cursor",
            "next_cursor",
        )

    @_Operation
    def redeliver(self, webhook_id: UUID | str, delivery_id: UUID | str) -> _Call[DeliveryAnswer]:
        """Send an event again, under the same `webhook-id`; look at its delivery to see what becomes of it."""
        return _Call(
            "POST", f"/api/v1/webhooks/{_at(webhook_id)}/deliveries/{_at(delivery_id)}:redeliver", {202: DeliveryAnswer}
        )

    @_Operation
    def list_notifications(self, **query: Unpack[ListNotificationsQuery]) -> _Call[NotificationPage]:
        """What your teams were told, in Slack and by webhooks, newest first."""
        return _Call("GET", "/api/v1/notifications", {200: NotificationPage}, query={**query})

    @_Iteration
    def each_notification(self, **query: Unpack[ListNotificationsQuery]) -> _Pages[NotificationAnswer]:
        """What `list_notifications` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call("GET", "/api/v1/notifications", {200: NotificationPage}, query={**query}), "cursor", "next_cursor"
        )

    @_Operation
    def list_dead_letters(self, *, before: int | None = None, limit: int | None = None) -> _Call[DeadLetterPage]:
        """The messages that were laid aside, newest first; they are kept for 90 days."""
        return _Call(
            "GET", "/api/v1/admin/dead-letters", {200: DeadLetterPage}, query={"before": before, "limit": limit}
        )

    @_Iteration
    def each_dead_letter(self, *, before: int | None = None, limit: int | None = None) -> _Pages[DeadLetterAnswer]:
        """What `list_dead_letters` answers, one by one; further pages are fetched as they are needed."""
        return _Pages(
            _Call("GET", "/api/v1/admin/dead-letters", {200: DeadLetterPage}, query={"before": before, "limit": limit}),
            "before",
            "next_before",
        )

    @_Operation
    def get_dead_letter(self, sequence: int) -> _Call[DeadLetterWithBody]:
        """One of them, with its original bytes."""
        return _Call("GET", f"/api/v1/admin/dead-letters/{_at(sequence)}", {200: DeadLetterWithBody})

    @_Operation
    def replay_dead_letter(self, sequence: int, *, idempotency_key: str | None = None) -> _Call[Replayed]:
        """Send a dead letter back to the service that laid it aside, byte for byte. Mend the cause first."""
        return _Call(
            "POST",
            f"/api/v1/admin/dead-letters/{_at(sequence)}/replay",
            {202: Replayed},
            key=idempotency_key or str(uuid4()),
        )

    @_Operation
    def rebuild_views(self, **body: Unpack[RebuildViews]) -> _Call[RebuiltViews]:
        """Fold the views of a page of names anew from the catalog's copy of the log and compare them with those
        stored; with `replace` put the new ones in place of those that differ. Go on with `after` = `next_after`."""
        return _Call("POST", "/api/v1/admin/rebuild", {200: RebuiltViews}, body=body)

    @_Operation
    def get_platform(self) -> _Call[Platform]:
        """The platform's version, and where its parts are."""
        return _Call("GET", "/api/v1/platform", {200: Platform})


class _Stream:
    """Server-sent events (WHATWG HTML §9.2.6) as they come, and where to resume."""

    def __init__(self) -> None:
        self.last_id = ""
        """Of the last message that came as a whole; one that broke off comes again."""
        self.pause_seconds = 1.0
        self._rest = b""
        self._id = ""
        self._event = ""
        self._data: list[str] = []

    @property
    def headers(self) -> dict[str, str]:
        """What a connection begins with. What an earlier one left unfinished is no event."""
        self._rest, self._id, self._event, self._data = b"", self.last_id, "", []
        return {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last_id} if self.last_id else {})

    def read(self, chunk: bytes) -> Iterator[Message]:
        """The messages that `chunk` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").decode("utf-8", "replace").partition(":")
            value = value.removeprefix(" ")
            if not line.rstrip(b"\r"):
                message, self.last_id = (self._event or "message", self._data), self._id
                self._event, self._data = "", []
                if message[1]:
                    yield Message(event=message[0], id=self.last_id, data=json.loads("\n".join(message[1])))
            elif name == "event":
                self._event = value
            elif name == "data":
                self._data.append(value)
            elif name == "id":
                self._id = value
            elif name == "retry" and value.isdecimal():
                self.pause_seconds = int(value) / 1000


class _Patience:
    """How long a stream may be away before it is given up."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = time.monotonic()

    def renew(self) -> None:
        """There is a connection."""
        self._since = time.monotonic()

    def check(self, error: SlipwayError) -> None:
        """Raise `error` where there was no connection for too long, or where waiting does not help."""
        helps = error.status in _BUSY or error.status == 0
        if not helps or time.monotonic() - self._since > self._seconds:
            raise error


class _Access:
    """Where the platform is, who asks, and how often a request is repeated."""

    def __init__(self, url: str | None, token: str | None, token_file: str | Path | None, attempts: int) -> None:
        found = url or os.environ.get("SLIPWAY_URL", "")
        if not found:
            raise ValueError("which platform? Give its address as `url`, or in SLIPWAY_URL")
        self.url = found.rstrip("/")
        shown = _token(token, token_file)
        self.headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        self._attempts = attempts

    def pause_after(
        self, call: _Call[Any], attempt: int, outcome: httpx.Response | httpx.TransportError
    ) -> float | None:
        """How many seconds to wait before `call` is sent again; None where it is not."""
        if attempt >= self._attempts:
            return None
        longest = min(_PAUSE_SECONDS * 2 ** (attempt - 1), _LONGEST_PAUSE_SECONDS)
        if isinstance(outcome, httpx.TransportError):
            refused = isinstance(outcome, httpx.ConnectError)  # then nothing was sent
            return longest if call.is_repeatable or refused else None
        if outcome.status_code not in _BUSY or not (call.is_repeatable or outcome.status_code == _NOT_BEGUN):
            return None
        asked = outcome.headers.get("Retry-After", "")
        return min(float(asked), _LONGEST_PAUSE_SECONDS) if asked.isdecimal() else longest

    def unreachable(self, error: httpx.TransportError) -> SlipwayError:
        """What is raised where nobody answers."""
        reason = str(error) or type(error).__name__
        return SlipwayError(0, "unreachable", f"The platform at {self.url} does not answer: {reason}")


class Client(_Operations):
    """A client of one platform; close it, or use it in a `with` statement. Threads may share one.

    `url` and `token` default to SLIPWAY_URL and SLIPWAY_TOKEN; a token may also be in the file `token_file`, or
    SLIPWAY_TOKEN_FILE. A request is sent up to `attempts` times, after the pauses that the platform asks for. Every
    method raises SlipwayError.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: str | Path | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        attempts: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._access = _Access(url, token, token_file, attempts)
        self._http = httpx.Client(
            base_url=self._access.url, headers=self._access.headers, timeout=timeout_seconds, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def send(self, call: _Call[T]) -> T:
        """Send a request, again where that is safe and of use, and read its answer."""
        attempt = 0
        while True:
            attempt += 1
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.request(call.method, call.path, **call.arguments())
            except httpx.TransportError as error:
                outcome = error
            pause_seconds = self._access.pause_after(call, attempt, outcome)
            if pause_seconds is None:
                if isinstance(outcome, httpx.TransportError):
                    raise self._access.unreachable(outcome) from outcome
                return call.read(outcome)
            time.sleep(pause_seconds)

    def each(self, pages: _Pages[T]) -> Iterator[T]:
        """The items of every page."""
        following: _Call[Any] | None = pages.first
        while following is not None:
            page = self.send(following)
            yield from page.items
            following = pages.after(page)

    def follow(self, run: "Begun", *, patience_seconds: float = 120) -> Iterator[Message]:
        """The messages of a run from its beginning to its verdict, over every connection that it takes.

        Raises SlipwayError, also where there was no connection for `patience_seconds`.
        """
        stream, patience, address = _Stream(), _Patience(patience_seconds), _stream_of(run)
        while True:
            try:
                with self._http.stream("GET", address, headers=stream.headers, timeout=_STREAM_TIMEOUT) as response:
                    if not _is_stream(response):
                        response.read()
                        raise _error(response)
                    patience.renew()
                    for chunk in response.iter_bytes():
                        for message in stream.read(chunk):
                            yield message
                            if message.event == "verdict":
                                return
            except httpx.TransportError as error:
                patience.check(self._access.unreachable(error))
            except SlipwayError as error:
                patience.check(error)
            time.sleep(stream.pause_seconds)

    def wait(
        self, run: "Begun", *, told: Callable[[Message], None] | None = None, patience_seconds: float = 120
    ) -> Verdict:
        """The verdict of a run, once it has one; each message on the way goes to `told`.

        Raises RunFailedError where it failed, and SlipwayError as `follow` does.
        """
        for message in self.follow(run, patience_seconds=patience_seconds):
            if told is not None:
                told(message)
            if message.event == "verdict":
                self._settle(run)
                return _succeeded(message)
        raise AssertionError("a stream ended without its verdict")

    def _settle(self, run: "Begun") -> None:
        """Wait until what is read shows the verdict as well: then the next request finds no run under way."""
        for _ in range(_LOOKS):
            if self.get_run(_run_id(run)).ended_at is not None:
                return
            time.sleep(_LOOK_SECONDS)


class AsyncClient(_Operations):
    """`Client` for asynchronous programs: the same methods, to be awaited."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: str | Path | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        attempts: int = 5,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._access = _Access(url, token, token_file, attempts)
        self._http = httpx.AsyncClient(
            base_url=self._access.url, headers=self._access.headers, timeout=timeout_seconds, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def send(self, call: _Call[T]) -> T:
        """Send a request, again where that is safe and of use, and read its answer."""
        attempt = 0
        while True:
            attempt += 1
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = await self._http.request(call.method, call.path, **call.arguments())
            except httpx.TransportError as error:
                outcome = error
            pause_seconds = self._access.pause_after(call, attempt, outcome)
            if pause_seconds is None:
                if isinstance(outcome, httpx.TransportError):
                    raise self._access.unreachable(outcome) from outcome
                return call.read(outcome)
            await anyio.sleep(pause_seconds)

    async def each(self, pages: _Pages[T]) -> AsyncIterator[T]:
        """The items of every page."""
        following: _Call[Any] | None = pages.first
        while following is not None:
            page = await self.send(following)
            for item in page.items:
                yield item
            following = pages.after(page)

    async def follow(self, run: "Begun", *, patience_seconds: float = 120) -> AsyncIterator[Message]:
        """The messages of a run, as `Client.follow` has them."""
        stream, patience, address = _Stream(), _Patience(patience_seconds), _stream_of(run)
        while True:
            try:
                async with self._http.stream(
                    "GET", address, headers=stream.headers, timeout=_STREAM_TIMEOUT
                ) as response:
                    if not _is_stream(response):
                        await response.aread()
                        raise _error(response)
                    patience.renew()
                    async for chunk in response.aiter_bytes():
                        for message in stream.read(chunk):
                            yield message
                            if message.event == "verdict":
                                return
            except httpx.TransportError as error:
                patience.check(self._access.unreachable(error))
            except SlipwayError as error:
                patience.check(error)
            await anyio.sleep(stream.pause_seconds)

    async def wait(
        self, run: "Begun", *, told: Callable[[Message], None] | None = None, patience_seconds: float = 120
    ) -> Verdict:
        """The verdict of a run, as `Client.wait` has it."""
        async for message in self.follow(run, patience_seconds=patience_seconds):
            if told is not None:
                told(message)
            if message.event == "verdict":
                await self._settle(run)
                return _succeeded(message)
        raise AssertionError("a stream ended without its verdict")

    async def _settle(self, run: "Begun") -> None:
        """Wait until what is read shows the verdict as well: then the next request finds no run under way."""
        for _ in range(_LOOKS):
            if (await self.get_run(_run_id(run))).ended_at is not None:
                return
            await anyio.sleep(_LOOK_SECONDS)


Begun = Accepted | RunAnswer | EnvironmentAnswer | UUID | str
"""What names a run: what was answered when it began, itself, its environment (whose last run is meant), or its id."""


def _run_id(run: Begun) -> UUID | str:
    if isinstance(run, Accepted):
        return run.run.id
    if isinstance(run, EnvironmentAnswer):
        return run.run_id
    return run.id if isinstance(run, RunAnswer) else run


def _stream_of(run: Begun) -> str:
    return f"/api/v1/runs/{_at(_run_id(run))}/stream"


def _is_stream(response: httpx.Response) -> bool:
    return str(response.headers.get("Content-Type", "")).startswith("text/event-stream")


def _succeeded(message: Message) -> Verdict:
    verdict = Verdict.model_validate(message.data)
    if verdict.state != "succeeded":
        raise RunFailedError(verdict)
    return verdict


def _error(response: httpx.Response) -> SlipwayError:
    problem: dict[str, Any] = {}
    with suppress(ValueError):  # a proxy answered, in its own words
        found = response.json()
        problem = found if isinstance(found, dict) else {}
    code = str(problem.get("type", "")).rpartition(":")[2] or "not_slipway"
    detail = (
        problem.get("detail") or f"{response.url} answered with HTTP {response.status_code}, and not as Slipway does."
    )
    return SlipwayError(response.status_code, code, detail, problem=problem)


def _token(token: str | None, token_file: str | Path | None) -> str:
    if token is not None:
        return token
    if token_file is None and (found := os.environ.get("SLIPWAY_TOKEN")):
        return found
    file = token_file or os.environ.get("SLIPWAY_TOKEN_FILE")
    return Path(file).read_text(encoding="utf-8").strip() if file else ""


def _parts(deployment: Mapping[str, Any], release: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {
        "deployment": ("deployment.json", json.dumps(deployment).encode(), "application/json"),
        "release": ("release.tar.gz", release, "application/gzip"),
    }


def _at(part: object) -> str:
    return quote(str(part), safe="")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

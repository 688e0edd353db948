"""All events, in the order of the saga: ask, infrastructure, secrets, pipeline, the road back, verdict, life.

A new kind of event is one class here and one row in `contracts.topology` for whoever hears it. Within a version a
change only adds optional fields; anything else is a new version of the type (`tests/contract/test_compatibility.py`
holds the recorded schemas against today's).
"""

from typing import Annotated, Final, Literal, get_args

from pydantic import Discriminator, TypeAdapter

from contracts import upcasting
from contracts.envelope import Event, Timestamp, Value
from contracts.names import PersonName, TeamName
from contracts.values import (
    EnvironmentSpec,
    Failure,
    HourlyPrice,
    Infrastructure,
    LeftBehind,
    Pipeline,
    Receipt,
    Resource,
    Secrets,
    Step,
    Text,
)

# -- ask ---------------------------------------------------------------------------------------------------------------


class OfRun(Value):
    """What every event of a run carries."""

    spec: EnvironmentSpec
    """The desired state that the run is about."""
    previous: EnvironmentSpec | None = None
    """On an update run, the desired state before it: what the road back restores. None: there was nothing before, or
    nothing shall be afterwards."""


class Asked(OfRun):
    """What every request carries: who asked for what, and why."""

    requested_by: PersonName
    cause: Literal["person", "expiry", "drift", "upgrade", "git", "retry"] = "person"
    reason: Text = ""
    price: HourlyPrice | None = None
    """What the desired state costs; None: as before, or not known."""
    accepts_loss: bool = False
    """Whether somebody looked at a plan that destroys data, and agreed to it."""


class EnvironmentRequested(Event):
    """Somebody asked for a new environment. Begins an incarnation and its create run."""

    kind = "environment_requested"
    type: Literal["slipway.EnvironmentRequested.v1"] = "slipway.EnvironmentRequested.v1"
    data: Asked


class EnvironmentUpdateRequested(Event):
    """Somebody asked for another desired state of an existing environment (parameters or golden-path version)."""

    kind = "environment_update_requested"
    type: Literal["slipway.EnvironmentUpdateRequested.v1"] = "slipway.EnvironmentUpdateRequested.v1"
    data: Asked


class EnvironmentDeletionRequested(Event):
    """Somebody, or the expiry, asked for an environment to be taken away."""

    kind = "environment_deletion_requested"
    type: Literal["slipway.EnvironmentDeletionRequested.v1"] = "slipway.EnvironmentDeletionRequested.v1"
    data: Asked


class RunCommand(Value):
    """Who steers a run, and why."""

    requested_by: PersonName
    reason: Text = ""


class RunCancelRequested(Event):
    """Somebody wants the run under way to stop at the next safe point and undo what it did."""

    kind = "run_cancel_requested"
    type: Literal["slipway.RunCancelRequested.v1"] = "slipway.RunCancelRequested.v1"
    data: RunCommand


class RunRetryRequested(Event):
    """Somebody wants a failed run to go on from the step that failed."""

    kind = "run_retry_requested"
    type: Literal["slipway.RunRetryRequested.v1"] = "slipway.RunRetryRequested.v1"
    data: RunCommand


class AccessChange(Value):
    """A grant `env:<name>:<role>` for a person or a team; exactly one of the two is named."""

    requested_by: PersonName
    role: Literal["viewer", "developer", "admin"]
    person: PersonName | None = None
    team: TeamName | None = None


class AccessRequested(Event):
    """Somebody asked that a person or a team may use an environment."""

    kind = "access_requested"
    type: Literal["slipway.AccessRequested.v1"] = "slipway.AccessRequested.v1"
    data: AccessChange


class AccessRevocationRequested(Event):
    """Somebody asked that a person or a team may no longer use an environment."""

    kind = "access_revocation_requested"
    type: Literal["slipway.AccessRevocationRequested.v1"] = "slipway.AccessRevocationRequested.v1"
    data: AccessChange


# -- infrastructure ----------------------------------------------------------------------------------------------------


class InfraReadyData(OfRun):
    infrastructure: Infrastructure


class InfraReady(Event):
    """Terraform applied the environment's commit, and a plan after it was empty."""

    kind = "infra_ready"
    type: Literal["slipway.InfraReady.v1"] = "slipway.InfraReady.v1"
    data: InfraReadyData


class StepFailed(OfRun):
    """A step ended for good. The same service hears this and undoes what the step had begun."""

    failure: Failure


class InfraFailed(Event):
    """The infrastructure could not be made."""

    kind = "infra_failed"
    type: Literal["slipway.InfraFailed.v1"] = "slipway.InfraFailed.v1"
    data: StepFailed


class Undone(OfRun):
    """One step of the road back."""

    receipt: Receipt


class InfraDestroyed(Event):
    """Terraform destroyed what it had made. The last step of every road back."""

    kind = "infra_destroyed"
    type: Literal["slipway.InfraDestroyed.v1"] = "slipway.InfraDestroyed.v1"
    data: Undone


# -- secrets and access ------------------------------------------------------------------------------------------------


class SecretsStoredData(OfRun):
    infrastructure: Infrastructure
    secrets: Secrets


class SecretsStored(Event):
    """The environment's secrets are in OpenBao, with a policy and a role of their own."""

    kind = "secrets_stored"
    type: Literal["slipway.SecretsStored.v1"] = "slipway.SecretsStored.v1"
    data: SecretsStoredData


class SecretsFailed(Event):
    """The secrets could not be stored."""

    kind = "secrets_failed"
    type: Literal["slipway.SecretsFailed.v1"] = "slipway.SecretsFailed.v1"
    data: StepFailed


class SecretsRevoked(Event):
    """Every lease is revoked and every secret version unreadable."""

    kind = "secrets_revoked"
    type: Literal["slipway.SecretsRevoked.v1"] = "slipway.SecretsRevoked.v1"
    data: Undone


class AccessGranted(Event):
    """A grant took effect in OpenBao."""

    kind = "access_granted"
    type: Literal["slipway.AccessGranted.v1"] = "slipway.AccessGranted.v1"
    data: AccessChange


class AccessRevoked(Event):
    """A grant was taken away in OpenBao."""

    kind = "access_revoked"
    type: Literal["slipway.AccessRevoked.v1"] = "slipway.AccessRevoked.v1"
    data: AccessChange


# -- pipeline ----------------------------------------------------------------------------------------------------------


class PipelineCreatedData(OfRun):
    infrastructure: Infrastructure
    secrets: Secrets
    pipeline: Pipeline


class PipelineCreated(Event):
    """The repository has a workflow that deploys on push. The last step of a creation."""

    kind = "pipeline_created"
    type: Literal["slipway.PipelineCreated.v1"] = "slipway.PipelineCreated.v1"
    data: PipelineCreatedData


class PipelineFailed(Event):
    """The pipeline could not be made."""

    kind = "pipeline_failed"
    type: Literal["slipway.PipelineFailed.v1"] = "slipway.PipelineFailed.v1"
    data: StepFailed


class PipelineRemoved(Event):
    """The workflow is gone; the repository is deleted only where it held nothing but what the platform put there."""

    kind = "pipeline_removed"
    type: Literal["slipway.PipelineRemoved.v1"] = "slipway.PipelineRemoved.v1"
    data: Undone


# -- verdict -----------------------------------------------------------------------------------------------------------


class EnvironmentReadyData(OfRun):
    infrastructure: Infrastructure
    secrets: Secrets
    pipeline: Pipeline
    duration_seconds: float
    """From the request to the last step, by the times of the events."""


class EnvironmentReady(Event):
    """Everything asked for exists. Ends a create run well."""

    kind = "environment_ready"
    type: Literal["slipway.EnvironmentReady.v1"] = "slipway.EnvironmentReady.v1"
    data: EnvironmentReadyData


class EnvironmentFailedData(OfRun):
    failure: Failure
    created: tuple[Resource, ...]
    undone: tuple[Resource, ...]
    left_behind: tuple[LeftBehind, ...]
    kept: tuple[LeftBehind, ...] = ()
    """What stays on purpose."""
    duration_seconds: float


class EnvironmentFailed(Event):
    """A run failed and has been undone. Says what was created, what of it is gone and what is left."""

    kind = "environment_failed"
    type: Literal["slipway.EnvironmentFailed.v1"] = "slipway.EnvironmentFailed.v1"
    data: EnvironmentFailedData


class EnvironmentDeletedData(OfRun):
    removed: tuple[Resource, ...]
    left_behind: tuple[LeftBehind, ...]
    kept: tuple[LeftBehind, ...] = ()
    """What stays on purpose."""
    duration_seconds: float


class EnvironmentDeleted(Event):
    """An environment is gone, and its name is free again."""

    kind = "environment_deleted"
    type: Literal["slipway.EnvironmentDeleted.v1"] = "slipway.EnvironmentDeleted.v1"
    data: EnvironmentDeletedData


# -- life --------------------------------------------------------------------------------------------------------------


class Expiry(Value):
    """When an environment's time is up, and who or what moved it."""

    spec: EnvironmentSpec
    expires_at: Timestamp | None = None
    """None: it is kept."""
    requested_by: PersonName | None = None
    """None: the platform itself."""
    reason: Text = ""


class EnvironmentExpiring(Event):
    """An environment's time is nearly up."""

    kind = "environment_expiring"
    type: Literal["slipway.EnvironmentExpiring.v1"] = "slipway.EnvironmentExpiring.v1"
    data: Expiry


class EnvironmentExpired(Event):
    """An environment's time is up; its deletion follows."""

    kind = "environment_expired"
    type: Literal["slipway.EnvironmentExpired.v1"] = "slipway.EnvironmentExpired.v1"
    data: Expiry


class EnvironmentExtended(Event):
    """Somebody gave an environment more time or keeps it, or activity renewed it."""

    kind = "environment_extended"
    type: Literal["slipway.EnvironmentExtended.v1"] = "slipway.EnvironmentExtended.v1"
    data: Expiry


class Drift(Value):
    spec: EnvironmentSpec
    differing: tuple[Resource, ...]


class DriftDetected(Event):
    """What exists is not what the environment's commit says."""

    kind = "drift_detected"
    type: Literal["slipway.DriftDetected.v1"] = "slipway.DriftDetected.v1"
    data: Drift


class Stalled(Value):
    spec: EnvironmentSpec
    step: Step
    waiting_seconds: float


class RunStalled(Event):
    """A run has made no progress for longer than it may."""

    kind = "run_stalled"
    type: Literal["slipway.RunStalled.v1"] = "slipway.RunStalled.v1"
    data: Stalled


AnyEvent = Annotated[
    EnvironmentRequested
    | EnvironmentUpdateRequested
    | EnvironmentDeletionRequested
    | RunCancelRequested
    | RunRetryRequested
    | AccessRequested
    | AccessRevocationRequested
    | InfraReady
    | InfraFailed
    | InfraDestroyed
    | SecretsStored
    | SecretsFailed
    | SecretsRevoked
    | AccessGranted
    | AccessRevoked
    | PipelineCreated
    | PipelineFailed
    | PipelineRemoved
    | EnvironmentReady
    | EnvironmentFailed
    | EnvironmentDeleted
    | EnvironmentExpiring
    | EnvironmentExpired
    | EnvironmentExtended
    | DriftDetected
    | RunStalled,
    Discriminator("type"),
]
ANY_EVENT: Final[TypeAdapter[AnyEvent]] = TypeAdapter(AnyEvent)
EVENT_TYPES: Final[tuple[type[Event], ...]] = get_args(get_args(AnyEvent)[0])
EVENT_VERSIONS: Final = upcasting.versions(event.model_fields["type"].default for event in EVENT_TYPES)
BY_KIND: Final[dict[str, type[Event]]] = {event.kind: event for event in EVENT_TYPES}
RUN_REQUESTS: Final = (EnvironmentRequested, EnvironmentUpdateRequested, EnvironmentDeletionRequested)
"""The events that begin a run."""
RUN_CANCELS: Final = (RunCancelRequested,)
"""The events that call a run off. Their run id is that of the run."""


def parse(body: bytes) -> AnyEvent:
    """The event in `body`, lifted to today's version where it is of an older one. Raises `pydantic.ValidationError` for
    anything that is not one of ours."""
    return upcasting.read(ANY_EVENT.validate_json, body)

"""Events as this service hears them, in the first or the second life of an environment."""

from uuid import UUID

from chassis.identity import EventKey
from contracts.events import (
    Asked,
    EnvironmentDeletionRequested,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    PipelineFailed,
    SecretsStored,
    SecretsStoredData,
    StepFailed,
)
from contracts.values import EnvironmentSpec, Failure
from tests import samples

KEY = EventKey(b"k" * 32)
FIRST_LIFE = KEY.derive("first", EnvironmentRequested.kind)
SECOND_LIFE = KEY.derive("second", EnvironmentRequested.kind)
NOON = samples.AT
spec = samples.spec


def _request(wanted: EnvironmentSpec, incarnation: UUID) -> EnvironmentRequested:
    return samples.requested(KEY, wanted.name).model_copy(
        update={
            "id": incarnation,
            "incarnation": incarnation,
            "run_id": incarnation,
            "data": Asked(spec=wanted, requested_by="ada"),
        }
    )


def _update(wanted: EnvironmentSpec, incarnation: UUID, run: str) -> EnvironmentUpdateRequested:
    run_id = KEY.derive(run, EnvironmentUpdateRequested.kind)
    asked = samples.follows(
        KEY,
        EnvironmentUpdateRequested,
        Asked(spec=wanted, requested_by="ada"),
        _request(wanted, incarnation),
        source="gateway",
    )
    return asked.model_copy(update={"id": run_id, "run_id": run_id})


def update_stored(
    wanted: EnvironmentSpec, previous: EnvironmentSpec, run: str = "update", incarnation: UUID = FIRST_LIFE
) -> SecretsStored:
    """The event from which an update of a pipeline follows."""
    stored = SecretsStoredData(
        spec=wanted,
        previous=previous,
        infrastructure=samples.infrastructure(wanted.name),
        secrets=samples.secrets(wanted.name),
    )
    return samples.follows(KEY, SecretsStored, stored, _update(wanted, incarnation, run), source="secrets")


def update_failed(
    wanted: EnvironmentSpec, previous: EnvironmentSpec, run: str = "update", incarnation: UUID = FIRST_LIFE
) -> PipelineFailed:
    """The event from which the road back of an update follows."""
    failure = Failure(step="pipeline", code="called_off", message="The run was called off.", next_step="Nothing.")
    data = StepFailed(spec=wanted, previous=previous, failure=failure)
    return samples.follows(KEY, PipelineFailed, data, _update(wanted, incarnation, run), source="cicd")


def secrets_stored(wanted: EnvironmentSpec, incarnation: UUID = FIRST_LIFE) -> SecretsStored:
    """The event that a pipeline follows from."""
    data = SecretsStoredData(
        spec=wanted,
        infrastructure=samples.infrastructure(wanted.name),
        secrets=samples.secrets(wanted.name),
    )
    return samples.follows(KEY, SecretsStored, data, _request(wanted, incarnation), source="secrets")


def deletion_requested(wanted: EnvironmentSpec, incarnation: UUID = FIRST_LIFE) -> EnvironmentDeletionRequested:
    """The event that a removal follows from."""
    data = Asked(spec=wanted, requested_by="ada")
    return samples.follows(KEY, EnvironmentDeletionRequested, data, _request(wanted, incarnation), source="gateway")


def pipeline_failed(wanted: EnvironmentSpec, incarnation: UUID = FIRST_LIFE) -> PipelineFailed:
    """The event that an undo follows from."""
    failure = Failure(step="pipeline", code="gave_up", message="The forge was away.", next_step="Retry.")
    data = StepFailed(spec=wanted, failure=failure)
    return samples.follows(KEY, PipelineFailed, data, _request(wanted, incarnation), source="cicd")

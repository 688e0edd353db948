"""What the secrets service hears, what it does about it, and what it says."""

from typing import Any, Final

from chassis.consuming import GaveUp, Subscription
from contracts.events import (
    InfraReady,
    PipelineRemoved,
    SecretsFailed,
    SecretsRevoked,
    SecretsStored,
    StepFailed,
    Undone,
)
from services.secrets import domain
from services.secrets.handlers import Handlers

REVOKE_DELAYS_SECONDS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0)
"""Undoing is tried longer than doing (nearly twelve minutes): what it gives up on stays behind."""


def explain_failure(event: InfraReady, gave_up: GaveUp) -> StepFailed:
    """Why the secrets could not be stored."""
    return StepFailed(spec=event.data.spec, failure=domain.failure_of(gave_up.error, gave_up.attempts))


def explain_left_behind(event: SecretsFailed | PipelineRemoved, gave_up: GaveUp) -> Undone:
    """What may be left; said so that the road back goes on."""
    return Undone(
        spec=event.data.spec, receipt=domain.all_left_behind(event.data.spec, gave_up.error, gave_up.attempts)
    )


def subscriptions(handlers: Handlers) -> tuple[Subscription[Any], ...]:
    """The table: on this event, do this deed, say that."""
    return (
        Subscription(InfraReady, handlers.store, SecretsStored, SecretsFailed, explain_failure),
        _undoing(SecretsFailed, handlers),
        _undoing(PipelineRemoved, handlers),
    )


def _undoing(heard: type[SecretsFailed] | type[PipelineRemoved], handlers: Handlers) -> Subscription[Any]:
    return Subscription(
        hears=heard,
        deed=handlers.revoke,
        says=SecretsRevoked,
        or_else=SecretsRevoked,
        explain=explain_left_behind,
        retry_delays_seconds=REVOKE_DELAYS_SECONDS,
    )

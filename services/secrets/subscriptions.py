"""What the secrets service hears, what it does about it, and what it says."""

from typing import Any, Final

from chassis.consuming import GaveUp, Subscription
from contracts.events import (
    AccessGranted,
    AccessRequested,
    AccessRevocationRequested,
    AccessRevoked,
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
    failure = domain.failure_of(gave_up.error, gave_up.attempts)
    return StepFailed(spec=event.data.spec, previous=event.data.previous, failure=failure)


def explain_left_behind(event: SecretsFailed | PipelineRemoved, gave_up: GaveUp) -> Undone:
    """What may be left, or may not be as it was; said so that the road back goes on."""
    spec, previous = event.data.spec, event.data.previous
    if previous is None:
        receipt = domain.all_left_behind(spec, gave_up.error, gave_up.attempts)
    else:
        receipt = domain.not_restored(spec, gave_up.error, gave_up.attempts)
    return Undone(spec=spec, previous=previous, receipt=receipt)


def subscriptions(handlers: Handlers) -> tuple[Subscription[Any], ...]:
    """The table: on this event, do this deed, say that."""
    return (
        Subscription(InfraReady, handlers.store, SecretsStored, SecretsFailed, explain_failure),
        _undoing(SecretsFailed, handlers),
        _undoing(PipelineRemoved, handlers),
        # Nobody waits for these with a run, so what fails for good is laid aside for an operator.
        Subscription(AccessRequested, handlers.grant, AccessGranted, of_run=False),
        Subscription(AccessRevocationRequested, handlers.withdraw, AccessRevoked, of_run=False),
    )


def _undoing(heard: type[SecretsFailed] | type[PipelineRemoved], handlers: Handlers) -> Subscription[Any]:
    return Subscription(
        hears=heard,
        deed=handlers.undo,
        says=SecretsRevoked,
        or_else=SecretsRevoked,
        explain=explain_left_behind,
        retry_delays_seconds=REVOKE_DELAYS_SECONDS,
    )

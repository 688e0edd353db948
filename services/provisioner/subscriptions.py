"""On which event, which deed, and what is said of it."""

from typing import Any

from chassis.consuming import GaveUp, Subscription
from chassis.failures import UNDO_DELAYS_SECONDS
from contracts.events import (
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    SecretsRevoked,
    StepFailed,
    Undone,
)
from contracts.values import Failure, LeftBehind, Receipt, Resource
from services.provisioner.domain import what_was_before
from services.provisioner.handlers import Handlers


def subscriptions(handlers: Handlers) -> tuple[Subscription[Any], ...]:
    """The whole behaviour of the provisioner."""
    return (
        Subscription(
            EnvironmentRequested, handlers.provision, says=InfraReady, or_else=InfraFailed, explain=explain_failure
        ),
        Subscription(
            EnvironmentUpdateRequested,
            handlers.provision,
            says=InfraReady,
            or_else=InfraFailed,
            explain=explain_failure,
        ),
        Subscription(
            InfraFailed,
            handlers.undo,
            says=InfraDestroyed,
            or_else=InfraDestroyed,
            explain=explain_left_behind,
            retry_delays_seconds=UNDO_DELAYS_SECONDS,
        ),
        Subscription(
            SecretsRevoked,
            handlers.undo,
            says=InfraDestroyed,
            or_else=InfraDestroyed,
            explain=explain_left_behind,
            retry_delays_seconds=UNDO_DELAYS_SECONDS,
        ),
    )


def explain_failure(event: EnvironmentRequested | EnvironmentUpdateRequested, gave_up: GaveUp) -> StepFailed:
    """Why there is no infrastructure, or not the one that was asked for."""
    return StepFailed(
        spec=event.data.spec,
        previous=what_was_before(event),
        failure=Failure(
            step="infrastructure",
            code=gave_up.error.code,
            message=str(gave_up.error)[:2000],
            next_step=gave_up.error.next_step[:2000],
            attempts=gave_up.attempts,
        ),
    )


def explain_left_behind(event: InfraFailed | SecretsRevoked, gave_up: GaveUp) -> Undone:
    """The undo itself failed for good: all of the infrastructure may still be there, or be as the run left it."""
    spec, previous = event.data.spec, event.data.previous
    everything = Resource(kind="infrastructure", id=f"environments/{spec.name}")
    reason = f"{gave_up.error} {gave_up.error.next_step}"[:2000]
    left_behind = (LeftBehind(resource=everything, reason=reason),)
    return Undone(spec=spec, previous=previous, receipt=Receipt(left_behind=left_behind))

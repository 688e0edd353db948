"""On which event, which deed, and what is said of it."""

from typing import Any

from chassis.consuming import GaveUp, Subscription
from contracts.events import (
    EnvironmentRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    SecretsRevoked,
    StepFailed,
    Undone,
)
from contracts.values import Failure, LeftBehind, Receipt, Resource
from services.provisioner.handlers import Handlers


def subscriptions(handlers: Handlers) -> tuple[Subscription[Any], ...]:
    """The whole behaviour of the provisioner."""
    return (
        Subscription(
            EnvironmentRequested, handlers.provision, says=InfraReady, or_else=InfraFailed, explain=explain_failure
        ),
        Subscription(
            InfraFailed, handlers.destroy, says=InfraDestroyed, or_else=InfraDestroyed, explain=explain_left_behind
        ),
        Subscription(
            SecretsRevoked, handlers.destroy, says=InfraDestroyed, or_else=InfraDestroyed, explain=explain_left_behind
        ),
    )


def explain_failure(event: EnvironmentRequested, gave_up: GaveUp) -> StepFailed:
    """Why there is no infrastructure."""
    return StepFailed(
        spec=event.data.spec,
        failure=Failure(
            step="infrastructure",
            code=gave_up.error.code,
            message=str(gave_up.error)[:2000],
            next_step=gave_up.error.next_step[:2000],
            attempts=gave_up.attempts,
        ),
    )


def explain_left_behind(event: InfraFailed | SecretsRevoked, gave_up: GaveUp) -> Undone:
    """The undo itself failed for good: all of the infrastructure may still be there."""
    spec = event.data.spec
    everything = Resource(kind="infrastructure", id=f"environments/{spec.name}")
    reason = f"{gave_up.error} {gave_up.error.next_step}"[:2000]
    return Undone(spec=spec, receipt=Receipt(left_behind=(LeftBehind(resource=everything, reason=reason),)))

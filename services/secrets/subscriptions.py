"""What the secrets service hears, what it does about it, and what it says."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from chassis.consuming import GaveUp, Subscription
from chassis.failures import UNDO_DELAYS_SECONDS
from contracts.envelope import Event, Value
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

E = TypeVar("E", bound=Event)

ACCESS_DELAYS_SECONDS: Final = (1.0, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Access may be asked for while the environment is being made, which may take minutes."""


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
        _access(AccessRequested, handlers.grant, AccessGranted),
        _access(AccessRevocationRequested, handlers.withdraw, AccessRevoked),
    )


def _access(heard: type[E], deed: Callable[[E], Awaitable[Value]], says: type[Event]) -> Subscription[E]:
    return Subscription(heard, deed, says, retry_delays_seconds=ACCESS_DELAYS_SECONDS, of_run=False)


def _undoing(heard: type[SecretsFailed] | type[PipelineRemoved], handlers: Handlers) -> Subscription[Any]:
    return Subscription(
        hears=heard,
        deed=handlers.undo,
        says=SecretsRevoked,
        or_else=SecretsRevoked,
        explain=explain_left_behind,
        retry_delays_seconds=UNDO_DELAYS_SECONDS,
    )

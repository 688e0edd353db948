"""What this service hears, does and says."""

from typing import Any, Final

from chassis.consuming import GaveUp, Subscription
from chassis.failures import UNDO_DELAYS_SECONDS
from contracts import subjects
from contracts.events import (
    EnvironmentDeletionRequested,
    PipelineCreated,
    PipelineFailed,
    PipelineRemoved,
    SecretsStored,
    StepFailed,
    Undone,
)
from contracts.topology import CONSUMERS
from contracts.values import Failure, LeftBehind, Receipt, Resource
from services.cicd.handlers import PipelineHandlers

_DURABLES: Final = {(spec.stream, spec.durable): spec for spec in CONSUMERS if spec.service == "cicd"}
FEEDBACK: Final = _DURABLES[subjects.SIGNALS, "cicd"]
"""What people tell the platform team is heard beside the events, and becomes tickets."""
NOTES: Final = _DURABLES[subjects.SIGNALS, "cicd-previews"]
"""What is decided about previews is done to their branches, and said under their pull requests."""
VERDICTS: Final = _DURABLES[subjects.ENVIRONMENTS, "cicd-comments"]
"""What became of them is said there too."""


def explain_failure(event: SecretsStored, gave_up: GaveUp) -> StepFailed:
    """Why there will be no pipeline, or why it is not as the update wants it."""
    failure = Failure(
        step="pipeline",
        code=gave_up.error.code,
        message=str(gave_up.error)[:2000],
        next_step=gave_up.error.next_step[:2000],
        attempts=gave_up.attempts,
    )
    return StepFailed(spec=event.data.spec, previous=event.data.previous, failure=failure)


def explain_left_behind(event: PipelineFailed | EnvironmentDeletionRequested, gave_up: GaveUp) -> Undone:
    """An undo ends even where the forge will not have it: everything is left, and said to be."""
    spec = event.data.spec
    left = LeftBehind(
        resource=Resource(kind="repository", id=spec.repository),
        reason=f"Could not be looked at: {gave_up.error}"[:2000],
    )
    return Undone(spec=spec, previous=event.data.previous, receipt=Receipt(left_behind=(left,)))


def subscriptions(handlers: PipelineHandlers) -> tuple[Subscription[Any], ...]:
    """The table."""
    return (
        Subscription(
            SecretsStored,
            handlers.create_pipeline,
            says=PipelineCreated,
            or_else=PipelineFailed,
            explain=explain_failure,
        ),
        Subscription(
            PipelineFailed,
            handlers.remove_pipeline,
            says=PipelineRemoved,
            or_else=PipelineRemoved,
            explain=explain_left_behind,
            retry_delays_seconds=UNDO_DELAYS_SECONDS,
        ),
        Subscription(
            EnvironmentDeletionRequested,
            handlers.remove_pipeline,
            says=PipelineRemoved,
            or_else=PipelineRemoved,
            explain=explain_left_behind,
            retry_delays_seconds=UNDO_DELAYS_SECONDS,
        ),
    )

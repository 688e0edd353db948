"""What follows from events: verdicts at the end of a run, and the word that a run has stalled. Pure."""

from dataclasses import dataclass

from contracts.envelope import Event, Value
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    InfraDestroyed,
    OfRun,
    PipelineCreated,
    RunStalled,
    Stalled,
)
from contracts.queries import RunView
from contracts.values import Failure
from services.catalog.domain.folding import Known
from services.catalog.domain.steps import current_step


@dataclass(frozen=True, slots=True)
class Verdict:
    """An event that has to be said because of what was folded: its kind and its data."""

    kind: type[Event]
    data: Value


def decide(before: Known | None, after: Known, event: Event) -> Verdict | None:
    """The verdict that `event` calls for, or None. An event that did not change its run calls for none."""
    if before is None or after.run is before.run:
        return None
    seconds = (event.time - after.run.requested_at).total_seconds()
    if isinstance(event, PipelineCreated):
        data = event.data
        ready = EnvironmentReadyData(
            spec=data.spec,
            previous=data.previous,
            infrastructure=data.infrastructure,
            secrets=data.secrets,
            pipeline=data.pipeline,
            duration_seconds=seconds,
        )
        return Verdict(EnvironmentReady, ready)
    if isinstance(event, InfraDestroyed):
        return _at_the_end_of_the_road_back(after.run, event.data, seconds)
    return None


def stalled(known: Known, waiting_seconds: float) -> Verdict:
    """That the run of `known` has made no progress for so long."""
    data = Stalled(spec=known.environment.spec, step=current_step(known.run), waiting_seconds=round(waiting_seconds, 3))
    return Verdict(RunStalled, data)


def _at_the_end_of_the_road_back(run: RunView, data: OfRun, seconds: float) -> Verdict:
    if run.kind == "delete":
        deleted = EnvironmentDeletedData(
            spec=data.spec, removed=run.undone, left_behind=run.left_behind, duration_seconds=seconds
        )
        return Verdict(EnvironmentDeleted, deleted)
    failed = EnvironmentFailedData(
        spec=data.spec,
        previous=data.previous,
        failure=run.failure or _UNEXPLAINED,
        created=run.created,
        undone=run.undone,
        left_behind=run.left_behind,
        duration_seconds=seconds,
    )
    return Verdict(EnvironmentFailed, failed)


_UNEXPLAINED = Failure(
    step="infrastructure",
    code="unexplained",
    message="The run was undone, and no step had said why.",
    next_step="Give the trace id to the platform team.",
)

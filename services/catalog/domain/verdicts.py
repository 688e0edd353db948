"""What follows from events: verdicts at the end of a run, and the word that a run has stalled. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contracts.envelope import Event, Value
from contracts.events import (
    Asked,
    DriftDetected,
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraReady,
    OfRun,
    PipelineCreated,
    RunStalled,
    SecretsStored,
    Stalled,
)
from contracts.queries import EnvironmentView, RunView
from contracts.values import EnvironmentSpec, Failure, Resource
from services.catalog.domain.folding import Known
from services.catalog.domain.steps import current_step

_STEPS_ON_THE_WAY: Final = frozenset(
    kind.kind for kind in (EnvironmentRequested, InfraReady, SecretsStored, EnvironmentReady)
)
THE_PLATFORM: Final = "slipway"
"""Who asks for what nobody asked for: the clock's deletions, and repairs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An event that has to be said because of what was folded: its kind and its data."""

    kind: type[Event]
    data: Value


def brings_no_verdict(subject: str) -> bool:
    """Whether the events of a subject never call for a verdict, so that nobody waits for them to be folded."""
    return subject.rpartition(".")[2] in _STEPS_ON_THE_WAY


def decide(before: Known | None, after: Known, event: Event) -> Verdict | None:
    """The verdict that `event` calls for, or None. An event that did not change its run calls for none."""
    if before is None:
        return None
    if isinstance(event, EnvironmentExpired | DriftDetected):
        return _because_of_its_life(after.environment, event)
    if after.run is before.run:
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


def deletion_of(spec: EnvironmentSpec, expired_at: datetime) -> Asked:
    """The request for the end of an environment whose time is up. It takes nothing from its golden path, so it holds
    where that is broken."""
    reason = f"Its time was up at {expired_at:%Y-%m-%d %H:%M} UTC."
    return Asked(spec=spec, requested_by=THE_PLATFORM, cause="expiry", reason=reason)


def is_news(known: Known, differing: tuple[Resource, ...]) -> bool:
    """Whether a look for drift found something to say: other things differ than is known, or none any more, or a
    repair was due and never begun. A repair that failed is not tried again by itself: somebody has to look at it."""
    view = known.environment
    if set(differing) != set(view.drift):
        return True
    if not differing or not _is_repaired(view.spec) or view.drift_detected_at is None:
        return False
    return known.run.requested_at < view.drift_detected_at


def _is_repaired(spec: EnvironmentSpec) -> bool:
    """Production is only shown: somebody may have changed it by hand in an emergency."""
    return spec.kind != "production"


def _because_of_its_life(view: EnvironmentView, event: EnvironmentExpired | DriftDetected) -> Verdict | None:
    if event.incarnation != view.incarnation or view.state != "ready":
        return None
    if isinstance(event, EnvironmentExpired):
        if view.expires_at is None or view.expires_at != event.data.expires_at:
            return None  # it was extended first
        return Verdict(EnvironmentDeletionRequested, deletion_of(view.spec, view.expires_at))
    if not event.data.differing or not _is_repaired(view.spec):
        return None
    names = ", ".join(f"{thing.kind} {thing.id}" for thing in event.data.differing[:5])
    repair = Asked(
        spec=view.spec,
        previous=view.spec,
        requested_by=THE_PLATFORM,
        cause="drift",
        reason=f"Differing: {names}"[:2000],
    )
    return Verdict(EnvironmentUpdateRequested, repair)


def _at_the_end_of_the_road_back(run: RunView, data: OfRun, seconds: float) -> Verdict:
    if run.kind == "delete":
        deleted = EnvironmentDeletedData(
            spec=data.spec, removed=run.undone, left_behind=run.left_behind, kept=run.kept, duration_seconds=seconds
        )
        return Verdict(EnvironmentDeleted, deleted)
    failed = EnvironmentFailedData(
        spec=data.spec,
        previous=data.previous,
        failure=run.failure or _UNEXPLAINED,
        created=run.created,
        undone=run.undone,
        left_behind=run.left_behind,
        kept=run.kept,
        duration_seconds=seconds,
    )
    return Verdict(EnvironmentFailed, failed)


_UNEXPLAINED = Failure(
    step="infrastructure",
    code="unexplained",
    message="The run was undone, and no step had said why.",
    next_step="Give the trace id to the platform team.",
)

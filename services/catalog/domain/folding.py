"""What events mean: a pure left fold from events to views.

Invariants
- An event counts for the current view only where it belongs to the current incarnation and, if it speaks of a run, to
  the current run; a late one is counted (`version`, `last_sequence`) and changes nothing else.
- A run that has ended never changes again.
- Times are the events' own, so folding the same events again gives the same views, byte for byte.

A step's `started_at` and `ended_at` are those of the state it is in: how long it ran, or how long its undo took. The
step that failed stays `failed` while it is undone; `RunView.undone` says what of it is gone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from contracts.envelope import Event
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletionRequested,
    EnvironmentFailed,
    EnvironmentReady,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    PipelineCreated,
    PipelineFailed,
    PipelineRemoved,
    RunCancelRequested,
    RunStalled,
    SecretsFailed,
    SecretsRevoked,
    SecretsStored,
)
from contracts.queries import EnvironmentState, EnvironmentView, RunView
from contracts.values import EnvironmentSpec, Failure, Resource, Step
from services.catalog.domain.altering import altered
from services.catalog.domain.costs import asked, charged, charged_as_before
from services.catalog.domain.life import live
from services.catalog.domain.steps import (
    STEPS,
    changed,
    current_step,
    pending,
    resources_of_pipeline,
    resources_of_secrets,
)

Failed = InfraFailed | SecretsFailed | PipelineFailed
Undo = InfraDestroyed | SecretsRevoked | PipelineRemoved
RunKind = Literal["create", "update", "delete"]
Change = dict[str, object]
"""Fields of a view with what they hold from now on."""
Changes = tuple[Change, Change]
"""Those of an environment's view, and those of its run's."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one name: its environment, and that environment's latest run."""

    environment: EnvironmentView
    run: RunView


def fold(known: Known | None, event: Event, sequence: int) -> Known | None:
    """What is known after `event`, stored at `sequence`. None where it speaks of an environment nobody asked for."""
    if isinstance(event, EnvironmentRequested):
        return _begin_life(event, sequence, known.environment.version + 1 if known is not None else 1)
    if known is None:
        return None
    environment, run = known.environment, known.run
    change: Change = {}
    if event.incarnation == environment.incarnation:
        if isinstance(event, EnvironmentUpdateRequested | EnvironmentDeletionRequested):
            kind: RunKind = "update" if isinstance(event, EnvironmentUpdateRequested) else "delete"
            change, run = _begin_run(environment, event, kind), _run_of(event, kind, sequence)
        elif (lived := live(environment, event)) is not None:
            change = lived
        elif event.run_id == run.id and run.ended_at is None:
            change, run = _go_on(known, event, sequence)
    change["version"] = environment.version + 1
    change["last_sequence"] = sequence
    return Known(altered(environment, change), run)


def superseded(run: RunView, by: Event) -> RunView:
    """`run` as it ends where another run of its environment began before it was over."""
    failure = run.failure or Failure(
        step=current_step(run),
        code="superseded",
        message="Another run of this environment began before this one was over.",
        next_step="Look at the environment's latest run.",
    )
    return altered(run, {"state": "failed", "ended_at": by.time, "failure": failure})


def seen(known: Known, sequence: int) -> Known:
    """`known` after a message on its subjects that is not counted as an event (malformed, forged, a duplicate). It
    still moves what a conditional publish has to expect."""
    return Known(altered(known.environment, {"last_sequence": sequence}), known.run)


# -- beginnings --------------------------------------------------------------------------------------------------------


def _begin_life(event: EnvironmentRequested, sequence: int, version: int) -> Known:
    environment = EnvironmentView(
        name=event.subject,
        incarnation=event.incarnation,
        state="creating",
        spec=event.data.spec,
        created_at=event.time,
        updated_at=event.time,
        expires_at=event.data.spec.expires_at,
        last_activity_at=event.time,
        asked_price=event.data.price,
        run_id=event.run_id,
        version=version,
        last_sequence=sequence,
    )
    return Known(environment, _run_of(event, "create", sequence))


def _begin_run(
    environment: EnvironmentView, event: EnvironmentUpdateRequested | EnvironmentDeletionRequested, kind: RunKind
) -> Change:
    state: EnvironmentState = "updating" if kind == "update" else "deleting"
    change: Change = {"run_id": event.run_id, "state": state, "failure": None}
    change |= {"left_behind": (), "kept": (), "updated_at": event.time, **asked(environment, event.data)}
    if event.data.cause != "drift":  # the platform's own repair is nobody's activity
        change["last_activity_at"] = event.time
    return change


def _run_of(
    event: EnvironmentRequested | EnvironmentUpdateRequested | EnvironmentDeletionRequested,
    kind: RunKind,
    sequence: int,
) -> RunView:
    spec = event.data.spec
    steps = pending()
    if kind == "delete":
        steps = changed(steps, "pipeline", "undoing", started_at=event.time)
    else:
        steps = changed(steps, "infrastructure", "running", started_at=event.time)
    return RunView(
        id=event.run_id,
        environment=event.subject,
        incarnation=event.incarnation,
        kind=kind,
        state="running",
        requested_by=event.data.requested_by,
        cause=event.data.cause,
        team=spec.owner.team,
        golden_path=spec.golden_path,
        requested_at=event.time,
        steps=steps,
        trace_id=event.traceparent.split("-")[1] if event.traceparent else None,
        last_event_at=event.time,
        last_sequence=sequence,
    )


# -- within a run ------------------------------------------------------------------------------------------------------


def _go_on(known: Known, event: Event, sequence: int) -> tuple[Change, RunView]:
    """What changes of the environment, and its run from now on; the very same where the event does not move it."""
    deed = _DEEDS.get(type(event))
    changes = deed(known, event) if deed is not None else None
    if changes is None:
        return {}, known.run
    environment, run = changes
    environment["updated_at"] = event.time
    run["last_event_at"], run["last_sequence"] = event.time, sequence
    if not isinstance(event, RunStalled | RunCancelRequested):
        run["stalled_since"] = None
    return environment, altered(known.run, run)


def _infra_ready(known: Known, event: InfraReady) -> Changes | None:
    made = event.data.infrastructure
    return _forward(known, event, "infrastructure", {"infrastructure": made}, made.resources)


def _secrets_stored(known: Known, event: SecretsStored) -> Changes | None:
    made = event.data.secrets
    return _forward(known, event, "secrets", {"secrets": made}, resources_of_secrets(made))


def _pipeline_created(known: Known, event: PipelineCreated) -> Changes | None:
    made = event.data.pipeline
    return _forward(known, event, "pipeline", {"pipeline": made}, resources_of_pipeline(made))


def _forward(known: Known, event: Event, step: Step, gained: Change, created: tuple[Resource, ...]) -> Changes | None:
    run = known.run
    if run.state != "running" or run.kind == "delete":
        return None  # the run is on its road back: nothing goes forward any more
    steps = changed(run.steps, step, "succeeded", ended_at=event.time)
    following = STEPS.index(step) + 1
    if following < len(STEPS):
        steps = changed(steps, STEPS[following], "running", started_at=event.time)
    return gained, {"steps": steps, "created": (*run.created, *created)}


def _failed(known: Known, event: Failed) -> Changes:
    failure = event.data.failure
    steps = changed(known.run.steps, _STEP_OF[type(event)], "failed", ended_at=event.time)
    return {"state": "undoing", "failure": failure}, {"state": "undoing", "failure": failure, "steps": steps}


def _undone(known: Known, event: Undo) -> Changes:
    run, step, receipt = known.run, _STEP_OF[type(event)], event.data.receipt
    steps = run.steps
    if steps[STEPS.index(step)].state != "failed":
        steps = changed(steps, step, "undone", ended_at=event.time)
    if before := STEPS[: STEPS.index(step)]:
        steps = changed(steps, before[-1], "undoing", started_at=event.time)
    change: Change = {
        "steps": steps,
        "undone": (*run.undone, *receipt.removed),
        "left_behind": (*run.left_behind, *receipt.left_behind),
        "kept": (*run.kept, *receipt.kept),
    }
    # The road back of an update restores what was there before.
    environment: Change = {step: None} if event.data.previous is None else {}
    if run.kind != "delete":
        # What a failed step had begun was never announced; what is removed must have existed.
        unannounced = tuple(thing for thing in receipt.removed if thing not in run.created)
        change |= {"state": "undoing", "created": (*run.created, *unannounced)}
        environment["state"] = "undoing"
    return environment, change


def _ready(known: Known, event: EnvironmentReady) -> Changes:
    data = event.data
    environment: Change = {
        "state": "ready",
        **_end(known.environment, data.spec, data.previous),
        "infrastructure": data.infrastructure,
        "secrets": data.secrets,
        "pipeline": data.pipeline,
        "ready_at": event.time,
        "failure": None,
        "drift": (),
        "drift_detected_at": None,
        **charged(known.environment, event.time),
    }
    return environment, {"state": "succeeded", "ended_at": event.time}


def _environment_failed(known: Known, event: EnvironmentFailed) -> Changes:
    data = event.data
    environment: Change = {"state": "failed", "failure": data.failure, "left_behind": data.left_behind}
    environment["kept"] = data.kept
    if data.previous is not None:
        environment |= {"state": "ready", **_end(known.environment, data.previous, None)}
        environment |= charged_as_before(known.environment)
    return environment, {"state": "failed", "failure": data.failure, "ended_at": event.time}


def _deleted(_: Known, event: EnvironmentDeleted) -> Changes:
    environment: Change = {
        "state": "deleted",
        "failure": None,
        "left_behind": event.data.left_behind,
        "kept": event.data.kept,
        "gone_at": event.time,
    }
    return environment, {"state": "succeeded", "ended_at": event.time}


def _end(environment: EnvironmentView, spec: EnvironmentSpec, previous: EnvironmentSpec | None) -> Mapping[str, object]:
    """The desired state after a run, and the environment's end: as it was extended meanwhile, unless the run was about
    another end."""
    if previous is not None and spec.expires_at != previous.expires_at:
        kept = environment.kept_because if spec.expires_at is None else None
        return {"spec": spec, "expires_at": spec.expires_at, "kept_because": kept}
    if spec.expires_at != environment.expires_at:
        spec = spec.model_copy(update={"expires_at": environment.expires_at})
    return {"spec": spec}


def _stalled(known: Known, _: RunStalled) -> Changes:
    return {}, {"stalled_since": known.run.last_event_at}


def _called_off(_: Known, event: RunCancelRequested) -> Changes:
    """Changes no state by itself; what the services make of it does."""
    return {}, {"called_off_by": event.data.requested_by}


_STEP_OF: Final[dict[type[Event], Step]] = {
    InfraFailed: "infrastructure",
    InfraDestroyed: "infrastructure",
    SecretsFailed: "secrets",
    SecretsRevoked: "secrets",
    PipelineFailed: "pipeline",
    PipelineRemoved: "pipeline",
}
_DEEDS: Final[dict[type[Event], Callable[[Known, Any], Changes | None]]] = {
    InfraReady: _infra_ready,
    SecretsStored: _secrets_stored,
    PipelineCreated: _pipeline_created,
    InfraFailed: _failed,
    SecretsFailed: _failed,
    PipelineFailed: _failed,
    PipelineRemoved: _undone,
    SecretsRevoked: _undone,
    InfraDestroyed: _undone,
    EnvironmentReady: _ready,
    EnvironmentFailed: _environment_failed,
    EnvironmentDeleted: _deleted,
    RunStalled: _stalled,
    RunCancelRequested: _called_off,
}

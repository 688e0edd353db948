"""What events mean for the views."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.identity import EventKey
from contracts.envelope import Event
from contracts.events import (
    AccessChange,
    AccessGranted,
    AccessRevoked,
    Drift,
    DriftDetected,
    EnvironmentExtended,
    Expiry,
    InfraDestroyed,
    InfraReady,
    InfraReadyData,
    PipelineCreated,
    RunCancelRequested,
    RunCommand,
    RunStalled,
    Stalled,
    Undone,
)
from contracts.queries import EnvironmentView, Grant, RunView, StepState
from contracts.values import LeftBehind, Receipt, Resource, Step
from services.catalog.domain.folding import Known, fold, superseded
from services.catalog.domain.steps import STEPS, current_step, step_seconds, total_seconds
from tests import samples
from tests.stories import Story

KEY = EventKey(b"k" * 32)
STEP_NAMES: tuple[Step, ...] = get_args(Step)


def folded(events: Sequence[Event], known: Known | None = None) -> Known:
    """What is known after these events, stored under 1, 2, 3, …"""
    first = known.environment.last_sequence + 1 if known else 1
    for sequence, event in enumerate(events, first):
        known = fold(known, event, sequence)
    assert known is not None
    return known


def states(known: Known) -> tuple[StepState, ...]:
    return tuple(view.state for view in known.run.steps)


def test_a_creation_runs_step_by_step_with_the_times_of_its_events() -> None:
    story = Story(KEY).create().ready()
    seen = [folded(story.events[: count + 1]) for count in range(len(story.events))]

    assert [states(known) for known in seen] == [
        ("running", "pending", "pending"),
        ("succeeded", "running", "pending"),
        ("succeeded", "succeeded", "running"),
        ("succeeded", "succeeded", "succeeded"),
        ("succeeded", "succeeded", "succeeded"),
    ]
    assert [known.environment.state for known in seen] == ["creating"] * 4 + ["ready"]
    assert [known.run.state for known in seen] == ["running"] * 4 + ["succeeded"]
    at = [event.time for event in story.events]
    assert [(view.started_at, view.ended_at) for view in seen[-1].run.steps] == list(pairwise(at[:4]))
    end = seen[-1]
    assert (end.environment.ready_at, end.run.ended_at) == (at[4], at[4])
    assert end.environment.infrastructure == samples.infrastructure()
    assert end.environment.secrets == samples.secrets()
    assert end.environment.pipeline == samples.pipeline()
    assert (end.environment.version, end.environment.last_sequence, end.run.last_sequence) == (5, 5, 5)
    assert {thing.kind for thing in end.run.created} >= {"database", "route", "secret", "repository", "workflow"}


def test_durations_are_those_of_a_successful_creation_only() -> None:
    good = folded(Story(KEY).create().ready().events).run
    bad = folded(Story(KEY).create("secrets").fail("pipeline").failed("pipeline").events).run

    assert [step_seconds(good, step) for step in STEPS] == [1, 1, 1]
    assert total_seconds(good) == 3
    assert [step_seconds(bad, step) for step in STEPS] == [None, None, None]
    assert total_seconds(bad) is None


@pytest.mark.parametrize(
    ("step", "on_the_road", "at_the_end"),
    [
        ("infrastructure", ("failed", "pending", "pending"), ("failed", "pending", "pending")),
        ("secrets", ("undoing", "failed", "pending"), ("undone", "failed", "pending")),
        ("pipeline", ("succeeded", "undoing", "failed"), ("undone", "undone", "failed")),
    ],
)
def test_a_failure_is_undone_step_by_step(
    step: Step, on_the_road: tuple[StepState, ...], at_the_end: tuple[StepState, ...]
) -> None:
    story = Story(KEY)
    if step != "infrastructure":
        story.create("infrastructure" if step == "secrets" else "secrets")
    reached = len(story.events)
    story.fail(step).failed(step)

    failed, after_its_own_undo = folded(story.events[: reached + 1]), folded(story.events[: reached + 2])
    assert (failed.environment.state, failed.run.state) == ("undoing", "undoing")
    assert current_step(failed.run) == step
    assert failed.run.failure is not None
    assert states(after_its_own_undo) == on_the_road

    end = folded(story.events)
    assert states(end) == at_the_end
    assert (end.environment.state, end.run.state) == ("failed", "failed")
    assert end.environment.failure is not None
    assert (end.environment.infrastructure, end.environment.secrets, end.environment.pipeline) == (None, None, None)
    assert set(end.run.undone) <= set(end.run.created)


def test_a_deletion_goes_backward_and_leaves_nothing() -> None:
    story = Story(KEY).create().ready().delete().deleted()
    begun, middle, end = folded(story.events[:6]), folded(story.events[:7]), folded(story.events)

    assert (begun.environment.state, begun.run.kind, begun.run.state) == ("deleting", "delete", "running")
    assert states(begun) == ("pending", "pending", "undoing")
    assert states(middle) == ("pending", "undoing", "undone")
    assert middle.environment.pipeline is None
    assert states(end) == ("undone", "undone", "undone")
    assert (end.environment.state, end.run.state) == ("deleted", "succeeded")
    assert len(end.run.undone) == 3
    assert end.run.created == ()


def test_what_was_left_behind_is_remembered() -> None:
    left = LeftBehind(resource=Resource(kind="repository", id="acme/demo-api"), reason="holds commits")
    story = Story(KEY).create("infrastructure").fail("infrastructure")
    story.add(InfraDestroyed, Undone(spec=story.request.data.spec, receipt=Receipt(left_behind=(left,))))

    assert left in folded(story.events).run.left_behind


def test_a_name_used_again_begins_a_new_life_and_goes_on_counting() -> None:
    first = Story(KEY).create().ready().delete().deleted()
    second = Story(KEY, time=samples.AT + timedelta(days=1))
    end = folded([*first.events, *second.events])

    assert end.environment.incarnation == second.request.id
    assert (end.environment.state, end.environment.failure) == ("creating", None)
    assert end.environment.created_at == second.request.time
    assert end.environment.version == len(first.events) + 1


def test_an_event_about_an_environment_nobody_asked_for_is_not_folded() -> None:
    assert fold(None, Story(KEY).create().last, 1) is None


def _late(first: Story) -> list[Event]:
    return [event for event in first.events[1:] if not isinstance(event, RunCancelRequested)]


def without_counts(known: Known) -> tuple[EnvironmentView, RunView]:
    return known.environment.model_copy(update={"version": 0, "last_sequence": 0}), known.run


def test_late_events_of_an_older_life_change_only_the_counts() -> None:
    first = Story(KEY).create("secrets")
    second = Story(KEY).create("infrastructure")
    known = folded([first.request, *second.events])

    for event in [*_late(first), *first.fail("pipeline").events[-3:]]:
        after = folded([event], known)
        assert without_counts(after) == without_counts(known)
        assert after.run is known.run
        assert after.environment.version == known.environment.version + 1
        assert after.environment.last_sequence == known.environment.last_sequence + 1
        known = after


def test_late_events_of_an_older_run_change_only_the_counts() -> None:
    story = Story(KEY).create().ready()
    old = story.events[1:]
    known = folded(story.delete().events)
    for event in old:
        after = folded([event], known)
        assert without_counts(after) == without_counts(known)
        known = after


def test_a_run_that_has_ended_never_changes_again() -> None:
    story = Story(KEY).create().ready()
    ready = folded(story.events)
    spec = story.request.data.spec
    late = [
        story.add(InfraReady, InfraReadyData(spec=spec, infrastructure=samples.infrastructure())),
        story.add(InfraDestroyed, Undone(spec=spec, receipt=Receipt())),
    ]

    assert without_counts(folded(late, ready)) == without_counts(ready)


def test_nothing_goes_forward_on_the_road_back() -> None:
    story = Story(KEY).create("secrets").fail("pipeline")
    undoing = folded(story.events)
    created = Story(KEY, cause=story.request.causation_id).create().last
    assert isinstance(created, PipelineCreated)

    assert folded([created], undoing).run is undoing.run


def test_a_run_that_another_one_replaces_is_closed_with_a_reason() -> None:
    story = Story(KEY).create("infrastructure")
    known = folded(story.events)
    deletion = Story(KEY, cause=story.request.causation_id).delete().events[1]

    closed = superseded(known.run, deletion)
    assert (closed.state, closed.ended_at) == ("failed", deletion.time)
    assert closed.failure is not None
    assert (closed.failure.code, closed.failure.step) == ("superseded", "secrets")


def test_more_time_moves_the_end_and_nothing_else() -> None:
    story = Story(KEY).create().ready()
    ready, spec = folded(story.events), story.request.data.spec
    later = samples.AT + timedelta(days=7)
    extended = folded([story.add(EnvironmentExtended, Expiry(spec=spec, expires_at=later), source="gateway")], ready)
    kept = folded([story.add(EnvironmentExtended, Expiry(spec=spec, reason="a demo"), source="gateway")], extended)

    assert (extended.environment.expires_at, extended.environment.kept_because) == (later, None)
    assert extended.environment.spec == spec.model_copy(update={"expires_at": later})
    assert (kept.environment.expires_at, kept.environment.kept_because) == (None, "a demo")
    assert (kept.environment.state, kept.run) == ("ready", ready.run)


def test_a_grant_is_there_once_and_until_it_is_revoked() -> None:
    story = Story(KEY).create().ready()
    change = AccessChange(requested_by="ada", role="viewer", person="bob")
    granted = [story.add(AccessGranted, change, source="secrets") for _ in range(2)]
    known = folded(story.events[:-2])
    for event in granted:
        known = folded([event], known)
    assert known.environment.access == (Grant(role="viewer", person="bob"),)

    assert folded([story.add(AccessRevoked, change, source="secrets")], known).environment.access == ()


def test_drift_is_shown_until_a_run_has_mended_it() -> None:
    story = Story(KEY).create().ready()
    differing = (Resource(kind="route", id="env-demo-api"),)
    story.add(DriftDetected, Drift(spec=story.request.data.spec, differing=differing))
    drifted = folded(story.events)
    assert (drifted.environment.drift, drifted.environment.drift_detected_at) == (differing, story.last.time)

    story.update().create().ready()
    mended = folded(story.events)
    assert (mended.environment.drift, mended.environment.drift_detected_at) == ((), None)


def test_an_update_that_fails_is_taken_back_to_what_was_there_before() -> None:
    story = Story(KEY).create().ready()
    before = folded(story.events)
    story.update(branch="other").create("secrets").fail("pipeline").failed("pipeline")
    after = folded(story.events)

    assert (after.run.kind, after.run.state, after.run.failure is not None) == ("update", "failed", True)
    assert after.environment.state == "ready"
    assert after.environment.failure is not None
    assert after.environment.spec == before.environment.spec
    assert after.environment.infrastructure == before.environment.infrastructure


def test_who_called_a_run_off_is_known() -> None:
    story = Story(KEY).create("infrastructure")
    story.add(RunCancelRequested, RunCommand(requested_by="bob"), source="gateway")
    known = folded(story.events)

    assert (known.run.called_off_by, known.run.state) == ("bob", "running")
    assert known.run.last_sequence == 3


def test_a_stall_is_shown_until_the_run_moves_on() -> None:
    story = Story(KEY).create("infrastructure")
    spec = story.request.data.spec
    stalled_at = story.last.time
    story.add(RunStalled, Stalled(spec=spec, step="secrets", waiting_seconds=300), source="catalog")
    assert folded(story.events).run.stalled_since == stalled_at
    story.add(RunCancelRequested, RunCommand(requested_by="ada"), source="gateway")
    assert folded(story.events).run.stalled_since == stalled_at
    moved = Story(KEY, cause=story.request.causation_id).create("secrets").last
    assert folded([moved], folded(story.events)).run.stalled_since is None


PATHS = st.sampled_from(
    [
        lambda name: Story(KEY, name),
        lambda name: Story(KEY, name).create().ready(),
        lambda name: Story(KEY, name).fail("infrastructure").failed("infrastructure"),
        lambda name: Story(KEY, name).create("infrastructure").fail("secrets").failed("secrets"),
        lambda name: Story(KEY, name).create("secrets").fail("pipeline").failed("pipeline"),
        lambda name: Story(KEY, name).create().ready().delete().deleted(),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PATHS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_however_environments_interleave_each_ends_the_same(paths: list[object], random: object) -> None:
    stories = [path(f"env-{number}").events for number, path in enumerate(paths)]  # type: ignore[operator]
    alone = {events[0].subject: folded(events) for events in stories}

    waiting = [list(events) for events in stories]
    known: dict[str, Known] = {}
    sequence = 0
    while waiting:
        queue = random.choice(waiting)  # type: ignore[attr-defined]
        event = queue.pop(0)
        sequence += 1
        after = fold(known.get(event.subject), event, sequence)
        assert after is not None
        known[event.subject] = after
        waiting = [events for events in waiting if events]

    for name, expected in alone.items():
        environment = known[name].environment.model_copy(update={"last_sequence": expected.environment.last_sequence})
        assert environment == expected.environment
        assert known[name].run.model_copy(update={"last_sequence": expected.run.last_sequence}) == expected.run

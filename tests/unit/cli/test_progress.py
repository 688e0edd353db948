"""What a run's events add up to."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.event_stream import LOST, EventStream, ServerEvent
from cli.progress import Progress
from cli.wording import clock
from tests.unit.cli.samples import BEGUN, CREATION, FAILED_CREATION, FAILURE, at, log, step, verdict

WAITING = {"attempt": 1, "attempts": 5, "retry_at": at(10)}


def events(*frames: str) -> list[ServerEvent]:
    """The events in `frames`."""
    return list(EventStream().read(frame.encode() for frame in frames))


def told(*frames: str, kind: str = "create") -> Progress:
    """The progress of a run that said `frames`."""
    progress = Progress("demo-api", kind, at(0))
    for event in events(*frames):
        progress.apply(event)
    return progress


def states(progress: Progress) -> dict[str, str]:
    """The state of each step, in the order of the view."""
    return {name: step.state for name, step in progress.steps.items()}


def test_steps_go_on_as_they_are_told() -> None:
    assert states(told(*CREATION[:3])) == {"infrastructure": "succeeded", "secrets": "running", "pipeline": "pending"}


def test_a_step_that_waits_says_when_and_how_often_it_is_tried() -> None:
    progress = told(CREATION[0], log(1, 1, "the forge does not answer", waiting=WAITING))
    waiting = progress.steps["infrastructure"]
    assert waiting.state == "waiting"
    assert waiting.note == f"retry at {clock(at(10))}, attempt 2 of 5: the forge does not answer"


def test_a_step_that_speaks_again_waits_no_more() -> None:
    progress = told(CREATION[0], log(1, 1, "no", waiting=WAITING), log(1, 2, "Plan: 1 to add"))
    assert (progress.steps["infrastructure"].state, progress.steps["infrastructure"].note) == ("running", "")


def test_a_failed_step_that_cleans_up_is_not_said_to_run() -> None:
    progress = told(*FAILED_CREATION[:5], log(4, 1, "no", "pipeline", waiting=WAITING))
    assert progress.failure == FAILURE
    assert progress.steps["pipeline"].note.startswith("cleaning up, retry at")
    for event in events(log(4, 2, "removed", "pipeline")):
        progress.apply(event)
    assert progress.steps["pipeline"].state == "undoing"


def test_a_verdict_leaves_no_step_moving() -> None:
    progress = told(*FAILED_CREATION[:5], log(4, 1, "no", "pipeline", waiting=WAITING), FAILED_CREATION[-1])
    assert not {"running", "undoing", "waiting"} & set(states(progress).values())


def test_a_deletion_walks_the_road_back() -> None:
    assert list(told(kind="delete").steps) == ["pipeline", "secrets", "infrastructure"]


def test_elapsed_time_stops_with_the_step_and_with_the_run() -> None:
    much_later = BEGUN + timedelta(days=1)
    progress = told(*CREATION)
    assert progress.steps["infrastructure"].elapsed_seconds(much_later) == 2.0
    assert progress.elapsed_seconds(much_later) == 3.0


def test_elapsed_time_is_never_negative_where_clocks_differ() -> None:
    progress = told(CREATION[0])
    assert progress.elapsed_seconds(BEGUN - timedelta(minutes=5)) == 0.0
    assert progress.steps["infrastructure"].elapsed_seconds(BEGUN - timedelta(minutes=5)) == 0.0


def test_a_step_that_stalls_says_for_how_long() -> None:
    stalled = "id: 3-0\nevent: stalled\ndata: " + json.dumps({"time": at(9), "step": "secrets", "waiting_seconds": 300})
    assert told(f"{stalled}\n\n").steps["secrets"].note == "no progress for 5 min 0 s"


def test_a_step_of_a_newer_platform_is_shown_as_well() -> None:
    assert states(told(step(1, 0, certificates="running")))["certificates"] == "running"


@settings(deadline=None)  # a busy machine is no finding
@given(st.lists(st.integers(0, len(FAILED_CREATION)), max_size=4))
def test_the_same_events_give_the_same_progress_however_often_the_connection_broke(breaks: list[int]) -> None:
    whole, broken = told(*FAILED_CREATION), Progress("demo-api", "create", at(0))
    for place, event in enumerate(events(*FAILED_CREATION)):
        for _ in range(breaks.count(place)):
            broken.apply(LOST)
        broken.apply(event)
    assert broken == whole


@settings(deadline=None)  # a busy machine is no finding
@given(st.integers(1, 40))
def test_events_are_the_same_however_the_bytes_come(size: int) -> None:
    content = "".join((*CREATION, verdict())).encode()
    chunks = [content[start : start + size] for start in range(0, len(content), size)]
    assert list(EventStream().read(chunks)) == events(*CREATION, verdict())


def test_a_run_that_has_not_begun_here_has_begun_there() -> None:
    assert Progress("demo-api", "create", at(0)).elapsed_seconds(datetime.now(UTC)) > 0

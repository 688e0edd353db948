"""What follows from events."""

import pytest

from chassis.identity import EventKey
from contracts.events import (
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    InfraDestroyed,
    Stalled,
    Undone,
)
from contracts.values import LeftBehind, Receipt, Resource, Step
from services.catalog.domain.folding import Known, fold
from services.catalog.domain.verdicts import Verdict, decide, stalled
from tests import samples
from tests.stories import REMOVED, Story

KEY = EventKey(b"k" * 32)


def verdicts(story: Story) -> list[Verdict | None]:
    """The verdict that each event of a story calls for."""
    known: Known | None = None
    found = []
    for sequence, event in enumerate(story.events, 1):
        after = fold(known, event, sequence)
        assert after is not None
        found.append(decide(known, after, event))
        known = after
    return found


def test_a_creation_that_reached_its_end_is_ready() -> None:
    *before, last = verdicts(Story(KEY).create())

    assert before == [None, None, None]
    assert last is not None
    assert last.kind is EnvironmentReady
    assert isinstance(last.data, EnvironmentReadyData)
    assert (last.data.duration_seconds, last.data.pipeline) == (3, samples.pipeline())


@pytest.mark.parametrize("step", ["infrastructure", "secrets", "pipeline"])
def test_a_run_that_was_undone_has_failed_and_says_of_what(step: Step) -> None:
    story = Story(KEY)
    if step != "infrastructure":
        story.create("infrastructure" if step == "secrets" else "secrets")
    *before, last = verdicts(story.fail(step))

    assert not any(before)
    assert last is not None
    assert last.kind is EnvironmentFailed
    assert isinstance(last.data, EnvironmentFailedData)
    assert (last.data.failure.step, last.data.failure.code) == (step, "refused")
    assert REMOVED["infrastructure"] in last.data.undone
    assert set(last.data.undone) <= set(last.data.created)


def test_a_deletion_ends_deleted_with_what_it_removed_and_left() -> None:
    left = LeftBehind(resource=Resource(kind="database", id="apps/env_demo_api"), reason="in use")
    story = Story(KEY).create().ready().delete()
    undone = Undone(spec=story.request.data.spec, receipt=Receipt(left_behind=(left,)))
    story.events[-1] = story.events[-1].model_copy(update={"data": undone})
    last = verdicts(story)[-1]

    assert last is not None
    assert last.kind is EnvironmentDeleted
    assert isinstance(last.data, EnvironmentDeletedData)
    assert last.data.removed == (REMOVED["pipeline"], REMOVED["secrets"])
    assert last.data.left_behind == (left,)


def test_a_late_event_calls_for_no_verdict() -> None:
    first, second = Story(KEY).create(), Story(KEY)
    known = fold(None, second.request, 1)
    assert known is not None
    for event in first.events[1:]:
        after = fold(known, event, 2)
        assert after is not None
        assert decide(known, after, event) is None


def test_a_verdict_is_given_once() -> None:
    story = Story(KEY).create("secrets").fail("pipeline").failed("pipeline")
    story.add(InfraDestroyed, Undone(spec=story.request.data.spec, receipt=Receipt()))

    assert [verdict is not None for verdict in verdicts(story)].count(True) == 1
    assert verdicts(story)[-1] is None


@pytest.mark.parametrize(("reached", "step"), [("infrastructure", "secrets"), ("secrets", "pipeline")])
def test_a_stall_names_the_step_that_has_the_next_word(reached: Step, step: Step) -> None:
    known: Known | None = None
    for sequence, event in enumerate(Story(KEY).create(reached).events, 1):
        known = fold(known, event, sequence)
    assert known is not None
    verdict = stalled(known, 301.23456)

    assert verdict.data == Stalled(spec=known.environment.spec, step=step, waiting_seconds=301.235)

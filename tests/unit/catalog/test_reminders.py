"""When an environment's time is up, when to warn, when to look for drift: pure, on a clock that stands still."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.identity import EventKey
from contracts.events import Drift as DriftData
from contracts.events import (
    DriftDetected,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentExtended,
    EnvironmentUpdateRequested,
    Expiry,
)
from contracts.values import Resource
from services.catalog.domain.folding import Known, fold
from services.catalog.domain.reminders import (
    Rhythm,
    due_warning,
    ends_at,
    has_moved,
    next_drift_check,
    next_warning,
    reminders,
)
from services.catalog.domain.verdicts import decide, is_news
from tests import samples
from tests.stories import Story

KEY = EventKey(b"k" * 32)
RHYTHM = Rhythm((timedelta(days=2), timedelta(hours=2), timedelta(minutes=30)), timedelta(hours=1))
END = samples.AT + timedelta(days=7)
DATABASE = Resource(kind="database", id="apps/env_demo_api")


def _folded(story: Story) -> Known:
    known: Known | None = None
    for sequence, event in enumerate(story.events, 1):
        known = fold(known, event, sequence)
    assert known is not None
    return known


def _ready(**changes: Any) -> Story:
    return Story(KEY, **{"expires_at": END, **changes}).create().ready()


def _extend(story: Story, expires_at: datetime | None, **changes: Any) -> Story:
    data = Expiry(spec=story.request.data.spec, expires_at=expires_at, requested_by="ada", **changes)
    story.add(EnvironmentExtended, data, source="gateway", id=uuid4())
    return story


def _due(view: Any, now: datetime) -> dict[str, datetime]:
    return {one.kind: one.due_at for one in reminders(view, RHYTHM, now)}


@pytest.mark.parametrize(
    ("before_end", "due", "following"),
    [
        (timedelta(days=3), None, timedelta(days=2)),
        (timedelta(days=2), timedelta(days=2), timedelta(hours=2)),
        (timedelta(hours=1), timedelta(hours=2), timedelta(minutes=30)),
        (timedelta(minutes=1), timedelta(minutes=30), None),
        (timedelta(0), None, None),
        (-timedelta(days=1), None, None),
    ],
)
def test_of_the_warnings_that_have_passed_only_the_last_one_holds(
    before_end: timedelta, due: timedelta | None, following: timedelta | None
) -> None:
    view, now = _folded(_ready()).environment, END - before_end

    assert due_warning(view, RHYTHM, now) == (END - due if due is not None else None)
    assert next_warning(view, RHYTHM, now) == (END - following if following is not None else None)


def test_a_short_life_is_not_warned_of_what_was_just_asked_for() -> None:
    view = _folded(_ready(expires_at=samples.AT + timedelta(hours=1))).environment

    now = samples.AT + timedelta(minutes=1)
    assert due_warning(view, RHYTHM, now) is None
    assert next_warning(view, RHYTHM, now) == samples.AT + timedelta(minutes=30)


def test_every_timer_of_a_ready_environment_follows_from_its_view() -> None:
    view = _folded(_ready()).environment
    due = _due(view, samples.AT)

    assert due.keys() == {"expiry", "warning", "drift_check"}
    assert (due["expiry"], due["warning"]) == (END, END - timedelta(days=2))
    late = END + timedelta(days=1)
    assert _due(view, late)["expiry"] == END, "overdue: it fires at once"
    assert {one.due_at for one in reminders(view, RHYTHM, late, not_before=late + timedelta(hours=2))} == {
        late + timedelta(hours=2)
    }


def test_an_environment_that_is_kept_has_no_end() -> None:
    known = _folded(_extend(_ready(), None, reason="the audit"))

    assert (known.environment.expires_at, known.environment.kept_because) == (None, "the audit")
    assert _due(known.environment, samples.AT).keys() == {"drift_check"}


@pytest.mark.parametrize("story", [_ready().update(branch="next"), _ready().delete(), Story(KEY, expires_at=END)])
def test_nothing_ends_while_a_run_is_under_way(story: Story) -> None:
    view = _folded(story).environment

    assert ends_at(view) is None
    assert reminders(view, RHYTHM, END) == ()


@pytest.mark.parametrize(
    ("kind", "days", "expected"),
    [("preview", 29, 29), ("preview", 45, 30), ("staging", 45, 45), ("production", 45, 45)],
)
def test_a_preview_is_extended_to_thirty_days_at_most(kind: str, days: int, expected: int) -> None:
    view = _folded(_extend(_ready(kind=kind), samples.AT + timedelta(days=days))).environment

    assert view.expires_at == view.spec.expires_at == samples.AT + timedelta(days=expected)


def test_what_was_extended_during_an_update_stays_so() -> None:
    later = END + timedelta(days=3)
    story = _extend(_ready().update(branch="next"), later)
    story.create().ready()
    view = _folded(story).environment

    assert (view.state, view.spec.branch) == ("ready", "next")
    assert view.expires_at == view.spec.expires_at == later


def test_an_update_of_the_end_moves_it() -> None:
    later = END + timedelta(days=3)
    view = _folded(_ready().update(expires_at=later).create().ready()).environment

    assert view.expires_at == view.spec.expires_at == later


def test_timers_are_set_anew_where_the_end_has_moved() -> None:
    creating, ready = _folded(Story(KEY, expires_at=END)).environment, _folded(_ready()).environment
    extended = _folded(_extend(_ready(), END + timedelta(days=1))).environment

    assert has_moved(creating, ready)
    assert has_moved(None, ready)
    assert has_moved(ready, extended)
    assert not has_moved(ready, ready)
    assert not has_moved(ready, creating)


@given(
    name=st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True),
    seconds=st.floats(min_value=0, max_value=1e7),
    every=st.integers(min_value=1, max_value=100_000),
)
def test_an_environment_is_looked_at_once_an_interval_whenever_its_timer_is_set(
    name: str, seconds: float, every: int
) -> None:
    rhythm = Rhythm((), timedelta(seconds=every))
    now = samples.AT + timedelta(seconds=seconds)
    due = next_drift_check(name, rhythm, now)

    assert now < due <= now + rhythm.drift_every
    assert next_drift_check(name, rhythm, due - timedelta(microseconds=1)) == due
    assert next_drift_check(name, rhythm, due) == due + rhythm.drift_every


# -- what follows from them --------------------------------------------------------------------------------------------


def _say_expired(story: Story) -> EnvironmentExpired:
    data = Expiry(spec=story.request.data.spec, expires_at=END)
    return story.add(EnvironmentExpired, data, source="catalog", id=uuid4())


@given(st.lists(st.sampled_from(["extend", "keep", "expire", "delete"]), min_size=1, max_size=5))
def test_whichever_comes_first_in_the_log_wins(order: list[str]) -> None:
    story, asked = _ready(), 0
    known = _folded(story)
    begun = len(story.events) + 1
    for sequence, word in enumerate(order, begun):
        if word in {"extend", "keep"}:
            _extend(story, END + timedelta(days=1) if word == "extend" else None)
        elif word == "expire":
            _say_expired(story)
        else:
            story.add(EnvironmentDeletionRequested, samples.asked(story.request.data.spec), id=uuid4(), runid=uuid4())
        before, after = known, fold(known, story.last, sequence)
        assert after is not None
        verdict, known = decide(before, after, story.last), after
        if word == "expire":
            untouched = not {"extend", "keep", "delete"} & set(order[: sequence - begun])
            assert (verdict is not None) == untouched
            asked += verdict is not None
        else:
            assert verdict is None
    first = [word for word in order if word != "expire"][:1]
    assert asked == len(order[: order.index(first[0])] if first else order)


def test_an_end_asks_for_the_deletion_in_the_platforms_name() -> None:
    story = _ready()
    before = _folded(story)
    expired = _say_expired(story)
    verdict = decide(before, _folded(story), expired)

    assert verdict is not None
    assert verdict.kind is EnvironmentDeletionRequested
    asked = samples.asked(before.environment.spec).model_copy(
        update={"requested_by": "slipway", "cause": "expiry", "reason": "Its time was up at 2026-11-30 09:00 UTC."}
    )
    assert verdict.data == asked


def _drifted(kind: str, *differing: Resource) -> tuple[Known, Known, DriftDetected]:
    story = _ready(kind=kind)
    before = _folded(story)
    data = DriftData(spec=before.environment.spec, differing=differing)
    event = story.add(DriftDetected, data, source="catalog")
    return before, _folded(story), event


@pytest.mark.parametrize("kind", ["preview", "staging"])
def test_drift_is_shown_and_repaired(kind: str) -> None:
    before, after, event = _drifted(kind, DATABASE)
    verdict = decide(before, after, event)

    assert after.environment.drift == (DATABASE,)
    assert after.environment.drift_detected_at == event.time
    assert verdict is not None
    assert verdict.kind is EnvironmentUpdateRequested
    asked = verdict.data.model_dump()
    assert (asked["cause"], asked["requested_by"]) == ("drift", "slipway")
    assert asked["spec"] == asked["previous"] == before.environment.spec.model_dump()


def test_drift_of_production_is_only_shown() -> None:
    before, after, event = _drifted("production", DATABASE)

    assert after.environment.drift == (DATABASE,)
    assert decide(before, after, event) is None


def test_that_nothing_differs_any_more_asks_for_nothing() -> None:
    before, after, event = _drifted("preview")

    assert after.environment.drift == ()
    assert decide(before, after, event) is None


def test_a_repair_is_nobodys_activity_and_clears_the_drift() -> None:
    story = _ready()
    story.add(DriftDetected, DriftData(spec=story.request.data.spec, differing=(DATABASE,)), source="catalog")
    active = _folded(story).environment.last_activity_at
    asked = story.update().last
    assert isinstance(asked, EnvironmentUpdateRequested)
    story.events[-1] = asked.model_copy(update={"data": asked.data.model_copy(update={"cause": "drift"})})
    repairing = _folded(story)
    assert (repairing.run.cause, repairing.environment.last_activity_at) == ("drift", active)

    view = _folded(story.create().ready()).environment
    assert (view.state, view.drift, view.drift_detected_at) == ("ready", (), None)


def test_the_same_drift_is_no_news_unless_its_repair_never_began() -> None:
    fine = _folded(_ready())
    _, preview, _ = _drifted("preview", DATABASE)
    _, production, _ = _drifted("production", DATABASE)

    assert not is_news(fine, ())
    assert is_news(fine, (DATABASE,))
    assert is_news(preview, ()), "it is gone"
    assert is_news(preview, (DATABASE,)), "the repair was overtaken"
    assert not is_news(production, (DATABASE,))
    tried = preview.run.model_copy(update={"requested_at": preview.environment.updated_at + timedelta(seconds=1)})
    assert not is_news(Known(preview.environment, tried), (DATABASE,)), "the repair has failed"


def test_a_timer_is_set_no_further_ahead_than_the_sweeps_need() -> None:
    view = _folded(_ready()).environment
    ahead = replace(RHYTHM, sets_ahead=timedelta(minutes=30))
    early, late = END - timedelta(minutes=31), END - timedelta(minutes=30)
    assert "expiry" not in {one.kind for one in reminders(view, ahead, early)}
    assert "expiry" in {one.kind for one in reminders(view, ahead, late)}
    assert "expiry" in {one.kind for one in reminders(view, ahead, END + timedelta(days=1))}

"""Ids follow from their cause; one place says what a failure means."""

from uuid import RFC_4122, uuid4

import pytest

from chassis.failures import ATTEMPTS, GiveUp, PermanentError, Retry, TransientError, decide
from chassis.identity import EventKey

KEY = EventKey(b"k" * 32)


def test_the_same_cause_and_kind_give_the_same_id() -> None:
    cause = uuid4()
    assert KEY.derive(cause, "infra_ready") == KEY.derive(cause, "infra_ready")


def test_another_cause_kind_or_key_gives_another_id() -> None:
    cause = uuid4()
    ids = {
        KEY.derive(cause, "infra_ready"),
        KEY.derive(cause, "infra_failed"),
        KEY.derive(uuid4(), "infra_ready"),
        EventKey(b"j" * 32).derive(cause, "infra_ready"),
    }
    assert len(ids) == 4


def test_an_id_is_a_uuid_of_version_8() -> None:
    made = KEY.derive(uuid4(), "infra_ready")
    assert (made.version, made.variant) == (8, RFC_4122)


def test_a_short_key_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        EventKey(b"short")


def test_a_permanent_failure_is_never_tried_again() -> None:
    error = PermanentError("no", "it cannot be", next_step="ask for something else")
    assert decide(error, 1) == GiveUp(error, 1)


def test_a_transient_failure_is_tried_again_with_growing_delays_and_then_given_up() -> None:
    verdicts = [decide(TransientError("busy"), attempt) for attempt in range(1, ATTEMPTS + 1)]
    delays = [verdict.delay_seconds for verdict in verdicts if isinstance(verdict, Retry)]
    assert delays == sorted(delays)
    assert len(delays) == ATTEMPTS - 1
    last = verdicts[-1]
    assert isinstance(last, GiveUp)
    assert "busy" in str(last.error)


def test_the_other_side_may_say_when_to_try_again() -> None:
    verdict = decide(TransientError("slow down", delay_seconds=42), 1)
    assert isinstance(verdict, Retry)
    assert verdict.delay_seconds == 42


def test_an_unexpected_error_is_named_by_its_type_and_keeps_its_words_to_itself() -> None:
    verdict = decide(RuntimeError("password=hunter2"), ATTEMPTS)
    assert isinstance(verdict, GiveUp)
    assert "RuntimeError" in str(verdict.error)
    assert "hunter2" not in str(verdict.error)

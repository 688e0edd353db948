"""How values are said, and how tables fit."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from cli.output import Format, Output, _fold
from cli.wording import STATES, ago, clock, one_line, printable, seconds, state

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0.00 s"), (0.994, "0.99 s"), (0.999, "1.0 s"), (12.34, "12.3 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"),
        (250, "4 min 10 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min"), (None, ""),
    ],
)  # fmt: skip
def test_a_duration_is_said_in_the_units_a_person_would_use(value: float | None, said: str) -> None:
    assert seconds(value) == said


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(seconds=3), "3 s ago"), (timedelta(seconds=59.7), "1 min ago"), (timedelta(minutes=59.8), "1 h ago"),
        (timedelta(hours=47), "47 h ago"), (timedelta(hours=47.8), "2 d ago"),
        (-timedelta(days=6, hours=23, minutes=59), "in 7 d"), (-timedelta(hours=26), "in 26 h"),
    ],
)  # fmt: skip
def test_a_time_is_said_to_the_nearest_unit(before: timedelta, said: str) -> None:
    assert ago((NOW - before).isoformat(), NOW) == said


def test_a_clock_is_local() -> None:
    assert clock("2026-11-23T10:00:10+00:00") == clock("2026-11-23T12:00:10+02:00")


def test_every_state_has_a_sign_a_word_and_a_style() -> None:
    for name, (sign, style) in STATES.items():
        assert (state(name).plain, bool(sign.strip()), bool(style)) == (f"{sign} {name}", True, True)
    assert state("hibernating").plain == "? hibernating"


@settings(deadline=None)  # a busy machine is no finding
@given(st.text())
def test_nothing_printable_moves_a_cursor(text: str) -> None:
    said = printable(text)
    assert not [c for c in said if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160]
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("\x1b[31mred\x1b[0m", "red"), ("\x1b]0;title\x07after", "after"), ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\x07b", "a\\x07b"), ("\x9b31m", "\\x9b31m"), ("a\u202eb", "a\\u202eb"), ("a\r\nb", "a\nb"), ("a\tb", "a\tb"),
        ("naïve ✓ 環境", "naïve ✓ 環境"), ("\x1b", "\\x1b"),
    ],
)  # fmt: skip
def test_control_sequences_go_and_lone_controls_show(raw: str, said: str) -> None:
    assert printable(raw) == said


@settings(deadline=None)  # a busy machine is no finding
@given(st.text(alphabet="ab /環", max_size=60), st.integers(4, 30))
def test_folding_loses_nothing_and_cuts_no_word(text: str, width: int) -> None:
    parts = [part.plain for part in _fold(Text(text), width)]
    assert " ".join(parts).split() == text.split()
    assert all(Text(part).cell_len <= width or " " not in part.strip() for part in parts)


@settings(deadline=None)  # a busy machine is no finding
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_documents_are_exact(value: object) -> None:
    written: list[str] = []
    for form, read in ((Format.JSON, json.loads), (Format.YAML, yaml.safe_load)):
        output = Output(form)
        output._write = written.append  # type: ignore[assignment,method-assign]
        output.document(value)
        assert read(written[-1]) == value
        assert "\x1b" not in written[-1]
        assert "\x9b" not in written[-1]

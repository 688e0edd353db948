"""Times as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.commands.past import instant
from cli.failures import CommandError, Exit

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "before"),
    [("5m", timedelta(minutes=5)), ("2h", timedelta(hours=2)), ("7d", timedelta(days=7)), ("1w", timedelta(weeks=1))],
)
def test_a_time_span_is_that_long_ago(text: str, before: timedelta) -> None:
    assert instant(text, NOW) == NOW - before


def test_a_time_with_an_offset_is_that_time() -> None:
    assert instant("2026-11-23T14:30:00+02:00") == datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
    assert instant("2026-11-23T12:30:00Z") == datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def test_a_time_without_one_is_local() -> None:
    assert instant("2026-11-23 14:30") == datetime(2026, 11, 23, 14, 30).astimezone(UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "7y", "-1h", "99999999d", "24:99"])
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        instant(text)
    assert refused.value.code is Exit.USAGE

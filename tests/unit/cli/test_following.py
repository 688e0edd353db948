"""A stream that breaks and goes on: nothing is lost, nothing is told twice, and it is given up in the end."""

import pytest

from cli.event_stream import LOST, EventStream, ServerEvent
from cli.failures import AwayError, CommandError, ProblemError
from cli.gateway import Gateway
from cli.platforms import Access
from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import CREATION, NAME, RUN_ID, log, tell, verdict
from tests.unit.cli.scripted import BUSY, Answer, Hangup, Scripted, ScriptedGateway, Stream, problem

STREAM = f"/api/v1/runs/{RUN_ID}/stream"


def follow(gateway: ScriptedGateway, *answers: Scripted, patience_seconds: float = 5.0) -> list[ServerEvent]:
    """Everything that is heard of a run."""
    gateway.on("GET", STREAM, *answers)
    client = Gateway(Access(gateway.url, "slw_x"))
    return list(client.follow(RUN_ID, patience_seconds=patience_seconds))


def ids(events: list[ServerEvent]) -> list[str]:
    """The ids, in order; `-` for a lost connection."""
    return ["-" if event is LOST else event.id for event in events]


def test_a_broken_stream_goes_on_after_the_last_thing_heard(gateway: ScriptedGateway) -> None:
    heard = follow(gateway, Stream(CREATION[:2]), Stream(CREATION[2:4]), Stream(CREATION[4:]))
    assert ids(heard) == ["1-0", "1-1", "-", "2-0", "3-0", "-", "4-0", "9-9"]
    first, *later = gateway.asked("GET", STREAM)
    assert "Last-Event-ID" not in first.headers
    assert [request.headers["Last-Event-ID"] for request in later] == ["1-1", "3-0"]


def test_a_message_cut_in_two_is_heard_once_and_whole(gateway: ScriptedGateway) -> None:
    half = CREATION[1][: len(CREATION[1]) // 2]
    heard = follow(gateway, Stream((CREATION[0], half)), Stream(CREATION[1:]))
    assert ids(heard) == ["1-0", "-", "1-1", "2-0", "3-0", "4-0", "9-9"]
    assert heard[2].data["text"].startswith("Plan: 4 to add")


def test_a_message_that_breaks_off_after_its_id_is_not_taken_for_heard() -> None:
    stream = EventStream()
    assert [one.id for one in stream.read([b"id: 1\ndata: {}\n\nid: 2\nda"])] == ["1"]
    assert stream.last_id == "1"


@pytest.mark.parametrize("trouble", [BUSY, Hangup(), Answer("<html>", 502)], ids=["starting", "hangup", "proxy"])
def test_a_gateway_that_restarts_is_waited_for(gateway: ScriptedGateway, trouble: Scripted) -> None:
    heard = follow(gateway, Stream(CREATION[:2]), trouble, trouble, Stream(CREATION[2:]))
    assert ids(heard) == ["1-0", "1-1", "-", "2-0", "3-0", "4-0", "9-9"]


def test_a_gateway_that_stays_away_is_given_up(gateway: ScriptedGateway) -> None:
    with pytest.raises(AwayError):
        follow(gateway, Stream(CREATION[:2]), BUSY, patience_seconds=0.0)


def test_nothing_follows_where_the_run_was_over(gateway: ScriptedGateway) -> None:
    assert ids(follow(gateway, Stream(CREATION[:2]), Answer(None, 204))) == ["1-0", "1-1", "-"]


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_not_asked_again(gateway: ScriptedGateway, status: int) -> None:
    with pytest.raises(ProblemError):
        follow(gateway, problem(status, "x"))
    assert len(gateway.asked("GET", STREAM)) == 1


def test_a_page_is_not_taken_for_a_stream(gateway: ScriptedGateway) -> None:
    with pytest.raises(CommandError, match="not Slipway's API"):
        follow(gateway, Answer("<html>", 200, {"Content-Type": "text/html"}))


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0b", "\r"])
def test_no_character_in_a_log_line_ends_the_line(gateway: ScriptedGateway, separator: str) -> None:
    heard = follow(gateway, Stream((log(1, 1, f"one{separator}two"), verdict())))
    assert heard[0].data["text"] == f"one{separator}two"


def test_comments_and_unknown_fields_say_nothing(gateway: ScriptedGateway) -> None:
    heard = follow(gateway, Stream((": alive\n\n", "colour: blue\n\n", verdict().replace("\n", "\r\n"))))
    assert ids(heard) == ["9-9"]


def test_a_broken_connection_is_told_and_the_result_is_the_same(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION[:3]), BUSY, Stream(CREATION[3:]))
    said = slipway("create", NAME, "--template", "nodejs-api")
    assert said.code == 0
    assert said.err.count("The connection to the gateway is lost") == 1
    assert said.err.count("Plan: 4 to add") == 1


def test_a_log_read_up_to_now_says_that_more_will_come(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION[:2], then="stay"), state="succeeded")
    said = slipway("logs", NAME)
    assert said.code == 0
    assert "Plan: 4 to add" in said.out
    assert f"slipway logs {NAME} -f" in said.err

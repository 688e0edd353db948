"""Versions of an application, going back, and its output, against a scripted gateway."""

import json

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import NAME, RUN_ID, run
from tests.unit.cli.scripted import Answer, ScriptedGateway, Stream, frame

PATH = f"/api/v1/environments/{NAME}"
AT = "2026-11-23T13:00:00Z"
DEPLOYMENTS = {
    "running": "healthy",
    "reason": "",
    "since": AT,
    "copies": [],
    "releases": [
        {"deployment_id": "d2", "commit": "b" * 40, "branch": "main", "author": "ann", "live": True},
        {"deployment_id": "d1", "commit": "a" * 40, "branch": "main", "author": "ann", "live": False},
    ],
    "items": [
        {
            "deployment_id": f"d{number}",
            "release_id": f"d{number}",
            "state": state,
            "live": number == 2,
            "commit": letter * 40,
            "branch": "main",
            "author": "ann",
            "at": AT,
            "duration_seconds": 2.5,
            "reason": reason,
        }
        for number, letter, state, reason in (
            (3, "c", "failed", "it ended\x1b[31m with exit code 1"),
            (2, "b", "succeeded", ""),
            (1, "a", "succeeded", ""),
        )
    ],
}


def line(text: str, second: int, stream: str = "out") -> dict[str, str]:
    return {"time": f"2026-11-23T13:00:{second:02}Z", "release": "abcdef12", "stream": stream, "text": text}


def settled(gateway: ScriptedGateway) -> None:
    """The environment's latest run succeeded."""
    gateway.on("GET", PATH, {"name": NAME, "run_id": RUN_ID})
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}", run(state="succeeded"))


def test_deployments_say_what_is_live_and_how_to_go_back(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{PATH}/deployments", DEPLOYMENTS)
    said = slipway("deployments", NAME)
    assert said.code == 0
    assert [row.split()[0] for row in said.out.splitlines()[1:4]] == ["d3", "d2", "d1"]
    assert "live" in said.out.splitlines()[2]
    assert "\x1b" not in said.out
    assert said.last_line.endswith(f"Go back: slipway rollback {NAME} --to {'a' * 12}")
    assert json.loads(slipway("-o", "json", "deployments", NAME).out) == DEPLOYMENTS


def test_rollback_says_what_is_live_again(slipway: Slipway, gateway: ScriptedGateway) -> None:
    done = {"deployment_id": "x", "state": "succeeded", "url": "http://it.test", "commit": "a" * 40}
    gateway.on("POST", f"{PATH}:rollback", {**done, "previous": "b" * 40})
    said = slipway("rollback", NAME, "--to", "aaaaaaa")
    assert said.code == 0
    assert "aaaaaaaaaaaa is live again; bbbbbbbbbbbb was before." in said.out
    assert said.last_line == "http://it.test"
    [asked] = [request for request in gateway.requests if request.method == "POST"]
    assert asked.body == {"to": "aaaaaaa"}
    assert asked.headers["Idempotency-Key"]


def test_a_rollback_to_nothing_says_what_is_kept(slipway: Slipway, gateway: ScriptedGateway) -> None:
    problem = {"title": "There is no such release", "detail": "Kept are: aaaaaaaaaaaa.", "status": 409}
    gateway.on("POST", f"{PATH}:rollback", Answer(problem, 409))
    said = slipway("rollback", NAME)
    assert said.code == 3
    assert "Kept are: aaaaaaaaaaaa." in said.err


def test_logs_are_the_applications_once_its_run_succeeded(slipway: Slipway, gateway: ScriptedGateway) -> None:
    settled(gateway)
    gateway.on("GET", f"{PATH}/logs", {"items": [line("hello\x1b[2J", 1), line("oops", 2, "err")]})
    said = slipway("logs", NAME, "-n", "2")
    assert said.out.splitlines() == ["13:00:01 abcdef12  hello", "13:00:02 abcdef12  oops"]
    assert json.loads(slipway("-o", "json", "logs", NAME).out)[1]["text"] == "oops"


def test_a_followed_log_goes_on_where_the_connection_broke(slipway: Slipway, gateway: ScriptedGateway) -> None:
    settled(gateway)
    gateway.on("GET", f"{PATH}/logs", {"items": [line("one", 1)]})
    again = Stream((frame("line", "", line("one", 1)), frame("line", "", line("two", 2))))
    more = Stream((frame("line", "", line("two", 2)), frame("line", "", line("three", 3))))
    gateway.on("GET", f"{PATH}/logs", {"items": [line("one", 1)]}, again, more, Answer({"detail": "gone"}, 404))
    said = slipway("logs", NAME, "-f")
    assert [row.split()[-1] for row in said.out.splitlines()] == ["one", "two", "three"]
    assert said.code == 4

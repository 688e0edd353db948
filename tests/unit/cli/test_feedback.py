"""Feedback, and runs that are narrowed down: what is asked of the gateway, and what is shown."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import run
from tests.unit.cli.scripted import ScriptedGateway

FEEDBACK = "/api/v1/feedback"
RUNS = "/api/v1/runs"


def said(text: str, ticket: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"id": "1", "at": "2026-11-23T09:00:00Z", "text": text, "page": "", "run_id": None, "ticket": ticket}


def ticket(**reply: str) -> dict[str, Any]:
    found = {"author": "grace", "at": "2026-11-23T10:00:00Z", **reply} if reply else None
    return {"id": "platform/feedback#7", "title": "x", "state": "closed", "reply": found, "replies": 1}


def test_feedback_is_sent_with_what_it_is_about(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", FEEDBACK, {"id": "1", "at": "2026-11-23T09:00:00Z"})
    answer = slipway("feedback", "send", "The log is hard to read", "--page", "/runs")
    assert (answer.code, answer.out) == (0, "")
    assert "slipway feedback ls" in answer.err
    [request] = gateway.requests
    assert request.body == {"text": "The log is hard to read", "page": "/runs", "run_id": None}
    assert request.headers["Idempotency-Key"]


def test_feedback_is_listed_with_what_became_of_it(slipway: Slipway, gateway: ScriptedGateway) -> None:
    items = [said("It is slow", ticket(text="Look\x1b[31m again.")), said("New")]
    gateway.on("GET", FEEDBACK, {"items": items, "next_cursor": None})
    first, second = slipway("feedback", "ls").out.splitlines()[1:]
    assert "closed" in first
    assert "platform/feedback#7" in first
    assert "It is slow — grace: Look again." in first
    assert "waiting" in second


def test_runs_ask_for_what_their_flags_name(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/me", {"person": "ada"})
    gateway.on("GET", RUNS, {"items": [run()], "next_cursor": None})
    slipway("runs", "demo-api", "--state", "failed", "--kind", "create", "-t", "worker", "--mine", "--since", "2d")
    asked = parse_qs(urlsplit(gateway.requests[-1].path).query)
    expected = {
        "environment": "demo-api",
        "state": "failed",
        "kind": "create",
        "golden_path": "worker",
        "person": "ada",
    }
    assert {name: asked[name] for name in expected} == {name: [value] for name, value in expected.items()}
    assert asked["since"][0].endswith("+00:00")


def test_runs_that_keep_nothing_say_which_filters_there_are(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", RUNS, {"items": [], "next_cursor": None})
    answer = slipway("runs", "--state", "failed", "--by", "bob")
    assert "state failed, person bob. Leave one out." in answer.err
    assert slipway("runs", "--mine", "--by", "bob").code == 2

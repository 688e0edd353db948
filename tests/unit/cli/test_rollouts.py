"""Rollouts: rehearsed, asked for by their number, watched, steered."""

import json
import signal
from typing import Any

import pytest

from tests.unit.cli import terminal
from tests.unit.cli.conftest import TOKEN, Slipway
from tests.unit.cli.samples import at
from tests.unit.cli.scripted import Answer, ScriptedGateway

ROLLOUTS = "/api/v1/rollouts"
ID = "5b8af384-0a41-5a11-a677-abf0a4105002"
ONE = f"{ROLLOUTS}/{ID}"
ALL = ("upgrade", "--all", "--golden-path", "worker")
STATES = ("pending", "begun", "upgraded", "failed", "held", "skipped")
LOST = {"kind": "database", "id": "apps/env_c"}


def member(name: str, state: str = "pending", outcome: str | None = "changed", **more: Any) -> dict[str, Any]:
    """An environment of a rollout as the API tells it."""
    rehearsal: dict[str, Any] = {
        "outcome": outcome,
        "counts": {},
        "lost": [LOST] if outcome == "loses_data" else [],
        "reason": "",
    }
    known: dict[str, Any] = {
        "environment": name, "team": "payments", "kind": "preview", "version_before": "1.0.0", "state": state,
        "rehearsal": rehearsal if outcome else None, "batch": 1, "run_id": None, "reason": "",
        "begun_at": None if state == "pending" else at(0), "ended_at": at(3) if state == "upgraded" else None,
    }  # fmt: skip
    return known | more


def rollout(*members: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A rollout as the API tells it."""
    foreseen = [one["rehearsal"]["outcome"] for one in members if one["rehearsal"]]
    known: dict[str, Any] = {
        "id": ID, "golden_path": "worker", "version": "1.1.0", "status": "running", "phase": "batches", "reason": "",
        "requested_by": "pat", "requested_at": at(0), "ended_at": None, "kinds": None, "canaries": 1, "batch_size": 10,
        "include_replacing": False, "rehearse_only": False,
        "counts": {state: sum(one["state"] == state for one in members) for state in STATES},
        "rehearsal": {key: foreseen.count(key) for key in ("unchanged", "changed", "loses_data", "refused")},
        "links": {"self": ONE}, "members": list(members),
    }  # fmt: skip
    return known | more


REHEARSING = rollout(member("a", outcome=None), member("b", outcome=None), member("c", outcome=None), phase="rehearsal")
HELD = member("c", "held", "loses_data", reason="database apps/env_c would lose its data.", batch=None)
ASKING = rollout(member("a", batch=0), member("b"), HELD, status="paused", phase="canaries", reason="Look at it.")
GOING = rollout(member("a", "begun", batch=0), member("b"), HELD, phase="canaries")
DONE = rollout(member("a", "upgraded", batch=0), member("b", "upgraded"), HELD, status="done", ended_at=at(9))
STOPPED = rollout(
    member("a", "failed", batch=0, reason="It broke."), member("b"), HELD, status="stopped", reason="a: It broke."
)


def story(gateway: ScriptedGateway, *looks: dict[str, Any]) -> None:
    """A rollout that begins, and how it looks from then on."""
    gateway.on("POST", ROLLOUTS, Answer(REHEARSING, 202))
    gateway.on("GET", ONE, *looks)
    gateway.on("POST", f"{ONE}:resume", GOING)
    gateway.on("POST", f"{ONE}:cancel", rollout(HELD, status="cancelled", ended_at=at(1)))


def test_everything_is_upgraded_after_its_rehearsal_was_agreed_to(slipway: Slipway, gateway: ScriptedGateway) -> None:
    story(gateway, ASKING, GOING, DONE)
    said = slipway(*ALL, "--kind", "preview", "--canaries", "2", "--batch", "5", "--confirm", "2")
    assert (said.code, said.last_line) == (0, "✓ done: 2 upgraded, 1 held back.")
    assert "Rehearsed: 3 environments: 0 unchanged, 2 changed, 1 would lose data." in said.err
    assert "✓ upgraded  a  3.0 s" in said.err
    asked, resumed = gateway.changes()
    assert asked.body == {
        "golden_path": "worker", "kinds": ["preview"], "canaries": 2, "batch_size": 5, "include_replacing": False,
        "rehearse_only": False, "pause_after_rehearsal": True,
    }  # fmt: skip
    assert resumed.path == f"{ONE}:resume"


@pytest.mark.parametrize("flags", [(), ("-y",), ("--confirm", "3")], ids=" ".join)
def test_nothing_is_upgraded_without_the_number_and_the_rollout_is_called_off(
    slipway: Slipway, gateway: ScriptedGateway, flags: tuple[str, ...]
) -> None:
    story(gateway, ASKING)
    said = slipway(*ALL, *flags)
    assert said.code == 2
    assert "--confirm 2" in said.err
    assert [request.path for request in gateway.changes()] == [ROLLOUTS, f"{ONE}:cancel"]


def test_a_plan_is_a_rehearsal_and_changes_nothing(slipway: Slipway, gateway: ScriptedGateway) -> None:
    story(gateway, ASKING | {"status": "done", "ended_at": at(1), "rehearse_only": True})
    said = slipway(*ALL, "--plan")
    assert said.code == 0
    assert said.last_line.endswith("3 environments: 0 unchanged, 2 changed, 1 would lose data. Nothing was changed.")
    [asked] = gateway.changes()
    assert (asked.body["rehearse_only"], asked.body["pause_after_rehearsal"]) == (True, False)


def test_one_that_fails_stops_it_and_the_way_on_is_the_last_line(slipway: Slipway, gateway: ScriptedGateway) -> None:
    story(gateway, ASKING, GOING, STOPPED)
    said = slipway(*ALL, "--confirm", "2")
    assert said.code == 1
    assert "✗ failed  a  It broke." in said.err
    assert (
        said.last_line == "✗ stopped: 0 upgraded, 1 failed, 1 held back, 1 left. Go on: slipway rollout 5b8af384 resume"
    )


def test_where_all_have_it_nothing_is_asked(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", ROLLOUTS, Answer(rollout(status="done", ended_at=at(0)), 202))
    said = slipway(*ALL)
    assert (said.code, said.last_line) == (0, "✓ done: every environment of worker has 1.1.0 already.")


@pytest.mark.parametrize(
    "words", [("--all",), ("a", "--all", "--golden-path", "worker"), (), ("--golden-path", "worker")], ids=" ".join
)
def test_what_is_meant_must_be_clear(slipway: Slipway, gateway: ScriptedGateway, words: tuple[str, ...]) -> None:
    assert slipway("upgrade", *words).code == 2
    assert gateway.requests == []


def test_rollouts_are_listed_with_ids_that_rollout_takes(slipway: Slipway, gateway: ScriptedGateway) -> None:
    summary = {key: value for key, value in STOPPED.items() if key != "members"}
    gateway.on("GET", ROLLOUTS, {"items": [summary]})
    gateway.on("GET", ONE, STOPPED)
    row = slipway("rollouts").out.splitlines()[1].split()
    assert row[:5] == ["5b8af384", "worker", "1.1.0", "✗", "stopped"]
    assert json.loads(slipway("-o", "json", "rollouts").out) == [summary]
    said = slipway("rollout", row[0])
    assert said.code == 0
    assert "a            ✗ failed   canary  preview" in said.out
    assert slipway("rollout", "5b8").code == 4
    assert slipway("rollout", "deadbeef").code == 4


@pytest.mark.parametrize("deed", ["pause", "cancel"])
def test_a_rollout_is_steered_and_shown(slipway: Slipway, gateway: ScriptedGateway, deed: str) -> None:
    gateway.on("GET", ONE, GOING)
    gateway.on("POST", f"{ONE}:{deed}", GOING | {"status": "paused", "reason": "Paused by pat."})
    said = slipway("rollout", ID, deed)
    assert said.code == 0
    assert "Paused by pat." in said.out
    assert said.last_line.endswith("slipway rollout 5b8af384 resume")
    assert slipway("rollout", ID, "hurry").code == 2


def test_a_resumed_rollout_is_watched(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", ONE, STOPPED, GOING, DONE)
    gateway.on("POST", f"{ONE}:resume", GOING)
    said = slipway("rollout", ID, "resume", "-o", "json")
    assert (said.code, json.loads(said.out)["status"]) == (0, "done")


def env(gateway: ScriptedGateway) -> dict[str, str]:
    return {"SLIPWAY_URL": gateway.url, "SLIPWAY_TOKEN": TOKEN}


def test_on_a_terminal_the_rehearsal_is_shown_and_the_number_asked_for(gateway: ScriptedGateway) -> None:
    story(gateway, REHEARSING, ASKING, GOING, DONE)
    with terminal.slipway(*ALL, environment=env(gateway)) as screen:
        screen.wait_for("Type how many to upgrade them: ")
        assert "held back  c: database apps/env_c would lose its data." in screen.text
        assert "canary    a (preview)" in screen.text
        screen.type("2\n")
        assert screen.ended() == 0
        assert "2 of 3 done" in screen.text or "3 of 3 done" in screen.text
        assert screen.text.rstrip().endswith("✓ done: 2 upgraded, 1 held back.")
    assert [request.path for request in gateway.changes()] == [ROLLOUTS, f"{ONE}:resume"]


def test_an_interrupt_at_the_prompt_calls_it_off(gateway: ScriptedGateway) -> None:
    story(gateway, ASKING)
    with terminal.slipway(*ALL, environment=env(gateway)) as screen:
        screen.wait_for("Type how many")
        assert screen.ended(signal.SIGINT) == 130
    assert [request.path for request in gateway.changes()] == [ROLLOUTS, f"{ONE}:cancel"]


def test_an_interrupt_while_it_goes_leaves_it_going_on(gateway: ScriptedGateway) -> None:
    gateway.on("GET", ONE, GOING)
    with terminal.slipway("rollout", ID, environment=env(gateway), columns=40) as screen:
        screen.wait_for("◐ begun")
        assert screen.ended(signal.SIGINT) == 130
        assert "Interrupted; the rollout goes on." in screen.text
        assert screen.text.rstrip().endswith("slipway rollout 5b8af384")
    assert gateway.changes() == []

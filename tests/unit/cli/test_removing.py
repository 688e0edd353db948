"""Deleting many: asked for by their number, watched together, and what is refused stops none of the others."""

import json
from typing import Any

import pytest

from tests.unit.cli import terminal
from tests.unit.cli.conftest import TOKEN, Slipway
from tests.unit.cli.samples import environment, run
from tests.unit.cli.scripted import Answer, ScriptedGateway, problem

ENVIRONMENTS = "/api/v1/environments"
NAMES = ("one", "two", "three")


def run_of(name: str, state: str) -> dict[str, Any]:
    """The deletion of one of them."""
    return run("delete", state, id=f"{NAMES.index(name)}" * 8 + "-0000-8000-8000-000000000000", environment=name)


def many(gateway: ScriptedGateway, **states: str) -> None:
    """Three environments; how their deletions end."""
    listed = [environment(name, kind="staging" if name == "three" else "preview") for name in NAMES]
    gateway.on("GET", ENVIRONMENTS, {"items": listed, "next_cursor": None})
    for name in NAMES:
        gateway.on("GET", f"{ENVIRONMENTS}/{name}", environment(name))
        begun = {"environment": {"name": name}, "run": run_of(name, "running")}
        gateway.on("DELETE", f"{ENVIRONMENTS}/{name}", Answer(begun, 202))
    ends = [run_of(name, states.get(name, "succeeded")) for name in NAMES]
    page = {"next_cursor": None}
    gateway.on("GET", "/api/v1/runs", {"items": [run_of("one", "running"), *ends[1:]], **page}, {"items": ends, **page})


@pytest.mark.parametrize("flags", [(), ("-y",), ("--confirm", "two"), ("--confirm", "2")], ids=" ".join)
def test_many_are_not_deleted_without_their_number(
    slipway: Slipway, gateway: ScriptedGateway, flags: tuple[str, ...]
) -> None:
    many(gateway)
    said = slipway("rm", *NAMES, *flags)
    assert said.code == 2
    assert "--confirm 3" in said.err
    assert gateway.changes() == []


def test_many_are_deleted_together(slipway: Slipway, gateway: ScriptedGateway) -> None:
    many(gateway)
    said = slipway("rm", *NAMES, "one", "--confirm", "3")
    assert (said.code, said.last_line) == (0, "○ deleted: 3 deleted.")
    assert [line.split()[2] for line in said.err.splitlines()[1:]] == ["two", "three", "one"]
    assert len(gateway.changes()) == 3


def test_one_that_is_refused_stops_none_of_the_others(slipway: Slipway, gateway: ScriptedGateway) -> None:
    many(gateway)
    gateway.on("DELETE", f"{ENVIRONMENTS}/one", problem(409, "run_under_way"))
    said = slipway("-o", "json", "rm", *NAMES, "--confirm", "3")
    assert said.code == 3
    refused, *deleted = json.loads(said.out)
    assert (refused["environment"], refused["run"], refused["refused"]) == ("one", None, "Run under way.")
    assert [one["run"]["state"] for one in deleted] == ["succeeded", "succeeded"]


def test_one_that_fails_is_told(slipway: Slipway, gateway: ScriptedGateway) -> None:
    many(gateway, two="failed")
    said = slipway("rm", *NAMES, "--confirm", "3")
    assert (said.code, said.last_line) == (1, "✗ failed: 2 deleted, 1 failed. See why: slipway show two")


def test_all_means_those_that_are_described(slipway: Slipway, gateway: ScriptedGateway) -> None:
    many(gateway)
    said = slipway("rm", "--all", "--kind", "preview", "--team", "payments", "--confirm", "2", "--no-wait")
    assert (said.code, len(said.out.splitlines())) == (0, 2)
    assert "team=payments" in gateway.requests[0].path
    assert {request.path for request in gateway.changes()} == {f"{ENVIRONMENTS}/one", f"{ENVIRONMENTS}/two"}


@pytest.mark.parametrize("words", [(), ("--all",), ("--kind", "preview"), ("one", "--all", "--kind", "preview")])
def test_nobody_deletes_everything_by_mistake(
    slipway: Slipway, gateway: ScriptedGateway, words: tuple[str, ...]
) -> None:
    many(gateway)
    assert slipway("rm", *words, "--confirm", "3").code == 2
    assert gateway.requests == []


def test_on_a_terminal_they_are_listed_and_their_number_is_asked_for(gateway: ScriptedGateway) -> None:
    many(gateway)
    env = {"SLIPWAY_URL": gateway.url, "SLIPWAY_TOKEN": TOKEN}
    with terminal.slipway("rm", "--all", "-t", "nodejs-api", environment=env) as screen:
        screen.wait_for("Type how many to delete them: ")
        assert "3 environments go" in screen.text
        assert "two: preview, ready, of ann and team payments" in screen.text
        screen.type("4\n")
        assert screen.ended() == 3
    assert gateway.changes() == []
    with terminal.slipway("rm", "--all", "-t", "nodejs-api", environment=env) as screen:
        screen.wait_for("Type how many to delete them: ")
        screen.type("3\n")
        assert screen.ended() == 0
        assert "3 of 3 done" in screen.text
    assert len(gateway.changes()) == 3

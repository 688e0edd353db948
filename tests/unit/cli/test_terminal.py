"""On a terminal: the live view, what Ctrl-C leaves behind, prompts, widths and colours."""

import json
import signal
from pathlib import Path

import pytest

from tests.unit.cli import terminal
from tests.unit.cli.conftest import TOKEN
from tests.unit.cli.samples import CREATION, NAME, RUN_ID, URL, at, environment, log, tell, verdict
from tests.unit.cli.scripted import ScriptedGateway, Stream

CREATE = ("create", NAME, "-t", "nodejs-api")
WAITING = log(1, 2, "the forge does not answer", waiting={"attempt": 1, "attempts": 5, "retry_at": at(10)})
HOSTILE = "\x1b]0;owned\x07\x1b[2Jred\x1b[31m \u202egnp.exe"


def env(gateway: ScriptedGateway, **more: str) -> dict[str, str]:
    """The environment of a command for this gateway."""
    return {"SLIPWAY_URL": gateway.url, "SLIPWAY_TOKEN": TOKEN, **more}


def test_the_view_goes_on_when_the_gateway_comes_back(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION[:2]), Stream(CREATION[2:]))
    with terminal.slipway(*CREATE, environment=env(gateway)) as screen:
        assert screen.ended() == 0
        assert screen.text.rstrip().endswith(f"● ready: {URL}")
        assert "✓ succeeded  infrastructure   2.0 s" in screen.text
        assert screen.written.count("\x1b[?25l") == screen.written.count("\x1b[?25h") == 1  # the cursor is back


def test_the_view_shows_what_is_waited_for_and_an_interrupt_leaves_it_going_on(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream((*CREATION[:2], WAITING), then="stay"))
    with terminal.slipway(*CREATE, environment=env(gateway)) as screen:
        screen.wait_for("… waiting")
        screen.wait_for("attempt 2 of 5: the forge does not answer")
        for words in ("· pending  secrets", "usually 0.80 s", "Plan: 4 to add", "Ctrl-C stops watching"):
            assert words in screen.text
        assert "failed" not in screen.text
        assert screen.ended(signal.SIGINT) == 130
        assert "Interrupted; the run goes on." in screen.text
        assert screen.text.rstrip().endswith(f"slipway logs {NAME} -f")
        assert screen.written.rstrip().endswith("-f")
        assert "\x1b[?25h" in screen.written
        assert "Traceback" not in screen.text
    assert [request.method for request in gateway.changes()] == ["POST"]


def test_a_termination_gives_the_cursor_back(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION[:2], then="stay"))
    with terminal.slipway(*CREATE, environment=env(gateway)) as screen:
        screen.wait_for("◐ running")
        assert screen.ended(signal.SIGTERM) == 143
        assert "\x1b[?25h" in screen.written


def test_a_result_in_a_file_has_no_progress_and_no_colour(gateway: ScriptedGateway, tmp_path: Path) -> None:
    tell(gateway, Stream(CREATION))
    result = tmp_path / "result.json"
    arguments = (*CREATE, "-o", "json")
    with terminal.slipway(*arguments, environment=env(gateway, FORCE_COLOR="1"), piped_result=result) as screen:
        assert screen.ended() == 0
        assert "✓ succeeded  pipeline" in screen.text
    assert json.loads(result.read_text())["run"]["id"] == RUN_ID


def test_no_line_of_the_view_is_wider_than_the_terminal(gateway: ScriptedGateway) -> None:
    long = log(1, 1, "module.environment.module.database[0].slipway_database.this: " + "Still creating... " * 20)
    tell(gateway, Stream((CREATION[0], long, WAITING, verdict())))
    gateway.on("GET", f"/api/v1/environments/{NAME}", environment("n" * 40))
    with terminal.slipway(*CREATE, environment=env(gateway), columns=40) as screen:
        assert screen.ended() == 0
    view = screen.text.partition("name ")[0]
    assert max(len(line) for line in view.splitlines()) <= 40


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colour_where_none_is_wanted(gateway: ScriptedGateway, setting: dict[str, str]) -> None:
    tell(gateway, Stream(CREATION))
    with terminal.slipway(*CREATE, environment=env(gateway, **setting)) as screen:
        assert screen.ended() == 0
        assert "✓ succeeded" in screen.text or "succeeded after" in screen.text
        assert not any(f"\x1b[{colour}" in screen.written for colour in range(30, 38))
        if "TERM" in setting:
            assert "\x1b" not in screen.written


def test_text_from_elsewhere_commands_no_terminal(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream((CREATION[0], log(1, 1, HOSTILE)), then="stay"))
    with terminal.slipway(*CREATE, environment=env(gateway)) as screen:
        screen.wait_for("red \\u202egnp.exe")
    for command in ("\x1b]0;", "\x1b[2J", "\u202e"):
        assert command not in screen.written


def test_a_deletion_asks_for_the_name_and_lists_what_goes(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream((verdict(event="environment_deleted", url=None),)), kind="delete")
    gateway.on("GET", f"/api/v1/environments/{NAME}", environment())
    with terminal.slipway("rm", NAME, environment=env(gateway)) as screen:
        screen.wait_for("Type its name to delete it: ")
        assert "database apps/env_demo_api with its data" in screen.text
        assert gateway.changes() == []
        screen.type(f"{NAME}\n")
        assert screen.ended() == 0
    assert [request.method for request in gateway.changes()] == ["DELETE"]


def test_any_other_answer_deletes_nothing(gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"/api/v1/environments/{NAME}", environment())
    with terminal.slipway("rm", NAME, environment=env(gateway)) as screen:
        screen.wait_for("Type its name")
        screen.type("demo\n")
        assert screen.ended() == 3
        assert "Nothing was changed." in screen.text
    assert gateway.changes() == []


def test_an_interrupt_at_the_prompt_changes_nothing(gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"/api/v1/environments/{NAME}", environment())
    with terminal.slipway("rm", NAME, environment=env(gateway)) as screen:
        screen.wait_for("Type its name")
        assert screen.ended(signal.SIGINT) == 130
        assert "Nothing was changed." in screen.text
    assert gateway.changes() == []


def test_yes_skips_the_prompt(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream((verdict(event="environment_deleted", url=None),)), kind="delete")
    with terminal.slipway("rm", NAME, "-y", environment=env(gateway)) as screen:
        assert screen.ended() == 0
    assert "Type its name" not in screen.text


def test_a_narrow_terminal_drops_columns_and_folds_no_row(gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/environments", {"items": [environment("n" * 40), environment()], "next_cursor": None})
    with terminal.slipway("ls", environment=env(gateway)) as screen:
        assert screen.ended() == 0
    head, first, second = screen.text.splitlines()
    assert head.split() == ["NAME", "STATE", "KIND", "TEAM", "EXPIRES"]
    assert (first.split()[0], second.split()[0]) == ("n" * 40, NAME)
    assert max(map(len, (head, first, second))) <= 80


def test_an_address_is_never_cut(gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"/api/v1/environments/{NAME}", environment("n" * 40))
    with terminal.slipway("show", NAME, environment=env(gateway), columns=60) as screen:
        assert screen.ended() == 0
    assert f"● ready: http://{'n' * 40}.slipway.localhost:8015\n" in screen.text
    assert f"http://127.0.0.1:8018/acme/{'n' * 40}.git\n" in screen.text

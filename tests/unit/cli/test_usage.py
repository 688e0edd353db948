"""How the command line is spoken: usage errors, flags and their variables, completion, and readers that go away."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup, TyperOption

from cli.main import app, globals_first
from tests.unit.cli.conftest import TOKEN, Slipway
from tests.unit.cli.samples import GOLDEN_PATH, environment
from tests.unit.cli.scripted import ScriptedGateway

USAGE = {
    "no command": (),
    "an unknown command": ("conjure",),
    "an unknown option": ("ls", "--colour", "blue"),
    "a missing argument": ("show",),
    "a missing option": ("create", "demo-api"),
    "an argument too many": ("ls", "demo-api"),
    "a number that is none": ("runs", "--limit", "many"),
    "a number out of range": ("runs", "--limit", "0"),
    "an unknown form": ("-o", "xml", "ls"),
    "a parameter without a value": ("create", "demo-api", "-t", "nodejs-api", "--set", "database"),
    "a flag without its value": ("ls", "--output"),
}


@pytest.mark.parametrize("case", USAGE)
def test_a_usage_error_exits_2_and_asks_nothing(slipway: Slipway, gateway: ScriptedGateway, case: str) -> None:
    said = slipway(*USAGE[case])
    assert said.code == 2
    assert "Traceback" not in said.err
    if case != "no command":
        assert said.out == ""
        assert said.err.startswith("Error: ")
    assert gateway.requests == []


def test_no_command_shows_the_help(slipway: Slipway) -> None:
    said = slipway()
    assert "create" in said.out
    assert said.err == ""


def options(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperOption]]:
    """Every option of every command."""
    for command_path, command in [(path, group), *(((*path, name), c) for name, c in group.commands.items())]:
        if isinstance(command, TyperGroup) and command is not group:
            yield from options(command, command_path)
        else:
            yield from ((command_path, p) for p in command.params if isinstance(p, TyperOption))


def test_every_flag_has_a_variable_named_after_it() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    seen = 0
    for path, option in options(command):
        if option.opts[0] in {"--version", "--help"}:
            continue
        long = next(name for name in option.opts if name.startswith("--")).removeprefix("--")
        expected = "_".join(("SLIPWAY", *path, long)).upper().replace("-", "_")
        variable = option.envvar or "_".join(("SLIPWAY", *path, option.name or "")).upper().replace("-", "_")
        assert variable == expected
        seen += 1
    assert seen > 25


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ls -o json", "-o json ls"),
        ("ls -ojson --all", "-ojson ls --all"),
        ("show x --output=yaml --token-file f", "--output=yaml --token-file f show x"),
        ("create x --set a=b --url u -t t", "--url u create x --set a=b -t t"),
        ("show -- -o", "show -- -o"),
        ("ls -o", "-o ls"),
    ],
)
def test_global_flags_may_stand_anywhere_but_behind_two_dashes(typed: str, meant: str) -> None:
    assert globals_first(typed.split()) == meant.split()


def complete(words: str, **variables: str) -> list[str]:
    """What bash offers behind `words`."""
    environment_ = {"PATH": os.environ["PATH"], "SLIPWAY_HOME": "/nonexistent", **variables}
    asked = {"_SLIPWAY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    process = subprocess.run(
        [sys.executable, "-m", "cli.main"], env=environment_ | asked, capture_output=True, text=True, check=False
    )
    assert process.stderr == ""
    return process.stdout.split()


def test_names_are_completed_from_the_platform(gateway: ScriptedGateway) -> None:
    names = ("demo-api", "demo-web", "my-demo")
    gateway.on("GET", "/api/v1/environments", {"items": [environment(name) for name in names]})
    gateway.on("GET", "/api/v1/golden-paths", {"items": [GOLDEN_PATH]})
    access = {"SLIPWAY_URL": gateway.url, "SLIPWAY_TOKEN": TOKEN}
    assert complete("slipway rm demo", **access) == ["demo-api", "demo-web"]
    assert complete("slipway create x -t ", **access) == ["nodejs-api"]


def test_completion_of_a_platform_that_is_away_is_silent() -> None:
    assert complete("slipway show ", SLIPWAY_URL="http://127.0.0.1:1", SLIPWAY_TOKEN=TOKEN) == []
    assert complete("slipway show ") == []


def test_a_reader_who_leaves_is_no_failure(gateway: ScriptedGateway) -> None:
    many = [environment(f"env-{number}") for number in range(1000)]
    gateway.on("GET", "/api/v1/environments", {"items": many, "next_cursor": None})
    for form in ("table", "json"):
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "ls", "-o", form],
            env={"PATH": os.environ["PATH"], "SLIPWAY_URL": gateway.url, "SLIPWAY_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        with process:
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0


def test_a_terminal_without_our_signs_is_no_failure(gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/environments", {"items": [environment(branch="\ud800")], "next_cursor": None})
    process = subprocess.run(
        [sys.executable, "-m", "cli.main", "ls"],
        env={
            "PATH": os.environ["PATH"],
            "SLIPWAY_URL": gateway.url,
            "SLIPWAY_TOKEN": TOKEN,
            "PYTHONIOENCODING": "ascii",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "? ready" in process.stdout

"""The command line as its manual has it: three forms of output, and exit codes 0 done, 1 failed, 2 usage, 3 refused,
4 not found."""

import json
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.outside import DEMO_NAME, GOLDEN_PATH, Demo

# Each command, and what its table must show.
COMMANDS = {
    ("ls",): (DEMO_NAME, "ready"),
    ("show", DEMO_NAME): ("URL", "http://demo-api.slipway.localhost"),
    ("runs",): ("create", "succeeded"),
    ("logs", DEMO_NAME, "--run"): ("Apply complete", "succeeded"),
    ("secrets", DEMO_NAME): ("SESSION_KEY", "database/creds/env-demo-api"),
    ("trace", DEMO_NAME): ("provisioner", "terraform apply"),
    ("templates",): (GOLDEN_PATH,),
    ("status",): ("postgres", "yes"),
    ("doctor",): ("git", "All is well."),
    ("admin", "dead-letters", "list"): (),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_table_for_people_shows_what_they_look_for(demo: Demo, command: tuple[str, ...]) -> None:
    said = demo.slipway(*command)
    assert said.code == 0, said
    for word in COMMANDS[command]:
        assert word in said.out
    assert "\x1b" not in said.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_and_yaml_are_one_document_and_say_the_same(demo: Demo, command: tuple[str, ...]) -> None:
    as_json, as_yaml = (demo.slipway("-o", form, *command) for form in ("json", "yaml"))
    assert (as_json.code, as_yaml.code) == (0, 0), (as_json, as_yaml)
    assert _shape(json.loads(as_json.out)) == _shape(yaml.safe_load(as_yaml.out))


def _shape(value: Any) -> Any:
    """What does not change from one second to the next."""
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_shape(one) for one in value]
    return type(value)


REFUSALS = {
    "an unknown name": (["show", "nobody-has-this"], 4),
    "an unknown run": (["logs", "00000000-0000-8000-8000-000000000000"], 4),
    "an unknown trace": (["trace", "0" * 31 + "1"], 4),
    "a bad name": (["create", "Bad_Name", "--template", GOLDEN_PATH], 2),
    "a reserved name": (["create", "localhost", "--template", GOLDEN_PATH], 2),
    "a parameter without a value": (["create", "fine", "--template", GOLDEN_PATH, "--set", "database"], 2),
    "a parameter of the wrong type": (["create", "fine", "--template", GOLDEN_PATH, "--set", "instances=many"], 2),
    "an unknown option": (["create", "fine", "--colour", "blue"], 2),
    "an unknown command": (["conjure"], 2),
    "a name that is taken": (["create", DEMO_NAME, "--template", GOLDEN_PATH], 3),
    "a token that nobody gave": (["--token", "slw_0", "ls"], 3),
    "a deletion without the name": (["rm", DEMO_NAME], 2),
    "a deletion with another name": (["rm", DEMO_NAME, "--confirm", "demo"], 2),
    "a gateway that is not there": (["--url", "http://127.0.0.1:9", "--token", "slw_0", "ls"], 1),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_has_its_exit_code_says_the_next_step_and_changes_nothing(demo: Demo, case: str) -> None:
    arguments, code = REFUSALS[case]
    before = demo.events_in_log()
    said = demo.slipway(*arguments)
    assert said.code == code, said
    assert said.out == ""
    first, *rest = said.err.splitlines()
    assert first.startswith("Error: ")
    assert rest, "the next step"
    assert "Traceback" not in said.err
    assert demo.events_in_log() == before


def test_without_a_token_the_gateway_answers_401_and_the_command_line_3(demo: Demo) -> None:
    url = f"{demo.ports.url('gateway')}/api/v1/environments"
    answer = httpx.get(url, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert demo.slipway("ls", SLIPWAY_TOKEN="slw_none").code == 3


def test_a_taken_name_is_a_conflict(demo: Demo) -> None:
    url, headers = (
        f"{demo.ports.url('gateway')}/api/v1/environments",
        {"Authorization": f"Bearer {demo.key('admin.token')}"},
    )
    body = {"name": DEMO_NAME, "golden_path": GOLDEN_PATH}
    assert httpx.post(url, json=body, headers=headers, trust_env=False).status_code == 409


def test_help_and_version_need_no_platform(demo: Demo) -> None:
    assert demo.slipway("--version").out.startswith("slipway ")
    assert "create" in demo.slipway("--help").out
    assert demo.slipway().code == 2

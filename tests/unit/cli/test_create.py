"""`create` and `rm`: what is asked, what is shown, and how it ends."""

import json

import pytest

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import (
    CREATION,
    FAILED_CREATION,
    NAME,
    RUN_ID,
    URL,
    accepted,
    environment,
    run,
    step,
    tell,
    verdict,
)
from tests.unit.cli.scripted import BUSY, TRACE_ID, Answer, Hangup, ScriptedGateway, Stream, problem

CREATE = ("create", NAME, "--template", "nodejs-api")
ENVIRONMENTS = "/api/v1/environments"


def test_a_creation_ends_on_the_url(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    said = slipway(*CREATE)
    assert said.code == 0
    assert said.last_line == f"● ready: {URL}"
    for word in (
        f"slipway clone {NAME}",
        f"http://127.0.0.1:8018/acme/{NAME}.git",
        f"{NAME}.slipway.localhost",
        "APP_SECRET, SESSION_KEY",
        f"http://portal.example/runs/{RUN_ID}",
        f"http://traces.example/trace/{TRACE_ID}",
        f"slipway trace {NAME}",
    ):
        assert word in said.out
    assert gateway.unknown == []


def test_a_catalogue_that_learns_of_the_end_a_moment_later_is_waited_for(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    tell(gateway, Stream(CREATION))
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}", Answer(run(state="running")), Answer(run()))
    said = slipway("-o", "json", *CREATE)
    assert json.loads(said.out)["run"]["state"] == "succeeded"


def test_progress_is_on_standard_error_and_says_how_long_each_step_took(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    tell(gateway, Stream(CREATION))
    said = slipway(*CREATE)
    lines = said.err.splitlines()
    assert lines[0].startswith(f"Creating {NAME} from nodejs-api, usually 1.2 s.")
    assert any(line.endswith("infrastructure  Plan: 4 to add, 0 to change, 0 to destroy.") for line in lines)
    assert any(line.endswith("infrastructure  succeeded after 2.0 s") for line in lines)
    assert "Plan:" not in said.out


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_program_reads_one_document_on_standard_output(
    slipway: Slipway, gateway: ScriptedGateway, place: str
) -> None:
    tell(gateway, Stream(CREATION))
    said = slipway("-o", "json", *CREATE) if place == "before" else slipway(*CREATE, "-o", "json")
    found = json.loads(said.out)
    assert (found["environment"]["url"], found["run"]["id"]) == (URL, RUN_ID)
    assert "succeeded after" in said.err


def test_what_is_left_out_is_not_sent(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    slipway(*CREATE)
    assert gateway.asked("POST", ENVIRONMENTS)[0].body == {"name": NAME, "golden_path": "nodejs-api"}


def test_an_application_in_a_directory_is_named_by_it(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    slipway(*CREATE, "--repo", "acme/mono", "--path", "services/orders")
    body = gateway.asked("POST", ENVIRONMENTS)[0].body
    assert (body["repository"], body["path"]) == ("acme/mono", "services/orders")


def test_parameters_are_json_where_they_can_be_and_words_where_not(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    slipway(*CREATE, "--set", "instances=3", "--set", "database=false", "--set", "size=NaN", "--set", "a=b=c")
    parameters = gateway.asked("POST", ENVIRONMENTS)[0].body["parameters"]
    assert parameters == {"instances": 3, "database": False, "size": "NaN", "a": "b=c"}


def test_flags_come_from_the_environment(
    slipway: Slipway, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(gateway, Stream(CREATION))
    for name, value in {"TEMPLATE": "nodejs-api", "BRANCH": "next", "SET": "instances=2 database=true"}.items():
        monkeypatch.setenv(f"SLIPWAY_CREATE_{name}", value)
    assert slipway("create", NAME).code == 0
    assert gateway.asked("POST", ENVIRONMENTS)[0].body == {
        "name": NAME,
        "golden_path": "nodejs-api",
        "branch": "next",
        "parameters": {"instances": 2, "database": True},
    }


@pytest.mark.parametrize("trouble", [BUSY, Hangup()], ids=["busy", "hangup"])
def test_a_request_without_an_answer_is_repeated_under_the_same_key(
    slipway: Slipway, gateway: ScriptedGateway, trouble: Answer | Hangup
) -> None:
    tell(gateway, Stream(CREATION))
    gateway.on("POST", ENVIRONMENTS, trouble, Answer(accepted(), 202))
    assert slipway(*CREATE).code == 0
    first, second = gateway.asked("POST", ENVIRONMENTS)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body


def test_no_wait_prints_the_run_and_nothing_else(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway)
    said = slipway(*CREATE, "--no-wait")
    assert (said.code, said.out) == (0, f"{RUN_ID}\n")
    assert f"slipway logs {NAME} -f" in said.err


def test_a_failed_creation_says_why_what_was_undone_what_is_left_and_what_to_do(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    tell(gateway, Stream(FAILED_CREATION), state="failed")
    said = slipway(*CREATE)
    assert said.code == 1
    for word in (
        "✗ failed at pipeline after 3 attempts: the forge answered 422",
        "undone  database apps/env_demo_api",
        "repository acme/demo-api: it holds commits that Slipway did not make",
        "What to do: Choose another name.",
    ):
        assert word in said.out
    assert said.last_line == f"Next: slipway logs {NAME} · slipway retry {NAME} · slipway trace {NAME}"
    assert "is ready" not in said.out


def test_a_failed_creation_is_a_document_too(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(FAILED_CREATION), state="failed")
    said = slipway("-o", "json", *CREATE)
    assert said.code == 1
    assert json.loads(said.out)["run"]["state"] == "failed"


def test_a_run_that_another_one_overtook_is_not_called_cleaned_up(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream((*CREATION[:2], verdict("failed", event="superseded"))), state="failed")
    said = slipway(*CREATE)
    assert said.code == 1
    assert "superseded" in said.out
    assert "left behind" not in said.out


def test_a_run_that_ended_unseen_is_told_from_its_record(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION[:3]), Answer(None, 204))
    said = slipway(*CREATE)
    assert said.code == 0
    assert said.last_line == f"● ready: {URL}"


def test_unknown_usual_times_stop_nothing(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    gateway.on("GET", "/api/v1/golden-paths/nodejs-api", problem(500, "internal"))
    said = slipway(*CREATE)
    assert said.code == 0
    assert "usually" not in said.err


def test_a_worker_without_a_url_ends_on_its_name(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(url=None, hostname=None))
    said = slipway(*CREATE)
    assert said.last_line == f"● ready: {NAME}"
    assert "slipway open" not in said.out


REFUSALS = {
    "a name that is taken": (problem(409, "name_taken", environment={"name": NAME, "state": "ready"}), 3),
    "no token": (problem(401, "unauthenticated"), 3),
    "not allowed": (problem(403, "forbidden"), 3),
    "too many": (Answer(problem(429, "rate_limited").body, 429, {"Retry-After": "0"}), 3),
    "a broken rule": (problem(422, "invalid_request", errors=[{"field": "golden_path", "rule": "must be known"}]), 2),
    "unreadable": (problem(400, "malformed_request"), 2),
    "a fault": (problem(500, "internal"), 1),
    "away": (BUSY, 1),
    "a proxy's page": (Answer("<html>", 502, {"Content-Type": "text/html", "Retry-After": "0"}), 1),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_has_its_exit_code_and_a_next_step(slipway: Slipway, gateway: ScriptedGateway, case: str) -> None:
    answer, code = REFUSALS[case]
    gateway.on("POST", ENVIRONMENTS, answer)
    said = slipway(*CREATE)
    assert (said.code, said.out) == (code, "")
    first, *rest = said.err.splitlines()
    assert first.startswith("Error: ")
    assert rest
    assert (f"trace {TRACE_ID}" in said.err) == (case != "a proxy's page")


def test_a_broken_rule_is_told_by_the_flag_that_breaks_it(slipway: Slipway, gateway: ScriptedGateway) -> None:
    errors = [
        {"field": "golden_path", "rule": "must be one of nodejs-api, worker"},
        {"field": "parameters.instances", "rule": "must be 10 or less"},
    ]
    gateway.on("POST", ENVIRONMENTS, problem(422, "invalid_request", errors=errors))
    said = slipway(*CREATE)
    assert "  --template must be one of nodejs-api, worker\n  --set instances must be 10 or less\n" in said.err
    assert said.err.endswith("Nothing was changed.\n")


def test_a_taken_name_leads_to_what_has_it(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", ENVIRONMENTS, problem(409, "name_taken", environment={"name": NAME, "state": "ready"}))
    assert slipway(*CREATE).err.endswith(f"slipway show {NAME}\n")


DELETION = (
    step(1, 0, pipeline="undoing"),
    step(2, 1, pipeline="undone", secrets="undoing"),
    step(3, 2, secrets="undone", infrastructure="undoing"),
    step(4, 3, infrastructure="undone"),
    verdict(event="environment_deleted", url=None, undone=[{"kind": "route", "id": "env-demo-api"}]),
)


def test_a_deletion_says_what_was_removed_and_that_the_name_is_free(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(DELETION), kind="delete")
    said = slipway("rm", NAME, "--confirm", NAME)
    assert said.code == 0
    assert "removed  route env-demo-api" in said.out
    assert said.last_line == f"○ deleted in 3.0 s: the name {NAME} is free again."


@pytest.mark.parametrize("flags", [(), ("--yes",), ("--confirm", "demo"), ("--yes", "--confirm", "demo")], ids=" ".join)
def test_off_a_terminal_nothing_is_deleted_without_its_name(
    slipway: Slipway, gateway: ScriptedGateway, flags: tuple[str, ...]
) -> None:
    tell(gateway, Stream(DELETION), kind="delete")
    said = slipway("rm", NAME, *flags)
    assert said.code == 2
    assert "Nothing was changed." in said.err
    assert gateway.changes() == []

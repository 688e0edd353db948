"""Commands that only look: what they show, what they say of nothing, and what programs read."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import (
    CREATION,
    FAILED_CREATION,
    FAILURE,
    GOLDEN_PATH,
    LEFT,
    NAME,
    RUN_ID,
    URL,
    Json,
    environment,
    run,
    tell,
)
from tests.unit.cli.scripted import TRACE_ID, ScriptedGateway, Stream, problem

ENVIRONMENTS = "/api/v1/environments"
LONG_NAME = "a" * 40


def page(*items: object, cursor: str | None = None) -> dict[str, object]:
    """A page of a list."""
    return {"items": list(items), "total": len(items), "next_cursor": cursor}


def test_ls_shows_every_page_in_whole_lines(slipway: Slipway, gateway: ScriptedGateway) -> None:
    many = [environment(f"env-{number}") for number in range(3)]
    gateway.on("GET", ENVIRONMENTS, page(*many[:2], cursor="next"), page(environment(LONG_NAME), many[2]))
    said = slipway("ls")
    head, *rows = said.out.splitlines()
    assert [row.split()[0] for row in rows] == ["env-0", "env-1", LONG_NAME, "env-2"]
    assert head.split() == ["NAME", "STATE", "KIND", "GOLDEN", "PATH", "TEAM", "CREATED", "EXPIRES", "URL"]
    assert all(row.endswith(".slipway.localhost:8015") for row in rows)
    assert "cursor=next" in gateway.requests[1].path


def test_ls_of_nothing_says_how_to_begin_and_prints_nothing(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", ENVIRONMENTS, page())
    said = slipway("ls")
    assert (said.code, said.out) == (0, "")
    assert "slipway create NAME" in said.err
    assert json.loads(slipway("ls", "-o", "json").out) == []


def test_ls_asks_for_what_its_flags_name(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", ENVIRONMENTS, page())
    slipway("ls", "--team", "payments", "--state", "deleted", "-t", "worker", "-q", "api")
    for part in ("team=payments", "state=deleted", "golden_path=worker", "q=api", "include_deleted=true"):
        assert part in gateway.requests[0].path


@pytest.mark.parametrize("state", ["creating", "updating", "undoing", "deleting"])
def test_an_environment_on_its_way_leads_to_its_run(slipway: Slipway, gateway: ScriptedGateway, state: str) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(state=state))
    assert slipway("show", NAME).last_line == f"Watch it: slipway logs {NAME} -f"


def test_a_failed_environment_says_why_and_what_to_do(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(state="failed", failure=FAILURE, left_behind=[LEFT]))
    said = slipway("show", NAME)
    assert "✗ failed at pipeline after 3 attempts: the forge answered 422" in said.out
    assert "repository acme/demo-api: it holds commits" in said.out
    assert said.last_line == f"Next: slipway logs {NAME} · slipway retry {NAME} · slipway rm {NAME}"


def test_a_deleted_environment_has_no_time_left_and_a_free_name(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(state="deleted"))
    said = slipway("show", NAME)
    assert "expires" not in said.out
    assert said.last_line == f"○ deleted: the name {NAME} is free again."


def test_show_names_the_commit_where_it_is_asked_to(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment())
    repository = "http://forge.example/platform/environments"
    gateway.on("GET", "/api/v1/platform", {"urls": {"environments": repository}})
    assert "a" * 40 not in slipway("show", NAME).out
    said = slipway("show", NAME, "--git")
    for word in ("a" * 40, repository, f"environments/{NAME}"):
        assert word in said.out
    found = json.loads(slipway("-o", "json", "show", NAME, "--git").out)["git"]
    assert found == {"commit": "a" * 40, "repository": repository, "directory": f"environments/{NAME}"}


def test_what_a_person_should_know_of_an_environment_is_shown(slipway: Slipway, gateway: ScriptedGateway) -> None:
    more: Json = {
        "expires_at": (datetime.now(UTC) + timedelta(hours=20)).isoformat(),
        "update_available": "1.1.0",
        "access": [{"role": "developer", "person": "bob", "team": None}],
        "drift": [{"kind": "route", "id": f"env-{NAME}"}],
        "drift_detected_at": datetime.now(UTC).isoformat(),
        "failure": FAILURE,
        "pull_request": {"number": 7, "url": "http://forge.example/acme/demo-api/pull/7", "approved_commit": None},
    }
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(**more))
    said = slipway("show", NAME).out
    for word in (
        f"more time: slipway extend {NAME}",
        f"version 1.1.0 is on offer: slipway upgrade {NAME} --plan",
        "developer to bob",
        "http://forge.example/acme/demo-api/pull/7",
        f"put right: slipway repair {NAME}",
        "✗ pipeline: the forge answered 422 It was put back.",
    ):
        assert word in said
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(expires_at=None, kept_because="the board looks at it"))
    assert "expires      never: the board looks at it" in slipway("show", NAME).out


def test_what_stays_of_a_deleted_environment_is_told(slipway: Slipway, gateway: ScriptedGateway) -> None:
    kept = {"kind": "repository", "id": "acme/demo-api", "reason": "it holds work of yours"}
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(state="deleted", kept=[kept]))
    assert "Kept on purpose:\n  repository acme/demo-api: it holds work of yours\n" in slipway("show", NAME).out


def test_an_unknown_name_exits_4_and_says_where_names_are(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/nobody", problem(404, "not_found", detail="There is no such environment."))
    for command in ("show", "open", "secrets", "logs", "trace"):
        said = slipway(command, "nobody")
        assert said.code == 4
        assert said.err.startswith("Error: There is no such environment.\n")
        assert "slipway ls" in said.err


def test_a_name_cannot_reach_another_address(slipway: Slipway, gateway: ScriptedGateway) -> None:
    assert slipway("show", "../me?x=1#y").code == 4
    assert gateway.requests[0].path == f"{ENVIRONMENTS}/..%2Fme%3Fx%3D1%23y"


def test_secrets_are_named_with_their_paths_and_the_way_to_their_values(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment())
    said = slipway("secrets", NAME)
    assert [row.split()[0] for row in said.out.splitlines()[1:]] == ["APP_SECRET", "SESSION_KEY", "database"]
    assert "bao kv get kv/env/demo-api/app" in said.err


@pytest.mark.parametrize(("command", "code"), [("secrets", 4), ("open", 1)])
def test_what_is_not_there_yet_is_said_with_the_state(
    slipway: Slipway, gateway: ScriptedGateway, command: str, code: int
) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(state="creating"))
    said = slipway("-o", "json", command, NAME)
    assert (said.code, said.out) == (code, "")
    assert "it is creating" in said.err


def test_open_prints_the_url_and_opens_nothing_but_the_web(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment())
    assert slipway("open", NAME).out == f"{URL}\n"
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(url="file:///etc/passwd"))
    assert slipway("open", NAME).code == 1


def test_runs_are_listed_with_ids_that_logs_takes(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION))
    gateway.on("GET", "/api/v1/runs", page(run(), run(id="9" * 8 + RUN_ID[8:], state="running")))
    first, second = slipway("runs").out.splitlines()[1:]
    assert (first.split()[0], "3.0 s" in first) == (RUN_ID[:8], True)
    assert "◐ running" in second
    assert "Plan: 4 to add" in slipway("logs", RUN_ID[:8]).out
    assert slipway("logs", "deadbeef").code == 4


def test_no_more_runs_are_fetched_than_asked_for(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/runs", page(run(), run(), cursor="more"))
    assert len(json.loads(slipway("runs", "--limit", "3", "-o", "json").out)) == 3
    assert [request.path for request in gateway.requests] == [
        "/api/v1/runs?limit=3",
        "/api/v1/runs?cursor=more&limit=3",
    ]


def test_a_log_ends_on_the_verdict(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(FAILED_CREATION), state="failed")
    said = slipway("logs", NAME)
    assert (said.code, said.last_line) == (0, "✗ failed  create demo-api: the forge answered 422")
    assert slipway("logs", NAME, "-f").code == 1


def test_a_log_for_programs_is_a_document_and_followed_one_a_line(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION[:2]), Stream(CREATION[2:]), Stream(CREATION))
    whole = json.loads(slipway("-o", "json", "logs", NAME).out)
    lines = [json.loads(line) for line in slipway("-o", "json", "logs", NAME, "-f").out.splitlines()]
    assert lines == whole
    assert [item["event"] for item in whole] == ["step", "log", "step", "step", "step", "verdict"]
    documents = yaml.safe_load_all(slipway("-o", "yaml", "logs", NAME, "-f").out)
    assert list(documents) == whole


def test_golden_paths_are_listed_with_what_they_cost(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/golden-paths", {"items": [GOLDEN_PATH | {"durations": []}]})
    row = slipway("templates").out.splitlines()[1]
    for word in ("nodejs-api", "30 s", "11.10 USD", "Node.js API"):
        assert word in row


def test_a_golden_path_says_what_can_be_set_and_how_to_use_it(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/golden-paths/nodejs-api", GOLDEN_PATH)
    said = slipway("templates", "nodejs-api")
    assert "instances  1 to 10  1, 2 in production  How many copies of the application run." in said.out
    assert "1.2 s as a rule (the median of 8 runs), 3.4 s at most in 9 of 10" in said.out
    assert said.last_line == "Use it: slipway create NAME --template nodejs-api"


COMMANDS = (("ls",), ("show", NAME), ("runs",), ("secrets", NAME), ("templates",), ("whoami",), ("token", "list"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_json_and_yaml_say_the_same(slipway: Slipway, gateway: ScriptedGateway, command: tuple[str, ...]) -> None:
    gateway.on("GET", ENVIRONMENTS, page(environment()))
    gateway.on("GET", f"{ENVIRONMENTS}/{NAME}", environment(branch="zwölf"))
    gateway.on("GET", "/api/v1/runs", page(run()))
    gateway.on("GET", "/api/v1/golden-paths", page(GOLDEN_PATH))
    gateway.on("GET", "/api/v1/me", {"person": "ann", "role": "viewer", "teams": [], "token": {"expires_at": None}})
    gateway.on("GET", "/api/v1/tokens", page())
    as_json = slipway("-o", "json", *command)
    said = json.loads(as_json.out)
    assert _without_times(said) == _without_times(yaml.safe_load(slipway("-o", "yaml", *command).out))
    assert TRACE_ID not in as_json.err


def _without_times(value: object) -> str:
    return json.dumps(value, default=str, sort_keys=True).replace(" ", "T").replace("Z", "+00:00")

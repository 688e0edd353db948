"""Changing what exists: plans, updates, upgrades, repairs; and that no data is lost without its name being said."""

import json

import pytest

from tests.unit.cli import terminal
from tests.unit.cli.conftest import TOKEN, Slipway
from tests.unit.cli.samples import (
    CREATION,
    FAILURE,
    LOSS,
    NAME,
    PLAN_HASH,
    URL,
    accepted,
    environment,
    plan,
    step,
    tell,
    verdict,
)
from tests.unit.cli.scripted import Answer, ScriptedGateway, Stream, problem

ONE = f"/api/v1/environments/{NAME}"
HARMLESS = ("update", "namespace", NAME)
CHANGES = {
    "update": (("update", NAME, "--set", "database=false"), ("PATCH", ONE)),
    "upgrade": (("upgrade", NAME), ("POST", f"{ONE}:upgrade")),
}


def test_a_plan_says_what_it_would_do_and_makes_nothing(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", "/api/v1/environments:plan", plan(("create", "database", "apps/env_demo_api"), HARMLESS))
    said = slipway("create", NAME, "-t", "nodejs-api", "--ttl", "3d", "--plan")
    assert said.code == 0
    for word in (
        "  + database apps/env_demo_api\n",
        f"  ~ namespace {NAME} (labels)\n",
        "0.0152 USD an hour, 11.10 USD a month",
        "about 1.2 s, 3.4 s at most in 9 of 10",
        "7 of 10 environments of payments left",
        PLAN_HASH,
    ):
        assert word in said.out
    assert said.last_line.startswith("Plan: +1 ~1 -0. Nothing was made.")
    [asked] = gateway.changes()
    assert asked.path == "/api/v1/environments:plan"
    assert asked.body == {"name": NAME, "golden_path": "nodejs-api", "ttl": "3d"}


def test_a_plan_is_a_document_too(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", f"{ONE}:plan", plan(LOSS, warnings=["it is lost"]))
    said = slipway("-o", "json", "update", NAME, "--set", "database=false", "--plan")
    assert (said.code, json.loads(said.out)["counts"]["destroy"]) == (0, 1)


def test_an_update_sends_what_was_named_and_nothing_else(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION), kind="update")
    gateway.on("POST", f"{ONE}:plan", plan(HARMLESS))
    said = slipway("update", NAME, "--set", "instances=2", "--unset", "database", "--branch", "next")
    assert (said.code, said.last_line) == (0, f"● ready: {URL}")
    [sent] = gateway.asked("PATCH", ONE)
    assert sent.body == {"parameters": {"instances": 2, "database": None}, "branch": "next"}
    assert sent.headers["Idempotency-Key"]


def test_another_branch_needs_no_plan(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION), kind="update")
    assert slipway("update", NAME, "-b", "next").code == 0
    assert gateway.asked("POST", f"{ONE}:plan") == []


@pytest.mark.parametrize("command", CHANGES)
def test_data_is_not_destroyed_without_the_name(slipway: Slipway, gateway: ScriptedGateway, command: str) -> None:
    arguments, (method, path) = CHANGES[command]
    tell(gateway, Stream(CREATION), kind="update")
    gateway.on("GET", ONE, environment(update_available="1.1.0"))
    gateway.on("POST", f"{ONE}:plan", plan(LOSS))
    said = slipway(*arguments, "-y")
    assert said.code == 2
    assert "database apps/env_demo_api with its data" in said.err
    assert said.err.endswith(f"Add --confirm {NAME}. Nothing was changed.\n")
    assert slipway(*arguments, "--confirm", "demo").code == 2
    assert gateway.asked(method, path) == []
    assert slipway(*arguments, "--confirm", NAME).code == 0
    assert len(gateway.asked(method, path)) == 1


def test_on_a_terminal_the_loss_is_shown_and_what_is_done_is_what_was_shown(gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION), kind="update")
    gateway.on("POST", f"{ONE}:plan", plan(LOSS, HARMLESS))
    env = {"SLIPWAY_URL": gateway.url, "SLIPWAY_TOKEN": TOKEN}
    with terminal.slipway("update", NAME, "--set", "database=false", environment=env) as screen:
        screen.wait_for("Type its name to do it: ")
        assert "- database apps/env_demo_api  its data is lost" in screen.text
        screen.type(f"{NAME}\n")
        assert screen.ended() == 0
    [sent] = gateway.asked("PATCH", ONE)
    assert sent.body["plan"] == PLAN_HASH


def test_what_was_agreed_to_elsewhere_is_sent_along(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, kind="update")
    gateway.on("PATCH", ONE, problem(409, "plan_outdated", environment={"name": NAME, "state": "ready"}))
    said = slipway("update", NAME, "--set", "database=false", "--agreed", PLAN_HASH)
    assert said.code == 3
    assert gateway.asked("PATCH", ONE)[0].body["plan"] == PLAN_HASH
    assert gateway.asked("POST", f"{ONE}:plan") == []


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_is_like_that_already_begins_nothing(slipway: Slipway, gateway: ScriptedGateway, form: str) -> None:
    gateway.on("POST", f"{ONE}:plan", plan())
    gateway.on("PATCH", ONE, environment())
    said = slipway("-o", form, "update", NAME, "--set", "instances=1")
    assert said.code == 0
    if form == "json":
        assert json.loads(said.out)["run"] is None
    else:
        assert said.last_line == f"● ready: {URL}"


def test_an_update_that_fails_says_that_all_is_as_before(slipway: Slipway, gateway: ScriptedGateway) -> None:
    undone = [{"kind": "database", "id": "apps/env_demo_api"}]
    end = verdict("failed", event="environment_failed", failure=FAILURE, undone=undone)
    tell(gateway, Stream((step(1, 0, infrastructure="running"), end)), kind="update", state="failed")
    gateway.on("GET", ONE, environment(failure=FAILURE))
    said = slipway("update", NAME, "-b", "next")
    assert said.code == 1
    assert "put back  database apps/env_demo_api" in said.out
    assert f"{NAME} is as it was before, and ready." in said.out
    assert f"slipway retry {NAME}" in said.last_line


def test_an_upgrade_goes_to_what_is_on_offer(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION), kind="update")
    gateway.on("GET", ONE, environment(update_available="1.1.0"))
    gateway.on("POST", f"{ONE}:plan", plan(HARMLESS))
    said = slipway("upgrade", NAME)
    assert said.code == 0
    assert said.err.startswith(f"Upgrading {NAME} to 1.1.0.")
    assert gateway.asked("POST", f"{ONE}:plan")[0].body == {"golden_path_version": "1.1.0"}


def test_a_repair_is_watched(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream(CREATION), kind="update")
    said = slipway("repair", NAME)
    assert (said.code, said.last_line) == (0, f"● ready: {URL}")
    assert slipway("repair", NAME, "--no-wait").out == f"{accepted()['run']['id']}\n"


MANIFEST = "apiVersion: platform/v1\nkind: Application\nmetadata: {name: demo-api}\nspec: {runtime: nodejs-22}\n"
WARNING = {"field": "spec.scaling.max", "message": "nothing scales by itself here"}


def apply_answers(gateway: ScriptedGateway, outcome: str, *changes: tuple[str, str, str]) -> None:
    """What the gateway says to a manifest."""
    tell(gateway, Stream(CREATION), kind="update" if outcome == "updated" else "create")
    planned = {"outcome": outcome, "plan": plan(*changes), "warnings": [WARNING]}
    gateway.on("POST", "/api/v1/applications:plan", planned)
    begun = (
        accepted() | {"environment": {"name": NAME, "golden_path": "nodejs-api"}} if outcome != "unchanged" else None
    )
    applied = {
        "outcome": outcome, "accepted": begun, "environment": None if begun else environment(), "warnings": [WARNING],
    }  # fmt: skip
    gateway.on("POST", "/api/v1/applications", Answer(applied, 202 if begun else 200))


@pytest.mark.parametrize("outcome", ["created", "updated", "unchanged"])
def test_a_manifest_is_applied_and_its_outcome_told(
    slipway: Slipway, gateway: ScriptedGateway, tmp_path_factory: pytest.TempPathFactory, outcome: str
) -> None:
    file = tmp_path_factory.mktemp("app") / "app.yaml"
    file.write_text(MANIFEST)
    apply_answers(gateway, outcome, HARMLESS)
    said = slipway("apply", "-f", str(file))
    assert (said.code, said.last_line) == (0, f"● ready: {URL}")
    assert "Warning: spec.scaling.max: nothing scales by itself here" in said.err
    [sent] = gateway.asked("POST", "/api/v1/applications")
    assert (sent.body, sent.headers["Content-Type"]) == (MANIFEST, "application/yaml")
    document = json.loads(slipway("-o", "json", "apply", "-f", str(file)).out)
    assert (document["outcome"], document["warnings"], document["environment"]["name"]) == (outcome, [WARNING], NAME)


def test_a_manifest_that_takes_data_away_needs_the_name(
    slipway: Slipway, gateway: ScriptedGateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("app") / "app.json"
    file.write_text('{"kind": "Application"}')
    apply_answers(gateway, "updated", LOSS)
    assert slipway("apply", "-f", str(file)).code == 2
    assert gateway.asked("POST", "/api/v1/applications") == []
    assert slipway("apply", "-f", str(file), "--confirm", NAME).code == 0
    [sent] = gateway.asked("POST", "/api/v1/applications")
    assert (sent.headers["Content-Type"], sent.path.partition("?")[2]) == ("application/json", f"plan={PLAN_HASH}")
    # One who has seen the plan before names it.
    assert slipway("apply", "-f", str(file), "--confirm", NAME, "--agreed", "0" * 64).code == 0
    assert gateway.asked("POST", "/api/v1/applications")[1].path.endswith("?plan=" + "0" * 64)


def test_a_manifest_that_is_not_there_is_a_usage_error(slipway: Slipway, gateway: ScriptedGateway) -> None:
    said = slipway("apply", "-f", "/nonexistent/app.yaml")
    assert said.code == 2
    assert "cannot be read" in said.err
    assert gateway.requests == []

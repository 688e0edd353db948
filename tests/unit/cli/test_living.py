"""An environment's time and who may use it; steering runs."""

import json

import pytest

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import (
    CREATION,
    FAILURE,
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
from tests.unit.cli.scripted import Answer, ScriptedGateway, Stream, problem

ONE = f"/api/v1/environments/{NAME}"
GRANT = {"role": "developer", "person": "bob", "team": None}


def test_an_environment_gets_more_time(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", f"{ONE}:extend", environment())
    said = slipway("extend", NAME)
    assert (said.code, said.last_line.partition(" (")[0]) == (0, f"{NAME} expires in 7 d")
    slipway("extend", NAME, "2w")
    assert [request.body for request in gateway.changes()] == [{"ttl": "7d"}, {"ttl": "2w"}]


def test_no_more_time_than_the_cap_and_the_way_out_is_told(slipway: Slipway, gateway: ScriptedGateway) -> None:
    errors = [{"field": "ttl", "rule": "must be 3d at most. Keep it, with a reason, instead"}]
    gateway.on("POST", f"{ONE}:extend", problem(422, "invalid_request", errors=errors))
    said = slipway("extend", NAME, "90d")
    assert said.code == 2
    assert "the time must be 3d at most. Keep it, with a reason, instead" in said.err


def test_an_environment_is_kept_and_let_go(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", f"{ONE}:keep", environment(expires_at=None, kept_because="the board looks at it"))
    gateway.on("POST", f"{ONE}:unkeep", environment())
    said = slipway("keep", NAME, "--reason", "the board looks at it")
    assert said.last_line == f"{NAME} is kept: the board looks at it. Undo it: slipway unkeep {NAME}"
    assert slipway("unkeep", NAME).last_line.startswith(f"{NAME} expires in 7 d")
    assert slipway("keep", NAME).code == 2
    assert [request.body for request in gateway.changes()] == [{"reason": "the board looks at it"}, None]


def test_access_lists_the_owner_and_every_grant(slipway: Slipway, gateway: ScriptedGateway) -> None:
    owner = {"person": "ann", "team": "payments"}
    gateway.on("GET", f"{ONE}/access", {"owner": owner, "items": [GRANT]})
    said = slipway("access", NAME)
    assert [line.split()[0] for line in said.out.splitlines()] == ["ROLE", "admin", "developer"]
    assert "bob" in said.out
    assert json.loads(slipway("access", NAME, "-o", "json").out) == {"owner": owner, "items": [GRANT]}


def test_a_grant_is_waited_for(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", f"{ONE}/access", Answer(GRANT | {"environment": NAME, "change": "granted"}, 202))
    gateway.on("GET", f"{ONE}/access", {"owner": {}, "items": []}, {"owner": {}, "items": [GRANT]})
    said = slipway("access", "grant", NAME, "--role", "developer", "--person", "bob")
    assert (said.code, said.last_line) == (0, f"bob has the role developer in {NAME}.")
    assert gateway.changes()[0].body == {"role": "developer", "person": "bob"}
    assert len(gateway.asked("GET", f"{ONE}/access")) == 2


def test_a_role_is_taken_away_again(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gone = {"role": "viewer", "person": None, "team": "search", "environment": NAME, "change": "revoked"}
    gateway.on("DELETE", f"{ONE}/access", Answer(gone, 202))
    said = slipway("access", "revoke", NAME, "--role", "viewer", "--team", "search", "--no-wait")
    assert said.code == 0
    assert gateway.requests[0].path == f"{ONE}/access?role=viewer&team=search"
    assert said.last_line.endswith(f"slipway access {NAME}")


@pytest.mark.parametrize("who", [(), ("--person", "bob", "--team", "search")], ids=["nobody", "two"])
def test_a_grant_is_to_exactly_one(slipway: Slipway, gateway: ScriptedGateway, who: tuple[str, ...]) -> None:
    assert slipway("access", "grant", NAME, "--role", "viewer", *who).code == 2
    assert slipway("access", "grant", NAME, "--role", "king", "--person", "bob").code == 2
    assert gateway.requests == []


CALLED_OFF = FAILURE | {"code": "called_off", "message": "The run was called off."}


def steer(gateway: ScriptedGateway, *end: str, state: str = "failed") -> None:
    """A run under way that can be called off, and how it ends then."""
    ended = run(state=state, called_off_by="bob")
    gateway.on("GET", ONE, environment(state="creating"), environment(state="failed"))
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}", run(state="running"), ended)
    gateway.on("POST", f"/api/v1/runs/{RUN_ID}:cancel", Answer(run(state="running", called_off_by="bob"), 202))
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}/stream", Stream((step(1, 0, infrastructure="running"), *end)))


def test_a_run_is_called_off_and_followed_until_all_is_undone(slipway: Slipway, gateway: ScriptedGateway) -> None:
    undone = [{"kind": "database", "id": "apps/env_demo_api"}]
    steer(gateway, verdict("failed", event="environment_failed", failure=CALLED_OFF, undone=undone))
    said = slipway("cancel", NAME)
    assert said.code == 0
    assert "undone  database apps/env_demo_api" in said.out
    assert said.last_line == f"○ called off by bob. {NAME} is failed."


def test_a_run_that_was_faster_is_not_called_off(slipway: Slipway, gateway: ScriptedGateway) -> None:
    steer(gateway, verdict(), state="succeeded")
    said = slipway("cancel", NAME)
    assert (said.code, said.out) == (1, "")
    assert "before it could be called off" in said.err


def test_a_run_that_is_over_is_refused(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"/api/v1/runs/{RUN_ID}", run())
    gateway.on("POST", f"/api/v1/runs/{RUN_ID}:cancel", problem(409, "run_ended"))
    gateway.on("POST", f"/api/v1/runs/{RUN_ID}:retry", problem(409, "run_not_failed"))
    assert slipway("cancel", RUN_ID).code == 3
    assert slipway("retry", RUN_ID).code == 3


def test_a_failed_run_is_tried_again_and_the_new_one_followed(slipway: Slipway, gateway: ScriptedGateway) -> None:
    failed = "99999999-1bb2-8f9b-a4be-02873e2ef93c"
    tell(gateway, Stream(CREATION))
    gateway.on("GET", f"/api/v1/runs/{failed}", run(state="failed", id=failed))
    gateway.on("POST", f"/api/v1/runs/{failed}:retry", Answer(accepted(), 202))
    said = slipway("retry", failed)
    assert (said.code, said.last_line) == (0, f"● ready: {URL}")
    assert said.err.startswith(f"Creating {NAME} again, usually 1.2 s.")

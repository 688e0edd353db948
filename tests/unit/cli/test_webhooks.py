"""`webhooks`: whom a team tells, and what became of it."""

import json
from typing import Any

from tests.unit.cli.conftest import Slipway
from tests.unit.cli.scripted import Answer, ScriptedGateway, problem

HOOKS = "/api/v1/webhooks"
ID = "11111111-aaaa-4bbb-8ccc-000000000001"
OTHER = "22222222-aaaa-4bbb-8ccc-000000000002"
DELIVERY = "33333333-aaaa-4bbb-8ccc-000000000003"
AT = "2026-03-01T12:00:00.000000Z"


def hook(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID, "team": "payments", "url": "https://hooks.test/x", "kinds": [], "environment": None,
        "golden_path": None, "description": "the pager", "state": "active", "state_reason": "", "generation": 1,
        "rotated_at": None, "created_by": "ada", "created_at": AT, "updated_at": AT, "failing_since": None,
        "delivered_at": None, "links": {}, **changes,
    }  # fmt: skip


def delivery(**changes: Any) -> dict[str, Any]:
    attempt = {"at": AT, "duration_seconds": 0.05, "status_code": 500, "answer": "b\x1b[31moom", "error": "no"}
    return {
        "id": DELIVERY, "webhook_id": ID, "event_id": OTHER, "kind": "environment_ready", "environment": "demo-api",
        "state": "failed", "created_at": AT, "attempts": [attempt], "attempt_count": 1, "next_attempt_at": None,
        **changes,
    }  # fmt: skip


def known(gateway: ScriptedGateway, *hooks: dict[str, Any]) -> None:
    gateway.on("GET", HOOKS, {"items": list(hooks) or [hook()]})
    gateway.on("GET", f"{HOOKS}/{ID}", hook())


def test_a_secret_stands_alone_on_standard_output(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", HOOKS, Answer(hook(secret="whsec_x"), 201))

    said = slipway(
        "webhooks", "create", "https://hooks.test/x", "--kind", "environment_ready", "--kind", "drift_detected",
        "--environment", "demo-api", "--description", "the pager",
    )  # fmt: skip

    assert (said.code, said.out) == (0, "whsec_x\n")
    assert "slipway webhooks test 11111111" in said.err
    [request] = gateway.asked("POST", HOOKS)
    assert request.headers["Idempotency-Key"]
    assert request.body == {
        "url": "https://hooks.test/x", "kinds": ["environment_ready", "drift_detected"], "environment": "demo-api",
        "golden_path": None, "description": "the pager", "team": None,
    }  # fmt: skip


def test_a_url_that_is_refused_says_why(slipway: Slipway, gateway: ScriptedGateway) -> None:
    errors = [{"field": "url", "rule": "must begin with https://"}]
    gateway.on("POST", HOOKS, problem(422, "invalid_request", errors=errors))

    said = slipway("webhooks", "create", "http://hooks.test/")

    assert said.code == 2
    assert "the URL must begin with https://" in said.err


def test_webhooks_are_listed_and_shown_by_the_beginning_of_their_id(slipway: Slipway, gateway: ScriptedGateway) -> None:
    known(gateway, hook(), hook(id=OTHER, state="disabled", kinds=["environment_ready"], environment="demo-api"))
    gateway.on("GET", f"{HOOKS}/{ID}/deliveries", {"items": [delivery()], "next_cursor": None})

    listed = slipway("webhooks", "ls")
    assert [line.split()[0] for line in listed.out.splitlines()] == ["WEBHOOK", "11111111", "22222222"]
    assert "environment_ready of demo-api" in listed.out
    assert json.loads(slipway("webhooks", "ls", "-o", "json").out)[1]["id"] == OTHER

    shown = slipway("webhooks", "show", "11111111")
    assert shown.code == 0
    assert "https://hooks.test/x" in shown.out
    assert "HTTP 500 0.05 s boom" in shown.out
    assert "\x1b[31m" not in shown.out


def test_no_webhook_or_two_of_a_beginning_is_not_found(slipway: Slipway, gateway: ScriptedGateway) -> None:
    known(gateway, hook(), hook(id=ID[:-1] + "2"))

    for beginning in ("11111111", "99999999", "1"):
        assert slipway("webhooks", "pause", beginning).code == 4
    assert gateway.changes() == []


def test_a_webhook_is_changed_paused_and_resumed(slipway: Slipway, gateway: ScriptedGateway) -> None:
    known(gateway)
    gateway.on("PATCH", f"{HOOKS}/{ID}", hook(state="paused"))

    assert slipway("webhooks", "pause", "11111111").code == 0
    assert slipway("webhooks", "resume", ID).code == 0
    assert slipway("webhooks", "change", ID, "--every-kind", "--environment", "").code == 0
    assert slipway("webhooks", "change", ID).code == 2

    bodies = [request.body for request in gateway.changes()]
    assert bodies == [{"state": "paused"}, {"state": "active"}, {"kinds": [], "environment": ""}]


def test_a_test_says_what_came_back_and_fails_where_it_did_not_arrive(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    known(gateway)
    arrived = {"at": AT, "duration_seconds": 0.05, "status_code": 204, "answer": "", "error": None}
    gateway.on("POST", f"{HOOKS}/{ID}:test", delivery(state="delivered", attempts=[arrived]), delivery())

    good, bad = slipway("webhooks", "test", ID), slipway("webhooks", "test", ID)

    assert (good.code, good.last_line) == (0, "✓ delivered  HTTP 204  0.05 s")
    assert (bad.code, bad.last_line) == (1, "✗ failed  HTTP 500  0.05 s  boom")


def test_a_rotation_is_asked_for_once_and_prints_the_new_secret(slipway: Slipway, gateway: ScriptedGateway) -> None:
    known(gateway)
    gateway.on("POST", f"{HOOKS}/{ID}:rotate-secret", hook(secret="whsec_y", generation=2))

    said = slipway("webhooks", "rotate", ID)

    assert (said.code, said.out) == (0, "whsec_y\n")
    assert len(gateway.changes()) == 1


def test_a_webhook_is_taken_away_only_by_somebody_who_means_it(slipway: Slipway, gateway: ScriptedGateway) -> None:
    known(gateway)
    gateway.on("DELETE", f"{HOOKS}/{ID}", Answer(status=204))

    assert slipway("webhooks", "rm", ID).code == 2
    assert gateway.changes() == []
    assert slipway("webhooks", "rm", ID, "--confirm", "11111111").code == 0
    assert [request.method for request in gateway.changes()] == ["DELETE"]


def test_a_delivery_is_found_and_sent_again(slipway: Slipway, gateway: ScriptedGateway) -> None:
    known(gateway)
    gateway.on("GET", f"{HOOKS}/{ID}/deliveries", {"items": [delivery()], "next_cursor": None})
    gateway.on("POST", f"{HOOKS}/{ID}/deliveries/{DELIVERY}:redeliver", Answer(delivery(state="waiting"), 202))

    assert "demo-api" in slipway("webhooks", "deliveries", "11111111").out
    assert json.loads(slipway("webhooks", "redeliver", ID, "33333333", "-o", "json").out)["state"] == "waiting"
    assert slipway("webhooks", "redeliver", ID, "44444444").code == 4
    gateway.on("POST", f"{HOOKS}/{ID}/deliveries/{DELIVERY}:redeliver", problem(409, "webhook_not_active"))
    assert slipway("webhooks", "redeliver", ID, DELIVERY).code == 3

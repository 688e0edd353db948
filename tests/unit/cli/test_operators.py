"""`doctor`, `token`, `whoami`, `admin`: for those who run a platform or machines that use it."""

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from cli.checks import checks
from cli.gateway import Gateway
from cli.platforms import Access
from tests.unit.cli.conftest import Slipway
from tests.unit.cli.scripted import Answer, Scripted, ScriptedGateway, problem

LETTERS = "/api/v1/admin/dead-letters"


def me(days: float | None = None) -> dict[str, Any]:
    """Whoever asks, with a token that ends in so many days."""
    expires_at = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    token = {"id": "abc", "name": "ci", "expires_at": expires_at}
    return {"person": "ann", "role": "developer", "teams": ["payments"], "token": token}


def well(gateway: ScriptedGateway) -> None:
    """A platform where everything is in order."""
    gateway.on("GET", "/api/v1/me", me())
    gateway.on("GET", "/api/v1/platform", {"version": version("slipway"), "urls": {}})


def test_a_gateway_that_is_well_is_said_to_be(slipway: Slipway, gateway: ScriptedGateway) -> None:
    well(gateway)
    said = slipway("doctor")
    assert (said.code, said.last_line) == (0, "Everything is in order.")
    assert [line.split()[2] for line in said.out.splitlines()[:-2]] == [
        "gateway", "connection", "token", "clock", "version",
    ]  # fmt: skip


TROUBLES: dict[str, tuple[str, str, Scripted | dict[str, Any], str]] = {
    "a wrong token": ("token", "/api/v1/me", problem(401, "unauthenticated"), "failed"),
    "a token that ends soon": ("token", "/api/v1/me", Answer(me(days=2)), "warning"),
    "another version": ("version", "/api/v1/platform", Answer({"version": "9.9.9", "urls": {}}), "warning"),
    "half a gateway": ("version", "/api/v1/platform", problem(500, "internal"), "failed"),
}


@pytest.mark.parametrize("case", TROUBLES)
def test_the_doctor_says_what_is_wrong_and_how_to_mend_it(
    slipway: Slipway, gateway: ScriptedGateway, case: str
) -> None:
    name, path, answer, outcome = TROUBLES[case]
    well(gateway)
    gateway.on("GET", path, answer)
    said = slipway("doctor", "-o", "json")
    (found,) = [check for check in json.loads(said.out) if check["outcome"] != "ok"]
    assert (found["name"], found["outcome"], bool(found["remedy"])) == (name, outcome, True)
    assert said.code == (1 if outcome == "failed" else 0)


@pytest.mark.parametrize(("ahead_seconds", "order"), [(120.0, "behind"), (-120.0, "ahead of")])
def test_clocks_that_differ_are_told_apart_and_allowed_for(
    gateway: ScriptedGateway, ahead_seconds: float, order: str
) -> None:
    well(gateway)
    gateway.date_ahead_seconds = ahead_seconds
    client = Gateway(Access(gateway.url, "slw_x"))
    (clock,) = [check for check in checks(client) if check.name == "clock"]
    assert (clock.outcome, order in clock.found) == ("warning", True)
    assert abs((client.now() - datetime.now(UTC)).total_seconds() - ahead_seconds) < 5


def test_a_gateway_that_is_away_is_the_one_thing_said(slipway: Slipway) -> None:
    said = slipway("doctor", "--url", "http://127.0.0.1:1")
    assert said.code == 1
    assert said.out.count("✗") == 1
    assert said.last_line == "1 failed, 0 warnings."


def test_a_platform_of_this_machine_is_asked_about_itself(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "__init__.py").write_text("raise SystemExit('the wrong deploy')")
    process = subprocess.run(
        [Path(sys.executable).with_name("slipway"), "status"],
        env={"PATH": "/usr/bin:/bin", "SLIPWAY_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the wrong deploy" not in process.stderr
    assert "postgres" in process.stdout


def test_whoami_says_who_and_where(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/me", me(days=30))
    said = slipway("whoami")
    for word in (gateway.url, "developer", "payments", "ci (abc)", "in 30 d", "ann"):
        assert word in said.out


def token(**more: Any) -> dict[str, Any]:
    """A token as the gateway tells of it."""
    now = datetime.now(UTC).isoformat()
    known = {
        "id": "abc", "name": "ci", "person": "ann", "role": "developer", "teams": ["payments"], "created_at": now,
        "expires_at": now, "revoked_at": None,
    }  # fmt: skip
    return known | more


def test_a_new_token_is_alone_on_standard_output(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", "/api/v1/tokens", Answer(token(token="slw_new"), 201))
    said = slipway("token", "create", "ci", "--role", "viewer", "--team", "a", "--team", "b", "--expires-in-days", "7")
    assert (said.code, said.out) == (0, "slw_new\n")
    assert "slw_new" not in said.err
    assert gateway.requests[0].body == {
        "name": "ci", "role": "viewer", "teams": ["a", "b"], "expires_in_days": 7, "person": None,
    }  # fmt: skip


def test_making_a_token_is_never_repeated(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", "/api/v1/tokens", Answer("gone", 504, {"Retry-After": "0"}))
    assert slipway("token", "create", "ci").code == 1
    assert len(gateway.requests) == 1


def test_tokens_are_listed_and_the_revoked_are_marked(slipway: Slipway, gateway: ScriptedGateway) -> None:
    revoked = token(id="def", revoked_at=datetime.now(UTC).isoformat())
    gateway.on("GET", "/api/v1/tokens", {"items": [token(expires_at=None), revoked]})
    first, second = slipway("token", "list").out.splitlines()[1:]
    assert first.endswith("never")
    assert second.endswith("○ revoked")


def test_a_token_is_revoked(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("DELETE", "/api/v1/tokens/abc", Answer(None, 204))
    assert slipway("token", "revoke", "abc").code == 0
    assert slipway("token", "revoke", "def").code == 4


def letter(sequence: int = 7, **more: Any) -> dict[str, Any]:
    """A dead letter."""
    known = {
        "sequence": sequence, "service": "cicd", "subject": "environment.demo-api.secrets_stored", "reason": "broken",
        "error": "ValueError: \x1b[31mno\x1b[0m", "time": datetime.now(UTC).isoformat(), "size_bytes": 9,
        "original_sequence": 3, "trace_id": None, "replayable": True,
    }  # fmt: skip
    return known | more


def test_dead_letters_are_listed_page_by_page_as_far_as_asked(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", LETTERS, {"items": [letter(9), letter(8)], "next_before": 8}, {"items": [letter(7)]})
    said = slipway("admin", "dead-letters", "list")
    assert [row.split()[0] for row in said.out.splitlines()[1:]] == ["9", "8", "7"]
    assert "ValueError: no" in said.out
    assert gateway.requests[1].path == f"{LETTERS}?limit=50&before=8"


def test_no_dead_letters_is_good_news(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", LETTERS, {"items": [], "next_before": None})
    said = slipway("admin", "dead-letters", "list")
    assert (said.code, said.out) == (0, "")
    assert "every message was handled" in said.err


@pytest.mark.parametrize(
    ("body", "shown"), [(b'{"a":1}', '{\n  "a": 1\n}'), (b"\xff\x1b[31mno", "\\xffno")], ids=["json", "bytes"]
)
def test_a_dead_letter_is_shown_whole_and_harmless(
    slipway: Slipway, gateway: ScriptedGateway, body: bytes, shown: str
) -> None:
    gateway.on("GET", f"{LETTERS}/7", letter(body_base64=base64.b64encode(body).decode()))
    said = slipway("admin", "dead-letters", "show", "7")
    assert shown in said.out
    assert said.last_line.endswith("slipway admin dead-letters replay 7")


def test_a_dead_letter_that_nobody_takes_back_is_said_so(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", f"{LETTERS}/7", letter(replayable=False, body_base64=""))
    assert "replay 7" not in slipway("admin", "dead-letters", "show", "7").out


def test_a_dead_letter_is_sent_back(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("POST", f"{LETTERS}/7/replay", Answer({"service": "cicd", "subject": "x", "sequence": 1}, 202))
    said = slipway("admin", "dead-letters", "replay", "7")
    assert said.code == 0
    assert "cicd" in said.out

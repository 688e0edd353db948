"""login, logout: a token fetched by a browser, kept for its owner alone, and shown to the platform that gave it."""

import base64
import hashlib
import io
import json
import stat
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cli import logins
from cli.failures import Exit
from tests.unit.cli.conftest import Slipway
from tests.unit.cli.scripted import Answer, ScriptedGateway, problem

MADE = {
    "id": "abc", "name": "slipway on laptop", "person": "ann", "role": "developer", "teams": ["payments"],
    "created_at": "2026-11-23T12:00:00Z", "expires_at": "2026-12-23T12:00:00Z", "revoked_at": None, "token": "slw_new",
}  # fmt: skip
ME = {"person": "ann", "role": "developer", "teams": [], "token": {"id": "a", "name": "ci", "expires_at": None}}
CODE = "BCDF-GHJK-LMNP-QRST"

BROWSER = """
import sys, urllib.error, urllib.parse, urllib.request
asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(sys.argv[1]).query))
def bring(**said):
    try:
        query = urllib.parse.urlencode(said)
        with urllib.request.urlopen(f"http://127.0.0.1:{asked['port']}/?{query}") as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
if [bring(code="EVIL", state="x"), bring(code="EVIL")] == [400, 400]:
    bring(code="%s", state=asked["state"])
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slipway: Slipway) -> Path:
    """Where logins are kept; no token is given in another way."""
    monkeypatch.delenv("SLIPWAY_TOKEN")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "slipway" / "logins.json"


def type_code(monkeypatch: pytest.MonkeyPatch, text: str = CODE) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{text}\n"))


def test_a_code_that_was_typed_becomes_a_token_for_this_machine(
    slipway: Slipway, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    gateway.on("POST", "/api/v1/machine-tokens", Answer(MADE, 201))
    gateway.on("GET", "/api/v1/me", ME)
    type_code(monkeypatch)
    said = slipway("login", "--no-browser")
    assert said.code == 0
    assert "as ann: developer, payments" in said.err
    assert "slw_new" not in said.out + said.err
    address = next(line.strip() for line in said.err.splitlines() if "/cli/login?" in line)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert asked.keys() == {"challenge", "name"}
    sent = gateway.requests[0]
    assert "Authorization" not in sent.headers
    assert sent.body["code"] == CODE
    mark = hashlib.sha256(sent.body["verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(mark).rstrip(b"=").decode() == asked["challenge"]
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    assert slipway("whoami").code == 0
    assert gateway.requests[-1].headers["Authorization"] == "Bearer slw_new"


def test_a_browser_brings_the_code_and_nobody_else_does(
    slipway: Slipway, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gateway.on("POST", "/api/v1/machine-tokens", Answer(MADE, 201))
    script = tmp_path / "browser.py"
    script.write_text(BROWSER % CODE)
    monkeypatch.setenv("BROWSER", f"{sys.executable} {script} %s &")
    said = slipway("login", "--browser", "-o", "json")
    assert said.code == 0
    told = json.loads(said.out)
    assert (told["person"], told["gateway"]) == ("ann", gateway.url)
    assert "token" not in told
    assert gateway.requests[0].body["code"] == CODE


def test_signing_in_again_ends_the_token_before(
    slipway: Slipway, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.on("POST", "/api/v1/machine-tokens", Answer(MADE, 201))
    gateway.on("DELETE", "/api/v1/me/token", Answer(status=204))
    logins.keep(gateway.url, "slw_old")
    type_code(monkeypatch)
    assert slipway("login", "--no-browser").code == 0
    assert gateway.requests[-1].headers["Authorization"] == "Bearer slw_old"
    assert logins.find(gateway.url) == "slw_new"


def test_a_code_that_is_not_valid_changes_nothing(
    slipway: Slipway, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    gateway.on("POST", "/api/v1/machine-tokens", problem(401, "unauthenticated"))
    type_code(monkeypatch)
    said = slipway("login", "--no-browser")
    assert said.code == Exit.REFUSED
    assert "slipway login" in said.err
    assert not config.exists()


def test_signing_out_revokes_and_forgets(slipway: Slipway, gateway: ScriptedGateway, config: Path) -> None:
    gateway.on("DELETE", "/api/v1/me/token", Answer(status=204))
    logins.keep(gateway.url, "slw_mine")
    logins.keep("https://other.example.com", "slw_other")
    assert slipway("logout").code == 0
    assert gateway.requests[0].headers["Authorization"] == "Bearer slw_mine"
    assert logins.find(gateway.url) is None
    assert logins.find("https://other.example.com") == "slw_other"
    logins.forget("https://other.example.com")
    assert not config.exists()
    assert slipway("logout").code == Exit.NOT_FOUND


def test_a_token_that_was_revoked_elsewhere_is_forgotten_all_the_same(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    gateway.on("DELETE", "/api/v1/me/token", problem(401, "unauthenticated"))
    logins.keep(gateway.url, "slw_mine")
    assert slipway("logout").code == 0
    assert logins.find(gateway.url) is None


def test_a_login_is_shown_to_no_other_platform_and_a_token_that_is_named_comes_first(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    gateway.on("GET", "/api/v1/me", ME)
    logins.keep("https://other.example.com", "slw_other")
    assert slipway("whoami").code == Exit.USAGE
    logins.keep(gateway.url, "slw_mine")
    assert slipway("whoami", "--token", "slw_named").code == 0
    assert [request.headers["Authorization"] for request in gateway.requests] == ["Bearer slw_named"]


def test_a_relative_configuration_directory_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert logins.path() == tmp_path / ".config" / "slipway" / "logins.json"

"""Which gateway is asked, and what it is shown: a token goes where it belongs and nowhere else."""

import json
from pathlib import Path

import pytest

from cli.failures import CommandError, Exit
from cli.platforms import Access, find_access, home
from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import environment
from tests.unit.cli.scripted import ScriptedGateway

ME = {"person": "ann", "role": "developer", "teams": [], "token": {"id": "a", "name": "ci", "expires_at": None}}


@pytest.fixture
def embedded(slipway: Slipway, gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of an embedded platform whose gateway is the scripted one; nothing else says which is meant."""
    for variable in ("URL", "TOKEN"):
        monkeypatch.delenv(f"SLIPWAY_{variable}")
    root = tmp_path / "project" / ".slipway"
    (root / "keys").mkdir(parents=True)
    (root / "keys" / "admin.token").write_text("slw_admin\n")
    describe(root, gateway.url, root / "keys" / "admin.token")
    monkeypatch.setenv("SLIPWAY_HOME", str(root))
    return root


def describe(root: Path, url: str, token_file: Path) -> None:
    """Write what a platform says of itself."""
    description = {"urls": {"gateway": url}, "admin_token_file": str(token_file), "port_base": 8000}
    (root / "platform.json").write_text(json.dumps(description))


def test_the_platform_of_this_directory_is_meant_where_nothing_is_said(
    slipway: Slipway, gateway: ScriptedGateway, embedded: Path
) -> None:
    gateway.on("GET", "/api/v1/me", ME)
    assert slipway("whoami").code == 0
    assert gateway.requests[0].headers["Authorization"] == "Bearer slw_admin"


def test_the_nearest_platform_above_is_found(embedded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_HOME")
    below = embedded.parent / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert home() == embedded


def test_the_admin_token_is_not_shown_to_another_gateway(embedded: Path) -> None:
    with pytest.raises(CommandError, match=r"No token is known for https://elsewhere\.example"):
        find_access("https://elsewhere.example", None, None)


@pytest.mark.parametrize("trick", ["another machine", "another file", "a link to another file"])
def test_a_platform_that_came_with_a_repository_gets_no_file_of_ours(
    embedded: Path, gateway: ScriptedGateway, tmp_path: Path, trick: str
) -> None:
    private = tmp_path / "private"
    private.write_text("key")
    url, path = gateway.url, embedded / "keys" / "admin.token"
    if trick == "another machine":
        url = "https://evil.example"
    elif trick == "another file":
        path = private
    else:
        path.unlink()
        path.symlink_to(private)
    describe(embedded, url, path)
    with pytest.raises(CommandError) as refused:
        find_access(None, None, None)
    assert refused.value.code is Exit.REFUSED
    assert gateway.requests == []


def test_a_flag_wins_over_the_environment(
    slipway: Slipway, gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_URL", "http://127.0.0.1:1")
    gateway.on("GET", "/api/v1/me", ME)
    assert slipway("whoami", "--url", f"{gateway.url}/", "--token=slw_other").code == 0
    assert gateway.requests[0].headers["Authorization"] == "Bearer slw_other"


def test_a_token_comes_from_a_file(
    slipway: Slipway, gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLIPWAY_TOKEN")
    (tmp_path / "token").write_text("  slw_file\n")
    gateway.on("GET", "/api/v1/me", ME)
    assert slipway("--token-file", str(tmp_path / "token"), "whoami").code == 0
    assert gateway.requests[0].headers["Authorization"] == "Bearer slw_file"


@pytest.mark.parametrize("content", [None, b"", b"two words", b"slw\r\nX-Evil: 1", b"\xff\xfe", "tökén".encode()])
def test_a_file_without_a_token_is_refused_before_anything_is_asked(
    slipway: Slipway, gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.delenv("SLIPWAY_TOKEN")
    path = tmp_path / "token"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    said = slipway("whoami", "--token-file", str(path))
    assert said.code in {2, 3}
    assert str(path) in said.err
    assert gateway.requests == []


@pytest.mark.parametrize("url", ["slipway.example.com", "ftp://slipway.example.com"])
def test_an_address_that_is_none_is_a_usage_error(slipway: Slipway, url: str) -> None:
    assert slipway("ls", "--url", url).code == 2


def test_a_gateway_that_is_away_is_a_failure_with_a_way_on(slipway: Slipway) -> None:
    said = slipway("ls", "--url", "http://127.0.0.1:1")
    assert (said.code, said.out) == (1, "")
    assert "does not answer" in said.err
    assert "slipway doctor" in said.err


def test_no_platform_and_no_address_is_a_usage_error(slipway: Slipway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLIPWAY_URL")
    said = slipway("ls")
    assert said.code == 2
    assert "slipway up" in said.err


def test_a_token_is_in_no_message(slipway: Slipway, gateway: ScriptedGateway) -> None:
    gateway.on("GET", "/api/v1/environments", {"items": [environment()], "next_cursor": None})
    assert "slw_" not in repr(Access("http://x", "slw_secret"))
    for arguments in (("ls",), ("show", "nobody"), ("-o", "json", "ls")):
        said = slipway(*arguments)
        assert "slw_" not in said.out + said.err

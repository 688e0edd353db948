"""Cloning an environment's repository, and answering Git when it asks for the forge's login."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import run

FORGE = "http://127.0.0.1:8018"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A platform's home with the forge's login of people."""
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "forge-developer.token").write_text("t0ken\n")
    (tmp_path / "platform.json").write_text(json.dumps({"urls": {"forge": FORGE, "gateway": "http://127.0.0.1:8000"}}))
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    return tmp_path


def _asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: str, verb: str = "get"
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(question))
    assert run(["git-credential", verb]) == 0
    return capsys.readouterr().out


def test_git_is_told_the_login_of_the_platforms_own_forge(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _asked(monkeypatch, capsys, "protocol=http\nhost=127.0.0.1:8018\n\n")
    assert said == "username=developer\npassword=t0ken\n"


@pytest.mark.parametrize(
    ("question", "verb"),
    [
        ("protocol=http\nhost=127.0.0.1:9018\n", "get"),
        ("protocol=https\nhost=127.0.0.1:8018\n", "get"),
        ("protocol=http\nhost=github.com\n", "get"),
        ("protocol=http\nhost=127.0.0.1:8018\n", "store"),
        ("protocol=http\nhost=127.0.0.1:8018\n", "erase"),
        ("", "get"),
    ],
)
def test_nobody_else_is_told_anything(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], question: str, verb: str
) -> None:
    assert _asked(monkeypatch, capsys, question, verb) == ""


def test_git_itself_understands_the_answer(home: Path, tmp_path: Path) -> None:
    program = Path(sys.prefix) / "bin" / "slipway"
    filled = subprocess.run(
        ["git", "-c", f"credential.{FORGE}.helper=!SLIPWAY_HOME={home} {program} git-credential", "credential", "fill"],
        input=f"url={FORGE}/acme/shop.git\n\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "password=t0ken" in filled.stdout

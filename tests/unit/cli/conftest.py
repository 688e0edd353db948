"""A scripted gateway, and the command line that talks to it: in this process, or as a process of its own."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import run
from tests.unit.cli.scripted import ScriptedGateway

TOKEN = "slw_abc_0123456789"


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """Where a person's eye rests."""
        return self.out.splitlines()[-1]


Slipway = Callable[..., Said]


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """It runs, and knows nothing yet."""
    with ScriptedGateway().running() as running:
        yield running


@pytest.fixture
def slipway(
    gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Slipway:
    """`slipway arguments`, away from any platform of this machine."""
    for variable in [name for name in os.environ if name.startswith("SLIPWAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SLIPWAY_URL", gateway.url)
    monkeypatch.setenv("SLIPWAY_TOKEN", TOKEN)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> Said:
        code = run(arguments)
        printed = capsys.readouterr()
        return Said(code, printed.out, printed.err)

    return call

"""Fault points: nowhere unless asked for, and fired once."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chassis.faults import VARIABLE, Fault, Faults, of_fold, of_publish
from chassis.pulling import LogMessage
from tests.faults.points import table_of


class Store:
    """Something with an asynchronous method."""

    def __init__(self) -> None:
        self.kept: list[str] = []

    async def keep(self, name: str) -> bool:
        self.kept.append(name)
        return name != "refused"


def about(name: str) -> list[tuple[str, str]]:
    return [("thing_asked", name)]


def lay(directory: Path, **changes: Any) -> Path:
    """A fault of the test's service, told instead of died of; answers what is there once it has fired."""
    asked = {"service": "gateway", "kind": "thing_asked", "point": "after_effect", "environment": "demo"}
    fault = Fault.model_validate({**asked, "action": "tell", **changes})
    (directory / "one.armed").write_text(fault.model_dump_json())
    return directory / "one.fired"


def test_a_process_that_was_not_asked_has_no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    faults, store, rows = Faults.of_process("gateway"), Store(), table_of("secrets")
    assert faults.around(store, "keep", about) is store
    assert faults.around_deeds(rows) is rows


def test_a_process_that_was_asked_keeps_the_names_of_its_deeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    rows = table_of("secrets")
    pointed = Faults.of_process("secrets").around_deeds(rows)
    assert [row.deed.__name__ for row in pointed] == [row.deed.__name__ for row in rows]
    assert all(new.deed is not old.deed for new, old in zip(pointed, rows, strict=True))


async def test_a_fault_fires_once_at_its_point_and_for_its_environment_alone(tmp_path: Path) -> None:
    store = Store()
    pointed = Faults("gateway", tmp_path).around(store, "keep", about)
    fired = lay(tmp_path)
    assert await pointed.keep("other")
    assert not fired.exists()
    assert await pointed.keep("demo")
    assert fired.exists()
    assert not (tmp_path / "one.armed").exists()
    fired.unlink()
    assert await pointed.keep("demo")
    assert not fired.exists()
    assert store.kept == pointed.kept == ["other", "demo", "demo"]


async def test_there_is_no_point_after_an_effect_that_did_not_happen(tmp_path: Path) -> None:
    fired = lay(tmp_path, environment="ref*")
    assert not await Faults("gateway", tmp_path).around(Store(), "keep", about).keep("refused")
    assert not fired.exists()


@pytest.mark.parametrize("change", [{"service": "secrets"}, {"kind": "other"}, {"point": "before_effect"}])
def test_a_fault_of_somebody_else_does_not_match(change: dict[str, str]) -> None:
    asked = {"service": "gateway", "kind": "thing_asked", "point": "after_effect", "environment": "demo"}
    assert Fault.model_validate(asked).matches("gateway", "after_effect", ("thing_asked", "demo"))
    assert not Fault.model_validate(asked | change).matches("gateway", "after_effect", ("thing_asked", "demo"))


def test_a_process_dies_at_its_point_and_has_marked_the_fault_before(tmp_path: Path) -> None:
    fired = lay(tmp_path, action="die", point="before_effect")
    code = (
        "import asyncio\nfrom tests.unit.chassis.test_faults import Store, about\n"
        "from chassis.faults import Faults\n"
        "store = Faults.of_process('gateway').around(Store(), 'keep', about)\n"
        "asyncio.run(store.keep('demo'))\nprint('alive')\n"
    )
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[3]), VARIABLE: str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, ""), ended.stderr
    assert fired.exists()


def test_what_a_publish_and_a_fold_are_about_is_read_from_the_subjects() -> None:
    assert of_publish("environment.demo.infra_ready", b"{}") == [("infra_ready", "demo")]
    assert of_publish("dead_letter.secrets.environment.demo.infra_ready") == []
    assert of_publish("environment.demo") == []
    messages = [LogMessage(1, b"environment.demo.infra_ready", b""), LogMessage(2, b"environment.\xff.x", b"")]
    assert of_fold(0, messages)[0] == ("infra_ready", "demo")

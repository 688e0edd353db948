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


def test_one_death_is_that_of_every_fault_whose_point_the_call_reaches(tmp_path: Path) -> None:
    """What a fold has committed is not folded again: whoever is left out here would never come to the point."""
    for name in ("demo", "other", "third"):
        _arm(tmp_path, name)
    _dies(
        tmp_path,
        "store = Faults.of_process('gateway').around(Store(), 'keep', lambda _: [*about('demo'), *about('other')])",
        "asyncio.run(store.keep('both'))",
    )
    assert _names(tmp_path) == ["demo.fired", "other.fired", "third.armed"]


def _arm(directory: Path, name: str) -> None:
    fault = Fault(service="gateway", kind="thing_asked", point="after_effect", environment=name)
    (directory / f"{name}.armed").write_text(fault.model_dump_json())


def _dies(faults: Path, *lines: str) -> None:
    """A process that does this is killed before it has done it all."""
    imports = (
        "import asyncio",
        "from tests.unit.chassis.test_faults import Store, about",
        "from chassis.faults import Faults",
    )
    code = "\n".join((*imports, *lines, "print('alive')"))
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parents[3]), VARIABLE: str(faults)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, ""), ended.stderr


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


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
    _dies(
        tmp_path,
        "store = Faults.of_process('gateway').around(Store(), 'keep', about)",
        "asyncio.run(store.keep('demo'))",
    )
    assert fired.exists()


def test_a_death_waits_for_an_effect_under_way_after_which_another_fault_waits(tmp_path: Path) -> None:
    """It may be done already, though nobody knows yet: it is not done again, so its point would not come again."""
    for name in ("quick", "slow"):
        _arm(tmp_path, name)
    _dies(
        tmp_path,
        "class Slow:",
        "    async def keep(self, name):",
        "        await asyncio.sleep(0.1 if name == 'slow' else 0)",
        "store = Faults.of_process('gateway').around(Slow(), 'keep', about)",
        "async def both():",
        "    await asyncio.gather(store.keep('slow'), store.keep('quick'))",
        "asyncio.run(both())",
    )
    assert _names(tmp_path) == ["quick.fired", "slow.fired"]


def test_what_a_publish_and_a_fold_are_about_is_read_from_the_subjects() -> None:
    assert of_publish("environment.demo.infra_ready", b"{}") == [("infra_ready", "demo")]
    assert of_publish("dead_letter.secrets.environment.demo.infra_ready") == []
    assert of_publish("environment.demo") == []
    messages = [LogMessage(1, b"environment.demo.infra_ready", b""), LogMessage(2, b"environment.\xff.x", b"")]
    assert of_fold(0, messages)[0] == ("infra_ready", "demo")

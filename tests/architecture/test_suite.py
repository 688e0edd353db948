"""The suite can run in several processes: who shares something is kept together, and nothing outlives its users."""

import re
from pathlib import Path

import pytest

from deploy.embedded.ports import FREE_VARIABLE, OFFSETS, free_base, free_port
from tests.conftest import TOGETHER, together_with

ROOT = Path(__file__).parents[2]
SCOPE = re.compile(r'scope="(package|session)"')


def _scopes() -> dict[str, set[str]]:
    """By folder, the scopes of its fixtures that are wider than a file."""
    found = {path: set(SCOPE.findall(path.read_text(encoding="utf-8"))) for path in ROOT.glob("tests/**/conftest.py")}
    return {str(path.parent.relative_to(ROOT)): scopes for path, scopes in found.items() if scopes}


def test_a_folder_with_something_for_all_its_tests_stays_in_one_process() -> None:
    assert _scopes().keys() <= set(TOGETHER)
    assert all((ROOT / folder).exists() for folder in TOGETHER)


def test_nothing_is_kept_beyond_the_last_test_that_uses_it() -> None:
    assert [folder for folder, scopes in _scopes().items() if "session" in scopes] == []


def test_a_test_stays_with_its_folder_or_its_file() -> None:
    assert together_with("tests/e2e/test_demo.py::test_a[x::y]") == "tests/e2e"
    assert together_with("tests/unit/cli/test_usage.py::test_a") == "tests/unit/cli/test_usage.py"


def test_free_ports_are_of_the_range_of_this_process_and_none_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FREE_VARIABLE, "24000-24399")
    base = free_base()
    taken = {base + offset for offset in OFFSETS.values()}
    assert taken <= set(range(24000, 24400))
    ports = [free_port() for _ in range(100)]
    assert len(set(ports) | taken) == len(ports) + len(taken)
    assert set(ports) <= set(range(24000, 24400))

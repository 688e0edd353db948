"""Several test processes beside each other (`pytest -n 2 --dist loadfile`): who takes which tests, and which ports;
and what no test may inherit from whoever started it.

Invariant: tests that share something expensive run in one process, so it is made once. That is a file, as `loadfile`
has it, and a folder of `TOGETHER`, whose fixtures belong to the whole folder.
"""

import os
import signal
import sys
from pathlib import PurePosixPath
from typing import Final

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from deploy.embedded.ports import EPHEMERAL_START, FREE_VARIABLE

TOGETHER: Final = (
    "tests/e2e",
    "tests/browser",
    "tests/deploy/test_pod.py",
    "tests/saga",
    "tests/faults",
    "tests/contract/pipelines",
    "tests/contract/vault",
    "tests/contract/forges",
)
"""Folders with one platform, stage, browser or part for all their tests. Those that take longest come first, and two
whole platforms do not start in the same moment."""
LONG: Final = ("tests/cluster", "tests/integration", "tests/deploy", "tests/contract", "tests/unit/golden_paths")
"""Where tests start processes: they begin before those that only compute, of which some is left to fill the gaps."""
_FIRST_PORT: Final = 10000


class OneProcessEach(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives files, and folders of `TOGETHER`, to whichever process is free."""

    def _split_scope(self, nodeid: str) -> str:
        return together_with(nodeid)


def together_with(nodeid: str) -> str:
    """The file or folder with which a test stays."""
    path = PurePosixPath(nodeid.partition("::")[0])
    return next((folder for folder in TOGETHER if path.is_relative_to(folder)), str(path))


def _turn(item: pytest.Item) -> int:
    """When a test is handed out: the longest first, or one process would be left alone with them at the end."""
    path = PurePosixPath(item.nodeid.partition("::")[0])
    order = (*TOGETHER, *LONG)
    return next((number for number, folder in enumerate(order) if path.is_relative_to(folder)), len(order))


def pytest_configure() -> None:
    """Keep what is compiled, and give this process ports of its own, so that nobody starts a server where another is
    about to.

    pytest rewrites every module of tests before it is compiled: seconds at each run, for each process, where the
    environment has `PYTHONDONTWRITEBYTECODE`. The platform's own processes keep theirs anyway.

    A shell without job control starts what it puts into the background with SIGINT ignored, and every process below
    inherits that: Ctrl-C, which tests press, would reach nobody."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is not None:
        count = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        each = (EPHEMERAL_START - _FIRST_PORT) // count
        first = _FIRST_PORT + int(worker.removeprefix("gw")) * each
        os.environ[FREE_VARIABLE] = f"{first}-{first + each - 1}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in the order in which processes take them. One process alone goes through them as they stand."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Whoever distributes by file distributes by what is shared."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # by the number of tests: `_turn` knows better
    return OneProcessEach(config, log)

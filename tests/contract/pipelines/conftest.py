"""One real forge for this directory's tests; each names its own environments, so that they share it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cicd.adapters.memory import InMemoryForge
from tests.contract.pipelines.workbench import Workbench, client_of
from tests.integration.forge_process import ForgeProcess, forge_process


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeProcess]:
    with forge_process(tmp_path_factory.mktemp("forge")) as forge:
        yield forge


@pytest.fixture(params=["memory", "embedded"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Workbench:
    if request.param == "memory":
        return Workbench(InMemoryForge(), tmp_path)
    return Workbench(client_of(request.getfixturevalue("embedded")), tmp_path)

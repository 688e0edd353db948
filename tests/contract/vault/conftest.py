"""One real OpenBao and Postgres for this directory's tests; each test has environments of its own."""

import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from deploy.embedded.testing import RunningOpenBao, start_openbao
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from tests.contract.vault.instance import Instance, start_instance
from tests.contract.vault.worlds import RealWorld, TwinWorld, World, a_session
from tests.moto import moto_server, start_moto

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="package")
def openbao(tmp_path_factory: pytest.TempPathFactory, postgres: RunningPostgres) -> Iterator[RunningOpenBao]:
    with start_openbao(tmp_path_factory.mktemp("openbao"), postgres) as running:
        yield running


@pytest.fixture(scope="package")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    directory = tmp_path_factory.mktemp("own")
    with (
        start_moto(moto_server() or "", directory / "moto") as moto,
        start_instance(directory / "instance", moto) as running,
    ):
        yield running


@pytest.fixture
async def real(postgres: RunningPostgres, openbao: RunningOpenBao) -> AsyncIterator[RealWorld]:
    session = a_session(openbao)
    yield RealWorld(postgres, openbao, session)
    await session.close()


@pytest.fixture(params=["twin", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "twin":
        yield TwinWorld()
        return
    session = a_session(request.getfixturevalue("openbao"))
    yield RealWorld(request.getfixturevalue("postgres"), request.getfixturevalue("openbao"), session)
    await session.close()


@pytest.fixture
def fresh_name() -> Callable[[], str]:
    """Names no other test has used."""
    return lambda: f"shop-{next(_numbers)}"


@pytest.fixture
def name(fresh_name: Callable[[], str]) -> str:
    return fresh_name()

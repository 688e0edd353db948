"""Stores that contract tests are asked of, each new for its test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from chassis.database import Database
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from tests.contract.catalogs import Real, Twin, World


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("event-store")) as running:
        yield running


@pytest.fixture
async def real(postgres: RunningPostgres) -> AsyncIterator[Real]:
    postgres.make_bare("catalog")
    database = Database(postgres.cluster.settings("catalog"), application_name="test")
    await database.open()
    try:
        yield Real(postgres, database)
    finally:
        await database.close()


@pytest.fixture(params=["twin", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "twin":
        return Twin()
    found: Real = request.getfixturevalue("real")
    return found

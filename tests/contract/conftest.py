"""Stores that contract tests are asked of, each new for its test."""

from collections.abc import AsyncIterator, Iterator
from importlib.resources import files

import pytest

from chassis.database import Database
from chassis.settings import DatabaseSettings
from deploy.embedded.testing import RunningPostgres, start_postgres
from tests.contract.catalogs import Real, Twin, World


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("event-store")) as running:
        yield running


@pytest.fixture
async def real(postgres: RunningPostgres) -> AsyncIterator[Real]:
    with postgres.connect() as connection:
        connection.execute("DROP SCHEMA catalog CASCADE")
        connection.execute("CREATE SCHEMA catalog AUTHORIZATION slipway_catalog")
    settings = DatabaseSettings(
        url=postgres.cluster.url("slipway_catalog", "slipway"), password_file=postgres.password_file("slipway_catalog")
    )
    database = Database(settings, application_name="test")
    await database.open()
    try:
        for _ in range(2):
            await database.migrate(files("services.catalog.adapters") / "schema")
        yield Real(postgres, database)
    finally:
        await database.close()


@pytest.fixture(params=["twin", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "twin":
        return Twin()
    found: Real = request.getfixturevalue("real")
    return found

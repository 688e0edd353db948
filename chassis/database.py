"""A service's own corner of Postgres: a pool with limits, and whether its tables are there.

Invariant: a service's role owns one schema and sees no other, and a service never changes its schema: that is done
before it starts (`chassis.migrations`). It looks whether the schema is one that it can live with, and waits or refuses.
"""

import asyncio
import time
from typing import Final

import structlog
from psycopg import AsyncConnection, OperationalError
from psycopg.errors import UndefinedTable
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from chassis.release import RELEASE, as_numbers
from chassis.settings import DatabaseSettings, read_secret

_log = structlog.get_logger(__name__)

_LIMITS: Final = "-c statement_timeout=15000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000"
_SCHEMA_PATIENCE_SECONDS: Final = 60.0
_SCHEMA_POLL_SECONDS: Final = 0.5
VERSION_TABLE: Final = "alembic_version"
_NEWEST: Final = f"SELECT max(version_num) FROM {VERSION_TABLE} WHERE version_num ~ '^[0-9]'"  # noqa: S608 - a constant
"""An id of a change that takes something away begins with a letter."""
FLOOR_PREFIX: Final = "read by releases after "
"""Begins the comment on the version table once something was taken away from the schema; then follows a release."""


class SchemaError(Exception):
    """The schema is none that this release can live with; the message says what to do."""


Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class Database:
    """A pool of connections for one service."""

    def __init__(self, settings: DatabaseSettings, *, application_name: str) -> None:
        self.pool: Pool = AsyncConnectionPool(
            settings.url,
            kwargs={
                "password": read_secret(settings.password_file).get_secret_value(),
                # Whoever takes something away from the schema sees by this who is still there.
                "application_name": f"{application_name}/{RELEASE}",
                "options": _LIMITS,
                "autocommit": True,
            },
            min_size=1,
            max_size=settings.pool_size,
            timeout=5,
            max_lifetime=1800,
            open=False,
        )

    async def open(self) -> None:
        """Open the pool, waiting for the server as long as it takes."""
        await self.pool.open(wait=False)
        while True:
            try:
                await self.check()
            except (OperationalError, PoolTimeout) as error:
                _log.warning("waiting for the database", error_type=type(error).__name__)
                await asyncio.sleep(0.5)
            else:
                return

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()

    async def check(self) -> None:
        """Raise where the database does not answer."""
        async with self.pool.connection(timeout=2) as connection:
            await connection.execute("SELECT 1")

    async def require(self, needs: str) -> None:
        """Return once the schema has the change `needs`, waiting for whoever is adding it.

        Raises `SchemaError` where something was taken away that this release may read, and where nobody adds what is
        missing within a minute.
        """
        until = time.monotonic() + _SCHEMA_PATIENCE_SECONDS
        while True:
            has, floor = await self._schema()
            if floor and as_numbers(RELEASE) <= as_numbers(floor):
                raise SchemaError(
                    f"what releases up to {floor} read was taken away, and this is {RELEASE}: run a newer release, or "
                    "restore a backup of before"
                )
            if has >= needs:
                return
            if time.monotonic() > until:
                raise SchemaError(
                    f"the schema is at {has or 'nothing'} and this release needs {needs}: "
                    "run `python -m deploy.migrations up` for this service"
                )
            _log.warning("waiting for the schema", has=has, needs=needs)
            await asyncio.sleep(_SCHEMA_POLL_SECONDS)

    async def _schema(self) -> tuple[str, str]:
        """The newest change that was added, and the last release that could read what was taken away; empty for
        none."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (VERSION_TABLE,))
            note = (await cursor.fetchone() or (None,))[0] or ""
            try:
                cursor = await connection.execute(_NEWEST)
            except UndefinedTable:
                return "", ""
            return (await cursor.fetchone() or (None,))[0] or "", note.removeprefix(FLOOR_PREFIX)

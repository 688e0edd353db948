"""A service's own corner of Postgres: a pool with limits, and its tables brought up to date.

Invariant: a service's role owns one schema and sees no other. Schema changes are numbered files, applied once each, in
order, by whichever replica comes first; each must leave the previous release of the service able to run.
"""

import asyncio
import re
from importlib.resources.abc import Traversable
from typing import Final

import structlog
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from chassis.settings import DatabaseSettings, read_secret

_log = structlog.get_logger(__name__)

_LIMITS: Final = "-c statement_timeout=15000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=30000"
_FILE_NAME: Final = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]


class Database:
    """A pool of connections for one service."""

    def __init__(self, settings: DatabaseSettings, *, application_name: str) -> None:
        self.pool: Pool = AsyncConnectionPool(
            settings.url,
            kwargs={
                "password": read_secret(settings.password_file).get_secret_value(),
                "application_name": application_name,
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

    async def migrate(self, directory: Traversable) -> None:
        """Apply the `NNNN_what.sql` files of `directory` not applied yet, each in a transaction of its own."""
        files = {int(match.group(1)): entry for entry in directory.iterdir() if (match := _FILE_NAME.match(entry.name))}
        async with self.pool.connection() as connection:
            for number, entry in sorted(files.items()):
                async with connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 0))")
                    await connection.execute(
                        "CREATE TABLE IF NOT EXISTS schema_version"
                        " (number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
                    )
                    cursor = await connection.execute("SELECT 1 FROM schema_version WHERE number = %s", (number,))
                    if await cursor.fetchone() is None:
                        await connection.execute(entry.read_bytes())
                        await connection.execute("INSERT INTO schema_version (number) VALUES (%s)", (number,))
                        _log.info("applied a schema change", file=entry.name)

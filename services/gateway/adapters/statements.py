"""Single statements on the gateway's schema, each a transaction of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection, AsyncCursor, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import PoolTimeout

from chassis.database import Database
from chassis.failures import TransientError


@asynccontextmanager
async def _cursor(database: Database) -> AsyncIterator[AsyncCursor[DictRow]]:
    try:
        connection: AsyncConnection[Any]
        async with database.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            yield cursor
    except (OperationalError, PoolTimeout) as error:
        raise TransientError("the gateway's database does not answer") from error


async def one(database: Database, statement: LiteralString, values: dict[str, Any]) -> DictRow | None:
    """The first row, or None. Raises as every statement here: `TransientError` where the database is away."""
    async with _cursor(database) as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchone()


async def every(database: Database, statement: LiteralString, values: dict[str, Any]) -> list[DictRow]:
    """Every row."""
    async with _cursor(database) as cursor:
        await cursor.execute(statement, values)
        return await cursor.fetchall()


async def execute(database: Database, statement: LiteralString, values: dict[str, Any]) -> int:
    """How many rows it touched."""
    async with _cursor(database) as cursor:
        await cursor.execute(statement, values)
        return cursor.rowcount

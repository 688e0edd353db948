"""The past of one environment, from the event store in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chassis.database import Database
from chassis.pulling import LogMessage
from services.catalog.adapters.postgres import connection

_UNTIL = """
SELECT sequence, subject, body FROM events
WHERE environment = %(name)s AND version IS NOT NULL AND version <= (
    SELECT max(version) FROM events WHERE environment = %(name)s AND version IS NOT NULL AND time <= %(at)s
)
ORDER BY version
"""
_FACTS_UNTIL = """
SELECT sequence, subject, body FROM signals
WHERE environment = %(name)s AND incarnation = %(incarnation)s AND rejection IS NULL AND time <= %(at)s
ORDER BY sequence
"""


class PostgresHistory:
    """See `ports.History`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def until(self, environment: str, at: datetime) -> Sequence[LogMessage]:
        async with connection(self._database) as database:
            cursor = await database.execute(_UNTIL, {"name": environment, "at": at}, prepare=True, binary=True)
            return [LogMessage(*row) for row in await cursor.fetchall()]

    async def facts_until(self, environment: str, incarnation: UUID, at: datetime) -> Sequence[LogMessage]:
        values = {"name": environment, "incarnation": incarnation, "at": at}
        async with connection(self._database) as database:
            cursor = await database.execute(_FACTS_UNTIL, values, prepare=True, binary=True)
            return [LogMessage(*row) for row in await cursor.fetchall()]

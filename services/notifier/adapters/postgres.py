"""What was sent, in the notifier's schema of Postgres.

A row is held by a session-level advisory lock on the connection that works on it: the remote call happens in no
transaction, and a killed process loses the lock the moment its connection breaks.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final, Literal

from psycopg import AsyncConnection, OperationalError
from psycopg_pool import PoolTimeout

from chassis.database import Database
from chassis.failures import TransientError
from services.notifier.ports import Notification, State

_HELD_ELSEWHERE_SECONDS: Final = 5.0
_LOCK: Final = "hashtextextended('notifier.sent/' || %(event_id)s || '/' || %(channel)s, 0)"


@contextmanager
def _answering() -> Iterator[None]:
    """A database that does not answer is waited for."""
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise TransientError("the notifier's database does not answer") from error


class PostgresLedger:
    """Fulfils `ports.Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def hold(self, notification: Notification) -> AsyncIterator["PostgresEntry"]:
        """See the port."""
        with _answering():
            async with self._database.pool.connection() as connection:
                entry = PostgresEntry(connection, notification)
                await entry.lock()
                try:
                    await entry.load()
                    yield entry
                finally:
                    await entry.unlock()


class PostgresEntry:
    """Fulfils `ports.Entry`."""

    def __init__(self, connection: AsyncConnection[Any], notification: Notification) -> None:
        self._connection = connection
        self._key = {"event_id": str(notification.event_id), "channel": notification.channel}
        self._about = {"event_kind": notification.event_kind, "environment": notification.environment}
        self.state: State = "new"
        self.first_begun_at: datetime | None = None

    async def lock(self) -> None:
        """Hold the row. Raises `TransientError` where another worker holds it."""
        cursor = await self._connection.execute(f"SELECT pg_try_advisory_lock({_LOCK})", self._key)
        row = await cursor.fetchone()
        if row is None or not row[0]:
            raise TransientError("another worker sends this right now", delay_seconds=_HELD_ELSEWHERE_SECONDS)

    async def unlock(self) -> None:
        """Let the row go; a connection that cannot is closed, which lets it go as well."""
        try:
            await self._connection.execute(f"SELECT pg_advisory_unlock({_LOCK})", self._key)
        except BaseException:
            await self._connection.close()
            raise

    async def load(self) -> None:
        """Read what is known."""
        cursor = await self._connection.execute(
            "SELECT state, first_begun_at FROM sent WHERE event_id = %(event_id)s AND channel = %(channel)s", self._key
        )
        if row := await cursor.fetchone():
            self.state, self.first_begun_at = row

    async def begin(self) -> None:
        """See the port."""
        await self._connection.execute(
            "INSERT INTO sent (event_id, channel, event_kind, environment, state, attempts, first_begun_at)"
            " VALUES (%(event_id)s, %(channel)s, %(event_kind)s, %(environment)s, 'sending', 1, now())"
            " ON CONFLICT (event_id, channel) DO UPDATE SET state = 'sending', attempts = sent.attempts + 1,"
            " updated_at = now()",
            self._key | self._about,
        )

    async def settle(self, state: Literal["unsent", "sent", "stale"], ts: str | None = None) -> None:
        """See the port."""
        await self._connection.execute(
            "INSERT INTO sent (event_id, channel, event_kind, environment, state, ts)"
            " VALUES (%(event_id)s, %(channel)s, %(event_kind)s, %(environment)s, %(state)s, %(ts)s)"
            " ON CONFLICT (event_id, channel) DO UPDATE SET state = excluded.state, ts = excluded.ts,"
            " updated_at = now()",
            self._key | self._about | {"state": state, "ts": ts},
        )

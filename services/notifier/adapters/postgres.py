"""What was sent, in the notifier's schema of Postgres.

Rows are held by session-level advisory locks: the remote call happens in no transaction, and a killed process loses
its locks the moment its connection breaks. All rows that a process holds at a time are held by one connection, and what
is to be written about them goes together: a message alone takes a round trip before it is sent and one after, and many
at once share those.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from chassis.database import Database
from chassis.failures import TransientError
from services.notifier.ports import Notification, State

_HELD_ELSEWHERE_SECONDS: Final = 5.0
_LOCK: Final = "hashtextextended('notifier.sent/' || asked.event_id || '/' || asked.channel, 0)"
_FREE: Final = f"""
SELECT pg_advisory_unlock({_LOCK}) FROM unnest(%b::uuid[], %b::text[]) AS asked (event_id, channel)
"""  # noqa: S608 - constants
_HOLD: Final = f"""
WITH held AS MATERIALIZED (
    SELECT asked.*, pg_try_advisory_lock({_LOCK}) AS locked
    FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bool[])
        AS asked (event_id, channel, event_kind, environment, team, is_begun)
), begun AS (
    INSERT INTO sent (event_id, channel, event_kind, environment, team, state, attempts, first_begun_at)
    SELECT event_id, channel, event_kind, environment, team, 'sending', 1, now() FROM held WHERE locked AND is_begun
    ON CONFLICT DO NOTHING RETURNING event_id, channel
)
SELECT held.event_id, held.channel, held.locked, begun.event_id IS NOT NULL
FROM held LEFT JOIN begun USING (event_id, channel)
"""  # noqa: S608 - constants
_LOAD: Final = """
SELECT event_id, channel, state, first_begun_at FROM sent
JOIN unnest(%b::uuid[], %b::text[]) AS asked (event_id, channel) USING (event_id, channel)
"""
_BEGIN: Final = """
INSERT INTO sent (event_id, channel, event_kind, environment, team, state, attempts, first_begun_at)
VALUES (%b::uuid, %b, %b, %b, %b, 'sending', 1, now())
ON CONFLICT (event_id, channel) DO UPDATE SET
    state = 'sending', attempts = sent.attempts + 1, first_begun_at = coalesce(sent.first_begun_at, now()),
    updated_at = now()
"""
_SETTLE: Final = """
INSERT INTO sent (event_id, channel, event_kind, environment, team, state, ts)
SELECT ended.* FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[]) AS ended,
    (SELECT set_config('synchronous_commit', 'off', true)) AS quick
ON CONFLICT (event_id, channel) DO UPDATE SET state = excluded.state, ts = excluded.ts, updated_at = now()
"""
"""Not synced to disk: where a crash of Postgres forgets what became of an attempt, the row says that nobody knows, and
the channel is searched."""

Connection = AsyncConnection[TupleRow]
_Key = tuple[UUID, str]


class PostgresLedger:
    """Fulfils `ports.Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._session: _Session | None = None

    @asynccontextmanager
    async def hold(self, notification: Notification, *, begin: bool = False) -> AsyncIterator["PostgresEntry"]:
        """See the port."""
        session = self._session
        if session is None or session.over:
            session = self._session = _Session(self._database)
        entry = await session.hold(notification, begin=begin)
        try:
            yield entry
        finally:
            session.free(notification)


@dataclass
class PostgresEntry:
    """Fulfils `ports.Entry`."""

    session: "_Session"
    notification: Notification
    state: State = "new"
    first_begun_at: datetime | None = None
    begun: bool = False

    async def begin(self) -> None:
        """See the port."""
        await self.session.begin(self.notification)
        self.begun = True

    async def settle(self, state: Literal["unsent", "sent", "stale"], ts: str | None = None) -> None:
        """See the port."""
        await self.session.settle(self.notification, state, ts)


@dataclass(frozen=True)
class _Ended:
    """What became of a notification, and who waits for it to be written."""

    notification: Notification
    state: str
    ts: str | None
    written: "asyncio.Future[None]"


@dataclass
class _Session:
    """One connection with the locks of all rows that are held, from the first until the last is free; and what is to be
    asked of it next."""

    database: Database
    over: bool = False
    """Whether its connection is given back, or lost together with its locks."""
    _held: set[Notification] = field(default_factory=set)
    """By whom in this process: to Postgres all of them are one."""
    _asked: dict[Notification, tuple[bool, "asyncio.Future[PostgresEntry]"]] = field(default_factory=dict)
    _ended: list[_Ended] = field(default_factory=list)
    _freed: list[Notification] = field(default_factory=list)
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _connection: Connection | None = None
    _task: asyncio.Task[None] | None = None

    async def hold(self, notification: Notification, *, begin: bool) -> PostgresEntry:
        """The row, held. Raises `TransientError` where another worker holds it."""
        if notification in self._held:
            raise _held_elsewhere()
        self._held.add(notification)
        answer: asyncio.Future[PostgresEntry] = asyncio.get_running_loop().create_future()
        self._asked[notification] = (begin, answer)
        self._go_on()
        try:
            return await answer
        except BaseException:
            self.free(notification)
            raise

    def free(self, notification: Notification) -> None:
        """Let the row go, as soon as the connection has nothing else to do."""
        if notification not in self._held:
            return
        self._held.remove(notification)
        if self._asked.pop(notification, None) is None:
            self._freed.append(notification)
        self._work.set()

    async def begin(self, notification: Notification) -> None:
        """Another attempt begins."""
        if self._connection is None:
            raise _away()
        with _answering():
            await self._connection.execute(_BEGIN, _row(notification))

    async def settle(self, notification: Notification, state: str, ts: str | None) -> None:
        """What became of a row that is held."""
        if self.over:
            raise _away()
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended.append(_Ended(notification, state, ts, written))
        self._work.set()
        await written

    def _go_on(self) -> None:
        self._work.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        failure: BaseException = _away()
        try:
            with _answering():
                async with self.database.pool.connection() as self._connection:
                    try:
                        await self._serve(self._connection)
                    except BaseException:
                        await self._connection.close()  # every lock goes with it
                        raise
        except Exception as error:  # noqa: BLE001 - whoever waits hears of it, whatever it is
            failure = error
        finally:
            self.over, self._connection = True, None
            waiting: list[asyncio.Future[Any]] = [answer for _, answer in self._asked.values()]
            waiting += [ended.written for ended in self._ended]
            for one in waiting:
                if not one.done():
                    one.set_exception(failure)

    async def _serve(self, connection: Connection) -> None:
        while self._held or self._freed:
            self._work.clear()
            if self._ended:
                await self._settle_all(connection)
            if self._freed:  # after what became of them is there for all to see
                freed, self._freed = self._freed, []
                await connection.execute(_FREE, _columns(_key(one) for one in freed))
            if self._asked:
                await self._hold_all(connection)
            if self._held and not (self._ended or self._freed or self._asked):
                await self._work.wait()
        self.over = True  # before anything else runs: who comes now begins another one

    async def _settle_all(self, connection: Connection) -> None:
        ended, self._ended = self._ended, []
        try:
            # One row cannot be written twice by one statement: the later word counts.
            rows = {one.notification: (*_row(one.notification), one.state, one.ts) for one in ended}
            await connection.execute(_SETTLE, _columns(rows.values()))
        except BaseException:
            self._ended += ended
            raise
        for one in ended:
            if not one.written.done():
                one.written.set_result(None)

    async def _hold_all(self, connection: Connection) -> None:
        asked, self._asked = self._asked, {}
        try:
            cursor = await connection.execute(_HOLD, _columns((*_row(one), begin) for one, (begin, _) in asked.items()))
            found = {(row[0], row[1]): (row[2], row[3]) for row in await cursor.fetchall()}
            known = await self._load(connection, [one for one in asked if found[_key(one)] == (True, False)])
        except BaseException:
            self._asked |= asked
            raise
        for one, (_, answer) in asked.items():
            is_ours, begun = found[_key(one)]
            if not is_ours:
                self._held.discard(one)
                self._freed = [freed for freed in self._freed if freed != one]
            if answer.done():  # whoever asked is gone, and has freed it
                continue
            if is_ours:
                answer.set_result(PostgresEntry(self, one, *known.get(_key(one), ("new", None)), begun=begun))
            else:
                answer.set_exception(_held_elsewhere())

    @staticmethod
    async def _load(connection: Connection, held: Sequence[Notification]) -> dict[_Key, tuple[State, datetime | None]]:
        """What is known of rows that were there. It is read after they are held, so nobody writes them meanwhile."""
        if not held:
            return {}
        cursor = await connection.execute(_LOAD, _columns(_key(one) for one in held))
        return {(row[0], row[1]): (row[2], row[3]) for row in await cursor.fetchall()}


def _key(one: Notification) -> _Key:
    return one.event_id, one.channel


def _row(one: Notification) -> tuple[UUID, str, str, str, str]:
    return one.event_id, one.channel, one.event_kind, one.environment, one.team


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _away() -> TransientError:
    return TransientError("the notifier's database does not answer")


def _held_elsewhere() -> TransientError:
    return TransientError("another worker sends this right now", delay_seconds=_HELD_ELSEWHERE_SECONDS)


@contextmanager
def _answering() -> Iterator[None]:
    """A database that does not answer is waited for."""
    try:
        yield
    except (OperationalError, PoolTimeout) as error:
        raise _away() from error

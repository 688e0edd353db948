"""The event store in Postgres.

Invariants
- A fold is one statement, so it is one transaction and one round trip. Its first part moves the position, under the
  lock of that row, on the condition that nobody else has; everything else in it happens only if that did.
- What is remembered of views is true as long as the position is where this process left it and no view was rebuilt: a
  fold that was built on anything older is refused.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow
from psycopg_pool import PoolTimeout

from chassis.database import Database
from chassis.failures import TransientError
from chassis.pulling import LogMessage
from contracts.queries import EnvironmentView, RunView
from services.catalog.adapters import postgres_directory as directory
from services.catalog.domain.finding import has_changed
from services.catalog.domain.folding import Known
from services.catalog.domain.records import Batch, Decision, Head, Message
from services.catalog.domain.steps import STEPS, step_seconds, total_seconds
from services.catalog.ports import AlreadyRecordedError, Rejected, Stalling

_LOAD: Final = """
SELECT p.sequence, p.hash, p.rebuilt, e.document::text, r.document::text
FROM log_position p
LEFT JOIN (environments e JOIN runs r ON r.id = e.run_id) ON e.name = ANY(%b::text[])
"""

_KNOWN: Final = """
SELECT e.document::text, r.document::text FROM environments e JOIN runs r ON r.id = e.run_id WHERE e.name = %s
"""
_READY: Final = """
SELECT document::text FROM environments WHERE state = 'ready' AND name > %s ORDER BY name LIMIT %s
"""

_MOVE: Final = """
WITH moved AS (
    UPDATE log_position SET sequence = %b::bigint, hash = %b::bytea
    WHERE sequence = %b::bigint AND rebuilt = %b::int RETURNING 1
), recorded AS (
    INSERT INTO events
        (sequence, subject, body, hash, rejection, event_id, environment, version, kind, run_id, time)
    SELECT new.* FROM moved, unnest(
        %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[], %b::text[], %b::uuid[], %b::text[], %b::int[],
        %b::text[], %b::uuid[], %b::timestamptz[]
    ) AS new
)"""
VIEWS: Final = """, environment_views AS (
    INSERT INTO environments (name, team, state, golden_path, run_id, requested_at, sequence, document)
    SELECT new.name, new.team, new.state, new.golden_path, new.run_id, new.requested_at, new.sequence,
           new.document::json
    FROM moved, unnest(
        %b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::timestamptz[], %b::bigint[], %b::text[]
    ) AS new (name, team, state, golden_path, run_id, requested_at, sequence, document)
    ON CONFLICT (name) DO UPDATE SET
        team = EXCLUDED.team, state = EXCLUDED.state, golden_path = EXCLUDED.golden_path, run_id = EXCLUDED.run_id,
        requested_at = EXCLUDED.requested_at, sequence = EXCLUDED.sequence, document = EXCLUDED.document
), run_views AS (
    INSERT INTO runs
        (id, environment, team, golden_path, state, requested_at, ended_at, stalled, sequence,
         infrastructure_seconds, secrets_seconds, pipeline_seconds, total_seconds, document)
    SELECT new.id, new.environment, new.team, new.golden_path, new.state, new.requested_at, new.ended_at,
           new.stalled, new.sequence, new.infrastructure, new.secrets, new.pipeline, new.total, new.document::json
    FROM moved, unnest(
        %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::timestamptz[],
        %b::bool[], %b::bigint[], %b::float8[], %b::float8[], %b::float8[], %b::float8[], %b::text[]
    ) AS new (id, environment, team, golden_path, state, requested_at, ended_at, stalled, sequence,
              infrastructure, secrets, pipeline, total, document)
    ON CONFLICT (id) DO UPDATE SET
        state = EXCLUDED.state, ended_at = EXCLUDED.ended_at, stalled = EXCLUDED.stalled,
        sequence = EXCLUDED.sequence, moved_at = now(),
        infrastructure_seconds = EXCLUDED.infrastructure_seconds, secrets_seconds = EXCLUDED.secrets_seconds,
        pipeline_seconds = EXCLUDED.pipeline_seconds, total_seconds = EXCLUDED.total_seconds,
        document = EXCLUDED.document
)"""
"""The part of a fold's statement, after `moved`, that writes views: rows of `environment_row` and of `run_row`."""
_DECIDE: Final = """
    INSERT INTO decisions (event_id, cause_sequence, run_id, kind, subject, body)
    SELECT new.* FROM moved, unnest(%b::uuid[], %b::bigint[], %b::uuid[], %b::text[], %b::text[], %b::bytea[]) AS new
    ON CONFLICT (event_id) DO NOTHING
"""
# The fold does not wait for the disk: the log has every message, and whatever a crash of the database takes with it is
# read from there again, views and decisions included. Local to this statement's transaction.
_COUNT: Final = "\nSELECT (SELECT count(*) FROM moved), set_config('synchronous_commit', 'off', true)"
_DECIDED: Final = f", decided AS ({_DECIDE})"
_FOUND_BY: Final = f", found_by AS ({directory.WRITE})"

_SETTLE_DECISIONS: Final = """
DELETE FROM decisions d USING events e WHERE e.event_id = d.event_id AND e.version IS NOT NULL
"""
_IS_UNSAID: Final = "NOT EXISTS (SELECT FROM events said WHERE said.event_id = d.event_id AND said.version IS NOT NULL)"
_UNSAID: Final = f"""
SELECT d.event_id, d.cause_sequence, d.run_id, d.kind, d.subject, d.body, cause.subject, cause.body
FROM decisions d JOIN events cause ON cause.sequence = d.cause_sequence
WHERE {_IS_UNSAID} AND d.decided_at <= now() - make_interval(secs => %s)
ORDER BY d.cause_sequence LIMIT 500
"""  # noqa: S608 - constants
_OLDEST_UNSAID: Final = f"""
SELECT coalesce(extract(epoch FROM now() - min(d.decided_at)), 0)::float8 FROM decisions d WHERE {_IS_UNSAID}
"""  # noqa: S608 - constants
_STALLING: Final = f"""
SELECT e.document::text, r.document::text, last.sequence, last.subject, last.body,
       extract(epoch FROM now() - r.moved_at)::float8
FROM runs r
JOIN environments e ON e.run_id = r.id
JOIN events last ON last.sequence = r.sequence
WHERE r.ended_at IS NULL AND NOT r.stalled AND r.moved_at < now() - make_interval(secs => %s)
  AND NOT EXISTS (SELECT FROM decisions d WHERE d.run_id = r.id AND {_IS_UNSAID})
ORDER BY r.moved_at LIMIT 100
"""  # noqa: S608 - constants
_REJECTED: Final = """
SELECT e.sequence, e.subject, e.body, e.rejection FROM events e
WHERE e.rejection IS NOT NULL AND e.rejection <> 'duplicate'
  AND NOT EXISTS (SELECT FROM laid_aside l WHERE l.sequence = e.sequence)
ORDER BY e.sequence LIMIT 500
"""

_log = structlog.get_logger(__name__)

Connection = AsyncConnection[TupleRow]


@asynccontextmanager
async def connection(database: Database) -> AsyncIterator[Connection]:
    """A connection of the pool; whatever is wrong with the server becomes a `TransientError`."""
    try:
        async with database.pool.connection() as found:
            yield found
    except (psycopg.OperationalError, PoolTimeout, errors.LockNotAvailable) as error:
        raise TransientError(f"the database is away: {type(error).__name__}") from error


class PostgresEventStore:
    """See `ports.EventStore`."""

    def __init__(self, database: Database, *, remembered_environments: int = 2000) -> None:
        self._database = database
        self._limit = remembered_environments
        self._head: Head | None = None
        self._rebuilt = 0
        self._remembered: OrderedDict[str, Known] = OrderedDict()

    async def head(self, *, fresh: bool = False) -> Head:
        before = self._head
        if before is None or fresh:
            async with connection(self._database) as database:
                cursor = await database.execute("SELECT sequence, hash, rebuilt FROM log_position", prepare=True)
                row = await cursor.fetchone()
            if row is None:
                raise LookupError("the table log_position has lost its row")
            if self._head is before or self._head is None:  # else a fold went by while we asked
                self._be_at(Head(row[0], row[1]), row[2])
        return self._at

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        if self._database.pool.max_size < 2:  # a turn holds a connection, and folding needs another
            yield
            return
        async with connection(self._database) as database, database.transaction():
            try:
                async with database.transaction():
                    await database.execute("SET LOCAL lock_timeout = '1s'")
                    await database.execute("SELECT pg_advisory_xact_lock(hashtextextended('catalog turn', 0))")
            except errors.LockNotAvailable:
                _log.warning("another replica keeps its turn; going on without")
            yield

    async def load(self, names: Collection[str]) -> tuple[Head, Mapping[str, Known]]:
        unknown = [name for name in names if name not in self._remembered]
        if unknown or self._head is None:
            async with connection(self._database) as database:
                cursor = await database.execute(_LOAD, (unknown,), prepare=True)
                rows = await cursor.fetchall()
            self._be_at(Head(rows[0][0], rows[0][1]), rows[0][2])
            for _, _, _, environment, run in rows:
                if environment is not None:
                    found = _known(environment, run)
                    self._remembered[found.environment.name] = found
            if any(name not in unknown and name not in self._remembered for name in names):
                return await self.load(names)  # somebody else moved on: what was remembered is forgotten
        return self._at, {name: self._remembered[name] for name in names if name in self._remembered}

    async def append(self, batch: Batch, decisions: Sequence[Decision]) -> bool:
        statement, parameters = _statement(batch, self._rebuilt, decisions, self._newly_found(batch))
        try:
            async with connection(self._database) as database:
                cursor = await database.execute(statement, parameters, prepare=True)
                row = await cursor.fetchone()
        except errors.UniqueViolation as error:
            if error.diag.constraint_name != "events_event_id":
                raise
            raise AlreadyRecordedError from error
        except TransientError:
            self._head = None  # the answer is lost: it may have been stored
            self._remembered.clear()
            raise
        if row is None or row[0] != 1:
            self._head = None
            self._remembered.clear()
            return False
        self._head = batch.head
        for name, known in batch.known.items():
            self._remembered[name] = known
            self._remembered.move_to_end(name)
        while len(self._remembered) > self._limit:
            self._remembered.popitem(last=False)
        return True

    async def recorded(self, ids: Collection[UUID]) -> set[UUID]:
        async with connection(self._database) as database:
            cursor = await database.execute(
                "SELECT event_id FROM events WHERE event_id = ANY(%b::uuid[]) AND version IS NOT NULL", (list(ids),)
            )
            return {row[0] for row in await cursor.fetchall()}

    async def message(self, sequence: int) -> Message | None:
        async with connection(self._database) as database:
            cursor = await database.execute("SELECT subject, body FROM events WHERE sequence = %s", (sequence,))
            row = await cursor.fetchone()
        return LogMessage(sequence, row[0], row[1]) if row else None

    async def unsaid(self, older_than_seconds: float) -> Sequence[tuple[Decision, Message]]:
        async with connection(self._database) as database:
            await database.execute(_SETTLE_DECISIONS)
            cursor = await database.execute(_UNSAID, (older_than_seconds,))
            rows = await cursor.fetchall()
        return [(Decision(*row[:6]), LogMessage(row[1], row[6], row[7])) for row in rows]

    async def oldest_unsaid_seconds(self) -> float:
        async with connection(self._database) as database:
            row = await (await database.execute(_OLDEST_UNSAID)).fetchone()
        return float(row[0]) if row else 0.0

    async def forget(self, event_id: UUID) -> None:
        async with connection(self._database) as database:
            await database.execute("DELETE FROM decisions WHERE event_id = %s", (event_id,))

    async def stalling(self, after_seconds: float) -> Sequence[Stalling]:
        async with connection(self._database) as database:
            rows = await (await database.execute(_STALLING, (after_seconds,))).fetchall()
        return [Stalling(_known(row[0], row[1]), LogMessage(*row[2:5]), row[5]) for row in rows]

    async def decide(self, decision: Decision) -> bool:
        statement = f"WITH moved AS (SELECT 1) {_DECIDE} RETURNING 1"
        async with connection(self._database) as database:
            cursor = await database.execute(statement, _decision_columns([decision]))
            return await cursor.fetchone() is not None

    async def rejected(self) -> Sequence[Rejected]:
        async with connection(self._database) as database:
            rows = await (await database.execute(_REJECTED)).fetchall()
        return [Rejected(LogMessage(*row[:3]), row[3]) for row in rows]

    async def known(self, name: str) -> Known | None:
        # Not by `load`: that shares what it remembers with the fold.
        async with connection(self._database) as database:
            row = await (await database.execute(_KNOWN, (name,))).fetchone()
        return _known(row[0], row[1]) if row else None

    async def ready(self, after: str, limit: int) -> Sequence[EnvironmentView]:
        async with connection(self._database) as database:
            rows = await (await database.execute(_READY, (after, limit))).fetchall()
        return [EnvironmentView.model_validate_json(row[0]) for row in rows]

    async def laid_aside(self, sequence: int) -> None:
        async with connection(self._database) as database:
            await database.execute("INSERT INTO laid_aside VALUES (%s) ON CONFLICT DO NOTHING", (sequence,))

    def _newly_found(self, batch: Batch) -> list[EnvironmentView]:
        """What has to be entered into the directory: what is found another way than this process remembers."""
        return [
            known.environment
            for name, known in sorted(batch.known.items())
            if has_changed(self._view_of(name), known.environment)
        ]

    def _view_of(self, name: str) -> EnvironmentView | None:
        remembered = self._remembered.get(name)
        return remembered.environment if remembered is not None else None

    @property
    def _at(self) -> Head:
        if self._head is None:
            raise LookupError("the position is not known")
        return self._head

    def _be_at(self, head: Head, rebuilt: int) -> None:
        if head != self._head or rebuilt != self._rebuilt:
            self._remembered.clear()
            self._head, self._rebuilt = head, rebuilt


def _known(environment: str, run: str) -> Known:
    return Known(EnvironmentView.model_validate_json(environment), RunView.model_validate_json(run))


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _statement(
    batch: Batch, rebuilt: int, decisions: Sequence[Decision], newly_found: Sequence[EnvironmentView]
) -> tuple[str, list[Any]]:
    """The statement that stores a batch, with only the parts that it needs."""
    parameters = [batch.head.sequence, batch.head.hash, batch.before.sequence, rebuilt, *columns(batch.records, 11)]
    if not batch.known:
        return _MOVE + _COUNT, parameters
    statement = _MOVE + VIEWS
    # Rows are locked in one order, whoever folds.
    known = [batch.known[name] for name in sorted(batch.known)]
    runs = {run.id: run for run in (*batch.closed, *(one.run for one in known))}
    parameters += columns([environment_row(one.environment) for one in known], 8)
    parameters += columns([run_row(runs[run_id]) for run_id in sorted(runs)], 14)
    if newly_found:
        statement += _FOUND_BY
        parameters += directory.columns(newly_found)
    if decisions:
        statement += _DECIDED
        parameters += _decision_columns(decisions)
    return statement + _COUNT, parameters


def environment_row(view: EnvironmentView) -> tuple[Any, ...]:
    """A row of `environments`."""
    return (
        view.name,
        view.spec.owner.team,
        view.state,
        view.spec.golden_path,
        view.run_id,
        view.created_at,
        view.last_sequence,
        view.model_dump_json(),
    )


def run_row(view: RunView) -> tuple[Any, ...]:
    """A row of `runs`, but for `moved_at`."""
    return (
        view.id,
        view.environment,
        view.team,
        view.golden_path,
        view.state,
        view.requested_at,
        view.ended_at,
        view.stalled_since is not None,
        view.last_sequence,
        *(step_seconds(view, step) for step in STEPS),
        total_seconds(view),
        view.model_dump_json(),
    )


def _decision_columns(decisions: Sequence[Decision]) -> list[list[Any]]:
    return columns([(d.event_id, d.cause_sequence, d.run_id, d.kind, d.subject, d.body) for d in decisions], 6)

"""The copy of the stream of facts in Postgres, and what is known from outside.

Invariant: a fold is one statement that moves the position first, as that of the log is; everything else in it happens
only if nobody else has moved it. It shares no row with the fold of the log but those of the directory, which both lock
by name.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import UUID

from psycopg import errors

from chassis.database import Database
from chassis.pulling import LogMessage
from services.catalog.adapters.postgres import connection
from services.catalog.domain.records import Head, Message
from services.catalog.domain.signals import Facts, Life, SignalBatch
from services.catalog.ports import AlreadyRecordedError

_LOAD: Final = """
SELECT p.sequence, p.hash, d.name, d.incarnation, d.created_at, f.document::text
FROM signal_position p
LEFT JOIN (directory d LEFT JOIN facts f ON f.name = d.name AND f.incarnation = d.incarnation)
    ON d.name = ANY(%b::text[])
"""
_APPEND: Final = """
WITH moved AS (
    UPDATE signal_position SET sequence = %b::bigint, hash = %b::bytea WHERE sequence = %b::bigint RETURNING 1
), recorded AS (
    INSERT INTO signals
        (sequence, subject, body, hash, rejection, signal_id, environment, incarnation, kind, time)
    SELECT new.* FROM moved, unnest(
        %b::bigint[], %b::bytea[], %b::bytea[], %b::bytea[], %b::text[], %b::uuid[], %b::text[], %b::uuid[],
        %b::text[], %b::timestamptz[]
    ) AS new
), said AS (
    SELECT new.* FROM moved, unnest(
        %b::text[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::timestamptz[]
    ) AS new (name, incarnation, document, running, deployment, last_activity_at)
), known AS (
    INSERT INTO facts (name, incarnation, document) SELECT name, incarnation, document::json FROM said
    ON CONFLICT (name) DO UPDATE SET incarnation = EXCLUDED.incarnation, document = EXCLUDED.document
), locked AS (
    SELECT d.name FROM directory d WHERE d.name IN (SELECT name FROM said) ORDER BY d.name FOR UPDATE
), shown AS (
    UPDATE directory d SET
        running = CASE WHEN d.state = 'deleted' THEN 'unknown' ELSE said.running END,
        deployment = said.deployment, last_activity_at = greatest(d.last_activity_at, said.last_activity_at)
    FROM locked JOIN said ON said.name = locked.name
    WHERE d.name = locked.name AND d.incarnation = said.incarnation
)
SELECT (SELECT count(*) FROM moved), set_config('synchronous_commit', 'off', true)
"""


class PostgresSignals:
    """See `ports.SignalStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self) -> Head:
        async with connection(self._database) as database:
            cursor = await database.execute("SELECT sequence, hash FROM signal_position", prepare=True)
            row = await cursor.fetchone()
        if row is None:
            raise LookupError("the table signal_position has lost its row")
        return Head(row[0], row[1])

    async def load(self, names: Collection[str]) -> tuple[Head, Mapping[str, Life], Mapping[str, Facts]]:
        async with connection(self._database) as database:
            cursor = await database.execute(_LOAD, (list(names),), prepare=True)
            rows = await cursor.fetchall()
        return (
            Head(rows[0][0], rows[0][1]),
            {row[2]: Life(row[3], row[4]) for row in rows if row[2] is not None},
            {row[2]: Facts.model_validate_json(row[5]) for row in rows if row[5] is not None},
        )

    async def append(self, batch: SignalBatch) -> bool:
        try:
            async with connection(self._database) as database:
                cursor = await database.execute(_APPEND, _parameters(batch), prepare=True)
                row = await cursor.fetchone()
        except errors.UniqueViolation as error:
            if error.diag.constraint_name != "signals_signal_id":
                raise
            raise AlreadyRecordedError from error
        return row is not None and row[0] == 1

    async def recorded(self, ids: Collection[UUID]) -> set[UUID]:
        statement = "SELECT signal_id FROM signals WHERE signal_id = ANY(%b::uuid[]) AND rejection IS NULL"
        async with connection(self._database) as database:
            return {row[0] for row in await (await database.execute(statement, (list(ids),))).fetchall()}

    async def message(self, sequence: int) -> Message | None:
        async with connection(self._database) as database:
            cursor = await database.execute("SELECT subject, body FROM signals WHERE sequence = %s", (sequence,))
            row = await cursor.fetchone()
        return LogMessage(sequence, row[0], row[1]) if row else None

    async def facts(self, names: Collection[str]) -> Mapping[str, Facts]:
        statement = "SELECT document::text FROM facts WHERE name = ANY(%b::text[])"
        async with connection(self._database) as database:
            cursor = await database.execute(statement, (list(names),), prepare=True)
            found = [Facts.model_validate_json(row[0]) for row in await cursor.fetchall()]
        return {facts.name: facts for facts in found}


def _parameters(batch: SignalBatch) -> list[Any]:
    records = [
        (
            r.sequence,
            r.subject,
            r.body,
            r.hash,
            r.rejection,
            r.signal_id,
            r.environment,
            r.incarnation,
            r.kind,
            r.time,
        )
        for r in batch.records
    ]
    facts = [
        (f.name, f.incarnation, f.model_dump_json(), f.running, f.deployment, f.last_activity_at)
        for _, f in sorted(batch.facts.items())
    ]
    return [
        batch.head.sequence,
        batch.head.hash,
        batch.before.sequence,
        *_columns(records, 10),
        *_columns(facts, 6),
    ]


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]

"""The read side in Postgres: answers made of the views that folding stored.

A page is cut where it would not fit into one message of the bus (1 MiB): fewer items than asked for, and a cursor.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, TypeVar
from uuid import UUID

from psycopg import sql
from pydantic import JsonValue, TypeAdapter

from chassis.database import Database
from contracts import queries
from contracts.queries import (
    Durations,
    Environments,
    EnvironmentView,
    Events,
    FindEnvironments,
    FindRuns,
    GetDurations,
    GetEnvironment,
    GetEvents,
    GetRun,
    OneEnvironment,
    OneRun,
    RecordedEvent,
    Runs,
    RunView,
    StepDuration,
    WhichAreKnown,
)
from services.catalog.adapters.postgres import connection

PAGE_BYTES: Final = 768 * 1024
HISTORY_DAYS: Final = 30
_OBJECT: Final = TypeAdapter(dict[str, JsonValue])
_DURATIONS: Final = """
SELECT count(*), percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY infrastructure_seconds),
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY secrets_seconds),
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY pipeline_seconds),
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY total_seconds)
FROM runs
WHERE golden_path = %s AND total_seconds IS NOT NULL AND ended_at > now() - make_interval(days => %s)
"""

T = TypeVar("T")


class PostgresViews:
    """See `ports.Views`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def environments(self, query: FindEnvironments) -> Environments:
        where = _Where()
        where.unless_none("team = ANY(%s)", None if query.teams is None else list(query.teams))
        where.unless_none("state = %s", query.state)
        where.unless_none("golden_path = %s", query.golden_path)
        where.unless_none("position(%s IN name) > 0", query.name_contains)
        if not query.include_deleted and query.state != "deleted":
            where.always("state <> 'deleted'")
        total, counted = where.statement("SELECT count(*) FROM environments"), list(where.parameters)
        where.unless_none("name > %s", query.after)
        page = where.statement("SELECT document::text FROM environments", " ORDER BY name LIMIT %s")
        async with connection(self._database) as database, database.pipeline():
            count = await database.execute(total, counted)
            rows = await database.execute(page, [*where.parameters, query.limit + 1])
            row, found = await count.fetchone(), [row[0] for row in await rows.fetchall()]
        shown = _fitting(found[: query.limit], len)
        items = tuple(EnvironmentView.model_validate_json(document) for document in shown)
        more = len(found) > len(items)
        return Environments(
            items=items, total=row[0] if row else 0, next_cursor=items[-1].name if more and items else None
        )

    async def environment(self, query: GetEnvironment) -> OneEnvironment:
        found = await self._column("SELECT document::text FROM environments WHERE name = %s", query.environment)
        return OneEnvironment(environment=EnvironmentView.model_validate_json(found[0]) if found else None)

    async def events(self, query: GetEvents) -> Events:
        statement = """
            SELECT sequence, version, subject, body FROM events
            WHERE environment = %s AND version IS NOT NULL AND sequence > %s ORDER BY version LIMIT %s
        """
        async with connection(self._database) as database:
            cursor = await database.execute(
                statement, (query.environment, query.after_sequence, query.limit), prepare=True, binary=True
            )
            rows = await cursor.fetchall()
        fitting = _fitting(rows, lambda row: len(row[3]))
        return Events(
            items=tuple(
                RecordedEvent(
                    sequence=sequence, version=version, subject=subject.decode(), event=_OBJECT.validate_json(body)
                )
                for sequence, version, subject, body in fitting
            )
        )

    async def runs(self, query: FindRuns) -> Runs:
        where = _Where()
        where.unless_none("environment = %s", query.environment)
        where.unless_none("team = ANY(%s)", None if query.teams is None else list(query.teams))
        where.unless_none("sequence < %s", query.before_sequence)
        statement = where.statement("SELECT document::text FROM runs", " ORDER BY sequence DESC LIMIT %s")
        found = await self._column(statement, *where.parameters, query.limit)
        return Runs(items=tuple(RunView.model_validate_json(document) for document in _fitting(found, len)))

    async def run(self, query: GetRun) -> OneRun:
        found = await self._column("SELECT document::text FROM runs WHERE id = %s", query.run_id)
        return OneRun(run=RunView.model_validate_json(found[0]) if found else None)

    async def which_are_known(self, query: WhichAreKnown) -> queries.Known:
        statement = "SELECT event_id FROM events WHERE event_id = ANY(%s) AND version IS NOT NULL"
        known: set[UUID] = set(await self._column(statement, list(query.ids)))
        return queries.Known(ids=tuple(one for one in query.ids if one in known))

    async def durations(self, query: GetDurations) -> Durations:
        async with connection(self._database) as database:
            cursor = await database.execute(_DURATIONS, (query.golden_path, HISTORY_DAYS), prepare=True)
            row = await cursor.fetchone()
        if row is None or not row[0]:
            return Durations(items=())
        count, *percentiles = row
        names = ("infrastructure", "secrets", "pipeline", "total")
        return Durations(
            items=tuple(
                StepDuration(step=name, count=count, p50_seconds=p50, p90_seconds=p90)
                for name, (p50, p90) in zip(names, percentiles, strict=True)
            )
        )

    async def _column(self, statement: LiteralString | sql.Composed, *parameters: Any) -> list[Any]:
        async with connection(self._database) as database:
            cursor = await database.execute(statement, parameters)
            return [row[0] for row in await cursor.fetchall()]


class _Where:
    """Conditions and their parameters, in one order."""

    def __init__(self) -> None:
        self._conditions: list[sql.SQL] = []
        self.parameters: list[Any] = []

    def always(self, condition: LiteralString) -> None:
        """A condition without a parameter."""
        self._conditions.append(sql.SQL(condition))

    def unless_none(self, condition: LiteralString, value: Any) -> None:
        """A condition on a value that was given."""
        if value is not None:
            self.always(condition)
            self.parameters.append(value)

    def statement(self, select: LiteralString, rest: LiteralString = "") -> sql.Composed:
        """The statement with the conditions in it."""
        found = sql.SQL(" AND ").join(self._conditions) if self._conditions else sql.SQL("true")
        return sql.SQL(select) + sql.SQL(" WHERE ") + found + sql.SQL(rest)


def _fitting(rows: Sequence[T], size: Callable[[T], int]) -> list[T]:
    """As many of the rows as fit into one message, and at least one."""
    fitting: list[T] = []
    used = 0
    for row in rows:
        used += size(row)
        if fitting and used > PAGE_BYTES:
            break
        fitting.append(row)
    return fitting

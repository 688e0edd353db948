"""The read side in Postgres: answers made of the views that folding stored.

A page is cut where it would not fit into one message of the bus (1 MiB): fewer items than asked for, and a cursor.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, TypeVar
from uuid import UUID

from pydantic import JsonValue, TypeAdapter

from chassis.clock import Clock, SystemClock
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
    GetGraph,
    GetRun,
    Graph,
    OneEnvironment,
    OneRun,
    RecordedEvent,
    Runs,
    RunView,
    StepDuration,
    WhichAreKnown,
)
from services.catalog.adapters import postgres_find as find
from services.catalog.adapters import postgres_runs as runs
from services.catalog.adapters.postgres import connection
from services.catalog.adapters.postgres_graph import connected
from services.catalog.domain.signals import Facts, shown

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
_ENVIRONMENT: Final = """
SELECT e.document::text, f.document::text FROM environments e LEFT JOIN facts f ON f.name = e.name WHERE e.name = %s
"""

T = TypeVar("T")


class PostgresViews:
    """See `ports.Views`."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def environments(self, query: FindEnvironments) -> Environments:
        async with connection(self._database) as database:
            counted = await find.count(database, query)
            found = await find.page(database, query, counted)
        page = _fitting(found[: query.limit], lambda one: len(one.environment) + len(one.facts or ""))
        return Environments(
            items=tuple(self._shown(one.environment, one.facts) for one in page),
            total=counted.total,
            total_is_exact=counted.is_exact,
            next_cursor=page[-1].cursor if page and len(found) > len(page) else None,
            facets=counted.facets,
        )

    async def environment(self, query: GetEnvironment) -> OneEnvironment:
        async with connection(self._database) as database:
            row = await (await database.execute(_ENVIRONMENT, (query.environment,), prepare=True)).fetchone()
        return OneEnvironment(environment=self._shown(*row) if row else None)

    async def graph(self, query: GetGraph) -> Graph:
        async with connection(self._database) as database:
            found, is_complete = await connected(database, query.environment)
        fitting = _fitting(found, lambda one: len(one[0]) + len(one[1] or ""))
        environments = tuple(self._shown(*one) for one in fitting)
        return Graph(environments=environments, complete=is_complete and len(fitting) == len(found))

    def _shown(self, environment: str, facts: str | None) -> EnvironmentView:
        known = Facts.model_validate_json(facts) if facts is not None else None
        return shown(EnvironmentView.model_validate_json(environment), known, self._clock.now())

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
        statement, parameters = runs.newest(query)
        async with connection(self._database) as database:
            cursor = await database.execute(statement, parameters, prepare=False)  # planned for these very values
            found = [row[1] for row in await cursor.fetchall()]
            states = await runs.count(database, query) if query.counts else ()
        items = tuple(RunView.model_validate_json(document) for document in _fitting(found, len))
        return Runs(items=items, states=states)

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

    async def _column(self, statement: LiteralString, *parameters: Any) -> list[Any]:
        async with connection(self._database) as database:
            cursor = await database.execute(statement, parameters)
            return [row[0] for row in await cursor.fetchall()]


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

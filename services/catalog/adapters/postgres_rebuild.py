"""Views folded anew from the copy of the log, beside those that are stored.

Names are taken a page at a time, and shared out among the workers. What each reads is one snapshot, in which a fold is
whole or not there at all, so nobody has to wait for a comparison. Only where something differs is the position locked,
and the names that differ are folded and written once more under that lock.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from psycopg import IsolationLevel

from chassis.database import Database
from contracts.envelope import Event
from contracts.events import parse
from contracts.maintenance import Rebuild, Rebuilt
from services.catalog.adapters import postgres_directory as directory
from services.catalog.adapters.postgres import VIEWS, Connection, columns, connection, environment_row, run_row
from services.catalog.adapters.rebuild_workers import Workers
from services.catalog.domain.finding import entry
from services.catalog.domain.records import Folded, name_in, refold

_NAMES: Final = """
SELECT name FROM (
    (SELECT environment AS name FROM events
     WHERE version = 1 AND environment COLLATE "C" > %(after)s ORDER BY environment COLLATE "C" LIMIT %(limit)s)
    UNION
    (SELECT name FROM environments WHERE name > %(after)s ORDER BY name LIMIT %(limit)s)
) AS known ORDER BY name COLLATE "C" LIMIT %(limit)s
"""
_EVENTS: Final = "SELECT environment, sequence, body FROM events WHERE environment = ANY(%s) AND version IS NOT NULL"
_REJECTED: Final = """
SELECT sequence, subject FROM events WHERE rejection IS NOT NULL AND (environment IS NULL OR environment = ANY(%s))
"""
_ENVIRONMENTS: Final = """
SELECT name, team, state, golden_path, run_id, requested_at, sequence, document::text
FROM environments WHERE name = ANY(%s)
"""
_RUNS: Final = """
SELECT id, environment, team, golden_path, state, requested_at, ended_at, stalled, sequence,
       infrastructure_seconds, secrets_seconds, pipeline_seconds, total_seconds, document::text
FROM runs WHERE environment = ANY(%s)
"""
_DIRECTORY: Final = """
SELECT name, incarnation, team, person, kind, golden_path, state, repository, branch, created_at,
       nullif(expires_at, 'infinity'), cost_per_month, grantees, depends_on, path
FROM directory d
WHERE name = ANY(%s) AND (state <> 'deleted' OR EXISTS (SELECT FROM environments e WHERE e.name = d.name))
"""
_GONE: Final = "UPDATE directory SET state = 'deleted' WHERE name = ANY(%s)"
_REPLACE: Final = f"""
WITH moved AS (UPDATE log_position SET rebuilt = rebuilt + 1 RETURNING 1) {VIEWS}, found_by AS ({directory.WRITE})
SELECT count(*) FROM moved
"""  # noqa: S608 - constants

_WORTH_SHARING: Final = 20
"""Names below which one worker is as quick as two."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Page:
    """A page of names, folded anew, and which of them are stored in another way."""

    views: Folded
    events: int
    differing: list[str]


@dataclass(frozen=True)
class Looked:
    """How many events of some names were folded anew, and which of the names are stored in another way."""

    events: int
    differing: list[str]


class PostgresRebuild:
    """See `ports.Workshop`."""

    def __init__(self, database: Database, workers: Workers | None = None) -> None:
        """Without `workers` names are folded where the question was asked."""
        self._database = database
        self._workers = workers

    async def rebuild(self, query: Rebuild) -> Rebuilt:
        async with connection(self._database) as session:
            cursor = await session.execute(_NAMES, {"after": query.after, "limit": query.limit}, prepare=True)
            names = [row[0] for row in await cursor.fetchall()]
        found = await asyncio.gather(*(self._look(part, replace=query.replace) for part in self._shared_out(names)))
        return Rebuilt(
            names=len(names),
            events=sum(one.events for one in found),
            differing=tuple(name for one in found for name in one.differing),
            next_after=names[-1] if len(names) == query.limit else None,
        )

    def _shared_out(self, names: list[str]) -> list[list[str]]:
        """Names in order, in a part for each worker; in one where there is none, or little to do."""
        ready = self._workers is not None and self._workers.are_ready
        parts = self._workers.count if self._workers is not None and ready and len(names) >= _WORTH_SHARING else 1
        size = -(-len(names) // parts) or 1
        return [names[at : at + size] for at in range(0, len(names), size)]

    async def _look(self, names: Sequence[str], *, replace: bool) -> Looked:
        if self._workers is None:
            return await look(self._database, names, replace)
        return await self._workers.give(look, self._database, names, replace=replace)


async def look(database: Database, names: Sequence[str], replace: bool) -> Looked:
    """Fold these names anew, compare, and with `replace` put what came of it in the place of what differs. A
    `rebuild_workers.Deed`."""
    async with connection(database) as session:
        await session.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        try:
            async with session.transaction():
                found = await _fold(session, names)
        finally:
            await session.set_isolation_level(None)
        differing = found.differing
        if differing:
            _log.warning("views are not what the log says", names=differing[:20], count=len(differing))
        if differing and replace:
            await _replace(session, differing)
    return Looked(found.events, differing)


async def _fold(session: Connection, names: Sequence[str]) -> _Page:
    wanted = list(names)
    async with session.pipeline():  # Postgres reads on while the first of it is folded
        events = await session.execute(_EVENTS, (wanted,), prepare=True, binary=True)
        rejected = await session.execute(_REJECTED, (wanted,), prepare=True, binary=True)
        environments = await session.execute(_ENVIRONMENTS, (wanted,), prepare=True, binary=True)
        runs = await session.execute(_RUNS, (wanted,), prepare=True, binary=True)
        entries = await session.execute(_DIRECTORY, (wanted,), prepare=True, binary=True)
        told: list[tuple[str, int, Event | None]] = [
            (name, sequence, parse(body)) for name, sequence, body in await events.fetchall()
        ]
        count, of_page = len(told), set(wanted)
        for sequence, subject in await rejected.fetchall():
            if (name := name_in(subject)) in of_page:  # it moved what a conditional publish has to expect
                told.append((name, sequence, None))
        told.sort(key=_in_the_order_of_the_log)
        views = refold(told, on_error=_report)
        stored_environments = {row[0]: row for row in await environments.fetchall()}
        stored_runs: dict[str, dict[Any, tuple[Any, ...]]] = {name: {} for name in wanted}
        for row in await runs.fetchall():
            stored_runs[row[1]][row[0]] = row
        stored_entries = {row[0]: row for row in await entries.fetchall()}
    runs_anew = _runs(views)
    differing = [
        name
        for name in wanted
        if (stored_environments.get(name), stored_runs[name], stored_entries.get(name))
        != (_environment(views, name), runs_anew.get(name, {}), _entry(views, name))
    ]
    return _Page(views, count, differing)


def _in_the_order_of_the_log(told: tuple[str, int, Event | None]) -> int:
    return told[1]


def _environment(views: Folded, name: str) -> tuple[Any, ...] | None:
    known = views.known.get(name)
    return environment_row(known.environment) if known is not None else None


def _entry(views: Folded, name: str) -> tuple[Any, ...] | None:
    """What the log says of how a name is found. What facts say beside it is theirs; and when it was updated is noted
    only where something else changes, so it depends on how much was folded at once."""
    known = views.known.get(name)
    if known is None:
        return None
    *plain, _, expires_at, _, cost, grantees, depends_on, path = entry(known.environment)
    return (*plain, expires_at, cost, list(grantees), list(depends_on), path)


def _runs(views: Folded) -> dict[str, dict[Any, tuple[Any, ...]]]:
    """The rows of every run, by name and id."""
    found: dict[str, dict[Any, tuple[Any, ...]]] = {}
    for run in (*views.closed, *(known.run for known in views.known.values())):
        found.setdefault(run.environment, {})[run.id] = run_row(run)
    return found


async def _replace(session: Connection, names: Iterable[str]) -> None:
    async with session.transaction():
        await session.execute("SELECT FROM log_position FOR UPDATE")
        found = await _fold(session, sorted(names))
        wrong = found.differing
        if not wrong:
            return
        await session.execute("DELETE FROM runs WHERE environment = ANY(%s)", (wrong,))
        await session.execute("DELETE FROM environments WHERE name = ANY(%s)", (wrong,))
        anew = [name for name in wrong if name in found.views.known]
        views = [found.views.known[name].environment for name in anew]
        environments = [environment_row(view) for view in views]
        runs_anew = _runs(found.views)
        runs = [row for name in anew for _, row in sorted(runs_anew[name].items())]
        await session.execute(_GONE, ([name for name in wrong if name not in found.views.known],))
        await session.execute(_REPLACE, [*columns(environments, 8), *columns(runs, 14), *directory.columns(views)])


def _report(event: Event, error: Exception) -> None:
    _log.error("folding an event anew failed", event_id=str(event.id), event_kind=event.kind, exc_info=error)

"""Views folded anew from the copy of the log, beside those that are stored.

Names are taken a page at a time. What is read is one snapshot, in which a fold is whole or not there at all, so nobody
has to wait for a comparison. Only where something differs is the position locked, and the names that differ are folded
and written once more under that lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog
from psycopg import IsolationLevel

from chassis.database import Database
from chassis.pulling import LogMessage
from contracts.envelope import Event
from contracts.events import parse
from contracts.maintenance import Rebuild, Rebuilt
from services.catalog.adapters import postgres_directory as directory
from services.catalog.adapters.postgres import VIEWS, Connection, columns, connection, environment_row, run_row
from services.catalog.domain.finding import entry
from services.catalog.domain.records import EMPTY, Batch, Examined, name_in, project

_NAMES: Final = """
SELECT name FROM (
    (SELECT DISTINCT environment AS name FROM events
     WHERE version IS NOT NULL AND environment COLLATE "C" > %(after)s ORDER BY 1 LIMIT %(limit)s)
    UNION
    (SELECT name FROM environments WHERE name > %(after)s ORDER BY name LIMIT %(limit)s)
) AS known ORDER BY name COLLATE "C" LIMIT %(limit)s
"""
_EVENTS: Final = "SELECT sequence, subject, body FROM events WHERE environment = ANY(%s) AND version IS NOT NULL"
_REJECTED: Final = "SELECT sequence, subject FROM events WHERE rejection IS NOT NULL"
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
FROM directory WHERE name = ANY(%s) AND (state <> 'deleted' OR name IN (SELECT name FROM environments))
"""
_GONE: Final = "UPDATE directory SET state = 'deleted' WHERE name = ANY(%s)"
_REPLACE: Final = f"""
WITH moved AS (UPDATE log_position SET rebuilt = rebuilt + 1 RETURNING 1) {VIEWS}, found_by AS ({directory.WRITE})
SELECT count(*) FROM moved
"""  # noqa: S608 - constants

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Folded:
    """A page of names, folded anew, and which of them are stored in another way."""

    batch: Batch
    events: int
    differing: list[str]


class PostgresRebuild:
    """See `ports.Workshop`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rebuild(self, query: Rebuild) -> Rebuilt:
        async with connection(self._database) as session:
            await session.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            try:
                async with session.transaction():
                    cursor = await session.execute(_NAMES, {"after": query.after, "limit": query.limit})
                    names = [row[0] for row in await cursor.fetchall()]
                    found = await _fold(session, names)
            finally:
                await session.set_isolation_level(None)
            differing = found.differing
            if differing:
                _log.warning("views are not what the log says", names=differing[:20], count=len(differing))
            if differing and query.replace:
                await _replace(session, differing)
        return Rebuilt(
            names=len(names),
            events=found.events,
            differing=tuple(differing),
            next_after=names[-1] if len(names) == query.limit else None,
        )


async def _fold(session: Connection, names: Sequence[str]) -> _Folded:
    wanted = list(names)
    believed = await (await session.execute(_EVENTS, (wanted,), binary=True)).fetchall()
    examined = [Examined(LogMessage(*row), parse(row[2])) for row in believed]
    of_page = set(wanted)
    for sequence, subject in await (await session.execute(_REJECTED, binary=True)).fetchall():
        if name_in(subject) in of_page:  # it moved what a conditional publish has to expect
            examined.append(Examined(LogMessage(sequence, subject, b""), None, "malformed"))
    examined.sort(key=lambda one: one.message.sequence)
    batch = project(EMPTY, {}, examined, on_error=_report)
    environments = {row[0]: row for row in await (await session.execute(_ENVIRONMENTS, (wanted,))).fetchall()}
    runs: dict[str, dict[Any, tuple[Any, ...]]] = {name: {} for name in wanted}
    for row in await (await session.execute(_RUNS, (wanted,))).fetchall():
        runs[row[1]][row[0]] = row
    entries = {row[0]: row for row in await (await session.execute(_DIRECTORY, (wanted,))).fetchall()}
    stored = {name: (environments.get(name), runs[name], entries.get(name)) for name in wanted}
    anew = {name: (_environment(batch, name), _runs(batch, name), _entry(batch, name)) for name in wanted}
    return _Folded(batch, len(believed), [name for name in wanted if stored[name] != anew[name]])


def _environment(batch: Batch, name: str) -> tuple[Any, ...] | None:
    known = batch.known.get(name)
    return environment_row(known.environment) if known is not None else None


def _entry(batch: Batch, name: str) -> tuple[Any, ...] | None:
    """What the log says of how a name is found. What facts say beside it is theirs; and when it was updated is noted
    only where something else changes, so it depends on how much was folded at once."""
    known = batch.known.get(name)
    if known is None:
        return None
    found = asdict(entry(known.environment))
    left_out = {"last_activity_at", "updated_at"}
    kept = [value for field, value in found.items() if field not in left_out]
    return tuple(list(value) if isinstance(value, tuple) else value for value in kept)


def _runs(batch: Batch, name: str) -> dict[Any, tuple[Any, ...]]:
    known = batch.known.get(name)
    latest = [known.run] if known is not None else []
    return {run.id: run_row(run) for run in (*batch.closed, *latest) if run.environment == name}


async def _replace(session: Connection, names: Iterable[str]) -> None:
    async with session.transaction():
        await session.execute("SELECT FROM log_position FOR UPDATE")
        found = await _fold(session, sorted(names))
        wrong = found.differing
        if not wrong:
            return
        await session.execute("DELETE FROM runs WHERE environment = ANY(%s)", (wrong,))
        await session.execute("DELETE FROM environments WHERE name = ANY(%s)", (wrong,))
        environments = [row for name in wrong if (row := _environment(found.batch, name)) is not None]
        runs = [row for name in wrong for _, row in sorted(_runs(found.batch, name).items())]
        await session.execute(_GONE, ([name for name in wrong if name not in found.batch.known],))
        views = [found.batch.known[name].environment for name in wrong if name in found.batch.known]
        await session.execute(_REPLACE, [*columns(environments, 8), *columns(runs, 14), *directory.columns(views)])


def _report(event: Event, error: Exception) -> None:
    _log.error("folding an event anew failed", event_id=str(event.id), event_kind=event.kind, exc_info=error)

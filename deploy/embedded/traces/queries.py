"""Reading the database: whole traces, lists of them, services and operations.

Every call opens its own read-only connection (50 µs), so readers never wait for the writer or for each other. The
calls block on the disk: make them off the event loop.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from deploy.embedded.traces.spans import Span

SPANS_PER_TRACE_LIMIT = 20_000
_LATEST_NS = (1 << 63) - 1
_SCAN_LIMIT = 2_000
_COLUMNS = (
    "s.trace_id, s.span_id, s.parent_id, r.service, s.resource_id, s.operation, s.kind, s.start_ns, s.duration_ns,"
    " s.status, s.details"
)


@dataclass(frozen=True)
class Resource:
    """What sent spans: the attributes of its OTLP resource."""

    id: int
    service: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Trace:
    """A trace's spans by start, and the resources they speak of by id."""

    spans: list[Span]
    resources: dict[int, Resource]


@dataclass(frozen=True)
class Search:
    """Which traces to list, by their start in nanoseconds since 1970; newest first."""

    service: str | None = None
    failed_only: bool = False
    shortest_ns: int = 0
    start_ns: int = 0
    end_ns: int = _LATEST_NS
    limit: int = 50


@dataclass(frozen=True)
class Summary:
    """One line of the list of traces; the root is unknown until its span has come in."""

    trace_id: bytes
    start_ns: int
    end_ns: int
    failed: bool
    root_service: str | None
    root_operation: str | None
    spans: int
    services: tuple[str, ...]


class Queries:
    """Reads the database at `path`, which the store has made."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.absolute().as_uri()}?mode=ro"

    def trace(self, trace_id: bytes) -> Trace | None:
        """One trace, or None."""
        with self._reading() as database:
            return _trace(database, trace_id)

    def matching(
        self, service: str, matches: Callable[[Span, Resource], bool], search: Search
    ) -> list[tuple[bytes, Trace]]:
        """The newest traces in which a span of `service` matches, looking at no more than 2,000 traces."""
        found: list[tuple[bytes, Trace]] = []
        with self._reading() as database:
            candidates = database.execute(
                "SELECT trace_id FROM trace_services WHERE service = ? AND start_ns BETWEEN ? AND ?"
                " ORDER BY start_ns DESC LIMIT ?",
                (service, search.start_ns, search.end_ns, _SCAN_LIMIT),
            )
            for (trace_id,) in candidates:
                trace = _trace(database, trace_id)
                if trace is not None and any(
                    span.service == service and matches(span, trace.resources[span.resource_id]) for span in trace.spans
                ):
                    found.append((trace_id, trace))
                    if len(found) == search.limit:
                        break
        return found

    def summaries(self, search: Search) -> list[Summary]:
        """Traces for a list."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT t.trace_id, t.start_ns, t.end_ns, t.failed, t.root_service, t.root_operation,"
                " (SELECT count(*) FROM spans s WHERE s.trace_id = t.trace_id) FROM traces t"
                " WHERE t.start_ns BETWEEN :start AND :end AND t.failed >= :failed"
                " AND t.end_ns - t.start_ns >= :shortest"
                " AND (:service IS NULL OR EXISTS (SELECT 1 FROM trace_services n"
                "      WHERE n.trace_id = t.trace_id AND n.service = :service))"
                " ORDER BY t.start_ns DESC LIMIT :limit",
                {
                    "start": search.start_ns,
                    "end": search.end_ns,
                    "failed": int(search.failed_only),
                    "shortest": search.shortest_ns,
                    "service": search.service,
                    "limit": search.limit,
                },
            ).fetchall()
            return [_summary(database, row) for row in rows]

    def services(self) -> list[str]:
        """Names of all services, sorted."""
        with self._reading() as database:
            return [name for (name,) in database.execute("SELECT DISTINCT service FROM operations ORDER BY service")]

    def operations(self, service: str) -> list[tuple[str, int]]:
        """Operations of a service with their span kinds, sorted."""
        with self._reading() as database:
            return database.execute(
                "SELECT operation, kind FROM operations WHERE service = ? ORDER BY operation, kind", (service,)
            ).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._uri, uri=True, isolation_level=None)
        try:
            # One transaction: what it reads is of one moment.
            database.execute("BEGIN")
            yield database
        finally:
            database.close()


def _trace(database: sqlite3.Connection, trace_id: bytes) -> Trace | None:
    rows = database.execute(
        f"SELECT {_COLUMNS} FROM spans s JOIN resources r ON r.id = s.resource_id"  # noqa: S608 - constants
        " WHERE s.trace_id = ? LIMIT ?",
        (trace_id, SPANS_PER_TRACE_LIMIT),
    ).fetchall()
    if not rows:
        return None
    spans = sorted((_span(row) for row in rows), key=lambda span: span.start_ns)
    resources: dict[int, Resource] = {}
    for resource_id in {span.resource_id for span in spans}:
        service, attributes = database.execute(
            "SELECT service, attributes FROM resources WHERE id = ?", (resource_id,)
        ).fetchone()
        resources[resource_id] = Resource(resource_id, service, orjson.loads(attributes))
    return Trace(spans, resources)


def _span(row: tuple[Any, ...]) -> Span:
    columns: list[Any] = [*row[:-1], orjson.loads(row[-1])]
    return Span(*columns)


def _summary(database: sqlite3.Connection, row: tuple[Any, ...]) -> Summary:
    trace_id, start_ns, end_ns, failed, root_service, root_operation, spans = row
    found = database.execute(
        "SELECT service FROM trace_services WHERE trace_id = ? ORDER BY start_ns", (trace_id,)
    ).fetchall()
    services = tuple(service for (service,) in found)
    return Summary(trace_id, start_ns, end_ns, bool(failed), root_service, root_operation, spans, services)


def by_service(spans: list[Span]) -> dict[str, list[Span]]:
    """The spans of a trace by their service, in the order in which the services come in."""
    groups: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        groups[span.service].append(span)
    return dict(groups)

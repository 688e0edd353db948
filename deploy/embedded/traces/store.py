"""The database, and the one thread that writes to it.

Spans lie in the table in the order of their trace, so a whole trace is one short stretch of the file. Invariants:
`submit` returns when the spans are committed; a span is stored once however often it is sent; what waits to be
written is bounded, and beyond that the sender is asked to come back. WAL with synchronous=NORMAL: a killed process
loses nothing, a power cut may lose the last seconds, which is what traces are worth. Each batch touches as many pages
as it has traces, so many pages (32 MiB) are kept at hand and go to the file together.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import structlog

from deploy.embedded.traces.otlp import Batch, Encoding, RefusedBodyError, decode
from deploy.embedded.traces.spans import STATUS_ERROR, Row

_SCHEMA = """
PRAGMA page_size = 8192;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -32768;
PRAGMA wal_autocheckpoint = 4000;
CREATE TABLE IF NOT EXISTS resources (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    attributes BLOB NOT NULL,
    UNIQUE (service, attributes)
) STRICT;
CREATE TABLE IF NOT EXISTS spans (
    trace_id BLOB NOT NULL,
    span_id BLOB NOT NULL,
    parent_id BLOB,
    resource_id INTEGER NOT NULL,
    operation TEXT NOT NULL,
    kind INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    duration_ns INTEGER NOT NULL,
    status INTEGER NOT NULL,
    details BLOB NOT NULL,
    PRIMARY KEY (trace_id, span_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traces (
    trace_id BLOB PRIMARY KEY,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    root_service TEXT,
    root_operation TEXT,
    received_seconds INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traces_by_start ON traces (start_ns);
CREATE INDEX IF NOT EXISTS traces_by_receipt ON traces (received_seconds);
CREATE TABLE IF NOT EXISTS trace_services (
    service TEXT NOT NULL,
    trace_id BLOB NOT NULL,
    start_ns INTEGER NOT NULL,
    PRIMARY KEY (trace_id, service)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS trace_services_by_start ON trace_services (service, start_ns);
CREATE TABLE IF NOT EXISTS operations (
    service TEXT NOT NULL,
    operation TEXT NOT NULL,
    kind INTEGER NOT NULL,
    seen_day INTEGER NOT NULL,
    PRIMARY KEY (service, operation, kind)
) STRICT, WITHOUT ROWID;
"""
_INSERT_SPAN = "INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPSERT_TRACE = """
INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (trace_id) DO UPDATE SET
    start_ns = min(start_ns, excluded.start_ns),
    end_ns = max(end_ns, excluded.end_ns),
    failed = max(failed, excluded.failed),
    root_service = coalesce(excluded.root_service, root_service),
    root_operation = coalesce(excluded.root_operation, root_operation),
    received_seconds = excluded.received_seconds
"""
_UPSERT_SERVICE = """
INSERT INTO trace_services VALUES (?, ?, ?) ON CONFLICT (trace_id, service) DO UPDATE SET
    start_ns = min(start_ns, excluded.start_ns)
"""
_UPSERT_OPERATION = """
INSERT INTO operations VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen_day = excluded.seen_day
"""
_DAY_SECONDS = 86_400
_SWEEP_EVERY_SECONDS = 600
_SWEEP_TRACES = 200
_VACUUM_PAGES = 1000
_WAITING_LIMIT_BYTES = 64 << 20
_TRANSACTION_SPANS = 8_000
_CACHE_LIMIT = 50_000

log = structlog.get_logger(__name__)


class BusyError(Exception):
    """Too much waits to be written: the sender should try again in a moment."""


@dataclass(frozen=True)
class _Intake:
    body: bytes
    encoding: Encoding
    gzipped: bool
    outcome: "Future[Batch]"


class Store:
    """Owns the writing connection and its thread. `path` is where readers find the database."""

    def __init__(self, path: Path, retention_days: float, clock: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._retention_seconds = retention_days * _DAY_SECONDS
        self._clock = clock
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._resources: dict[tuple[str, bytes], int] = {}
        self._operations: set[tuple[str, str, int, int]] = set()
        self._intake: queue.SimpleQueue[_Intake | None] = queue.SimpleQueue()
        self._waiting_bytes = 0
        self._thread = threading.Thread(target=self._write_forever, name="trace-writer", daemon=True)
        self._thread.start()

    async def submit(self, body: bytes, encoding: Encoding, *, gzipped: bool) -> Batch:
        """Stores the spans of one request. Raises RefusedBodyError for its content, BusyError when swamped."""
        if self._waiting_bytes + len(body) > _WAITING_LIMIT_BYTES:
            raise BusyError
        self._waiting_bytes += len(body)
        try:
            intake = _Intake(body, encoding, gzipped, Future())
            self._intake.put(intake)
            return await asyncio.wrap_future(intake.outcome)
        finally:
            self._waiting_bytes -= len(body)

    def close(self) -> None:
        """Writes what waits, then ends the thread and the connection."""
        self._intake.put(None)
        self._thread.join()
        self._database.close()

    def _write_forever(self) -> None:
        next_sweep = time.monotonic()
        while True:
            try:
                first = self._intake.get(timeout=max(0.0, next_sweep - time.monotonic()))
            except queue.Empty:
                more = self._sweep()
                next_sweep = time.monotonic() + (0 if more else _SWEEP_EVERY_SECONDS)
                continue
            if first is None or not self._write_together(first):
                return

    def _write_together(self, first: _Intake) -> bool:
        """Commits what waits in one transaction. Says whether to go on."""
        decoded: list[tuple[_Intake, Batch]] = []
        intake: _Intake | None = first
        spans = 0
        while intake is not None:
            batch = _decoded(intake)
            if batch is not None:
                decoded.append((intake, batch))
                spans += len(batch.rows)
            if spans >= _TRANSACTION_SPANS or self._intake.empty():
                break
            intake = self._intake.get()
        try:
            self._write([row for _, batch in decoded for row in batch.rows])
        except sqlite3.Error as error:
            # Forgotten, because the transaction that made them was rolled back.
            self._resources.clear()
            self._operations.clear()
            log.exception("traces_not_written", spans=spans)
            for waiting, _ in decoded:
                waiting.outcome.set_exception(error)
        else:
            for waiting, batch in decoded:
                waiting.outcome.set_result(batch)
        return intake is not None

    def _write(self, rows: list[Row]) -> None:
        if not rows:
            return
        with _transaction(self._database):
            self._database.executemany(_INSERT_SPAN, (self._span(row) for row in rows))
            self._database.executemany(_UPSERT_TRACE, _traces(rows, int(self._clock())))
            self._database.executemany(_UPSERT_SERVICE, _services(rows))
            day = int(self._clock()) // _DAY_SECONDS
            seen = {(row.service, row.operation, row.kind, day) for row in rows} - self._operations
            self._database.executemany(_UPSERT_OPERATION, seen)
        if len(self._operations) > _CACHE_LIMIT:
            self._operations.clear()
        self._operations |= seen

    def _span(self, row: Row) -> tuple[object, ...]:
        resource_id = self._resource_id(row.service, row.resource)
        return (row.trace_id, row.span_id, row.parent_id, resource_id, *row[5:])

    def _resource_id(self, service: str, attributes: bytes) -> int:
        key = (service, attributes)
        known = self._resources.get(key)
        if known is not None:
            return known
        if len(self._resources) > _CACHE_LIMIT:
            self._resources.clear()
        self._database.execute("INSERT OR IGNORE INTO resources (service, attributes) VALUES (?, ?)", key)
        found = self._database.execute("SELECT id FROM resources WHERE service = ? AND attributes = ?", key)
        resource_id: int = found.fetchone()[0]
        self._resources[key] = resource_id
        return resource_id

    def _sweep(self) -> bool:
        """Deletes some of what is older than the retention. Says whether there may be more."""
        oldest = self._clock() - self._retention_seconds
        try:
            with _transaction(self._database):
                expired = self._database.execute(
                    "SELECT trace_id FROM traces WHERE received_seconds < ? ORDER BY received_seconds LIMIT ?",
                    (oldest, _SWEEP_TRACES),
                ).fetchall()
                for table in ("spans", "trace_services", "traces"):
                    self._database.executemany(f"DELETE FROM {table} WHERE trace_id = ?", expired)  # noqa: S608 - ours
                self._database.execute("DELETE FROM operations WHERE seen_day < ?", (oldest // _DAY_SECONDS,))
            self._database.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
        except sqlite3.Error:
            log.exception("traces_not_swept")
            return False
        if expired:
            log.info("traces_expired", traces=len(expired))
        return len(expired) == _SWEEP_TRACES


def _decoded(intake: _Intake) -> Batch | None:
    """The batch of one request; None when its sender has been told why not."""
    try:
        return decode(intake.body, intake.encoding, gzipped=intake.gzipped)
    except RefusedBodyError as error:
        intake.outcome.set_exception(error)
    except Exception as error:  # noqa: BLE001 - a defect costs this request, not the thread that serves all
        intake.outcome.set_exception(error)
    return None


class _transaction:  # noqa: N801 - reads as the statement it is
    """`with _transaction(database):` is BEGIN IMMEDIATE … COMMIT, or ROLLBACK."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._database.execute("COMMIT" if kind is None else "ROLLBACK")


def _traces(rows: Iterable[Row], received_seconds: int) -> list[tuple[object, ...]]:
    """One row for `traces` per trace in `rows`."""
    bounds: dict[bytes, tuple[int, int, int]] = {}
    roots: dict[bytes, tuple[str, str]] = {}
    for row in rows:
        start, end, failed = bounds.get(row.trace_id, (row.start_ns, 0, 0))
        bounds[row.trace_id] = (
            min(start, row.start_ns),
            max(end, row.start_ns + row.duration_ns),
            max(failed, int(row.status == STATUS_ERROR)),
        )
        if row.parent_id is None:
            roots[row.trace_id] = (row.service, row.operation)
    return [
        (trace_id, *bound, *roots.get(trace_id, (None, None)), received_seconds) for trace_id, bound in bounds.items()
    ]


def _services(rows: Iterable[Row]) -> list[tuple[str, bytes, int]]:
    starts: dict[tuple[str, bytes], int] = {}
    for row in rows:
        key = (row.service, row.trace_id)
        starts[key] = min(starts.get(key, row.start_ns), row.start_ns)
    return [(service, trace_id, start) for (service, trace_id), start in starts.items()]

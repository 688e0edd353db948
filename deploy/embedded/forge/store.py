"""The database for what Git has no place for: one SQLite file, one connection, one writer at a time.

Invariant: a transaction either commits whole or leaves nothing, also when the process is killed (write-ahead log).
Calls come from many worker threads; a lock serialises them, and no transaction waits for anything but the disk.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

Row = sqlite3.Row
_SCRIPTS = ("schema.sql", "workflows.sql", "forks.sql")
"""Each brings the database from one version to the next."""
SCHEMA_VERSION = len(_SCRIPTS)


class StoreError(Exception):
    """The database cannot be used."""


class Store:
    """The forge's database in `path`; made when it does not exist. Raises StoreError when it is from a newer
    forge."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            "busy_timeout = 5000",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._create()

    def _create(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise StoreError(f"the database has schema {found}, this forge knows {SCHEMA_VERSION}: upgrade the forge")
        for version, name in enumerate(_SCRIPTS[found:], found + 1):
            script = files(__package__).joinpath(name).read_text(encoding="utf-8")
            self._connection.executescript(f"BEGIN;\n{script}\nPRAGMA user_version = {version};\nCOMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside happens or nothing does. Nests: the outermost one commits."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("COMMIT")

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row that the query gives."""
        with self._lock:
            return self._connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        with self._lock:
            row: Row | None = self._connection.execute(sql, parameters).fetchone()
            return row

    def row(self, table: str, row_id: int) -> Row:
        """The row with this id. Raises KeyError."""
        found = self.one(f"SELECT * FROM {table} WHERE id = ?", [row_id])  # noqa: S608 - names from our own code
        if found is None:
            raise KeyError(f"{table} {row_id}")
        return found

    def count(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """The number that a `SELECT count(*)` gives."""
        row = self.one(sql, parameters)
        return int(row[0]) if row is not None else 0

    def insert(self, table: str, **values: Any) -> int:
        """A new row; the answer is its id. Raises sqlite3.IntegrityError for a duplicate."""
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        with self._lock:
            sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names from our own code
            cursor = self._connection.execute(sql, list(values.values()))
            return int(cursor.lastrowid or 0)

    def update(self, table: str, row_id: int, **values: Any) -> None:
        """Change columns of the row with this id."""
        if not values:
            return
        assignments = ", ".join(f"{column} = ?" for column in values)
        with self._lock:
            sql = f"UPDATE {table} SET {assignments} WHERE id = ?"  # noqa: S608 - names from our own code
            self._connection.execute(sql, [*values.values(), row_id])

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Any other statement; the answer is the number of rows it touched."""
        with self._lock:
            return self._connection.execute(sql, parameters).rowcount

    def close(self) -> None:
        """Close the file; the log is folded back into it."""
        with self._lock:
            self._connection.close()

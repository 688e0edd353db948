"""Brings a service's schema up to date by Alembic, in a process that ends afterwards: services themselves never import
this, and only look whether the schema is one they can live with (`chassis.database.Database.require`).

A change is one of two phases, each a branch of its own in the history (`NNNN` and `cNNNN`). An *expand* change only
adds, so the release before goes on as if nothing had happened; it comes before the first new process. A *contract*
change takes something away and names the last release that read it; it comes once nobody of that release is left.

Invariants: whoever comes first does it, once, however many start together; what was done before Alembic came (tables
`schema_version`) is taken for what it is; nothing is taken away from a process that is connected.
"""

import io
import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TextIO

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chassis.database import FLOOR_PREFIX, VERSION_TABLE
from chassis.release import RELEASE, as_numbers
from chassis.settings import DatabaseSettings, read_secret

Phase = Literal["expand", "contract"]

_ENVIRONMENT: Final = Path(__file__).with_name("schema_environment")
_CONTRACT_ID: Final = re.compile(r"^c\d{4}$")
_LIMITS: Final = "-c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000"
"""A statement may take long (an index on a large table), but never wait long for a lock: whoever comes after it in that
queue waits too."""
_VERSIONS: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
_PATIENCE_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.1


class MigrationError(Exception):
    """The schema could not be brought up to date; the message says what to do."""


@dataclass(frozen=True)
class Brought:
    """What came of it."""

    applied: tuple[str, ...]
    """Ids of changes, in order; where a schema of before Alembic was adopted, without those it had."""
    held_back: Mapping[str, str]
    """Contract changes that wait, each with the reason."""


def expand(settings: DatabaseSettings, scripts: Path, goal: str = "") -> Brought:
    """Add what is missing, up to the change `goal` where one is given. `scripts` is the directory of a service's
    changes. Raises `MigrationError`."""
    with _connected(settings) as connection, _alone(connection):
        _adopt(connection, scripts)
        return Brought(_upgrade(connection, scripts, "expand", goal or _head(scripts, "expand")), {})


def contract(settings: DatabaseSettings, scripts: Path, release: str = RELEASE) -> Brought:
    """Take away what neither `release` reads nor anybody who is connected. Raises `MigrationError`, also where the
    schema still lacks something to be added."""
    with _connected(settings) as connection, _alone(connection):
        if _reached(connection, "expand") < _head(scripts, "expand"):
            raise MigrationError("something is still to be added: run `expand` first, then exchange the services")
        applied: tuple[str, ...] = ()
        for script in changes(scripts, "contract"):
            if script.revision <= _reached(connection, "contract"):
                continue
            if reason := _still_read(connection, script, release):
                return Brought(applied, {script.revision: reason})
            applied += _upgrade(connection, scripts, "contract", script.revision)
        return Brought(applied, {})


def current(settings: DatabaseSettings) -> tuple[str, ...]:
    """The ids that the schema's version table holds, at most one of each phase."""
    with _connected(settings) as connection:
        return tuple(sorted(_current(connection)))


def offline_sql(scripts: Path, phase: Phase) -> str:
    """All statements of a phase from nothing on, for who may not let a program change a database."""
    if not _head(scripts, phase):
        return ""
    written = io.StringIO()
    command.upgrade(_config(scripts, output=written), _head(scripts, phase), sql=True)
    return written.getvalue()


def run_beside(script: str) -> None:
    """Run the SQL file that stands beside a change, whose `__file__` is given: `r0007_directories.py` runs
    `0007_directories.sql`. For use in a change's `upgrade`."""
    path = Path(script)
    text = path.with_name(path.stem.removeprefix("r") + ".sql").read_text(encoding="utf-8")
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(text)
        return
    # As it stands: several statements, and no character of them is a placeholder.
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(text)


def note_floor(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:  # noqa: ARG001
    """Alembic's `on_version_apply`: write beside the version what a contract change demands of whoever reads the
    schema, in the transaction of the change."""
    script = step.up_revision
    if not isinstance(script, Script) or phase_of(script) == "expand":
        return
    note = f"COMMENT ON TABLE {VERSION_TABLE} IS '{FLOOR_PREFIX}{last_reader(script)}'"
    if ctx.as_sql or ctx.connection is None:
        ctx.impl.static_output(note + ";")
    else:
        ctx.connection.exec_driver_sql(note)


def phase_of(script: Script) -> Phase:
    """Of which phase a change is; its id says so."""
    return "contract" if _CONTRACT_ID.match(script.revision) else "expand"


def last_reader(script: Script) -> str:
    """The last release that reads what a contract change takes away (its `last_reader`). Raises `MigrationError` where
    it does not say."""
    found = getattr(script.module, "last_reader", None)
    if not isinstance(found, str):
        raise MigrationError(f"{script.path} takes something away and must name the `last_reader` of it, a release")
    return found


def changes(scripts: Path, phase: Phase) -> tuple[Script, ...]:
    """A service's changes of a phase, the oldest first."""
    found = [script for script in _directory(scripts).walk_revisions() if phase_of(script) == phase]
    return tuple(reversed(found))


# -- how it is done ----------------------------------------------------------------------------------------------------


def _config(scripts: Path, connection: Connection | None = None, output: TextIO | None = None) -> Config:
    config = Config(output_buffer=output) if output is not None else Config()
    config.attributes["connection"] = connection
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def _directory(scripts: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(scripts))


def _head(scripts: Path, phase: Phase) -> str:
    found = [script.revision for script in changes(scripts, phase)]
    return found[-1] if found else ""


@contextmanager
def _connected(settings: DatabaseSettings) -> Iterator[Connection]:
    password = read_secret(settings.password_file).get_secret_value()

    def connect() -> psycopg.Connection:
        return psycopg.connect(
            settings.url, password=password, application_name=f"migrations/{RELEASE}", options=_LIMITS
        )

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise MigrationError(f"the database refused: {error.orig}; nothing is half done, so run it again") from error
    finally:
        engine.dispose()


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Wait until nobody else changes this schema. By asking again and again: a statement that waits for a lock is a
    transaction, and an index that is made concurrently waits for every one of those, so both would wait for ever."""
    until = time.monotonic() + _PATIENCE_SECONDS
    key = "hashtextextended('slipway migrations ' || current_schema(), 0)"
    while True:
        taken = connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({key})").scalar_one()
        connection.commit()
        if taken:
            break
        if time.monotonic() > until:
            raise MigrationError(f"somebody else has changed this schema for {_PATIENCE_SECONDS:.0f} s: look who it is")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({key})")
        connection.commit()


def _current(connection: Connection) -> set[str]:
    is_there = connection.exec_driver_sql(f"SELECT to_regclass('{VERSION_TABLE}') IS NOT NULL").scalar_one()
    rows = connection.exec_driver_sql(_VERSIONS).all() if is_there else []
    connection.commit()
    return {str(row[0]) for row in rows}


def _reached(connection: Connection, phase: Phase) -> str:
    """The newest change of a phase that the schema has; empty where it has none. Ids are in the order of changes."""
    ids = (found for found in _current(connection) if bool(_CONTRACT_ID.match(found)) == (phase == "contract"))
    return max(ids, default="")


def _adopt(connection: Connection, scripts: Path) -> None:
    """Take a schema that was made by numbered files, before Alembic, for what it is."""
    is_old = connection.exec_driver_sql(
        f"SELECT to_regclass('schema_version') IS NOT NULL AND to_regclass('{VERSION_TABLE}') IS NULL"
    ).scalar_one()
    rows = connection.exec_driver_sql("SELECT number FROM schema_version ORDER BY number").all() if is_old else []
    connection.commit()
    had = [f"{row[0]:04d}" for row in rows]
    known = [script.revision for script in changes(scripts, "expand")]
    if had != known[: len(had)]:
        raise MigrationError(
            f"the schema has the changes {', '.join(had)}, which is no beginning of {', '.join(known)}: it was made by "
            "a release that this one does not follow"
        )
    if had:
        command.stamp(_config(scripts, connection), had[-1])
        connection.commit()


def _upgrade(connection: Connection, scripts: Path, phase: Phase, goal: str) -> tuple[str, ...]:
    had = _reached(connection, phase)
    if goal <= had:  # or a newer release was here before
        return ()
    command.upgrade(_config(scripts, connection), goal)
    connection.commit()
    return tuple(script.revision for script in changes(scripts, phase) if had < script.revision <= goal)


def _still_read(connection: Connection, script: Script, release: str) -> str:
    last = last_reader(script)
    if as_numbers(release) <= as_numbers(last):
        return f"release {release} may still read it; it goes with the first release after {last}"
    rows = connection.exec_driver_sql(
        "SELECT DISTINCT application_name FROM pg_stat_activity"
        " WHERE usename = current_user AND pid <> pg_backend_pid()"
    ).all()
    connection.commit()
    for (name,) in rows:
        connected = str(name).partition("/")[2]
        if not connected or as_numbers(connected) <= as_numbers(last):
            return f"{name or 'somebody'} is connected, and releases up to {last} read it: exchange it first"
    return ""

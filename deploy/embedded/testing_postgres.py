"""A real database server for tests, provisioned like the platform's and copied from one that was made once.

What a test put in is taken out at the price that the test can afford: the rows alone, or the whole schema.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from psycopg import sql

from deploy import migrations
from deploy.embedded import postgres
from deploy.embedded.keys import Keys
from deploy.embedded.ports import free_port
from deploy.embedded.testing_part import Part, started


@dataclass(frozen=True)
class RunningPostgres:
    """A Postgres with the platform's databases, roles and schemas."""

    part: Part
    cluster: postgres.Cluster
    _rows_as_new: dict[str, dict[str, list[bytes]]] = field(default_factory=dict, init=False, repr=False)
    """Of services whose schema was made anew: which rows each of its tables has then, as COPY writes them."""

    @property
    def port(self) -> int:
        """Its TCP port on 127.0.0.1."""
        return self.cluster.port

    def password_file(self, role: str) -> Path:
        """The file with the password of `role` (see `postgres.ROLES`, and `postgres` for the superuser)."""
        return postgres.password_file(self.cluster.keys, role)

    def password(self, role: str) -> str:
        """The password of `role`."""
        return self.password_file(role).read_text().strip()

    def url(self, role: str = postgres.SUPERUSER, database: str = postgres.SERVICES_DATABASE) -> str:
        """A complete URI, password included: for tests only."""
        return self.cluster.url(role, database).replace("@", f":{self.password(role)}@", 1)

    def connect(self, role: str = postgres.SUPERUSER, database: str = postgres.SERVICES_DATABASE) -> psycopg.Connection:
        """An autocommit connection."""
        return self.cluster.connect(role, database)

    def make_anew(self, service: str) -> None:
        """Drop a service's schema with all that is in it, and make it as it is today."""
        self.make_empty(service)
        migrations.bring_up(service, self.cluster.settings(service))

    def make_bare(self, service: str) -> None:
        """Take out of a service's schema what was put in since it was made. The first time it is made anew; after that
        this takes a tenth of the time, for tests that change no table itself."""
        if (rows := self._rows_as_new.get(service)) is not None:
            with self.connect() as connection, connection.transaction():
                connection.execute("SET LOCAL session_replication_role = replica")  # no trigger refuses it
                tables = sql.SQL(", ").join(sql.Identifier(service, name) for name in rows)
                connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
                for name, kept in rows.items():
                    with connection.cursor().copy(_copy("COPY {} FROM STDIN", service, name)) as copy:
                        for row in kept:
                            copy.write(row)
            return
        self.make_anew(service)
        with self.connect() as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [service]).fetchall()
            found: dict[str, list[bytes]] = {}
            for (name,) in names:
                with connection.cursor().copy(_copy("COPY {} TO STDOUT", service, name)) as copy:
                    found[name] = [bytes(row) for row in copy]
            self._rows_as_new[service] = found

    def make_empty(self, service: str) -> None:
        """Drop a service's schema with all that is in it."""
        with self.connect() as connection:
            connection.execute(f"DROP SCHEMA {service} CASCADE".encode())
            connection.execute(f"CREATE SCHEMA {service} AUTHORIZATION slipway_{service}".encode())


def _copy(statement: LiteralString, service: str, table: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(service, table))


@contextmanager
def start_postgres(directory: Path) -> Iterator[RunningPostgres]:
    """A Postgres under `directory`, provisioned like the platform's. Those of one process have the same passwords."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = postgres.Cluster(directory / "postgres", free_port(), Keys(directory / "keys"), directory)
    if not cluster.data.exists():
        _copy_new_postgres(cluster)
    cluster.initialise()
    part = Part("postgres", cluster.launch(), directory, lambda: postgres.is_ready(cluster))
    part.start()
    try:
        yield RunningPostgres(part, cluster)
    finally:
        part.stop(signal.SIGQUIT)  # at once: nobody reads its data any more


def _copy_new_postgres(cluster: postgres.Cluster) -> None:
    """A database server as new, with its passwords. To make one takes seconds, to copy one does not."""
    made = _new_postgres()
    shutil.copytree(made / "keys", cluster.keys.directory, dirs_exist_ok=True)
    shutil.copytree(made / "postgres", cluster.data)


@functools.cache
def _new_postgres() -> Path:
    """Where a database server lies that was provisioned like the platform's and stopped; it goes with this process."""
    for left in Path(tempfile.gettempdir()).glob("slipway-postgres-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):  # that process was killed
            shutil.rmtree(left, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"slipway-postgres-{os.getpid()}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    cluster = postgres.Cluster(directory / "postgres", free_port(), Keys(directory / "keys"), directory)
    cluster.initialise()
    with started(Part("postgres", cluster.launch(), directory, lambda: postgres.is_ready(cluster))):
        postgres.provision(cluster)
        for service in migrations.SERVICES:
            migrations.bring_up(service, cluster.settings(service))
    return directory

"""The job that brings the services' schemas up to date, before services of a new release start and after the last of
the old ones has gone: `python -m deploy.migrations up gateway`.

It is a process of its own that ends, so that no service carries Alembic and SQLAlchemy; `SLIPWAY_DATABASE_URL` and
`SLIPWAY_DATABASE_PASSWORD_FILE` name the service's own role, as for the service. Invariant: safe at any time and any
number of times, beside services that run (`chassis.migrations` says why).
"""

from __future__ import annotations

import argparse
import sys
from importlib import resources
from pathlib import Path
from typing import Final, get_args

import psycopg
from psycopg import sql

from chassis.database import VERSION_TABLE
from chassis.settings import DatabaseSettings, read_secret

SERVICES: Final = ("catalog", "gateway", "notifier")


def scripts(service: str) -> Path:
    """Where the changes of a service's schema are."""
    return Path(str(resources.files(f"services.{service}.adapters.schema")))


def is_up_to_date(service: str, settings: DatabaseSettings) -> bool:
    """Whether there is nothing to add, found out without loading Alembic. What waits to be taken away does not count.
    Raises psycopg.Error."""
    newest = max(path.stem[1:5] for path in scripts(service).glob("r[0-9]*.py"))
    password = read_secret(settings.password_file).get_secret_value()
    with psycopg.connect(settings.url, password=password) as connection:
        if connection.execute("SELECT to_regclass(%s)", [VERSION_TABLE]).fetchone() == (None,):
            return False
        query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(VERSION_TABLE))
        rows = connection.execute(query).fetchall()
    return any(version >= newest for (version,) in rows if version[0].isdigit())


def bring_up(service: str, settings: DatabaseSettings) -> list[str]:
    """Add what a schema lacks, then take away what nobody reads any more. Answers lines for a person, none where there
    was nothing to do. Raises `chassis.migrations.MigrationError`."""
    return expand(service, settings) + _take_away(service, settings)[0]


def expand(service: str, settings: DatabaseSettings) -> list[str]:
    """Add what a schema lacks: before services of a new release start, beside those of the old."""
    from chassis import migrations  # noqa: PLC0415 - a third of a second, and only where there is something to do

    added = migrations.expand(settings, scripts(service)).applied
    return [f"{service}: added {', '.join(added)}"] if added else []


def contract(service: str, settings: DatabaseSettings) -> list[str]:
    """Take away what nobody reads any more: when the last process of the old release is gone."""
    gone, waiting = _take_away(service, settings)
    return gone + waiting


def _take_away(service: str, settings: DatabaseSettings) -> tuple[list[str], list[str]]:
    """What was taken away, and what waits with the reason."""
    from chassis import migrations  # noqa: PLC0415 - as above

    came = migrations.contract(settings, scripts(service))
    gone = [f"{service}: took away {', '.join(came.applied)}"] if came.applied else []
    return gone, [f"{service}: {change} waits: {reason}" for change, reason in came.held_back.items()]


def status(service: str, settings: DatabaseSettings) -> list[str]:
    """Where a schema is."""
    from chassis import migrations  # noqa: PLC0415 - as above

    has = ", ".join(migrations.current(settings)) or "nothing"
    return [f"{service}: {has}, {'up to date' if is_up_to_date(service, settings) else 'something is to be added'}"]


def main() -> int:
    """What the command line asks for; answers the exit code."""
    from chassis.migrations import MigrationError, Phase, offline_sql  # noqa: PLC0415 - as above

    parser = argparse.ArgumentParser(prog="python -m deploy.migrations", description=__doc__)
    deeds = {"up": bring_up, "expand": expand, "contract": contract, "status": status}
    parser.add_argument("deed", choices=(*deeds, "sql"), help="`sql` writes out what `up` does from nothing on")
    parser.add_argument("service", choices=SERVICES)
    arguments = parser.parse_args()
    if arguments.deed == "sql":
        print("\n".join(offline_sql(scripts(arguments.service), phase) for phase in get_args(Phase)))
        return 0
    try:
        print("\n".join(deeds[arguments.deed](arguments.service, DatabaseSettings())) or "nothing to do")
    except (MigrationError, psycopg.Error) as error:
        print(f"{arguments.service}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Schemas change beside the release before: what is added disturbs nobody, what is taken away nobody reads."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from chassis import migrations
from chassis.database import Database, SchemaError
from chassis.migrations import MigrationError
from chassis.release import RELEASE, as_numbers
from deploy import migrations as job
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from tests.schemas import Schema, schema_of, what_an_old_reader_would_notice
from tests.waiting import until

RECORDED: Final = Path(__file__).parent / "recorded"
BEFORE_ALEMBIC: Final = {"catalog": "0007", "gateway": "0010", "notifier": "0002"}
"""What was made by numbered files when nothing ran beside it; every change after these keeps to the rule."""
_INDEX: Final = re.compile(r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY).*? ON (ONLY )?(\w+)", re.DOTALL)
SERVICES: Final = pytest.mark.parametrize("service", job.SERVICES)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("migrations")) as running:
        yield running


def schema(postgres: RunningPostgres, service: str) -> Schema:
    with postgres.connect(f"slipway_{service}") as connection:
        return schema_of(connection, service)


def as_0_1_0_made_it(postgres: RunningPostgres, service: str) -> None:
    """What the first release's own code did when it started on an empty schema."""
    postgres.make_empty(service)
    with postgres.connect(f"slipway_{service}") as connection:
        connection.execute(
            "CREATE TABLE schema_version (number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for path in sorted((RECORDED / "0.1.0" / "schema" / service).glob("*.sql")):
            connection.execute(path.read_bytes())
            connection.execute("INSERT INTO schema_version (number) VALUES (%s)", [int(path.name[:4])])


# -- what stands in the changes ----------------------------------------------------------------------------------------


@SERVICES
def test_changes_follow_each_other_and_say_what_they_do(service: str) -> None:
    for phase in ("expand", "contract"):
        before = None
        for script in migrations.changes(job.scripts(service), phase):
            assert script.down_revision == before
            assert re.match(r"\d{4}$" if phase == "expand" else r"c\d{4}$", script.revision)
            assert Path(script.path).name.startswith(("r" if phase == "expand" else "") + script.revision)
            assert script.doc.endswith(".")
            before = script.revision


@SERVICES
def test_every_file_of_statements_belongs_to_a_change(service: str) -> None:
    files = {path.stem for path in job.scripts(service).glob("*.sql")}
    changes = {path.stem.removeprefix("r") for path in job.scripts(service).glob("r*.py")}
    assert files <= changes


@SERVICES
def test_a_service_needs_the_newest_change_and_no_other(service: str) -> None:
    module = __import__(f"services.{service}.adapters.schema", fromlist=["NEEDS"])
    assert migrations.changes(job.scripts(service), "expand")[-1].revision == module.NEEDS


@SERVICES
def test_what_takes_something_away_names_a_release_that_was(service: str) -> None:
    for script in migrations.changes(job.scripts(service), "contract"):
        assert as_numbers(migrations.last_reader(script)) <= as_numbers(RELEASE)


@SERVICES
def test_what_is_added_disturbs_nobody_who_runs(postgres: RunningPostgres, service: str) -> None:
    settings, scripts = postgres.cluster.settings(service), job.scripts(service)
    postgres.make_empty(service)
    for script in migrations.changes(scripts, "expand"):
        before = schema(postgres, service)
        migrations.expand(settings, scripts, script.revision)
        if script.revision <= BEFORE_ALEMBIC[service]:
            continue
        assert what_an_old_reader_would_notice(before, schema(postgres, service)) == []
        blocking = [found[2] for found in _INDEX.findall(statements_of(script.path))]
        assert not before.tables & set(blocking), f"{script.path}: make that index CONCURRENTLY"


def statements_of(path: str) -> str:
    """A change's own file and the statements beside it."""
    beside = Path(path).with_name(Path(path).stem.removeprefix("r") + ".sql")
    return Path(path).read_text() + (beside.read_text() if beside.exists() else "")


DISTURBANCES: Final = {
    "a column that others do not know": "ALTER TABLE events ADD COLUMN who text NOT NULL",
    "a column gone": "ALTER TABLE events DROP COLUMN time CASCADE",
    "a column called otherwise": "ALTER TABLE events RENAME COLUMN subject TO room",
    "another type": "ALTER TABLE events ALTER COLUMN version TYPE bigint",
    "a column that may no longer be empty": "ALTER TABLE events ALTER COLUMN run_id SET NOT NULL",
    "a table gone": "DROP TABLE laid_aside",
    "a new rule": "ALTER TABLE events ADD CHECK (version < 9)",
    "a new uniqueness": "CREATE UNIQUE INDEX once ON events (time)",
    "an index gone": "DROP INDEX runs_open",
}
ADDITIONS: Final = (
    "ALTER TABLE events ADD COLUMN who text",
    "ALTER TABLE events ADD COLUMN tries int NOT NULL DEFAULT 0",
    "ALTER TABLE events ALTER COLUMN body DROP NOT NULL",
    "CREATE INDEX more ON events (time)",
    "CREATE TABLE others (id int PRIMARY KEY, name text NOT NULL CHECK (name <> ''))",
)


@pytest.mark.parametrize("statement", [*DISTURBANCES.values(), *ADDITIONS])
def test_the_rule_tells_additions_from_the_rest(postgres: RunningPostgres, statement: str) -> None:
    with postgres.connect("slipway_catalog") as connection, connection.transaction(force_rollback=True):
        before = schema_of(connection, "catalog")
        connection.execute(statement.encode())
        noticed = what_an_old_reader_would_notice(before, schema_of(connection, "catalog"))
    assert bool(noticed) == (statement not in ADDITIONS)


# -- carrying them out -------------------------------------------------------------------------------------------------


@SERVICES
def test_a_schema_of_the_first_release_is_adopted_with_its_data(postgres: RunningPostgres, service: str) -> None:
    postgres.make_anew(service)
    fresh = schema(postgres, service)
    as_0_1_0_made_it(postgres, service)
    insert = {
        "catalog": "INSERT INTO laid_aside (sequence) VALUES (42)",
        "gateway": "INSERT INTO deliveries (id) VALUES ('42')",
        "notifier": "INSERT INTO sent (event_id, channel, event_kind, environment, state)"
        " VALUES ('00000000-0000-0000-0000-000000000042', '#d', 'k', 'e', 'unsent')",
    }[service]
    count = f"SELECT count(*) FROM {insert.split()[2]}"  # noqa: S608 - one of those above
    with postgres.connect(f"slipway_{service}") as connection:
        connection.execute(insert.encode())

        job.bring_up(service, postgres.cluster.settings(service))

        assert schema(postgres, service) == fresh
        assert connection.execute(count.encode()).fetchone() == (1,)
    assert job.is_up_to_date(service, postgres.cluster.settings(service))


def test_a_schema_that_stopped_half_way_goes_on_from_there(postgres: RunningPostgres) -> None:
    fresh = schema(postgres, "catalog")
    as_0_1_0_made_it(postgres, "catalog")
    with postgres.connect("slipway_catalog") as connection:
        connection.execute("DELETE FROM schema_version WHERE number > 5")
        connection.execute("DROP INDEX runs_person, runs_failed, runs_under_way")
        connection.execute("ALTER TABLE directory DROP COLUMN path CASCADE")
        connection.execute("ALTER TABLE directory_twins DROP COLUMN path CASCADE")
        connection.execute("ALTER TABLE directory_twins ADD PRIMARY KEY (repository, branch, kind)")
        connection.execute(
            "CREATE INDEX directory_twins_many ON directory_twins (repository, branch, kind) WHERE n > 1"
        )

    came = migrations.expand(postgres.cluster.settings("catalog"), job.scripts("catalog"))

    assert came.applied == tuple(
        script.revision for script in migrations.changes(job.scripts("catalog"), "expand") if script.revision > "0005"
    )
    assert schema(postgres, "catalog").indexes == fresh.indexes


def test_a_schema_of_somebody_else_is_left_alone(postgres: RunningPostgres) -> None:
    as_0_1_0_made_it(postgres, "notifier")
    with postgres.connect("slipway_notifier") as connection:
        connection.execute("UPDATE schema_version SET number = 7 WHERE number = 1")
    with pytest.raises(MigrationError, match="does not follow"):
        migrations.expand(postgres.cluster.settings("notifier"), job.scripts("notifier"))


def test_replicas_that_start_together_change_the_schema_once(postgres: RunningPostgres) -> None:
    postgres.make_empty("gateway")
    settings = postgres.cluster.settings("gateway")
    environment = os.environ | {
        "SLIPWAY_DATABASE_URL": settings.url,
        "SLIPWAY_DATABASE_PASSWORD_FILE": str(settings.password_file),
    }
    command = [sys.executable, "-m", "deploy.migrations", "up", "gateway"]
    replicas = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [replica.communicate(timeout=60)[0] for replica in replicas]

    assert [replica.returncode for replica in replicas] == [0, 0], said
    assert sum("added 0001" in text for text in said) == 1


@SERVICES
def test_the_statements_written_out_make_the_same_schema(postgres: RunningPostgres, service: str) -> None:
    postgres.make_anew(service)
    fresh = schema(postgres, service)
    postgres.make_empty(service)
    with postgres.connect(f"slipway_{service}") as connection:
        connection.execute(migrations.offline_sql(job.scripts(service), "expand").encode())
    assert schema(postgres, service) == fresh
    assert job.is_up_to_date(service, postgres.cluster.settings(service))


# -- taking away -------------------------------------------------------------------------------------------------------


def has_numbered_files(postgres: RunningPostgres) -> bool:
    with postgres.connect("slipway_notifier") as connection:
        return connection.execute("SELECT to_regclass('schema_version')").fetchone() != (None,)


async def test_nothing_is_taken_away_from_who_is_connected(postgres: RunningPostgres) -> None:
    as_0_1_0_made_it(postgres, "notifier")
    settings, scripts = postgres.cluster.settings("notifier"), job.scripts("notifier")
    migrations.expand(settings, scripts)
    assert "0.1.0 may still read it" in migrations.contract(settings, scripts, "0.1.0").held_back["c0001"]
    old = Database(settings, application_name="notifier")
    await old.open()
    try:
        await old.require("0002")
        assert "is connected" in migrations.contract(settings, scripts, "0.2.0").held_back["c0001"]
        assert has_numbered_files(postgres)
    finally:
        await old.close()

    def gone() -> bool:
        return migrations.contract(settings, scripts, "0.2.0").applied == ("c0001",)

    await until(gone, what="the contract change")
    assert not has_numbered_files(postgres)
    late = Database(settings, application_name="notifier")
    await late.open()
    try:
        with pytest.raises(SchemaError, match="run a newer release"):
            await late.require("0002")
    finally:
        await late.close()


async def test_a_service_waits_for_its_schema(postgres: RunningPostgres) -> None:
    postgres.make_empty("notifier")
    database = Database(postgres.cluster.settings("notifier"), application_name="test")
    await database.open()
    try:
        waiting = asyncio.create_task(database.require("0002"))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        await asyncio.to_thread(migrations.expand, postgres.cluster.settings("notifier"), job.scripts("notifier"))
        await asyncio.wait_for(waiting, 10)
    finally:
        await database.close()


def test_a_newer_schema_is_left_as_it_is(postgres: RunningPostgres, tmp_path: Path) -> None:
    """What a release does that was put back after its successor had been there."""
    postgres.make_anew("notifier")
    older = tmp_path / "schema"
    shutil.copytree(job.scripts("notifier"), older)
    for path in older.glob("*0002*"):
        path.unlink()
    came = migrations.expand(postgres.cluster.settings("notifier"), older)
    assert came.applied == ()

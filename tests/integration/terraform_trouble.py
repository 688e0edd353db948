"""Trouble for a Terraform that is at work: a database that is held, processes that are found and killed."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psutil
import psycopg
import pytest

from chassis.failures import TransientError
from services.provisioner.ports import Files
from tests.machines import RealMachine, no_report, schema_of

SECONDS = 60.0
PROCESSES_A_COMMAND = 2
"""`terraform` may be a wrapper that has the real one as its child."""


async def until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_true():
        assert time.monotonic() < deadline, "this did not come true in time"
        await asyncio.sleep(0.01)


def terraform_processes(command: str, name: str) -> list[psutil.Process]:
    """The Terraform processes of this test run that carry out `command` for the environment `name`."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if command in child.cmdline() and child.cwd().endswith(f"/{name}/configuration"):
                found.append(child)
        except psutil.Error:
            continue
    return found


@asynccontextmanager
async def held_database(machine: RealMachine, name: str) -> AsyncIterator[psycopg.Connection]:
    """Whoever wants the environment's schema waits until this block ends."""
    with machine.postgres.connect("postgres", "apps") as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"slipway {schema_of(name)}"])
        try:
            yield connection
        finally:
            connection.execute("SELECT pg_advisory_unlock_all()")


def waiting_for(connection: psycopg.Connection) -> int:
    """How many wait for a schema that is held."""
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return row[0] if row is not None else 0


def is_waited_for(connection: psycopg.Connection) -> bool:
    return waiting_for(connection) > 0


async def killed_in_mid_apply(machine: RealMachine, name: str, files: Files) -> None:
    """An apply that dies while the provider is about to change the database; the provider finishes."""
    async with held_database(machine, name) as connection:
        applying = asyncio.create_task(machine.infrastructure.apply(name, files, no_report))
        await until(lambda: bool(terraform_processes("apply", name)) and is_waited_for(connection))
        for process in terraform_processes("apply", name):
            process.send_signal(signal.SIGKILL)
    with pytest.raises(TransientError):
        await applying
    assert not terraform_processes("apply", name)

"""A lost log put back from the catalog's copy: `slipway admin restore-log` without its services, which it stops anyway.

The copy is filled as folding would have left it, hash by hash; the streams are those of a real server that syncs before
it answers. The first process that restores is killed on the way, and a second one goes on after it: that is measured
too. Afterwards the copy is looked through, and the log must end where the copy does.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from benchmarks.fleet import infrastructure, pipeline, secrets
from benchmarks.report import Figure
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event, Value
from contracts.events import (
    Asked,
    EnvironmentReady,
    EnvironmentReadyData,
    EnvironmentRequested,
    InfraReady,
    InfraReadyData,
    PipelineCreated,
    PipelineCreatedData,
    SecretsStored,
    SecretsStoredData,
)
from contracts.topology import inbox_prefix
from contracts.values import EnvironmentSpec, Owner
from deploy import log_copy
from deploy.embedded.processes import PROJECT, Launch, spawn
from deploy.embedded.testing import RunningNats, start_nats
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from deploy.log_copy import CopiedMessage
from deploy.streams import BusAccess, connected
from services.catalog.domain.records import chained

EVENTS: Final = 50_000
FULL: Final = 1_000_000
_KILLED_AT: Final = 0.4
"""Of the messages."""
_OF_A_CREATION: Final = 5
_PATIENCE_SECONDS: Final = 3600.0
_NAME: Final = "orders-api-0000000"
_COPY_EVENTS: Final = (
    "COPY catalog.events (sequence, subject, body, hash, event_id, environment, version, kind, run_id, time) FROM STDIN"
)


def measure(events: int = EVENTS) -> list[Figure]:
    """A restore of so many events, interrupted once."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
        root = Path(directory)
        with start_postgres(root / "postgres") as postgres, start_nats(root / "nats") as nats:
            size = _fill(postgres, events)
            return _measure(root, postgres, nats, events, size)


def measure_full() -> list[Figure]:
    """The same with a million."""
    return measure(FULL)


def _measure(root: Path, postgres: RunningPostgres, nats: RunningNats, events: int, size: int) -> list[Figure]:
    killed = _Restore(root / "first", postgres, nats)
    killed.wait_for(int(events * _KILLED_AT))
    killed.kill()
    found = _Restore(root / "second", postgres, nats).result()
    last = asyncio.run(_last_sequence(nats.access))
    if (last, found["already_there"] + found["put_back"]) != (events, events):
        raise RuntimeError(f"the log ends at {last} of {events}: {found}")
    begun = time.monotonic()
    with postgres.connect("slipway_catalog") as catalog:
        verdict = log_copy.verify(catalog)
    if not verdict.is_intact:
        raise RuntimeError(f"the copy is broken at {verdict.broken_at}: {verdict.reason}")
    verified = events / (time.monotonic() - begun)
    rate = found["put_back"] / found["seconds"]
    cpu = found["cpu_seconds"] / found["put_back"] * 1e6
    return [
        Figure("restore-log", rate, "events/s", better="higher", detail=f"{cpu:.0f} µs of CPU each, {size} bytes each"),
        Figure(f"restore-log of {events:,} events", events / rate, "s", detail="at that rate"),
        Figure("restore-log, peak memory", found["peak_mb"], "MB", 150, detail="of the process that restores"),
        Figure("restore-log, peak memory of the bus", _peak_mb(nats.part.pid), "MB"),
        Figure(
            "restore-log after a kill",
            found["begun_seconds"],
            "s",
            detail=f"until it went on after message {found['already_there']:,}",
        ),
        Figure("verify-log", verified, "events/s", better="higher"),
    ]


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


async def _last_sequence(access: BusAccess) -> int:
    async with connected(access.url, access.deploy_nkey_file, inbox_prefix("deploy")) as client:
        return (await client.jetstream().stream_info(subjects.ENVIRONMENTS)).state.last_seq


# -- the process that restores -----------------------------------------------------------------------------------------


class _Restore:
    """One run of the restore, in a process of its own; it says on each line how far it is."""

    def __init__(self, directory: Path, postgres: RunningPostgres, nats: RunningNats) -> None:
        directory.mkdir()
        access = nats.access
        told = json.dumps(
            {
                "url": access.url,
                "deploy_nkey_file": str(access.deploy_nkey_file),
                "system_nkey_file": str(access.system_nkey_file),
                "database": postgres.cluster.url("slipway_catalog", "slipway"),
                "password_file": str(postgres.password_file("slipway_catalog")),
            }
        )
        launch = Launch((sys.executable, "-m", "benchmarks.restore_log", told), {"PYTHONUNBUFFERED": "1"}, PROJECT)
        self._log = directory / "said.log"
        self._process = spawn(launch, directory / "launch.json", self._log)

    def wait_for(self, sequence: int) -> None:
        """Return when it has put so many back."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._reached() < sequence:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self._log.read_text()[-2000:])
            time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def result(self) -> dict[str, Any]:
        """Wait for its end; answers what it found."""
        if self._process.wait(_PATIENCE_SECONDS) != 0:
            raise RuntimeError(self._log.read_text()[-2000:])
        found: dict[str, Any] = json.loads(self._log.read_text().splitlines()[-1])
        return found

    def _reached(self) -> int:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return max((int(line) for line in lines if line.isdecimal()), default=0)


def main() -> None:
    """Restore, as the process that is measured."""
    told = json.loads(sys.argv[1])
    access = BusAccess(told["url"], Path(told["deploy_nkey_file"]), Path(told["system_nkey_file"]))
    password = Path(told["password_file"]).read_text().strip()
    first: list[float] = []
    begun = time.monotonic()

    def report(sequence: int) -> None:
        if not first:
            first.append(time.monotonic())
        print(sequence)

    with psycopg.connect(told["database"], password=password, autocommit=True) as catalog:
        restored = asyncio.run(log_copy.restore(access, catalog, report))
    ended = time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = asdict(restored) | {
        "begun_seconds": first[0] - begun,
        "seconds": ended - first[0],
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }
    print(json.dumps(found))


# -- the copy ----------------------------------------------------------------------------------------------------------


def _fill(postgres: RunningPostgres, events: int) -> int:
    """Put so many events into the catalog's copy; answers how many bytes one has, on the average."""
    head, size, number = b"", 0, 0
    with postgres.connect("slipway_catalog") as connection, connection.transaction():
        with connection.cursor() as cursor, cursor.copy(_COPY_EVENTS) as copy:
            for number, (body, event_id, name, version, kind, run_id, at) in enumerate(_told(events), start=1):
                subject = f"environment.{name}.{kind}".encode()
                row = (number, subject, body, b"", event_id, name, version, kind, run_id)
                head = chained(head, CopiedMessage(*row))
                copy.write_row((number, subject, body, head, event_id, name, version, kind, run_id, at))
                size += len(body)
        connection.execute("UPDATE catalog.log_position SET sequence = %s, hash = %s", (number, head))
    return size // max(number, 1)


def _told(events: int) -> Iterator[tuple[bytes, UUID, str, int, str, UUID, Any]]:
    """Creations, one after the other: each the first one under another name, with ids that follow from its cause."""
    key = EventKey(os.urandom(32))
    template = _creation(key)
    bodies = [event.to_json() for event in template]
    name, ids = _NAME, [str(event.id) for event in template] + [str(template[0].causation_id)]
    for number in range(events):
        place = number % _OF_A_CREATION
        if place == 0:
            before = [(name.encode(), b""), *((one.encode(), b"") for one in ids)]
            name, cause = f"orders-api-{number // _OF_A_CREATION:07}", uuid4()
            told: list[UUID] = []
            for event in template:
                told.append(key.derive(told[-1] if told else cause, event.kind))
            ids = [str(one) for one in (*told, cause)]
            after = [name.encode(), *(one.encode() for one in ids)]
            swaps = [(old, new) for (old, _), new in zip(before, after, strict=True)]
            bodies = [_swapped(body, swaps) for body in bodies]
        event = template[place]
        yield bodies[place], told[place], name, place + 1, event.kind, told[0], event.time


def _swapped(body: bytes, swaps: Sequence[tuple[bytes, bytes]]) -> bytes:
    for old, new in swaps:
        body = body.replace(old, new)
    return body


def _creation(key: EventKey) -> list[Event]:
    spec = EnvironmentSpec(
        name=_NAME,
        kind="preview",
        golden_path="nodejs-api",
        golden_path_version="1.0.0",
        owner=Owner(person="ada", team="payments"),
        repository=f"acme/{_NAME}",
        branch="main",
        parameters={"instances": 1, "database": True},
    )
    made: dict[str, Any] = {"spec": spec, "infrastructure": infrastructure(_NAME)}
    stored = {**made, "secrets": secrets(_NAME)}
    done = {**stored, "pipeline": pipeline(_NAME, "main")}
    told: list[Event] = []

    def say(kind: type[Event], source: str, data: Value) -> None:
        cause = told[-1].id if told else uuid4()
        event_id = key.derive(cause, kind.kind)
        first = told[0].id if told else event_id
        told.append(
            kind.model_validate(
                {
                    "id": event_id,
                    "source": source,
                    "type": kind.model_fields["type"].default,
                    "subject": _NAME,
                    "time": "2026-11-23T09:00:00Z",
                    "incarnation": first,
                    "runid": first,
                    "correlationid": first,
                    "causationid": cause,
                    "traceparent": f"00-{1:032x}-{1:016x}-01",
                    "data": data,
                }
            )
        )

    say(EnvironmentRequested, "gateway", Asked(spec=spec, requested_by="ada"))
    say(InfraReady, "provisioner", InfraReadyData.model_validate(made))
    say(SecretsStored, "secrets", SecretsStoredData.model_validate(stored))
    say(PipelineCreated, "cicd", PipelineCreatedData.model_validate(done))
    say(EnvironmentReady, "catalog", EnvironmentReadyData.model_validate({**done, "duration_seconds": 3.5}))
    return told


if __name__ == "__main__":
    main()

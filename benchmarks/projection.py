"""How far the catalog's views are behind the log while it is written to, how fast they are folded anew, and what it
costs to look into the past.

The events are those of creations, said by the gateway, the provisioner, secrets and cicd in their turn, at a steady
rate; the verdict of each is the catalog's own. An event counts as seen when the catalog's position, in its database,
has reached it.
"""

import asyncio
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psycopg
import uvloop

from benchmarks.fleet import Fleet, infrastructure, pipeline, secrets
from benchmarks.report import Figure, median, percentile
from benchmarks.stage import Stage, stage
from chassis.bus import Bus
from chassis.clock import SystemClock
from chassis.identity import EventKey
from chassis.publishing import Publisher
from contracts.envelope import Event, ServiceName, Value
from contracts.events import (
    Asked,
    EnvironmentRequested,
    InfraReady,
    InfraReadyData,
    PipelineCreated,
    PipelineCreatedData,
    SecretsStored,
    SecretsStoredData,
)
from contracts.topology import inbox_prefix
from contracts.values import EnvironmentSpec

E = TypeVar("E", bound=Event)

RATE = 1_000
"""Events a second, the catalog's own verdicts among them."""
SECONDS = 20
_OF_A_CREATION = 5
_LOOK_SECONDS = 0.004
MOMENTS = 100
REBUILDS = 5


def measure() -> list[Figure]:
    """Lag at a steady rate, a rebuild of what came of it, and the state at a moment."""
    with (
        tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory,
        stage(Path(directory), names=("catalog", "gateway")) as on,
    ):
        creations = RATE * SECONDS // _OF_A_CREATION
        lags, rate = uvloop.run(_write(on, creations))
        with httpx.Client(base_url=on.gateway_url, headers=_bearer(on), trust_env=False, timeout=60) as client:
            return [_lag(lags, rate), _rebuild(client), *_past(client, creations)]


class _Voice:
    """One of the services that say a creation's events."""

    def __init__(self, on: Stage, name: ServiceName) -> None:
        self.bus = Bus(on.nats.url, name=name, nkey_file=on.nats.nkey_file(name), inbox_prefix=inbox_prefix(name))
        self.publisher = Publisher(self.bus, name, EventKey.from_file(on.event_key_file), SystemClock())


async def _write(on: Stage, creations: int) -> tuple[list[float], float]:
    """The lag of each event in seconds, and the events a second that there really were."""
    names: tuple[ServiceName, ...] = ("gateway", "provisioner", "secrets", "cicd")
    voices = {name: _Voice(on, name) for name in names}
    for voice in voices.values():
        await voice.bus.connect()
    stored_at: dict[int, float] = {}
    fleet = Fleet(creations)
    specs = [fleet.view(number).spec for number in range(creations)]
    watching = asyncio.create_task(_watch(on, creations * _OF_A_CREATION))
    began = time.perf_counter()

    def told(sequence: int) -> None:
        stored_at[sequence] = time.perf_counter()

    async def create(number: int, spec: EnvironmentSpec) -> None:
        await asyncio.sleep(max(0.0, began + number * _OF_A_CREATION / RATE - time.perf_counter()))
        await _say_creation(voices, spec, told)

    await asyncio.gather(*(create(number, spec) for number, spec in enumerate(specs)))
    said_seconds = time.perf_counter() - began
    reached = await watching
    for voice in voices.values():
        await voice.bus.close()
    lags, steps = [], iter(reached)
    seen_at, position = next(steps)
    for sequence, at in sorted(stored_at.items()):
        while position < sequence:
            seen_at, position = next(steps)
        lags.append(max(0.0, seen_at - at))
    return lags, creations * _OF_A_CREATION / said_seconds


async def _say_creation(
    voices: Mapping[ServiceName, _Voice], spec: EnvironmentSpec, told: Callable[[int], None]
) -> None:
    """Say its four events, each because of the one before; `told` gets each one's place on the log when it has it."""
    asked, sequence = await voices["gateway"].publisher.begin_run(
        EnvironmentRequested,
        Asked(spec=spec, requested_by=spec.owner.person),
        environment=spec.name,
        cause=uuid4(),
        last_sequence=0,
    )
    told(sequence)

    async def say(name: ServiceName, kind: type[E], data: Value, because: Event) -> E:
        publisher = voices[name].publisher
        event = publisher.compose(kind, data, because)
        told((await publisher.store(event)).sequence)
        return event

    there, kept = infrastructure(spec.name), secrets(spec.name)
    ready = await say("provisioner", InfraReady, InfraReadyData(spec=spec, infrastructure=there), asked)
    data = SecretsStoredData(spec=spec, infrastructure=there, secrets=kept)
    stored = await say("secrets", SecretsStored, data, ready)
    built = pipeline(spec.name, spec.branch)
    made = PipelineCreatedData(spec=spec, infrastructure=there, secrets=kept, pipeline=built)
    await say("cicd", PipelineCreated, made, stored)


def _position(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT sequence FROM catalog.log_position").fetchone()
    return int(row[0]) if row is not None else 0


async def _watch(on: Stage, last: int) -> list[tuple[float, int]]:
    """When the catalog had reached which position, until it has reached the last."""
    reached: list[tuple[float, int]] = []
    with on.postgres.connect() as connection:
        connection.autocommit = True
        while not reached or reached[-1][1] < last:
            position = await asyncio.to_thread(_position, connection)
            if not reached or position > reached[-1][1]:
                reached.append((time.perf_counter(), position))
            await asyncio.sleep(_LOOK_SECONDS)
    return reached


def _lag(lags: Sequence[float], rate: float) -> Figure:
    p50, p99 = percentile(lags, 0.5) * 1000, percentile(lags, 0.99) * 1000
    detail = f"p50 {p50:.0f} ms, most {max(lags) * 1000:.0f} ms, over {SECONDS} s; there were {rate:.0f} a second"
    return Figure(f"projection lag at {RATE:,} events a second, p99", p99, "ms", 250, detail=detail)


def _rebuild(client: httpx.Client) -> Figure:
    """Every view folded anew and compared with the one that is stored. The first round is for the processes that help:
    they begin with it."""
    rates = []
    for _ in range(1 + REBUILDS):
        after: str | None = ""
        events = names = 0
        began = time.perf_counter()
        while after is not None:
            asked = {"after": after, "replace": True}
            page = client.post("/api/v1/admin/rebuild", json=asked).raise_for_status().json()
            if page["differing"]:
                raise RuntimeError(f"views that the log does not bear out: {page['differing']}")
            events, names, after = events + page["events"], names + page["names"], page["next_after"]
        rates.append(events / (time.perf_counter() - began))
    detail = f"{names:,} environments, {events:,} events, while the catalog answers others; {rates[0]:,.0f} at first"
    return Figure("rebuild, compared with what is stored", median(rates[1:]), "events/s", 10_000, "higher", detail)


def _past(client: httpx.Client, creations: int) -> Iterator[Figure]:
    """The state of one environment at a moment, over HTTP with a token."""
    fleet, pick, took = Fleet(creations), random.Random(7), []  # noqa: S311 - a sample, not a secret
    for _ in range(MOMENTS):
        name = fleet.name(pick.randrange(creations))
        moment = datetime.now(UTC).isoformat()
        began = time.perf_counter()
        client.get(f"/api/v1/environments/{name}", params={"at": moment}).raise_for_status()
        took.append(time.perf_counter() - began)
    detail = f"p50 {percentile(took, 0.5) * 1000:.1f} ms; {creations:,} environments"
    yield Figure("state of one at a moment, p95", percentile(took, 0.95) * 1000, "ms", 50, detail=detail)


def _bearer(on: Stage) -> dict[str, str]:
    return {"Authorization": f"Bearer {on.admin_token_file.read_text().strip()}"}

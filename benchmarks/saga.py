"""The creation saga with twins for the outside effects: the real bus, six processes, Postgres.

Latency is what somebody waits: from the request handed to the gateway to the verdict on the bus. Everything is measured
several times, the floor between the runs, because the machine's own speed drifts; ratios are of neighbours.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvloop
from nats.aio.msg import Msg

from benchmarks.floor import Floor, floor
from benchmarks.report import Figure, median, percentile
from benchmarks.stage import Stage, stage
from chassis.bus import Bus
from contracts import subjects
from contracts.topology import inbox_prefix

ONE_AT_A_TIME = 150
CROWD = 1500
IN_FLIGHT = 100
ROUNDS = 3


class Driver:
    """Asks the gateway over the bus, as another system would, and hears the verdicts."""

    def __init__(self, on: Stage[Any]) -> None:
        self._token = on.admin_token_file.read_text().strip()
        self._client = self._bus(on, "client")
        self._ears = self._bus(on, "gateway")
        self._waiting: dict[str, asyncio.Future[float]] = {}

    @staticmethod
    def _bus(on: Stage[Any], user: str) -> Bus:
        return Bus(on.nats.url, name=user, nkey_file=on.nats.nkey_file(user), inbox_prefix=inbox_prefix(user))

    async def start(self) -> None:
        """Connect and listen."""
        await self._client.connect()
        await self._ears.connect()
        await self._ears.listen("environment.*.environment_ready", self._ended)

    async def stop(self) -> None:
        """Disconnect."""
        await self._client.close()
        await self._ears.close()

    async def _ended(self, message: Msg) -> None:
        if future := self._waiting.pop(message.subject.split(".")[1], None):
            future.set_result(time.perf_counter())

    async def create(self) -> float:
        """Seconds from asking for an environment to its EnvironmentReady."""
        name = f"b{uuid4().hex[:16]}"
        self._waiting[name] = future = asyncio.get_running_loop().create_future()
        body = json.dumps({"name": name, "golden_path": "nodejs-api"}).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": name}
        began = time.perf_counter()
        reply = await self._client.ask(
            subjects.request("create_environment"), body, headers=headers, timeout_seconds=30
        )
        if (reply.headers or {}).get("Slipway-Status") != "202":
            raise RuntimeError(f"the gateway refused: {reply.data.decode()[:500]}")
        ended_at: float = await asyncio.wait_for(future, 60)
        return ended_at - began

    async def crowd(self, sagas: int, in_flight: int) -> tuple[float, list[float]]:
        """Sagas a second and the seconds each took, `in_flight` at a time."""
        slots = asyncio.Semaphore(in_flight)

        async def one() -> float:
            async with slots:
                return await self.create()

        began = time.perf_counter()
        seconds = await asyncio.gather(*(one() for _ in range(sagas)))
        return sagas / (time.perf_counter() - began), list(seconds)


def measure(*, traced: bool, otlp_endpoint: str = "") -> list[Figure]:
    """Latency at 1 in flight, throughput at 100, each beside the floor."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
        root = Path(directory)
        with floor(root / "floor") as base, stage(root / "stage", otlp_endpoint=otlp_endpoint) as on:
            return uvloop.run(_measure(base, on, "traced" if traced else "untraced"))


async def _measure(base: Floor, on: Stage, label: str) -> list[Figure]:
    driver = Driver(on)
    await driver.start()
    await driver.crowd(200, 20)  # warm: connections, caches, the first pages of every table
    await base.measure(200, 20)
    alone = sorted([await driver.create() for _ in range(ONE_AT_A_TIME)])
    _, floor_alone = await base.measure(ONE_AT_A_TIME, 1)
    floor_ms = percentile(floor_alone, 0.5) * 1000
    rates, floors, seconds, cpu = [], [], [], []
    for _ in range(ROUNDS):
        floors.append((await base.measure(CROWD, IN_FLIGHT))[0])
        spent = on.cpu_seconds()
        rate, took = await driver.crowd(CROWD, IN_FLIGHT)
        cpu.append((on.cpu_seconds() - spent) / CROWD * 1000)
        rates.append(rate)
        seconds += took
    await driver.stop()
    rate, base_rate = median(rates), median(floors)
    crowd = f"p50 {percentile(seconds, 0.5) * 1000:.0f} ms, p99 {percentile(seconds, 0.99) * 1000:.0f} ms"
    traced = label == "traced"
    return [
        Figure(
            f"saga, 1 in flight, p50, {label}",
            percentile(alone, 0.5) * 1000,
            "ms",
            15 if traced else None,
            detail=f"p99 {percentile(alone, 0.99) * 1000:.1f} ms; floor p50 {floor_ms:.1f} ms",
        ),
        Figure(
            f"saga, {IN_FLIGHT} in flight, {label}",
            rate,
            "sagas/s",
            250 if traced else None,
            "higher",
            f"{crowd}; {median(cpu):.1f} ms CPU a saga (bus and services)",
        ),
        Figure(
            f"share of the floor, {IN_FLIGHT} in flight, {label}",
            rate / base_rate * 100,
            "%",
            None if traced else 50,
            "higher",
            f"floor {base_rate:.0f} sagas/s",
        ),
    ]

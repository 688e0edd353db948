"""Scaled out on one machine: a bus of three servers, and one, two and three replicas of each service.

Replicas are for going on when one dies. On one machine they share its cores, so what more of them bring is measured
beside what the cores have left: a rate says nothing without it. What one server of the bus does is `saga`'s figure.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import uvloop

from benchmarks.report import Figure, median, percentile
from benchmarks.saga import Driver
from benchmarks.stage import Stage, cpu_seconds_of, staged
from chassis.failures import TransientError
from contracts import subjects
from deploy.embedded.testing_cluster import RunningCluster, start_nats_cluster

REPLICAS: Final = (1, 2, 3)
CROWD: Final = 300
IN_FLIGHT: Final = 50
ROUNDS: Final = 3
FEW: Final = 8
"""Creations under way while something dies: no queue, so that what is seen is the failover."""
SETTLED: Final = 40
"""Creations before a death and after it."""
PATIENCE_SECONDS: Final = 90.0
_FULL: Final = 0.9
"""From this share of the cores' time on they are what limits."""


def measure() -> list[Figure]:
    """Rates by the number of replicas, and how long a death is felt. Figures without targets."""
    figures: list[Figure] = []
    for replicas in REPLICAS:
        with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
            root = Path(directory)
            with (
                start_nats_cluster(root / "nats") as cluster,
                staged(cluster, root / "stage", replicas=replicas) as on,
            ):
                figures.append(uvloop.run(_rate(on, replicas)))
                if replicas == REPLICAS[-1]:
                    figures += uvloop.run(_deaths(on))
    return figures


async def _rate(on: Stage[RunningCluster], replicas: int) -> Figure:
    driver = Driver(on)
    await driver.start()
    await driver.crowd(CROWD // 3, IN_FLIGHT)  # warm: connections, caches, the first pages of every table
    rates, seconds, services, bus, busy = [], list[float](), [], [], []
    for _ in range(ROUNDS):
        before = _spent(on)
        rate, took = await driver.crowd(CROWD, IN_FLIGHT)
        spent = [after - earlier for after, earlier in zip(_spent(on), before, strict=True)]
        rates.append(rate)
        seconds += took
        services.append(spent[0] / CROWD * 1000)
        bus.append(spent[1] / CROWD * 1000)
        busy.append(spent[2] / spent[3])
    await driver.stop()
    cores = len(os.sched_getaffinity(0))
    return Figure(
        f"sagas, {replicas} of each service, bus of 3, {IN_FLIGHT} in flight",
        median(rates),
        "sagas/s",
        better="higher",
        detail=f"p50 {percentile(seconds, 0.5) * 1000:.0f} ms, p99 {percentile(seconds, 0.99) * 1000:.0f} ms; "
        f"CPU a saga: services {median(services):.1f} ms, bus {median(bus):.1f} ms; {cores} cores "
        f"{median(busy):.0%} busy{', which is the limit' if median(busy) > _FULL else ''}",
    )


def _spent(on: Stage[RunningCluster]) -> tuple[float, float, float, float]:
    """CPU seconds of the services and of the bus so far; of the whole machine, busy and altogether, in ticks."""
    line = Path("/proc/stat").read_text().partition("\n")[0]
    ticks = [int(field) for field in line.split()[1:9]]
    idle = ticks[3] + ticks[4]  # proc(5): idle, iowait
    services = cpu_seconds_of(service.pid for service in on.services.values())
    return services, cpu_seconds_of(on.nats.pids), float(sum(ticks) - idle), float(sum(ticks))


class _Load:
    """A few creations under way at any time; knows when each was begun and ended."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._stopping = False
        self.done: list[tuple[float, float]] = []

    async def go_on(self) -> None:
        """Create one environment after the other, as a client that asks again where it is told to."""
        while not self._stopping:
            began = time.monotonic()
            try:
                await self._driver.create()
            except (TransientError, RuntimeError):  # nobody answered, or 503: both say to ask again
                continue
            self.done.append((began, time.monotonic()))

    def stop(self) -> None:
        """Begin no more."""
        self._stopping = True

    async def settle(self) -> None:
        """Return when many that begin from now on have ended."""
        now = time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(began >= now for began, _ in self.done) < SETTLED:  # noqa: ASYNC110 - a deadline stands above
                await asyncio.sleep(0.05)

    def first_after(self, moment: float) -> float:
        """Seconds from then until a creation that was begun later had ended."""
        return min(ended for began, ended in self.done if began >= moment) - moment

    def slowest_across(self, moment: float) -> float:
        """The longest that a creation took which was under way then."""
        return max((ended - began for began, ended in self.done if began < moment < ended), default=0.0)

    def usual(self, moment: float) -> float:
        """The median of those that had ended by then."""
        return median(ended - began for began, ended in self.done if ended < moment)


@asynccontextmanager
async def _load(on: Stage[RunningCluster]) -> AsyncIterator[_Load]:
    driver = Driver(on)
    await driver.start()
    load = _Load(driver)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(FEW):
            tasks.create_task(load.go_on())
        await load.settle()
        yield load
        load.stop()
    await driver.stop()


async def _deaths(on: Stage[RunningCluster]) -> list[Figure]:
    async with _load(on) as load:
        await load.settle()
        died = time.monotonic()
        on.services["provisioner-2"].kill()
        await load.settle()
    service = (load.first_after(died), load.slowest_across(died), load.usual(died))
    async with _load(on) as load:
        leader = on.nats.leader(subjects.ENVIRONMENTS)
        if leader is None:
            raise RuntimeError("the log has no leader")
        await load.settle()
        died = time.monotonic()
        leader.part.kill()
        await load.settle()
    return [
        Figure(
            f"one of {REPLICAS[-1]} provisioners killed: until what it had in hand was done",
            service[1],
            "s",
            detail=f"a new creation was through after {service[0] * 1000:.0f} ms (usually {service[2] * 1000:.0f} ms)",
        ),
        Figure(
            "the log's leader killed: until a new creation was through",
            load.first_after(died),
            "s",
            detail=f"the slowest of those under way took {load.slowest_across(died):.1f} s; "
            f"usually {load.usual(died) * 1000:.0f} ms",
        ),
    ]

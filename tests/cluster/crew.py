"""Replicas of every service on the cluster's bus, asked the way a careful client asks through a load balancer."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
import psycopg

from benchmarks.stage import Stage, staged
from chassis.bus import Bus
from chassis.failures import TransientError
from chassis.identity import EventKey
from contracts.envelope import Event
from contracts.events import EnvironmentReady, parse
from contracts.topology import CONSUMERS, SERVICES, inbox_prefix
from deploy.embedded.testing_cluster import SERVERS, RunningCluster
from deploy.streams import consumer_config
from tests.saga.driver import CREATED, VERDICTS, Driver, Log
from tests.saga.world import World, running_world
from tests.waiting import until

ACK_WAIT_SECONDS: Final = 5
"""How long a crash delays a message: short, so that the suite is."""
_HANDLED: Final = re.compile(r"^slipway_(?:events_handled|folded_messages)_total\{.*?\} (\d+(?:\.\d+)?)", re.MULTILINE)
_LOOK_SECONDS: Final = 0.02
_VERDICTS: Final = tuple(kind.kind.encode() for kind in VERDICTS)


class Balanced(httpx.AsyncBaseTransport):
    """A load balancer: each request to the next gateway. One that cannot be reached got nothing, so the next one is
    asked; whatever else goes wrong is the caller's to see."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [httpx.URL(url) for url in urls]
        self._turns = count()
        self._transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=200))
        self.answers: Counter[str] = Counter()
        """How often each status, or kind of failure, was the answer."""
        self.served: Counter[int] = Counter()
        """How much each gateway answered, by its port."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask one gateway, or the next."""
        for attempt in range(len(self._urls)):
            url = self._urls[next(self._turns) % len(self._urls)]
            request.url = request.url.copy_with(host=url.host, port=url.port)
            try:
                answer = await self._transport.handle_async_request(request)
            except httpx.ConnectError:
                if attempt == len(self._urls) - 1:
                    self.answers["ConnectError"] += 1
                    raise
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
                raise
            else:
                self.answers[str(answer.status_code)] += 1
                self.served[url.port or 0] += 1
                return answer
        raise AssertionError("no gateway at all")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


@dataclass
class Crew:
    """What a test needs: the replicas, the driver that asks, and what is measured while things die."""

    on: Stage[RunningCluster]
    driver: Driver
    balanced: Balanced
    names: list[str] = field(default_factory=list)
    """Of every environment that `load` asked for."""
    ended: dict[UUID, Event] = field(default_factory=dict)
    """By run, the verdicts heard of so far."""
    done: list[tuple[float, float]] = field(default_factory=list)
    """When each creation that has ended was begun, and when that was known."""

    async def watch(self) -> None:
        """Read the log, until cancelled, for whoever waits for a verdict."""
        log = self.driver.log
        while True:
            known = len(log.messages)
            try:
                await log.read_on(self.driver.bus)
            except TransientError:
                continue  # the bus is away
            for message in log.messages[known:]:
                if message.subject.endswith(_VERDICTS):
                    event = parse(message.body)
                    self.ended[event.run_id] = event
            await asyncio.sleep(_LOOK_SECONDS)

    async def create(self, name: str) -> UUID:
        """Ask for an environment, and return its run when that has ended well."""
        self.names.append(name)
        begun = time.monotonic()
        run_id = await self.driver.create(name)
        verdict = await until(lambda: self.ended.get(run_id), within_seconds=90, what=f"the end of {name}")
        assert isinstance(verdict, EnvironmentReady), verdict
        self.done.append((begun, time.monotonic()))
        return run_id

    async def handled(self, process: str) -> float:
        """How many events or messages a process has handled since it was started."""
        async with httpx.AsyncClient(trust_env=False, timeout=15) as client:
            text = (await client.get(f"{self.on.services[process].url}/metrics")).text
        return sum(float(number) for number in _HANDLED.findall(text))

    def position(self) -> int:
        """How far the catalog has folded."""
        with psycopg.connect(self.on.postgres.url(), autocommit=True) as connection:
            row = connection.execute("SELECT sequence FROM catalog.log_position").fetchone()
        assert row is not None
        return int(row[0])

    @asynccontextmanager
    async def load(self, in_flight: int) -> AsyncIterator[list[UUID]]:
        """So many creations under way at any time until the block ends; then all end well. Collects the runs."""
        runs: list[UUID] = []
        ended = asyncio.Event()

        async def go_on() -> None:
            while not ended.is_set():
                runs.append(await self.create(self.driver.name()))

        tasks = [asyncio.create_task(go_on()) for _ in range(in_flight)]
        try:
            yield runs
        finally:
            ended.set()
            await asyncio.gather(*tasks)

    @asynccontextmanager
    async def stall(self, found: list[float]) -> AsyncIterator[None]:
        """Adds the longest time in which the catalog heard of nothing new while the block ran."""
        ended = asyncio.Event()

        async def watch() -> float:
            longest, since, last = 0.0, time.monotonic(), -1
            while not ended.is_set():
                position = await asyncio.to_thread(self.position)
                if position != last:
                    longest, since, last = max(longest, time.monotonic() - since), time.monotonic(), position
                await asyncio.sleep(_LOOK_SECONDS)
            return longest

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            ended.set()
            found.append(await task)

    async def goes_on(self, creations: int, *, within_seconds: float) -> None:
        """Return when so many creations that begin from now on have ended: so each step has been taken since."""
        now = time.monotonic()

        def enough() -> bool:
            return sum(begun >= now for begun, _ in self.done) >= creations

        await until(enough, within_seconds=within_seconds, what=f"the end of {creations} new creations")

    async def check_everything(self) -> None:
        """Each creation went its road once, in order, with each effect and message once; and the catalog's copy is the
        log, each environment's events numbered without a gap."""
        await self.driver.check_once(self.names)
        for name in self.names:
            self.driver.check_chain(self.driver.log.events(name), CREATED)
        log = {message.sequence: message.body for message in self.driver.log.messages}
        assert sorted(log) == list(range(1, len(log) + 1))

        async def folded() -> bool:
            return await asyncio.to_thread(self.position) == len(log)

        await until(folded, what="everything in the catalog")
        with psycopg.connect(self.on.postgres.url(), autocommit=True) as connection:
            rows = connection.execute(
                "SELECT sequence, body, environment, version FROM catalog.events ORDER BY sequence"
            )
            versions: Counter[str] = Counter()
            copy: dict[int, bytes] = {}
            for sequence, body, environment, version in rows:
                copy[sequence] = bytes(body)
                versions[environment] += 1
                assert version == versions[environment], environment
            states: dict[str, str] = dict(connection.execute("SELECT name, state FROM catalog.environments").fetchall())
        assert copy == log
        assert {states[name] for name in self.names} == {"ready"}

    async def restart(self, process: str) -> None:
        """End a process in order, and begin it again."""
        await asyncio.to_thread(self.on.services[process].stop)
        self.on.services[process].begin()
        await self.driver.ready(process)


@contextmanager
def running_crew(
    cluster: RunningCluster, directory: Path, replicas: int
) -> Iterator[tuple[Stage[RunningCluster], World]]:
    """So many replicas of each service, with one world outside all of them. Start it in the main thread."""
    settings = {
        "SLIPWAY_ACK_WAIT_SECONDS": str(ACK_WAIT_SECONDS),
        "SLIPWAY_CATALOG_SWEEP_SECONDS": "1",
        "SLIPWAY_GATEWAY_REPUBLISH_AFTER_SECONDS": "3",
    }
    with running_world() as (world, socket):
        settings["SLIPWAY_WORLD_SOCKET"] = str(socket)
        with staged(cluster, directory, twins="tests.saga.twins", settings=settings, replicas=replicas) as on:
            yield on, world


async def shorten_ack_wait(bus: Bus) -> None:
    """Deliver again sooner than on a platform."""
    for spec in CONSUMERS:
        config = consumer_config(replace(spec, ack_wait_seconds=ACK_WAIT_SECONDS), replicas=SERVERS)
        await bus.jetstream.add_consumer(spec.stream, config)


@asynccontextmanager
async def crew_of(on: Stage[RunningCluster], world: World, log: Log) -> AsyncIterator[Crew]:
    """A crew that is ready, and a driver for this event loop."""
    async with AsyncExitStack() as stack:
        bus = Bus(
            on.nats.url, name="deploy", nkey_file=on.nats.nkey_file("deploy"), inbox_prefix=inbox_prefix("deploy")
        )
        await bus.connect()
        stack.push_async_callback(bus.close)
        await shorten_ack_wait(bus)
        balanced = Balanced(on.gateway_urls)
        http = httpx.AsyncClient(
            base_url=on.gateway_url,
            transport=balanced,
            headers={"Authorization": f"Bearer {on.admin_token_file.read_text().strip()}"},
            timeout=15,
        )
        await stack.enter_async_context(http)
        crew = Crew(on, Driver(on, world, "", log, http, bus, EventKey.from_file(on.event_key_file)), balanced)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(crew.watch())
            yield crew
            watching.cancel()


def everybody(replicas: int) -> list[str]:
    """Every process, the replicas of a service one after the other."""
    return [name if number == 1 else f"{name}-{number}" for name in SERVICES for number in range(1, replicas + 1)]

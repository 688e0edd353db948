"""The floor: what bare nats-py needs for the same durable publishes and acknowledgements, in as many processes.

A saga is five durable events (request, three outcomes, verdict), each published once. Every durable of the topology
that hears one of them fetches and acknowledges it, in one process a service as in the platform; the step that follows
says the next one. No decoding, no look at what was said, no spans, no database.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, StorageType, StreamConfig

from contracts.events import EnvironmentReady, EnvironmentRequested, InfraReady, PipelineCreated, SecretsStored
from contracts.subjects import ENVIRONMENTS
from contracts.topology import CONSUMERS, Permissions
from deploy.embedded.testing import RunningNats, start_nats

BODY = b"x" * 1400
"""About the size of an InfraReady."""
CHAIN = {
    ("provisioner", EnvironmentRequested.kind): InfraReady.kind,
    ("secrets", InfraReady.kind): SecretsStored.kind,
    ("cicd", SecretsStored.kind): PipelineCreated.kind,
    ("catalog", PipelineCreated.kind): EnvironmentReady.kind,
}
"""What a durable says when it hears something; the first is said by whoever asks."""
SAID = (EnvironmentRequested.kind, *CHAIN.values())


def durables() -> dict[str, dict[str, list[str]]]:
    """By service its durables that hear events of a saga, and the subjects under which each hears them."""
    found: dict[str, dict[str, list[str]]] = {}
    for spec in CONSUMERS:
        heard = [kind for kind in SAID if set(spec.filter_subjects) & {f"environment.*.{kind}", "environment.*.*"}]
        if spec.stream == ENVIRONMENTS and heard:
            found.setdefault(spec.service, {})[spec.durable] = [f"floor.*.{kind}" for kind in heard]
    return found


@contextmanager
def floor(directory: Path) -> Iterator["Floor"]:
    """A bus of its own with the same settings, and the processes of the chain."""
    everything = Permissions((">",), (">",))
    with ExitStack() as stack:
        running = stack.enter_context(start_nats(directory, {"floor": everything, "deploy": everything}, streams=False))
        asyncio.run(_provision(running))
        for service in durables():
            seed = str(running.nkey_file("floor"))
            process = subprocess.Popen([sys.executable, "-m", "benchmarks.floor", running.url, seed, service])
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield Floor(running)


class Floor:
    """Drives the chain."""

    def __init__(self, running: RunningNats) -> None:
        self._running = running

    async def measure(self, sagas: int, in_flight: int) -> tuple[float, list[float]]:
        """Sagas a second and the seconds each took."""
        client = await _connect(self._running.url, str(self._running.nkey_file("floor")))
        waiting: dict[str, asyncio.Future[float]] = {}

        async def ended(message: Msg) -> None:
            if future := waiting.pop(message.subject.split(".")[1], None):
                future.set_result(time.perf_counter())

        await client.subscribe(f"floor.*.{EnvironmentReady.kind}", cb=ended)
        slots = asyncio.Semaphore(in_flight)

        async def one() -> float:
            async with slots:
                name = uuid4().hex
                waiting[name] = future = asyncio.get_running_loop().create_future()
                began = time.perf_counter()
                await _say(client, name, EnvironmentRequested.kind)
                ended_at: float = await asyncio.wait_for(future, 60)
                return ended_at - began

        began = time.perf_counter()
        seconds = await asyncio.gather(*(one() for _ in range(sagas)))
        rate = sagas / (time.perf_counter() - began)
        await client.close()
        return rate, list(seconds)


async def _connect(url: str, seed_file: str) -> Client:
    return await nats.connect(url, nkeys_seed=seed_file)


async def _provision(running: RunningNats) -> None:
    client = await _connect(running.url, str(running.nkey_file("deploy")))
    jetstream = client.jetstream()
    await jetstream.add_stream(StreamConfig(name="FLOOR", subjects=["floor.*.*"], storage=StorageType.FILE))
    for of_service in durables().values():
        for name, subjects in of_service.items():
            config = ConsumerConfig(durable_name=name, filter_subjects=subjects, ack_wait=15, max_ack_pending=10_000)
            await jetstream.add_consumer("FLOOR", config)
    await client.close()


async def _say(client: Client, name: str, kind: str) -> None:
    await client.jetstream().publish(f"floor.{name}.{kind}", BODY, headers={"Nats-Msg-Id": uuid4().hex})


async def _work(url: str, seed_file: str, service: str) -> None:
    client = await _connect(url, seed_file)

    async def handle(durable: str, message: Msg) -> None:
        _, name, heard = message.subject.split(".")
        if durable == service and (following := CHAIN.get((service, heard))):
            await _say(client, name, following)
        await message.ack()

    async def read(durable: str) -> None:
        subscription = await client.jetstream().pull_subscribe_bind(durable, "FLOOR")
        while True:
            try:
                messages = await subscription.fetch(100, timeout=5)
            except TimeoutError:
                continue
            await asyncio.gather(*(handle(durable, message) for message in messages))

    await asyncio.gather(*(read(durable) for durable in durables()[service]))


if __name__ == "__main__":
    uvloop.run(_work(*sys.argv[1:]))

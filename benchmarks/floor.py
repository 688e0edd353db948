"""The floor: what bare nats-py needs for the same durable publishes and acknowledgements, in as many processes.

A saga is five durable events (request, three outcomes, verdict), each published once; the request and the outcomes are
fetched and acknowledged by the step that follows, all five by a reader that stands for the catalog, the last one by a
reader that stands for the notifier. No decoding, no spans, no database.
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

from contracts.topology import Permissions
from deploy.embedded.testing import RunningNats, start_nats

BODY = b"x" * 1400
"""About the size of an InfraReady."""
CHAIN = {"requested": "ready", "ready": "stored", "stored": "created", "created": "verdict"}
HOPS = (("provisioner", "requested"), ("secrets", "ready"), ("cicd", "stored"))


@contextmanager
def floor(directory: Path) -> Iterator["Floor"]:
    """A bus of its own with the same settings, and the processes of the chain."""
    everything = Permissions((">",), (">",))
    with ExitStack() as stack:
        running = stack.enter_context(start_nats(directory, {"floor": everything, "deploy": everything}, streams=False))
        asyncio.run(_provision(running))
        for argv in (*(["hop", kind] for _, kind in HOPS), ["reader", "catalog"], ["reader", "notifier"]):
            seed = str(running.nkey_file("floor"))
            process = subprocess.Popen([sys.executable, "-m", "benchmarks.floor", running.url, seed, *argv])
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

        await client.subscribe("floor.*.verdict", cb=ended)
        slots = asyncio.Semaphore(in_flight)

        async def one() -> float:
            async with slots:
                name = uuid4().hex
                waiting[name] = future = asyncio.get_running_loop().create_future()
                began = time.perf_counter()
                await client.jetstream().publish(f"floor.{name}.requested", BODY, headers={"Nats-Msg-Id": uuid4().hex})
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
    filters = {kind: f"floor.*.{kind}" for _, kind in HOPS} | {"catalog": "floor.*.*", "notifier": "floor.*.verdict"}
    for name, subject in filters.items():
        config = ConsumerConfig(durable_name=name, filter_subject=subject, ack_wait=15, max_ack_pending=10_000)
        await jetstream.add_consumer("FLOOR", config)
    await client.close()


async def _work(url: str, seed_file: str, role: str, kind: str) -> None:
    client = await _connect(url, seed_file)
    jetstream = client.jetstream()
    subscription = await jetstream.pull_subscribe_bind(kind, "FLOOR")

    async def handle(message: Msg) -> None:
        _, name, heard = message.subject.split(".")
        if role == "hop":
            await jetstream.publish(f"floor.{name}.{CHAIN[heard]}", BODY, headers={"Nats-Msg-Id": uuid4().hex})
        elif kind == "catalog" and heard == "created":
            await jetstream.publish(f"floor.{name}.verdict", BODY, headers={"Nats-Msg-Id": uuid4().hex})
        await message.ack()

    while True:
        try:
            messages = await subscription.fetch(100, timeout=5)
        except TimeoutError:
            continue
        await asyncio.gather(*(handle(message) for message in messages))


if __name__ == "__main__":
    uvloop.run(_work(*sys.argv[1:]))

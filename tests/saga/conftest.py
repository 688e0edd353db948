"""One stage for every saga test: the bus, Postgres, a trace store, six services, and the world outside them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest

from benchmarks.stage import Stage, stage
from benchmarks.traces import trace_store
from chassis.bus import Bus
from chassis.identity import EventKey
from contracts.topology import CONSUMERS, inbox_prefix
from deploy.streams import consumer_config
from tests.saga.driver import Driver, Log
from tests.saga.world import World, running_world

ACK_WAIT_SECONDS = 3
"""How long a crash delays a message: short, so that the suite is."""


def connect(on: Stage) -> Bus:
    nats = on.nats
    return Bus(nats.url, name="deploy", nkey_file=nats.nkey_file("deploy"), inbox_prefix=inbox_prefix("deploy"))


async def shorten_ack_wait(on: Stage) -> None:
    bus = connect(on)
    await bus.connect()
    for spec in CONSUMERS:
        config = consumer_config(replace(spec, ack_wait_seconds=ACK_WAIT_SECONDS), replicas=1)
        await bus.jetstream.add_consumer(spec.stream, config)
    await bus.close()


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, World, str, Log]]:
    directory = tmp_path_factory.mktemp("saga")
    settings = {
        "SLIPWAY_ACK_WAIT_SECONDS": str(ACK_WAIT_SECONDS),
        "SLIPWAY_CATALOG_SWEEP_SECONDS": "1",
        "SLIPWAY_GATEWAY_REPUBLISH_AFTER_SECONDS": "3",
    }
    with running_world() as (world, socket), trace_store(directory) as traces_url:
        settings["SLIPWAY_WORLD_SOCKET"] = str(socket)
        with stage(directory, otlp_endpoint=traces_url, twins="tests.saga.twins", settings=settings) as on:
            asyncio.run(shorten_ack_wait(on))
            yield on, world, traces_url, Log()


@pytest.fixture
async def platform(scene: tuple[Stage, World, str, Log]) -> AsyncIterator[Driver]:
    on, world, traces_url, log = scene
    token = on.admin_token_file.read_text().strip()
    bus = connect(on)
    await bus.connect()
    async with httpx.AsyncClient(
        base_url=on.gateway_url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=15,
        limits=httpx.Limits(max_connections=100),
        trust_env=False,
    ) as http:
        yield Driver(on, world, traces_url, log, http, bus, EventKey.from_file(on.event_key_file))
    world.pace_seconds = 0.0
    await bus.close()

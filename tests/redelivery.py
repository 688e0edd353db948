"""Redelivery after seconds, for tests that kill a service: the durables of a test's bus, and what its services know of
them, wait shorter than the platform's quarter of a minute. What is waited for stays the same."""

import asyncio
from dataclasses import replace
from typing import Final

from chassis.bus import Bus
from contracts.topology import CONSUMERS, inbox_prefix
from deploy.embedded.testing import RunningNats
from deploy.streams import consumer_config

ACK_WAIT_SECONDS: Final = 3
SETTINGS: Final = {"SLIPWAY_ACK_WAIT_SECONDS": str(ACK_WAIT_SECONDS)}
"""What each service must be told."""


def shorten_ack_wait(nats: RunningNats) -> None:
    """Change every durable of a bus; for tests without a running event loop."""
    asyncio.run(_shorten(nats))


async def _shorten(nats: RunningNats) -> None:
    bus = Bus(nats.url, name="deploy", nkey_file=nats.nkey_file("deploy"), inbox_prefix=inbox_prefix("deploy"))
    await bus.connect()
    for spec in CONSUMERS:
        config = consumer_config(replace(spec, ack_wait_seconds=ACK_WAIT_SECONDS), replicas=1)
        await bus.jetstream.add_consumer(spec.stream, config)
    await bus.close()

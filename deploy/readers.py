"""The durables of readers: made by the provisioning job, like every other, and by nobody else.

Invariant: a reader's durable hears the feed of its team and nothing else; the stream of the feeds has no durable of
ours that belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Collection

from nats.js import api

from contracts import subjects
from contracts.readers import Reader
from contracts.topology import inbox_prefix
from deploy.streams import BusAccess, connected, ensure_consumer

_MADE_BY = {"made-by": "slipway-readers"}
_ACK_WAIT_SECONDS = 30
_MAX_ACK_PENDING = 1000
_UNLIMITED = -1
_REPLY_SECONDS = 5.0


def durable_of(reader: Reader, replicas: int) -> api.ConsumerConfig:
    """A reader's durable. A new one begins with the first event that the feed still has."""
    return api.ConsumerConfig(
        durable_name=reader.name,
        filter_subjects=[subjects.feed_of(reader.team)],
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=_ACK_WAIT_SECONDS,
        max_ack_pending=_MAX_ACK_PENDING,
        max_deliver=_UNLIMITED,
        num_replicas=replicas,
        metadata=dict(_MADE_BY),
    )


async def provision_readers(access: BusAccess, readers: Collection[Reader]) -> list[str]:
    """Make a durable for each of `readers`, and remove those of readers that are no more. Answers a line for each.

    The streams must be there. Raises StreamsError when the bus cannot be reached or refuses.
    """
    changes: list[str] = []
    async with connected(access.url, access.deploy_nkey_file, inbox_prefix("deploy")) as client:
        jetstream = client.jetstream(timeout=_REPLY_SECONDS)
        for reader in readers:
            changes += await ensure_consumer(jetstream, subjects.FEEDS, durable_of(reader, access.replicas))
        names = {reader.name for reader in readers}
        for found in await jetstream.consumers_info(subjects.FEEDS):
            if _MADE_BY.items() <= (found.config.metadata or {}).items() and found.name not in names:
                await jetstream.delete_consumer(subjects.FEEDS, found.name)
                changes.append(f"consumer {subjects.FEEDS}/{found.name} removed")
    return changes

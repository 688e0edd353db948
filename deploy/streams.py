"""The provisioning job: makes the streams and durable consumers of the topology, and changes them to match it.

Run `python -m deploy.streams` after every start of the bus and before the services; it may be run at any
time and any number of times. No service declares a stream or a consumer of its own, so this job is the one
place where they are made.

Invariants: nothing is made on a JetStream that acknowledges before it syncs (`sync_interval: always`,
checked on every server of the cluster); a stream is never deleted here; a durable consumer is deleted only
when this job made it and the topology no longer has it.

Settings, all from the environment, each with the embedded platform's own value as its default:
SLIPWAY_NATS_URL (of a cluster every server, separated by commas), SLIPWAY_NATS_NKEY_FILE (the user `deploy`),
SLIPWAY_NATS_SYS_NKEY_FILE (a user of the system account, for the check), SLIPWAY_NATS_REPLICAS (1, or 3 on a
cluster).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from contracts.topology import CONSUMERS, STREAMS, ConsumerSpec, StreamSpec, inbox_prefix
from deploy.embedded.home import Home
from deploy.embedded.ports import HOST, Ports

_MADE_BY = {"made-by": "slipway-deploy"}
_UNLIMITED = -1
_REPLY_SECONDS = 5.0
_SILENCE_SECONDS = 0.2


class StreamsError(Exception):
    """The bus is not as it must be; the message says what to change."""


@dataclass(frozen=True)
class BusAccess:
    """Where the bus is and with which credentials the job works on it."""

    url: str
    """Of a cluster every server, separated by commas."""
    deploy_nkey_file: Path
    system_nkey_file: Path
    replicas: int = 1

    @classmethod
    def from_environment(cls) -> BusAccess:
        """From SLIPWAY_NATS_*, with the embedded platform of SLIPWAY_HOME as the default."""
        home = Home.from_environment()
        port = Ports.from_environment(recorded=home.description().get("port_base"))["nats"]
        return cls(
            url=os.environ.get("SLIPWAY_NATS_URL", f"nats://{HOST}:{port}"),
            deploy_nkey_file=Path(os.environ.get("SLIPWAY_NATS_NKEY_FILE", home.keys / "nats-deploy.nk")),
            system_nkey_file=Path(os.environ.get("SLIPWAY_NATS_SYS_NKEY_FILE", home.keys / "nats-sys.nk")),
            replicas=int(os.environ.get("SLIPWAY_NATS_REPLICAS", "1")),
        )


def stream_config(spec: StreamSpec, replicas: int) -> api.StreamConfig:
    """The stream of `spec` as JetStream wants it."""
    return api.StreamConfig(
        name=spec.name,
        subjects=list(spec.subjects),
        retention=api.RetentionPolicy.WORK_QUEUE if spec.work_queue else api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        # Nothing here has a limit that could discard; `new` guards against one added by hand. The server
        # refuses it together with schedules.
        discard=api.DiscardPolicy.OLD if spec.message_schedules else api.DiscardPolicy.NEW,
        max_age=spec.max_age_seconds,
        max_msgs=_UNLIMITED,
        max_bytes=_UNLIMITED,
        num_replicas=replicas,
        duplicate_window=spec.duplicate_window_seconds,
        deny_delete=spec.permanent,
        deny_purge=spec.permanent,
        allow_direct=True,
        allow_msg_schedules=spec.message_schedules,
        # A schedule that was cancelled leaves a plain message on its subject: its own TTL removes it.
        allow_msg_ttl=spec.message_schedules,
        allow_rollup_hdrs=spec.message_schedules,  # the server turns it on with schedules
        allow_atomic=spec.atomic_batches,
        metadata=dict(_MADE_BY),
    )


def consumer_config(spec: ConsumerSpec, replicas: int) -> api.ConsumerConfig:
    """The durable of `spec` as JetStream wants it. A new one begins at the first message."""
    return api.ConsumerConfig(
        durable_name=spec.durable,
        filter_subjects=list(spec.filter_subjects),
        deliver_policy=api.DeliverPolicy.ALL,
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=spec.ack_wait_seconds,
        max_ack_pending=spec.max_ack_pending,
        max_deliver=_UNLIMITED,
        num_replicas=replicas,
        metadata=dict(_MADE_BY),
    )


async def provision(access: BusAccess) -> list[str]:
    """Make the bus match the topology. Answers one line for each thing that was made, changed or removed.

    Raises StreamsError when the bus cannot be reached, does not sync, or refuses a change.
    """
    await require_synced_storage(access)
    async with connected(access.url, access.deploy_nkey_file, inbox_prefix("deploy")) as client:
        jetstream = client.jetstream(timeout=_REPLY_SECONDS)
        changes: list[str] = []
        for stream in STREAMS:
            changes += await _ensure_stream(jetstream, stream, access.replicas)
        for consumer in CONSUMERS:
            wanted = consumer_config(consumer, access.replicas)
            changes += await ensure_consumer(jetstream, consumer.stream, wanted)
        return changes + await _remove_retired_consumers(jetstream)


async def require_synced_storage(access: BusAccess) -> None:
    """Raise StreamsError unless every server acknowledges only what is on its disk.

    With the default of two minutes a power cut loses acknowledged messages, on a cluster of three as well.
    """
    async with connected(access.url, access.system_nkey_file, "_INBOX.sys") as client:
        servers = await _ask_all_servers(client, "$SYS.REQ.SERVER.PING.VARZ")
    if not servers:
        raise StreamsError("no server answered with its settings: is the credential one of the system account?")
    if len(servers) < access.replicas:
        raise StreamsError(
            f"{len(servers)} of {access.replicas} servers answered: start the others, and run this job again"
        )
    for server in servers:
        name = server["server"]["name"]
        settings = server["data"].get("jetstream", {}).get("config")
        if not settings:
            raise StreamsError(f"server {name} has no JetStream: set `jetstream` in its configuration")
        if not settings.get("sync_always"):
            raise StreamsError(f"server {name} acknowledges before it syncs: set `sync_interval: always`")


async def _ask_all_servers(client: Client, subject: str) -> list[dict[str, Any]]:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(subject, reply=inbox)
    answers: list[dict[str, Any]] = []
    try:
        while True:
            wait = _SILENCE_SECONDS if answers else _REPLY_SECONDS
            answers.append(json.loads((await subscription.next_msg(timeout=wait)).data))
    except NatsTimeoutError:
        return answers


@asynccontextmanager
async def connected(url: str, seed: Path, inbox: str) -> AsyncIterator[Client]:
    """A connection to the bus as the user of `seed`. Raises StreamsError with what the bus refused."""
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error))

    try:
        client = await nats.connect(
            url.split(","),
            nkeys_seed=str(seed),
            inbox_prefix=inbox.encode(),
            error_cb=note,
            allow_reconnect=False,
            connect_timeout=_REPLY_SECONDS,
        )
    except (OSError, NatsError) as error:
        raise StreamsError(f"cannot reach the bus at {url} with {seed.name}: {error}") from error
    try:
        yield client
    except (NatsError, APIError) as error:
        # A denial shows only in the error callback; the call itself just times out.
        raise StreamsError("; ".join(refused) or f"the bus refused: {error}") from error
    finally:
        await client.close()


async def _ensure_stream(jetstream: JetStreamContext, spec: StreamSpec, replicas: int) -> list[str]:
    wanted = stream_config(spec, replicas)
    try:
        found = await jetstream.stream_info(spec.name)
    except NotFoundError:
        await jetstream.add_stream(wanted)
        return [f"stream {spec.name} made"]
    if _matches(found.config, wanted):
        return []
    await jetstream.update_stream(wanted)
    return [f"stream {spec.name} changed"]


async def ensure_consumer(jetstream: JetStreamContext, stream: str, wanted: api.ConsumerConfig) -> list[str]:
    """Make a durable, or change it to `wanted`. Answers a line for what was done, as `provision`."""
    name = str(wanted.durable_name)
    try:
        found = await jetstream.consumer_info(stream, name)
    except NotFoundError:
        await jetstream.add_consumer(stream, wanted)
        return [f"consumer {stream}/{name} made"]
    if _matches(found.config, wanted):
        return []
    # The server changes a durable in place and keeps its position, except for its ack and deliver policy.
    await jetstream.add_consumer(stream, wanted)
    return [f"consumer {stream}/{name} changed"]


async def _remove_retired_consumers(jetstream: JetStreamContext) -> list[str]:
    wanted = {(spec.stream, spec.durable) for spec in CONSUMERS}
    changes = []
    for stream in STREAMS:
        for found in await jetstream.consumers_info(stream.name):
            ours = _MADE_BY.items() <= (found.config.metadata or {}).items()
            if ours and (stream.name, found.name) not in wanted:
                await jetstream.delete_consumer(stream.name, found.name)
                changes.append(f"consumer {stream.name}/{found.name} removed")
    return changes


def _matches(found: api.StreamConfig | api.ConsumerConfig, wanted: api.StreamConfig | api.ConsumerConfig) -> bool:
    """Whether the server has everything we ask for; it adds defaults and metadata of its own."""
    have, want = _comparable(found), _comparable(wanted)
    return all((have.get(name) or None) == (value or None) for name, value in want.items())


def _comparable(config: api.StreamConfig | api.ConsumerConfig) -> dict[str, object]:
    values: dict[str, object] = config.as_dict()
    if filters := values.pop("filter_subject", None):  # the server's form of a list of one
        values["filter_subjects"] = [filters]
    values["metadata"] = {name: value for name, value in (config.metadata or {}).items() if name in _MADE_BY}
    return values


def main() -> int:
    """Run the job; 0 when the bus matches the topology, 1 with the reason on stderr when it does not."""
    try:
        changes = asyncio.run(provision(BusAccess.from_environment()))
    except StreamsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in changes or ["nothing to change"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

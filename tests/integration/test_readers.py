"""Readers on the real bus: what a reader's credential gives, and all that it does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import nats
import pytest
from nats.aio.client import Client

from contracts.readers import Reader, ReaderList, inbox_prefix
from contracts.topology import STREAMS
from contracts.topology import inbox_prefix as inbox_prefix_of_user
from deploy.embedded import nats as bus_files
from deploy.embedded.readers import provide
from deploy.embedded.testing import RunningNats, start_nats
from deploy.readers import provision_readers
from deploy.streams import BusAccess, provision
from tests.waiting import until

OURS: Final = Reader(name="payments-ci", team="payments")
THEIRS: Final = Reader(name="search-ci", team="search")
NEXT: Final = f"$JS.API.CONSUMER.MSG.NEXT.FEEDS.{OURS.name}"
ACK: Final = f"$JS.ACK.FEEDS.{OURS.name}"

FORBIDDEN_TO_PUBLISH: Final = (
    # to write
    "environment.demo-api.environment_ready",
    "feed.payments.demo-api.environment_ready",
    "feed.search.find-api.environment_ready",
    "signal.demo-api.deployment_recorded",
    "request.gateway.create_environment",
    "query.catalog.environment",
    "dead_letter.notifier.x",
    "replay.notifier.x",
    "_INBOX_search-ci.x",
    # to read what is others', or by another way
    "$JS.API.CONSUMER.MSG.NEXT.FEEDS.search-ci",
    "$JS.API.CONSUMER.MSG.NEXT.ENVIRONMENTS.catalog",
    "$JS.API.STREAM.MSG.GET.FEEDS",
    "$JS.API.STREAM.MSG.GET.ENVIRONMENTS",
    "$JS.API.DIRECT.GET.FEEDS",
    "$JS.API.DIRECT.GET.FEEDS.feed.search.>",
    "$JS.API.DIRECT.GET.FEEDS.feed.payments.>",
    "$JS.API.DIRECT.GET.ENVIRONMENTS.environment.find-api.>",
    # to make or change a consumer: by filter in the subject, without, of the old form, or under its own name
    "$JS.API.CONSUMER.CREATE.FEEDS",
    "$JS.API.CONSUMER.CREATE.FEEDS.mine",
    "$JS.API.CONSUMER.CREATE.FEEDS.mine.feed.payments.>",
    "$JS.API.CONSUMER.CREATE.FEEDS.payments-ci",
    "$JS.API.CONSUMER.CREATE.FEEDS.payments-ci.feed.payments.>",
    "$JS.API.CONSUMER.CREATE.FEEDS.payments-ci.feed.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.FEEDS.payments-ci",
    "$JS.API.CONSUMER.CREATE.ENVIRONMENTS",
    "$JS.API.CONSUMER.DELETE.FEEDS.search-ci",
    "$JS.API.CONSUMER.PAUSE.FEEDS.search-ci",
    "$JS.API.CONSUMER.RESET.FEEDS.search-ci",
    "$JS.API.CONSUMER.UNPIN.FEEDS.search-ci",
    "$JS.ACK.FEEDS.search-ci.1.1.1.1.0",
    "$JS.ACK.ENVIRONMENTS.catalog.1.1.1.1.0",
    # to copy, change or look around
    "$JS.API.STREAM.CREATE.MIRROR",
    "$JS.API.STREAM.UPDATE.FEEDS",
    "$JS.API.STREAM.PURGE.FEEDS",
    "$JS.API.STREAM.DELETE.FEEDS",
    "$JS.API.STREAM.INFO.FEEDS",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.CONSUMER.NAMES.FEEDS",
    "$JS.API.CONSUMER.LIST.FEEDS",
    "$JS.API.CONSUMER.INFO.FEEDS.search-ci",
    "$JS.API.INFO",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.USER.INFO",
)
FORBIDDEN_TO_SUBSCRIBE: Final = (
    ">",
    "feed.>",
    "feed.payments.>",
    "environment.*.*",
    "signal.*.*",
    "request.gateway.*",
    "_INBOX.>",
    "_INBOX_search-ci.>",
    "_R_.>",
    "$JS.>",
    "$JS.EVENT.ADVISORY.>",
    "$SYS.>",
)
ELSEWHERE: Final = (
    "environment.demo-api.environment_ready",
    "feed.search.find-api.environment_ready",
    "signal.demo-api.deployment_recorded",
    "dead_letter.notifier.x",
    "$JS.API.STREAM.DELETE.TIMERS",
    "$JS.API.STREAM.PURGE.TIMERS",
    "$JS.API.CONSUMER.DELETE.FEEDS.search-ci",
    "$JS.API.CONSUMER.MSG.NEXT.FEEDS.search-ci",
)
"""Where the server could be made to send, as itself, what answers a reader."""


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    with start_nats(tmp_path_factory.mktemp("nats")) as running:
        running.set_readers((OURS, THEIRS))
        provide(running.access, ReaderList(readers=(OURS, THEIRS)))
        yield running


@asynccontextmanager
async def user(bus: RunningNats, name: str) -> AsyncIterator[Client]:
    client = await nats.connect(
        bus.url, nkeys_seed=str(bus.nkey_file(name)), inbox_prefix=inbox_prefix_of_user(name).encode()
    )
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def reader(bus: RunningNats, who: Reader, denied: list[str] | None = None) -> AsyncIterator[Client]:
    async def note(error: Exception) -> None:
        if denied is not None:
            denied.append(str(error))

    seed = bus_files.reader_seed_file(bus.keys, who.name)
    client = await nats.connect(
        bus.url,
        nkeys_seed=str(seed),
        inbox_prefix=inbox_prefix(who.name).encode(),
        error_cb=note,
        allow_reconnect=False,
        connect_timeout=30,
    )
    try:
        yield client
    finally:
        await client.close()


async def feed(bus: RunningNats, *subjects: str) -> None:
    """Put an event on each of these subjects, as the notifier would."""
    async with user(bus, "notifier") as client:
        for subject in subjects:
            await client.jetstream().publish(subject, subject.encode(), stream="FEEDS")


async def heard(client: Client, who: Reader, count: int) -> list[str]:
    """The next `count` events of a reader, acknowledged."""
    durable = await client.jetstream().pull_subscribe_bind(who.name, stream="FEEDS")
    found: list[str] = []
    while len(found) < count:
        for message in await durable.fetch(count - len(found), timeout=10):
            await message.ack_sync(timeout=10)
            found.append(message.data.decode())
    await durable.unsubscribe()
    return found


async def everything(bus: RunningNats) -> dict[str, tuple[int, int]]:
    """Of each stream how much is in it, and how many durables it has."""
    async with user(bus, "deploy") as client:
        found = {}
        for spec in STREAMS:
            state = (await client.jetstream().stream_info(spec.name)).state
            found[spec.name] = (state.last_seq, state.consumer_count)
        return found


async def test_a_reader_hears_its_team_and_goes_on_where_it_stopped(bus: RunningNats) -> None:
    ours = [f"feed.payments.demo-api.kind_{number}" for number in range(3)]
    await feed(bus, ours[0], "feed.search.find-api.kind_0", ours[1], "feed.search.find-api.kind_1", ours[2])
    async with reader(bus, OURS) as client:
        assert await heard(client, OURS, 2) == ours[:2]
    async with reader(bus, OURS) as client:
        assert await heard(client, OURS, 1) == ours[2:]
        durable = await client.jetstream().pull_subscribe_bind(OURS.name, stream="FEEDS")
        with pytest.raises(nats.errors.TimeoutError):
            await durable.fetch(1, timeout=0.2)
    async with reader(bus, THEIRS) as client:
        assert await heard(client, THEIRS, 2) == [f"feed.search.find-api.kind_{number}" for number in range(2)]


async def test_a_reader_publishes_and_subscribes_nothing_else(bus: RunningNats) -> None:
    before = await everything(bus)
    denied: list[str] = []
    async with reader(bus, OURS, denied) as client:
        for subject in FORBIDDEN_TO_PUBLISH:
            await client.publish(subject, b"", reply=client.new_inbox())
        for subject in FORBIDDEN_TO_SUBSCRIBE:
            await client.subscribe(subject)
        await until(lambda: len(denied) >= len(FORBIDDEN_TO_PUBLISH) + len(FORBIDDEN_TO_SUBSCRIBE), what="the refusals")
    for subject in (*FORBIDDEN_TO_PUBLISH, *FORBIDDEN_TO_SUBSCRIBE):
        assert any(f'"{subject.lower()}"' in text for text in denied), subject
    assert await everything(bus) == before


async def test_an_answer_cannot_be_sent_where_the_reader_may_not_write(bus: RunningNats) -> None:
    """The server answers as itself: in the platform's own account the same requests store events on the log, and delete
    streams."""
    await feed(bus, *(f"feed.payments.demo-api.hijacked_{number}" for number in range(len(ELSEWHERE))))
    before = await everything(bus)
    async with reader(bus, OURS) as client, user(bus, "deploy") as deploy:
        info = await deploy.jetstream().consumer_info("FEEDS", OURS.name)
        delivered = info.delivered.consumer_seq if info.delivered else 0
        for subject in ELSEWHERE:
            await client.publish(NEXT, json.dumps({"batch": 1, "expires": 10**9}).encode(), reply=subject)
        durable = await client.jetstream().pull_subscribe_bind(OURS.name, stream="FEEDS")
        # Where somebody listens, the server did send; what is left comes here, after all that.
        last = (await durable.fetch(len(ELSEWHERE), timeout=10))[-1].metadata.sequence
        assert last.consumer == delivered + len(ELSEWHERE)
        for subject in ELSEWHERE:
            await client.publish(NEXT, json.dumps({"batch": 1, "no_wait": True}).encode(), reply=subject)
        for back, subject in enumerate(ELSEWHERE):
            await client.publish(f"{ACK}.1.{last.stream - back}.{last.consumer - back}.1.0", b"+ACK", reply=subject)

        async def acknowledged() -> bool:
            return not (await deploy.jetstream().consumer_info("FEEDS", OURS.name)).num_ack_pending

        await until(acknowledged, what="the acknowledgements with an answer elsewhere")
    assert await everything(bus) == before
    await feed(bus, "feed.search.find-api.kind_2")
    async with reader(bus, THEIRS) as client:
        assert await heard(client, THEIRS, 1) == ["feed.search.find-api.kind_2"]


async def test_readers_come_and_go_while_everybody_else_stays_connected(bus: RunningNats) -> None:
    lost: list[str] = []

    async def note() -> None:
        lost.append("a service")

    late = Reader(name="late", team="payments")
    service = await nats.connect(
        bus.url,
        nkeys_seed=str(bus.nkey_file("notifier")),
        inbox_prefix=inbox_prefix_of_user("notifier").encode(),
        disconnected_cb=note,
    )
    # In threads: what tells the server waits for it.
    assert await asyncio.to_thread(bus.set_readers, (OURS, THEIRS, late))
    assert not await asyncio.to_thread(bus.set_readers, (OURS, THEIRS, late))
    assert await provision_readers(bus.access, (OURS, THEIRS, late)) == ["consumer FEEDS/late made"]
    async with reader(bus, late) as client, reader(bus, OURS) as other:
        await feed(bus, "feed.payments.demo-api.last")
        assert (await heard(other, OURS, 1))[-1] == "feed.payments.demo-api.last"
        await heard(client, late, 1)

        assert await asyncio.to_thread(bus.set_readers, (OURS, THEIRS))
        await until(lambda: client.is_closed, what="the end of the reader's connection")
        assert await provision_readers(bus.access, (OURS, THEIRS)) == ["consumer FEEDS/late removed"]
        assert other.is_connected
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        async with reader(bus, late):
            pass
    await service.flush()
    assert lost == []
    await service.close()


async def test_a_readers_durable_survives_the_provisioning_of_the_streams(bus: RunningNats) -> None:
    access: BusAccess = bus.access
    assert await provision(access) == []
    assert await provision_readers(access, (OURS, THEIRS)) == []

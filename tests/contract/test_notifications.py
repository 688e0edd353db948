"""What a notification promises, on the twins in memory and on the embedded inbox with Postgres.

Both worlds have the same hands: a team that reads, a process that dies at the worst moments, and a Slack that breaks.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx
import pytest
from psycopg.rows import tuple_row
from pydantic import SecretStr
from slack_sdk import WebClient

from chassis.clock import FixedClock
from chassis.database import Database
from chassis.failures import PermanentError, TransientError
from chassis.settings import DatabaseSettings
from deploy.embedded.ports import free_port
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.notifier.adapters.memory import MemoryLedger, MemoryMessenger, Posted
from services.notifier.adapters.postgres import PostgresLedger
from services.notifier.adapters.slack import SlackMessenger
from services.notifier.domain import Announced, Announcement, Channels, Link
from services.notifier.handlers import Handlers
from services.notifier.ports import Ledger, Messenger, Notification, NotSentError
from tests import samples
from tests.stand_ins import running, start_module
from tests.unit.notifier import events

TOKEN = "xoxb-notifications"


class _ProcessDiedError(BaseException):
    """The process ends here: nothing of ours catches it."""


@dataclass
class Dying:
    """A messenger whose process dies at its next post: before Slack has the message, or after."""

    messenger: Messenger
    after: bool

    async def find(self, notification: Notification, since: datetime) -> str | None:
        return await self.messenger.find(notification, since)

    async def post(self, notification: Notification, announcement: Announcement) -> str:
        if self.after:
            await self.messenger.post(notification, announcement)
        raise _ProcessDiedError


class World(Protocol):
    """A Slack and a ledger, and what a test may do with them."""

    clock: FixedClock

    @property
    def ledger(self) -> Ledger:
        """What was sent."""
        ...

    @property
    def messenger(self) -> Messenger:
        """Where the team reads."""
        ...

    def told(self, event: Announced, channel: str = "deployments") -> list[str]:
        """The `ts` of every message in the channel that carries the event's id."""
        ...

    async def row(self, event: Announced) -> tuple[str, str | None]:
        """State and `ts` in the ledger."""
        ...

    def create_channel(self, name: str) -> None:
        """Somebody makes a channel."""
        ...

    def chatter(self, messages: int) -> None:
        """Other people talk in #deployments."""
        ...

    def stop_slack(self) -> None:
        """Slack is away."""
        ...

    def start_slack(self) -> None:
        """Slack is back."""
        ...


class TwinWorld:
    """In memory."""

    def __init__(self) -> None:
        self.clock = FixedClock(samples.AT)
        self.ledger = MemoryLedger(self.clock)
        self.messenger = MemoryMessenger(self.clock)

    def told(self, event: Announced, channel: str = "deployments") -> list[str]:
        return [posted.ts for posted in self.messenger.channels[channel] if posted.event_id == event.id]

    async def row(self, event: Announced) -> tuple[str, str | None]:
        (entry,) = [entry for key, entry in self.ledger.rows.items() if key.event_id == event.id]
        return entry.state, entry.ts

    def create_channel(self, name: str) -> None:
        self.messenger.channels[name] = []

    def chatter(self, messages: int) -> None:
        other = events.ready("chatter")
        posts = [
            Posted(str(n), other.id, Announcement("good", "hello", (("hi",),)), self.clock.now())
            for n in range(messages)
        ]
        self.messenger.channels["deployments"] += posts

    def stop_slack(self) -> None:
        self.messenger.away = True

    def start_slack(self) -> None:
        self.messenger.away = False


class RealWorld:
    """The embedded inbox as a process, and Postgres."""

    def __init__(self, url: str, pid: int, database: Database) -> None:
        self._url = url
        self._pid = pid
        self._database = database
        self._client = WebClient(token=TOKEN, base_url=f"{url}/api/")
        self.clock = FixedClock(samples.AT)
        self.ledger = PostgresLedger(database)
        self.messenger = messenger_of(url)

    def told(self, event: Announced, channel: str = "deployments") -> list[str]:
        found = []
        for page in self._client.conversations_history(channel=self._id(channel), include_all_metadata=True, limit=200):
            found += [m["ts"] for m in page["messages"] if _event_id(m) == str(event.id)]
        return found

    async def row(self, event: Announced) -> tuple[str, str | None]:
        async with self._database.pool.connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row)
            await cursor.execute("SELECT state, ts FROM sent WHERE event_id = %s", (event.id,))
            (found,) = await cursor.fetchall()
        return found[0], found[1]

    def create_channel(self, name: str) -> None:
        self._client.conversations_create(name=name)

    def chatter(self, messages: int) -> None:
        for number in range(messages):
            self._client.chat_postMessage(channel="#deployments", text=f"chatter {number}")

    def stop_slack(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def start_slack(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def _id(self, channel: str) -> str:
        return str(next(c["id"] for c in self._client.conversations_list()["channels"] if c["name"] == channel))


def _event_id(message: dict[str, object]) -> object:
    metadata = message.get("metadata")
    return metadata["event_payload"]["event_id"] if isinstance(metadata, dict) else None


def messenger_of(url: str, token: str = TOKEN) -> SlackMessenger:
    return SlackMessenger(f"{url}/api/", SecretStr(token), timeout_seconds=2, calls_at_once=4)


@dataclass(frozen=True)
class Servers:
    """What the real world runs on."""

    inbox_url: str
    inbox_pid: int
    postgres: RunningPostgres


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("notifications")
    with start_postgres(directory / "postgres") as postgres, start_inbox(directory) as (url, pid):
        yield Servers(url, pid, postgres)


def start_inbox(directory: Path, posts_per_minute: int = 0) -> "_Inbox":
    return _Inbox(directory, posts_per_minute)


class _Inbox:
    """An inbox for the length of a block."""

    def __init__(self, directory: Path, posts_per_minute: int) -> None:
        (directory / "token").write_text(TOKEN)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        environment = {
            "SLIPWAY_INBOX_PORT": str(port),
            "SLIPWAY_INBOX_DATA": str(directory / "inbox"),
            "SLIPWAY_INBOX_TOKEN_FILE": str(directory / "token"),
            "SLIPWAY_INBOX_POSTS_PER_MINUTE": str(posts_per_minute),
        }
        self._child = start_module("deploy.embedded.inbox", environment, directory)
        self._running = running(self._child, self._is_ready)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self._url}/readyz", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False

    def __enter__(self) -> tuple[str, int]:
        self._running.__enter__()
        return self._url, self._child.process.pid

    def __exit__(self, *_: object) -> None:
        self._running.__exit__(None, None, None)


@asynccontextmanager
async def database_of(postgres: RunningPostgres) -> AsyncIterator[Database]:
    settings = DatabaseSettings(
        url=postgres.url("slipway_notifier", "slipway"), password_file=postgres.password_file("slipway_notifier")
    )
    database = Database(settings, application_name="test")
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(params=["twin", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "twin":
        yield TwinWorld()
        return
    servers: Servers = request.getfixturevalue("servers")
    async with database_of(servers.postgres) as database:
        yield RealWorld(servers.inbox_url, servers.inbox_pid, database)


def handlers(world: World, messenger: Messenger | None = None) -> Handlers:
    channels = Channels("deployments", {"nowhere": "not-there-yet"})
    return Handlers(
        world.ledger,
        messenger or world.messenger,
        channels,
        world.clock,
        "http://127.0.0.1:8000",
        timedelta(hours=72),
    )


async def test_the_team_is_told_once_when_called_twice(world: World) -> None:
    for event in (events.ready(), events.failed(), events.deleted(), events.stalled()):
        await handlers(world).announce(event)
        await handlers(world).announce(event)
        (ts,) = world.told(event)
        assert await world.row(event) == ("sent", ts)


async def test_many_at_once_tell_once(world: World) -> None:
    event = events.ready()
    outcomes = await asyncio.gather(*(handlers(world).announce(event) for _ in range(10)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, TransientError) for outcome in outcomes)
    await handlers(world).announce(event)
    assert len(world.told(event)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before Slack has it", "after Slack has it"])
async def test_a_process_that_dies_in_between_leads_to_one_message(world: World, after: bool) -> None:
    event = events.ready()
    with pytest.raises(_ProcessDiedError):
        await handlers(world, Dying(world.messenger, after)).announce(event)
    assert (await world.row(event))[0] == "sending"
    assert len(world.told(event)) == int(after)
    await handlers(world).announce(event)
    (ts,) = world.told(event)
    assert await world.row(event) == ("sent", ts)


async def test_a_message_is_found_again_below_many_others(world: World) -> None:
    event = events.ready()
    with pytest.raises(_ProcessDiedError):
        await handlers(world, Dying(world.messenger, after=True)).announce(event)
    world.chatter(250)
    await handlers(world).announce(event)
    assert len(world.told(event)) == 1


async def test_a_slack_that_is_away_is_waited_for_and_told_once(world: World) -> None:
    event = events.ready()
    world.stop_slack()
    try:
        with pytest.raises(TransientError):
            await handlers(world).announce(event)
    finally:
        world.start_slack()
    await handlers(world).announce(event)
    assert len(world.told(event)) == 1
    assert (await world.row(event))[0] == "sent"


async def test_a_missing_channel_is_refused_with_what_to_do_and_can_be_mended(world: World) -> None:
    event = events.ready(team="nowhere")
    with pytest.raises(PermanentError) as refusal:
        await handlers(world).announce(event)
    assert refusal.value.code == "slack_channel_not_found"
    assert "#not-there-yet" in refusal.value.next_step
    assert (await world.row(event))[0] == "unsent"
    world.create_channel("not-there-yet")
    await handlers(world).announce(event)
    assert len(world.told(event, "not-there-yet")) == 1


async def test_old_news_is_recorded_and_not_told(world: World) -> None:
    event = events.later(events.ready(), -timedelta(days=30))
    await handlers(world).announce(event)
    assert world.told(event) == []
    assert await world.row(event) == ("stale", None)


async def test_nothing_is_found_that_was_never_posted(world: World) -> None:
    event = events.ready()
    notification = Notification(event.id, event.kind, event.subject, "deployments")
    assert await world.messenger.find(notification, samples.AT) is None


async def test_posting_answers_where_the_message_is(world: World) -> None:
    event = events.ready()
    notification = Notification(event.id, event.kind, event.subject, "deployments")
    said = Announcement("good", "title", (("words ", Link("label", "https://example.com")),))
    ts = await world.messenger.post(notification, said)
    assert await world.messenger.find(notification, samples.AT) == ts


async def test_only_one_holds_a_row_and_others_are_told_to_wait(world: World) -> None:
    event = events.ready()
    notification = Notification(event.id, event.kind, event.subject, "deployments")
    async with world.ledger.hold(notification) as entry:
        assert entry.state == "new"
        await entry.begin()
        with pytest.raises(TransientError):
            async with world.ledger.hold(notification):
                raise AssertionError("two hold the same row")
        other = Notification(event.id, event.kind, event.subject, "general")
        async with world.ledger.hold(other) as free:
            assert free.state == "new"
    async with world.ledger.hold(notification) as entry:
        assert entry.state == "sending"
        assert entry.first_begun_at is not None


async def test_a_first_attempt_begins_with_the_hold_and_a_later_one_does_not(world: World) -> None:
    event = events.ready()
    notification = Notification(event.id, event.kind, event.subject, "deployments")
    async with world.ledger.hold(notification, begin=True) as entry:
        assert entry.begun
        assert (await world.row(event))[0] == "sending"
    async with world.ledger.hold(notification, begin=True) as entry:
        assert (entry.begun, entry.state) == (False, "sending")
        await entry.settle("unsent")
    async with world.ledger.hold(notification, begin=True) as entry:
        assert (entry.begun, entry.state) == (False, "unsent")
        await entry.begin()
        await entry.settle("sent", "1.0")
    assert await world.row(event) == ("sent", "1.0")


async def test_many_at_once_are_each_told_once(world: World) -> None:
    several = [events.ready(f"demo-{number}") for number in range(30)]
    await asyncio.gather(*(handlers(world).announce(event) for event in several))
    assert [len(world.told(event)) for event in several] == [1] * 30
    assert [(await world.row(event))[0] for event in several] == ["sent"] * 30


async def test_whoever_stops_waiting_for_a_row_leaves_it_free(servers: Servers) -> None:
    async with database_of(servers.postgres) as database:
        world = RealWorld(servers.inbox_url, servers.inbox_pid, database)
        event = events.ready()
        notification = Notification(event.id, event.kind, event.subject, "deployments")
        for steps in range(4):
            waiting = asyncio.ensure_future(world.ledger.hold(notification).__aenter__())
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await handlers(world).announce(event)
        assert len(world.told(event)) == 1


async def test_a_connection_that_breaks_lets_every_row_go_and_nothing_is_told_twice(servers: Servers) -> None:
    async with database_of(servers.postgres) as database:
        world = RealWorld(servers.inbox_url, servers.inbox_pid, database)
        event = events.ready()
        notification = Notification(event.id, event.kind, event.subject, "deployments")

        async def send() -> None:
            async with world.ledger.hold(notification, begin=True) as entry:
                ts = await world.messenger.post(notification, Announcement("good", "title", (("words",),)))
                async with database.pool.connection() as other:
                    await other.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
                        " AND pid <> pg_backend_pid()"
                    )
                await entry.settle("sent", ts)

        with pytest.raises(TransientError):
            await send()
        await handlers(world).announce(event)
        (ts,) = world.told(event)
        assert await world.row(event) == ("sent", ts)


async def test_a_row_is_free_again_however_its_holder_ended(world: World) -> None:
    event = events.ready()
    notification = Notification(event.id, event.kind, event.subject, "deployments")
    ending: Callable[[], BaseException]
    for ending in (lambda: ValueError("x"), _ProcessDiedError, asyncio.CancelledError):
        with pytest.raises((ValueError, _ProcessDiedError, asyncio.CancelledError)):
            async with world.ledger.hold(notification):
                raise ending()
    async with world.ledger.hold(notification) as entry:
        assert entry.state == "new"


async def test_a_busy_slack_says_when_to_come_back_and_has_not_the_message(tmp_path: Path) -> None:
    clock = FixedClock(samples.AT)
    with start_inbox(tmp_path, posts_per_minute=1) as (url, _):
        messenger = messenger_of(url)
        ledger = MemoryLedger(clock)
        deed = Handlers(ledger, messenger, Channels("deployments", {}), clock, "", timedelta(hours=72))
        await deed.announce(events.ready())
        second = events.ready("second")
        with pytest.raises(NotSentError) as busy:
            await deed.announce(second)
        assert busy.value.delay_seconds is not None
        assert 1 <= busy.value.delay_seconds <= 60
        assert [entry.state for entry in ledger.rows.values()] == ["sent", "unsent"]


async def test_a_wrong_token_is_refused_for_good_and_never_told(servers: Servers) -> None:
    messenger = messenger_of(servers.inbox_url, "xoxb-wrong-token")
    event = events.ready()
    with pytest.raises(PermanentError) as refusal:
        await messenger.find(Notification(event.id, event.kind, event.subject, "deployments"), samples.AT)
    assert refusal.value.code == "slack_invalid_auth"
    assert "wrong-token" not in str(refusal.value) + refusal.value.next_step
    with pytest.raises(PermanentError):
        await messenger.check()
    await messenger_of(servers.inbox_url).check()


async def test_a_page_of_a_proxy_is_no_answer(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>502</h1>")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransientError) as waiting:
            await messenger_of(f"http://127.0.0.1:{port}").check()
    assert not isinstance(waiting.value, NotSentError)

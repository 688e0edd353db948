"""Reading a stream with plain nats-py: a standing request for what comes (`Pull`), and what is there (`read`)."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import nats.errors
import structlog
from nats.aio.msg import Msg

from chassis.bus import Bus
from chassis.failures import TransientError
from contracts.topology import ConsumerSpec

_log = structlog.get_logger(__name__)

_EXPIRES_SECONDS: Final = 30.0
_HEARTBEAT_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.5
_READ_SECONDS: Final = 5.0
_READ_BYTES: Final = 8 << 20
_HEARTBEAT: Final = "100"


@dataclass(frozen=True, slots=True)
class LogMessage:
    """A message as the log has it."""

    sequence: int
    subject: bytes
    body: bytes


class Pull:
    """A standing request for the next messages of a durable, made anew when it is used up or expires, when the
    connection that carried it is gone, or when the server has gone silent."""

    def __init__(
        self,
        bus: Bus,
        spec: ConsumerSpec,
        receive: Callable[[Msg], None],
        room: Callable[[], int],
        *,
        inbox: str | None = None,
    ) -> None:
        """`room` says how many more messages there is room for. Where `inbox` is given, somebody else subscribes to it
        and hands over what arrives there (`on_message`)."""
        self._bus = bus
        self._path = f"{spec.stream}.{spec.durable}"
        self._receive = receive
        self._room = room
        self._inbox = inbox
        self._outstanding = 0
        self._reconnects = 0
        self._heard_at = 0.0
        self._pause_seconds = 0.0
        self._stopping = False
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    async def run(self) -> None:
        """Hand over what arrives, until stopped or cancelled."""
        client = self._bus.client
        inbox = self._inbox or client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self.on_message) if self._inbox is None else None
        self._ended.clear()
        try:
            while not self._stopping:
                self._wake.clear()
                if self._is_lost():
                    self._outstanding = 0
                if self._outstanding <= 0 and (room := self._room()) > 0:
                    await self._ask(inbox, room)
                try:
                    async with asyncio.timeout(1.0):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            try:
                if subscription is not None:
                    await subscription.unsubscribe()
            finally:
                self._ended.set()

    async def stop(self) -> None:
        """Ask for no more, and wait until nothing more arrives."""
        self._stopping = True
        self._wake.set()
        await self._ended.wait()

    def go_on(self) -> None:
        """Ask again where there was no room."""
        if self._outstanding <= 0:
            self._wake.set()

    def _is_lost(self) -> bool:
        reconnects = self._bus.client.stats["reconnects"]
        lost = reconnects != self._reconnects or time.monotonic() - self._heard_at > 2.5 * _HEARTBEAT_SECONDS
        self._reconnects = reconnects
        return lost

    async def _ask(self, inbox: str, batch: int) -> None:
        if self._pause_seconds:
            await asyncio.sleep(self._pause_seconds)
            self._pause_seconds = 0.0
        request = {
            "batch": batch,
            "expires": int(_EXPIRES_SECONDS * 1e9),
            "idle_heartbeat": int(_HEARTBEAT_SECONDS * 1e9),
        }
        try:
            await self._bus.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._path}", json.dumps(request).encode(), reply=inbox
            )
        except nats.errors.Error as error:
            _log.warning("could not ask for messages", error_type=type(error).__name__)
            return
        self._outstanding = batch
        self._heard_at = time.monotonic()

    async def on_message(self, message: Msg) -> None:
        """Take what has arrived at the inbox: a message, or word of what became of the request."""
        self._heard_at = time.monotonic()
        if message.reply.startswith("$JS.ACK."):
            self._receive(message)
            self._outstanding -= 1
            if self._outstanding == 0:
                self._wake.set()
            return
        status = (message.headers or {}).get("Status", "")
        if status != _HEARTBEAT:
            # Expired, used up, or refused. A refusal (no such durable, or a server that is stopping) is not asked at
            # full speed again.
            self._pause_seconds = 0.0 if status in {"404", "408"} else _PAUSE_SECONDS
            self._outstanding = 0
            self._wake.set()


async def read(bus: Bus, stream: str, first: int, count: int) -> list[LogMessage]:
    """Messages of a stream from `first` on, in order: `count` of them or fewer, none where the stream ends before.

    Raises `TransientError` where the stream does not answer: that never counts as "none".
    """
    # A batched direct get (NATS ADR-31) answers with the messages, and then with status 204 or 404.
    found: list[LogMessage] = []
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def receive(message: Msg) -> None:
        headers = message.headers or {}
        if status := headers.get("Status"):
            if not ended.done():
                ended.set_result(status)
            return
        subject = headers["Nats-Subject"].encode(errors="surrogateescape")
        found.append(LogMessage(int(headers["Nats-Sequence"]), subject, message.data))

    request = json.dumps({"seq": first, "batch": count, "max_bytes": _READ_BYTES}).encode()
    client = bus.client
    try:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=receive)
        try:
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=inbox)
            async with asyncio.timeout(_READ_SECONDS):
                status = await ended
        finally:
            await subscription.unsubscribe()
    except (nats.errors.Error, TimeoutError) as error:
        raise TransientError(f"the stream {stream} cannot be read: {error or 'no answer'}") from error
    if status not in {"204", "404"}:
        raise TransientError(f"the stream {stream} cannot be read (status {status})")
    if found and found[0].sequence != first:
        _log.critical("the log lacks messages", stream=stream, first=first, last=found[0].sequence - 1)
    return found


def stream_sequence(reply: str) -> int:
    """The stream sequence in the reply subject of a delivered message (its older form has nine tokens)."""
    tokens = reply.split(".", 8)
    return int(tokens[5] if len(tokens) == 9 and "." not in tokens[8] else tokens[7])

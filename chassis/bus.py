"""The connection to the bus, with the settings that keep a process alive and honest.

Invariants: it reconnects for ever; a connection that is closed for good ends the process (a pull loop on a closed
connection spins without a pause and freezes the event loop); a refused subject is a permanent error that names the
subject, never a mere timeout; a missing message and an unanswered question are told apart.

On a cluster any server that holds the stream answers a direct get, and one that is behind answers as of the past:
`last` may miss what was acknowledged a moment ago. `last_stored` asks the stream's leader and does not.
"""

import asyncio
import base64
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats.errors
import orjson
import structlog
from faststream.nats import NatsBroker, NatsMessage, NatsNKey
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from chassis.requests import Requests

_log = structlog.get_logger(__name__)

PUBLISH_TIMEOUT_SECONDS: Final = 5.0
PUBLISH_TRIES: Final = 4
TRIES_WHILE_AWAY: Final = 2
"""As often is a message said while there is no connection: whoever waits for it is better told so."""
LEADER_TIMEOUT_SECONDS: Final = 2.0
LEADER_TRIES: Final = 10
"""Nobody answers for the leader while another is elected, so it is asked often and briefly."""
WRONG_LAST_SEQUENCE: Final = 10071
"""A conditional publish was refused: something was stored meanwhile."""
IN_FLIGHT: Final = frozenset({10158, 10164})
"""On a cluster: a message with the same id (10158), or one that the condition is about (10164), is on its way to the
other servers. What becomes of it is not known yet, so neither is the answer."""
NO_MESSAGE_FOUND: Final = 10037
EXIT_BUS_CLOSED: Final = 70
_BLANKS: Final = " \t\n\r\v\f"
"""What may stand around a header's value; anything else that Unicode calls blank belongs to it."""
_NO_MESSAGE: Final = "404"
_IN_FLIGHT_SECONDS: Final = 0.02


class ConflictError(Exception):
    """Something was stored under the filter since the sequence that the publisher expected."""


@dataclass(frozen=True)
class Stored:
    """Where the bus keeps a message that it acknowledged."""

    stream: str
    sequence: int
    duplicate: bool


@dataclass(frozen=True)
class Expectation:
    """A condition on a publish: nothing is stored under `subject_filter` after `last_sequence`."""

    subject_filter: str
    last_sequence: int


async def _undecoded(message: NatsMessage) -> NatsMessage:
    return message


def _survive_any_subject(client: Client) -> None:
    """Read subjects and headers that are not UTF-8 as well: their odd bytes become surrogates (PEP 383). The server
    lets them through; nats-py ends its reading for good at the first such subject, with no more than a log line, and
    replaces what it cannot read in a header, where a direct get has the subject."""

    def build(sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> Msg:
        return client.msg_class(
            subject=subject.decode(errors="surrogateescape"),
            reply=reply.decode(errors="surrogateescape"),
            data=data,
            headers=headers,
            _client=client,
            _sid=sid,
        )

    def headers(raw: bytes) -> dict[str, str]:
        found = {}
        for line in raw.decode(errors="surrogateescape").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                found[name.strip(_BLANKS)] = value.strip(_BLANKS)
        return found

    # It has no other seam.
    client._build_message = build  # type: ignore[method-assign]  # noqa: SLF001
    client._parse_header_lines = headers  # type: ignore[method-assign]  # noqa: SLF001


class Bus:
    """One process's connection. `broker` is FastStream's, for subscriptions; everything else goes through here."""

    def __init__(self, url: str, *, name: str, nkey_file: Path, inbox_prefix: str) -> None:
        self.name = name
        self.inbox_prefix = inbox_prefix
        self._stopping = False
        self._denied: dict[str, str] = {}
        self._requests: Requests | None = None
        self.broker = NatsBroker(
            url.split(","),
            name=name,
            security=NatsNKey.from_file(str(nkey_file)),
            inbox_prefix=inbox_prefix,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=20,
            apply_types=False,
            decoder=_undecoded,
            logger=None,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            pending_size=16 * 1024 * 1024,
        )

    async def connect(self) -> None:
        """Connect, waiting for the server as long as it takes."""
        await self.broker.connect()
        _survive_any_subject(self.client)
        requests = Requests(self.client)
        await requests.listen()
        self._requests = requests

    async def start(self) -> None:
        """Begin delivering to the broker's subscribers."""
        await self.broker.start()

    async def close(self) -> None:
        """Drain and disconnect."""
        self._stopping = True
        await self.broker.stop()

    @property
    def client(self) -> Client:
        """nats-py's client. Only the chassis uses it."""
        return self.broker.connection

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream through the same connection."""
        return self.client.jetstream(timeout=PUBLISH_TIMEOUT_SECONDS)

    @property
    def connected(self) -> bool:
        """Whether the connection is up at this moment."""
        try:
            return self.client.is_connected
        except Exception:  # noqa: BLE001 - FastStream raises its own error type before the first connection
            return False

    async def check(self) -> None:
        """Raise where the bus does not answer within two seconds."""
        if not self.connected:
            raise ConnectionError("not connected to the bus")
        await self.client.flush(timeout=2)

    async def publish(
        self,
        subject: str,
        body: bytes,
        *,
        stream: str,
        message_id: str,
        expect: Expectation | None = None,
        headers: dict[str, str] | None = None,
    ) -> Stored:
        """Store a message and wait until it is on disk.

        Repeating is safe: the same `message_id` is kept once. Raises `ConflictError` where `expect` does not hold
        (a single server checks that before the id, so our own earlier success looks like it; a cluster after it),
        `PermanentError` where the subject is denied, `TransientError` where the bus does not answer.
        """
        sent = {**(headers or {}), "Nats-Msg-Id": message_id, "Nats-Expected-Stream": stream}
        if expect is not None:
            sent["Nats-Expected-Last-Subject-Sequence"] = str(expect.last_sequence)
            sent["Nats-Expected-Last-Subject-Sequence-Subject"] = expect.subject_filter
        tries, patience = 0, time.monotonic() + PUBLISH_TIMEOUT_SECONDS
        while tries < PUBLISH_TRIES:
            try:
                answer = await self._request(subject, body, PUBLISH_TIMEOUT_SECONDS, sent)
            except TimeoutError as error:
                self._raise_if_denied(subject)
                tries += 1
                if tries >= TRIES_WHILE_AWAY and not self.connected:
                    raise TransientError("the bus is away") from error
                continue
            except nats.errors.NoRespondersError as error:
                raise TransientError(f"the stream {stream} does not answer") from error
            except nats.errors.Error as error:
                raise TransientError("the bus is away") from error
            told = orjson.loads(answer.data)
            if (refused := told.get("error")) is None:
                return Stored(told["stream"], told["seq"], told.get("duplicate", False))
            if refused.get("err_code") == WRONG_LAST_SEQUENCE:
                raise ConflictError(str(refused.get("description")))
            if refused.get("err_code") not in IN_FLIGHT or time.monotonic() > patience:
                raise TransientError(f"the bus refused a message: {refused.get('description')}")
            await asyncio.sleep(_IN_FLIGHT_SECONDS)
        raise TransientError(f"the bus did not confirm a message on {subject}")

    async def hint(self, subject: str, body: bytes) -> None:
        """Publish without waiting. For what may be lost."""
        await self.client.publish(subject, body)

    async def last(self, stream: str, subject: str) -> RawStreamMsg | None:
        """The last message stored under a subject (which may end in a wildcard), or None where there is none. On a
        cluster, as far as whichever server answers knows.

        Raises `PermanentError` where reading it is denied and `TransientError` where the bus does not answer: an
        unanswered question never counts as "there is none".
        """
        api_subject = f"$JS.API.DIRECT.GET.{stream}.{subject}"
        for _ in range(PUBLISH_TRIES):
            try:
                answer = await self._request(api_subject, b"", PUBLISH_TIMEOUT_SECONDS, None)
            except TimeoutError:
                self._raise_if_denied(api_subject)
                continue
            except nats.errors.Error as error:
                raise TransientError(f"the stream {stream} cannot be read: {error}") from error
            headers = answer.headers or {}
            if "Nats-Sequence" in headers:
                place = int(headers["Nats-Sequence"])
                return RawStreamMsg(headers.get("Nats-Subject"), place, answer.data, headers=headers, stream=stream)
            if headers.get("Status") == _NO_MESSAGE:
                return None
            raise TransientError(f"the stream {stream} cannot be read: {headers.get('Description')}")
        raise TransientError(f"the stream {stream} does not answer")

    async def last_stored(self, stream: str, subject: str) -> RawStreamMsg | None:
        """As `last`, from the stream's leader: nothing that was acknowledged before the question is missing. Without
        the message's headers."""
        api_subject = f"$JS.API.STREAM.MSG.GET.{stream}"
        question = orjson.dumps({"last_by_subj": subject})
        for _ in range(LEADER_TRIES):
            try:
                answer = await self._request(api_subject, question, LEADER_TIMEOUT_SECONDS, None)
            except TimeoutError:
                self._raise_if_denied(api_subject)
                continue
            except nats.errors.Error as error:
                raise TransientError(f"the stream {stream} cannot be read: {error}") from error
            told = orjson.loads(answer.data)
            if (refused := told.get("error")) is not None:
                if refused.get("err_code") == NO_MESSAGE_FOUND:
                    return None
                raise TransientError(f"the stream {stream} cannot be read: {refused.get('description')}")
            found = told["message"]
            body = base64.b64decode(found.get("data", ""))
            return RawStreamMsg(found["subject"], found["seq"], body, stream=stream)
        raise TransientError(f"the stream {stream} does not answer")

    async def ask(
        self, subject: str, body: bytes, *, timeout_seconds: float = 5.0, headers: dict[str, str] | None = None
    ) -> Msg:
        """Ask and wait for one answer, within the current trace. Raises `TransientError` where nobody answers."""
        sent = dict(headers or {})
        if parent := tracing.traceparent():
            sent["traceparent"] = parent
        try:
            return await self._request(subject, body, timeout_seconds, sent or None)
        except TimeoutError as error:
            self._raise_if_denied(subject)
            raise TransientError(f"no answer to {subject} within {timeout_seconds:g} s") from error
        except (
            nats.errors.NoRespondersError,
            nats.errors.ConnectionClosedError,
            nats.errors.ConnectionReconnectingError,
        ) as error:
            raise TransientError(f"nobody answers {subject}") from error

    async def listen(self, subject: str, receive: Callable[[Msg], Awaitable[None]], *, queue: str = "") -> Subscription:
        """Receive what is published from now on; replicas that name the same `queue` share it."""
        return await self.client.subscribe(subject, queue=queue, cb=receive)

    async def _request(self, subject: str, body: bytes, timeout_seconds: float, headers: dict[str, str] | None) -> Msg:
        if self._requests is None:
            raise nats.errors.ConnectionClosedError
        return await self._requests.ask(subject, body, timeout_seconds=timeout_seconds, headers=headers)

    def _raise_if_denied(self, subject: str) -> None:
        if subject.lower() in self._denied:
            raise PermanentError(
                "denied_by_bus",
                f"this service's credential may not use {subject}",
                next_step="Compare contracts/topology.py with the server; `make up` writes its permissions anew.",
            )

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if "permissions violation" in text.lower():
            # nats-py has what the server said in small letters.
            subject = text.split('"')[1].lower() if '"' in text else text
            self._denied[subject] = text
            _log.error("the bus denied a subject", subject=subject)
        else:
            _log.warning("bus error", error_type=type(error).__name__, error=text)

    async def _on_closed(self) -> None:
        if not self._stopping:
            _log.critical("the bus connection is closed for good; ending this process so that it is started anew")
            os._exit(EXIT_BUS_CLOSED)

    async def _on_disconnected(self) -> None:
        if not self._stopping:
            _log.warning("disconnected from the bus")

    async def _on_reconnected(self) -> None:
        _log.info("reconnected to the bus")

"""The catalog's copies of the log and of the facts from outside: whether they are intact, and the streams put back from
them.

A stream holds the history of every environment, another one the facts about them, and so does the catalog. Where
JetStream's storage is lost, what is missing is published again from the copy: subject, body and sequence as they were.
The durable consumers begin at the first message; whoever hears an event again finds its own outcome in the log and does
nothing (`chassis.looking`).

Invariants: nothing is put after a message that is not the copy's own; what was put back stays when a restore is
interrupted, and the next one goes on after it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from contracts import subjects
from contracts.events import parse
from contracts.signals import ANY_SIGNAL
from contracts.topology import inbox_prefix
from deploy.streams import BusAccess, StreamsError, connected, provision
from services.catalog.domain.records import chained

_PAGE = 2000
_BATCH_MESSAGES = 1000
"""As many as the server takes in an atomic batch (NATS ADR-50): it syncs about as often for one of them as for ten."""
_BATCH_BYTES = 4 << 20
_BATCHES_ON_THEIR_WAY = 3
"""The server stores one while the next is read from the copy and sent."""
_REPLY_SECONDS = 30.0


class LogCopyError(Exception):
    """The copy or the log is not as it must be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Which stream, and where the catalog keeps its messages and how far they reach."""

    stream: str
    prefix: str
    """The first token of its subjects."""
    position: str
    rows: str
    """The columns of `CopiedMessage`, of messages after a sequence."""


LOG = Copy(
    subjects.ENVIRONMENTS,
    "environment",
    "SELECT sequence, hash FROM catalog.log_position",
    "SELECT sequence, subject, body, hash, event_id, environment, version, kind, run_id"
    " FROM catalog.events WHERE sequence > %s ORDER BY sequence LIMIT %s",
)
FACTS = Copy(
    subjects.SIGNALS,
    "signal",
    "SELECT sequence, hash FROM catalog.signal_position",
    "SELECT sequence, subject, body, hash, CASE WHEN rejection IS NULL THEN signal_id END, environment, NULL, kind,"
    " NULL FROM catalog.signals WHERE sequence > %s ORDER BY sequence LIMIT %s",
)


@dataclass(frozen=True, slots=True)
class CopiedMessage:
    """A row of one of the catalog's copies."""

    sequence: int
    subject: bytes
    body: bytes
    hash: bytes
    event_id: uuid.UUID | None
    environment: str | None
    version: int | None
    """Of an event that is believed; facts have none."""
    kind: str | None
    run_id: uuid.UUID | None

    @property
    def message_id(self) -> str | None:
        """What it was published under; None where another message has the same id, which a batch would not take."""
        is_first = self.version is not None or (self.run_id is None and self.event_id is not None)
        return str(self.event_id) if is_first else None


@dataclass(frozen=True)
class Verdict:
    """What looking through the copy came to."""

    messages: int
    head: str
    """The hash that all of it comes to, in hex: note it elsewhere, and a copy that was rewritten as a whole shows."""
    broken_at: int | None = None
    """The first sequence that is not as it was written."""
    reason: str = ""

    @property
    def is_intact(self) -> bool:
        """Whether nothing was changed, added or taken away."""
        return self.broken_at is None


@dataclass(frozen=True)
class Restored:
    """What a restore came to, in messages."""

    already_there: int
    put_back: int


def copied(catalog: psycopg.Connection, after: int = 0, copy: Copy = LOG) -> Iterator[CopiedMessage]:
    """The messages of a copy in the order of its stream, those after a sequence. `catalog` may read its schema."""
    while True:
        rows = catalog.execute(copy.rows, (after, _PAGE)).fetchall()
        yield from (CopiedMessage(*row) for row in rows)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def verify(catalog: psycopg.Connection, copy: Copy = LOG) -> Verdict:
    """Look through a whole copy: every sequence there, every hash following from all before it, and every column
    that people search by saying what the message itself says."""
    head, last, versions = b"", 0, dict[str, int]()
    for message in copied(catalog, copy=copy):
        if reason := _wrong(message, head, last, versions):
            return Verdict(last, head.hex(), message.sequence, reason)
        head, last = message.hash, message.sequence
    position = catalog.execute(copy.position).fetchone()
    if position is None or (position[0], bytes(position[1])) != (last, head):
        return Verdict(last, head.hex(), last + 1, "the end was cut off: the position recorded is another")
    return Verdict(last, head.hex())


def _wrong(message: CopiedMessage, head: bytes, last: int, versions: dict[str, int]) -> str:
    if message.sequence != last + 1:
        return f"message {last + 1} is missing"
    if chained(head, message) != message.hash:
        return "its subject, its body or its hash was changed"
    if message.version is None:
        return _wrong_fact(message) if message.message_id is not None else ""
    event = parse(message.body)
    said = (event.id, event.subject, event.kind, event.run_id)
    if said != (message.event_id, message.environment, message.kind, message.run_id):
        return "its columns say something else than its body"
    if message.version != versions.get(event.subject, 0) + 1:
        return f"it is version {message.version} of {event.subject}, after {versions.get(event.subject, 0)}"
    versions[event.subject] = message.version
    return ""


def _wrong_fact(message: CopiedMessage) -> str:
    signal = ANY_SIGNAL.validate_json(message.body)
    said = (signal.id, signal.subject, signal.kind)
    same = said == (message.event_id, message.environment, message.kind)
    return "" if same else "its columns say something else than its body"


async def discard_log(access: BusAccess) -> int:
    """Delete the streams and make them anew, empty; answers how many messages they had. For a log that has gone on
    without its history: the gateway says again what the catalog does not know. Facts that were told meanwhile are given
    up."""
    messages = 0
    async with _jetstream(access) as (_, jetstream):
        for copy in (LOG, FACTS):
            try:
                messages += (await jetstream.stream_info(copy.stream)).state.messages
                await jetstream.delete_stream(copy.stream)
            except NotFoundError:
                continue
    await provision(access)
    return messages


async def restore(access: BusAccess, catalog: psycopg.Connection, report: Callable[[int], None]) -> Restored:
    """Put back what the streams lack of the copies; `report` hears how far it has come, as a sequence of the stream.

    Raises `LogCopyError` where the log holds something else than the copy, or took a message of somebody's meanwhile;
    `StreamsError` where the bus cannot be reached or refuses.
    """
    await provision(access)
    async with _jetstream(access) as (client, jetstream):
        already_there = put_back = 0
        for copy in (LOG, FACTS):
            there = at = await _common(jetstream, catalog, copy)
            async with _Putting(client, copy, report) as putting:
                for batch in _batches(copied(catalog, there, copy)):
                    await putting.put(batch)
                    at = batch[-1].sequence
                await putting.finish()
            already_there, put_back = already_there + there, put_back + at - there
    return Restored(already_there, put_back)


@asynccontextmanager
async def _jetstream(access: BusAccess) -> AsyncIterator[tuple[Client, JetStreamContext]]:
    async with connected(access.url, access.deploy_nkey_file, inbox_prefix("deploy")) as client:
        yield client, client.jetstream(timeout=_REPLY_SECONDS)


async def _common(jetstream: JetStreamContext, catalog: psycopg.Connection, copy: Copy) -> int:
    """How many messages the stream has, all of them the copy's. The last one stands for those before it: sequences are
    given once, and nobody but a restore puts one back."""
    last = (await jetstream.stream_info(copy.stream)).state.last_seq
    row = catalog.execute(copy.position).fetchone()
    copied_last = (row and row[0]) or 0
    for sequence in sorted({1, min(last, copied_last)}) if last and copied_last else ():
        found = await jetstream.get_msg(copy.stream, seq=sequence)
        ours = next(copied(catalog, sequence - 1, copy))
        if (found.data, (found.subject or "").encode(errors="surrogateescape")) != (ours.body, ours.subject):
            raise LogCopyError(
                f"message {sequence} of {copy.stream} is not the copy's: it has begun anew without its history. "
                "Stop the services and run restore-log with --discard: what the log has now is given up, and what the "
                "catalog does not know is said again by the gateway"
            )
    return min(last, copied_last)


def _batches(messages: Iterator[CopiedMessage]) -> Iterator[list[CopiedMessage]]:
    batch: list[CopiedMessage] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == _BATCH_MESSAGES or size + len(message.body) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message.body)
    if batch:
        yield batch


class _Putting:
    """Stores batches, each whole or not at all, right after the message before its first; some are on their way while
    the next one is made."""

    def __init__(self, client: Client, copy: Copy, report: Callable[[int], None]) -> None:
        self._client = client
        self._copy = copy
        self._report = report
        self._inbox = client.new_inbox()
        self._waiting: dict[str, tuple[int, asyncio.Future[bytes]]] = {}
        """By the subject of its answer, the oldest first: the last sequence of a batch, and the answer."""

    async def __aenter__(self) -> Self:
        self._answers = await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)
        return self

    async def __aexit__(self, *_: object) -> None:
        # What was sent is stored or refused before anybody looks at the stream again.
        if pending := [future for _, future in self._waiting.values()]:
            await asyncio.wait(pending, timeout=_REPLY_SECONDS)
        await self._answers.unsubscribe()

    async def put(self, batch: list[CopiedMessage]) -> None:
        """Send a batch, once there is room for it. Raises as `restore`, maybe because of one before."""
        if any(after.sequence != before.sequence + 1 for before, after in pairwise(batch)):
            raise LogCopyError("the copy has a hole: run verify-log, and restore a backup of the catalog's database")
        while len(self._waiting) >= _BATCHES_ON_THEIR_WAY:
            await self._settle()
        last = batch[-1].sequence
        answer = f"{self._inbox}.{last}"
        self._waiting[answer] = (last, asyncio.get_running_loop().create_future())
        batch_id = uuid.uuid4().hex
        for number, message in enumerate(batch, 1):
            headers = {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}
            if number == 1:
                headers["Nats-Expected-Last-Sequence"] = str(message.sequence - 1)
            if message.message_id is not None:
                headers["Nats-Msg-Id"] = message.message_id
            reply = ""
            if message.sequence == last:
                headers["Nats-Batch-Commit"], reply = "1", answer
            subject = _publishable(message.subject, self._copy.prefix)
            await self._client.publish(subject, message.body, reply, headers=headers)

    async def finish(self) -> None:
        """Return when everything is stored. Raises as `restore`."""
        while self._waiting:
            await self._settle()

    async def _settle(self) -> None:
        """Wait for the oldest batch."""
        subject, (last, future) = next(iter(self._waiting.items()))
        try:
            async with asyncio.timeout(_REPLY_SECONDS):
                answer = json.loads(await future)
        except TimeoutError as error:
            raise StreamsError("the bus did not store what was put back: no answer") from error
        if refusal := answer.get("error"):
            raise LogCopyError(
                f"the log took a message of somebody else's meanwhile ({refusal.get('description')}): "
                "stop the services first"
            )
        del self._waiting[subject]
        self._report(last)

    async def _answered(self, message: Msg) -> None:
        if (found := self._waiting.get(message.subject)) is not None and not found[1].done():
            found[1].set_result(message.data)


def _publishable(subject: bytes, prefix: str) -> str:
    """A subject as the client can publish it. One that is no UTF-8 comes back as a neighbour of its own: only a message
    that nobody believed has one, and its sequence must not be lost."""
    try:
        return subject.decode()
    except UnicodeDecodeError:
        return f"{prefix}.{subject.hex()}.undecodable"

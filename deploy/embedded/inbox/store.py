"""Channels and messages in SQLite.

Invariant: a method returns after its row is durable (WAL with synchronous=FULL), and a channel's timestamps are
unique and grow even when the clock does not. The methods block on the disk: call them off the event loop.
"""

import base64
import hashlib
import json
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_seconds INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS messages (
    channel_id TEXT NOT NULL REFERENCES channels (id),
    ts TEXT NOT NULL,
    thread_ts TEXT,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    blocks TEXT,
    metadata TEXT,
    edited_ts TEXT,
    PRIMARY KEY (channel_id, ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_of_thread ON messages (channel_id, thread_ts, ts) WHERE thread_ts IS NOT NULL;
"""
_COLUMNS = "channel_id, ts, thread_ts, author, text, blocks, metadata, edited_ts"
_MICROSECONDS = 1_000_000
_BEYOND = "9999999999.999999"


class NameTakenError(Exception):
    """A channel of this name exists."""


@dataclass(frozen=True)
class Channel:
    """A public channel; `name` is without the `#`."""

    id: str
    name: str
    created_seconds: int


@dataclass(frozen=True)
class Message:
    """A message as it was sent; `ts` is Slack's `seconds.microseconds`, unique in its channel."""

    channel_id: str
    ts: str
    thread_ts: str | None
    author: str
    text: str
    blocks: list[dict[str, Any]] | None
    metadata: dict[str, Any] | None
    edited_ts: str | None = None


@dataclass(frozen=True)
class Draft:
    """What a sender gives; the store adds the rest."""

    author: str
    text: str
    blocks: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    thread_ts: str | None = None


class Store:
    """One database file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Ends the connection; the store cannot be used afterwards."""
        with self._lock:
            self._database.close()

    def create_channel(self, name: str) -> Channel:
        """A new channel. Its id follows from its name, so it is the same after a reset. Raises NameTakenError."""
        digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()
        channel = Channel(f"C{digest[:10]}", name, int(time.time()))
        with self._lock:
            try:
                self._database.execute(
                    "INSERT INTO channels VALUES (?, ?, ?)",
                    (channel.id, channel.name, channel.created_seconds),
                )
            except sqlite3.IntegrityError as error:
                raise NameTakenError(name) from error
        return channel

    def channels(self) -> list[Channel]:
        """All channels by name."""
        with self._lock:
            rows = self._database.execute("SELECT id, name, created_seconds FROM channels ORDER BY name").fetchall()
        return [Channel(*row) for row in rows]

    def channel(self, id_or_name: str) -> Channel | None:
        """A channel by its id, its name, or its name with a `#`."""
        with self._lock:
            row = self._database.execute(
                "SELECT id, name, created_seconds FROM channels WHERE id = ? OR name = ?",
                (id_or_name, id_or_name.removeprefix("#")),
            ).fetchone()
        return Channel(*row) if row else None

    def counts(self) -> dict[str, int]:
        """Messages by channel id, replies included."""
        with self._lock:
            return dict(self._database.execute("SELECT channel_id, count(*) FROM messages GROUP BY channel_id"))

    def post(self, channel_id: str, draft: Draft) -> Message:
        """Stores a new message of an existing channel and gives it its timestamp."""
        with self._lock:
            last = self._database.execute(
                "SELECT max(ts) FROM messages WHERE channel_id = ?", (channel_id,)
            ).fetchone()[0]
            message = Message(
                channel_id,
                _timestamp_after(last),
                draft.thread_ts,
                draft.author,
                draft.text,
                draft.blocks,
                draft.metadata,
            )
            self._database.execute(
                f"INSERT INTO messages ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",  # noqa: S608 - a constant
                (
                    channel_id,
                    message.ts,
                    draft.thread_ts,
                    draft.author,
                    draft.text,
                    _json(draft.blocks),
                    _json(draft.metadata),
                ),
            )
        return message

    def update(self, channel_id: str, ts: str, draft: Draft) -> Message | None:
        """Replaces what a message says. None when there is no such message; metadata stays unless given."""
        with self._lock:
            self._database.execute(
                "UPDATE messages SET text = ?, blocks = ?, metadata = coalesce(?, metadata), edited_ts = ?"
                " WHERE channel_id = ? AND ts = ?",
                (
                    draft.text,
                    _json(draft.blocks),
                    _json(draft.metadata),
                    _timestamp_after(None),
                    channel_id,
                    ts,
                ),
            )
        return self.message(channel_id, ts)

    def message(self, channel_id: str, ts: str) -> Message | None:
        """One message, or None."""
        found = self._select("channel_id = ? AND ts = ?", (channel_id, ts), limit=1)
        return found[0] if found else None

    def history(
        self,
        channel_id: str,
        *,
        limit: int,
        oldest: str = "0",
        latest: str = _BEYOND,
        inclusive: bool = False,
    ) -> list[Message]:
        """Top-level messages between the two timestamps, newest first."""
        at_ends = "=" if inclusive else ""
        where = f"channel_id = ? AND thread_ts IS NULL AND ts >{at_ends} ? AND ts <{at_ends} ?"
        return self._select(where, (channel_id, oldest, latest), limit=limit)

    def replies(self, channel_id: str, thread_ts: str) -> list[Message]:
        """The replies of one thread, oldest first."""
        return self._select("channel_id = ? AND thread_ts = ?", (channel_id, thread_ts), limit=1000)[::-1]

    def threads(self, channel_id: str, thread_ts: list[str]) -> dict[str, list[Message]]:
        """The replies of several threads by their parent, oldest first."""
        return {ts: self.replies(channel_id, ts) for ts in thread_ts}

    def _select(self, where: str, values: tuple[str, ...], *, limit: int) -> list[Message]:
        statement = f"SELECT {_COLUMNS} FROM messages WHERE {where} ORDER BY ts DESC LIMIT ?"  # noqa: S608 - constants
        with self._lock:
            rows = self._database.execute(statement, (*values, limit)).fetchall()
        return [
            Message(channel_id, ts, thread_ts, author, text, _parsed(blocks), _parsed(metadata), edited_ts)
            for channel_id, ts, thread_ts, author, text, blocks, metadata, edited_ts in rows
        ]


def _timestamp_after(last: str | None) -> str:
    now = time.time_ns() // 1000
    previous = int(last.replace(".", "")) if last else 0
    microseconds = max(now, previous + 1)
    return f"{microseconds // _MICROSECONDS:010}.{microseconds % _MICROSECONDS:06}"


def _json(value: object | None) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)

"""The page that people read: channels at the left, messages with the newest first.

Invariant: read-only; every message is shown through `mrkdwn`, which lets nothing but text and safe tags through.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deploy.embedded.inbox.mrkdwn import plain, render
from deploy.embedded.inbox.store import Channel, Message, Store
from deploy.embedded.web.pages import templates

_MESSAGES_PER_PAGE = 50
_BEYOND = "9999999999.999999"


@dataclass(frozen=True)
class ShownBlock:
    """One block ready for the template: its kind, its pieces of HTML, and its links as (label, address)."""

    kind: str
    pieces: tuple[Markup, ...] = ()
    fields: tuple[Markup, ...] = ()
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ShownMessage:
    """One message ready for the template; `sent_seconds` since 1970."""

    ts: str
    author: str
    sent_seconds: float
    edited_seconds: float | None
    blocks: tuple[ShownBlock, ...]
    metadata: str | None
    replies: tuple["ShownMessage", ...] = ()


class Pages:
    """Renders pages from the store; blocks on it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._templates = templates(Path(__file__).with_name("templates"))

    def channel(self, name: str | None, before: str | None) -> str | None:
        """The page of a channel (None: the one with the latest message). None when there is no such channel."""
        channels = self._store.channels()
        current = self._store.channel(name) if name is not None else self._liveliest(channels)
        if current is None:
            return None
        names = {channel.id: channel.name for channel in channels}
        messages = self._store.history(current.id, limit=_MESSAGES_PER_PAGE + 1, latest=before or _BEYOND)
        page = messages[:_MESSAGES_PER_PAGE]
        shown = [_message(m, names, self._store.replies(m.channel_id, m.ts)) for m in page]
        return self._templates.get_template("channel.html").render(
            channels=channels,
            counts=self._store.counts(),
            current=current,
            days=list(_by_day(shown)),
            older=page[-1].ts if len(messages) > _MESSAGES_PER_PAGE else None,
            is_newest=before is None,
            now=time.time(),
        )

    def missing(self) -> str:
        """The page for an address where nothing is."""
        return self._templates.get_template("missing.html").render()

    def _liveliest(self, channels: list[Channel]) -> Channel:
        def last(channel: Channel) -> str:
            newest = self._store.history(channel.id, limit=1)
            return newest[0].ts if newest else ""

        return max(channels, key=last)


def _by_day(messages: list[ShownMessage]) -> Iterator[tuple[str, list[ShownMessage]]]:
    for day, group in groupby(messages, key=lambda m: datetime.fromtimestamp(m.sent_seconds, UTC).date()):
        yield f"{day:%A, %-d %B %Y}", list(group)


def _message(message: Message, names: dict[str, str], replies: list[Message]) -> ShownMessage:
    blocks = tuple(_block(block, names) for block in message.blocks or ())
    return ShownMessage(
        ts=message.ts,
        author=message.author,
        sent_seconds=float(message.ts),
        edited_seconds=float(message.edited_ts) if message.edited_ts else None,
        # As in Slack, the text is only the fallback where there are blocks.
        blocks=blocks or (ShownBlock("section", (render(message.text, names),)),),
        metadata=json.dumps(message.metadata, indent=2) if message.metadata is not None else None,
        replies=tuple(_message(reply, names, []) for reply in replies),
    )


def _block(block: dict[str, Any], names: dict[str, str]) -> ShownBlock:
    kind = str(block["type"])
    if kind == "actions":
        links = [(e["text"]["text"], e.get("url", "")) for e in block["elements"]]
        return ShownBlock(kind, links=tuple(links))
    if kind == "context":
        return ShownBlock(kind, tuple(_text(element, names) for element in block["elements"]))
    pieces = (_text(block["text"], names),) if "text" in block else ()
    return ShownBlock(kind, pieces, tuple(_text(field, names) for field in block.get("fields", ())))


def _text(value: dict[str, Any], names: dict[str, str]) -> Markup:
    return render(value["text"], names) if value["type"] == "mrkdwn" else plain(value["text"])

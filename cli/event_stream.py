"""Server-sent events (WHATWG HTML §9.2.6), read from bytes as they come."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    """One event: its name, its id (where to resume) and its JSON data."""

    event: str
    id: str
    data: dict[str, Any]


LOST = ServerEvent("lost", "", {})
"""Not from the server: the connection broke and is being made anew."""


class EventStream:
    """The events of one connection.

    `last_id` is where to resume; `retry_seconds` is how long to wait before, once the server has said so.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_seconds: float | None = None

    def read(self, chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
        """The events in `chunks`. What follows the last empty line is no event: the connection broke within it."""
        name, latest = "", self.last_id
        data: list[str] = []
        for line in _lines(chunks):
            if not line:
                self.last_id = latest  # not before the event is whole: one that breaks off is asked for again
                if data:
                    yield ServerEvent(name or "message", self.last_id, json.loads("\n".join(data)))
                name, data = "", []
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "event":
                    name = value
                case "data":
                    data.append(value)
                case "id":
                    latest = value
                case "retry" if value.isdecimal():
                    self.retry_seconds = int(value) / 1000


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines as this format means them. `httpx.Response.iter_lines` also breaks at U+0085 and U+2028, which JSON may
    hold."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")

"""What a span is here: one flat row with its details as JSON.

Times are nanoseconds since 1970, ids are bytes as on the wire. `Details` has one-letter keys because it is stored
with every span.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypedDict

KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Names of OTLP's span kinds by number."""

STATUS_ERROR: Final = 2
"""OTLP's status code for a failed span (0 is unset, 1 is ok)."""


class Event(TypedDict):
    """Something that happened at a moment within a span: `t` nanoseconds since 1970, `n` name, `a` attributes."""

    t: int
    n: str
    a: dict[str, Any]


class Link(TypedDict):
    """A reference to another span: `t` and `s` its trace and span id as hexadecimal."""

    t: str
    s: str


class Details(TypedDict, total=False):
    """`a` attributes, `e` events, `k` links, `m` status message, `o` instrumentation scope, `d` what was cut off."""

    a: dict[str, Any]
    e: list[Event]
    k: list[Link]
    m: str
    o: str
    d: int


class Row(NamedTuple):
    """A span as it is inserted; `resource` is the JSON of its resource's attributes."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    service: str
    resource: bytes
    operation: str
    kind: int
    start_ns: int
    duration_ns: int
    status: int
    details: bytes


@dataclass(frozen=True)
class Span:
    """A span as it is read back."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    service: str
    resource_id: int
    operation: str
    kind: int
    start_ns: int
    duration_ns: int
    status: int
    details: Details

    @property
    def attributes(self) -> dict[str, Any]:
        """What is known of it, by name."""
        return self.details.get("a", {})

    @property
    def events(self) -> list[Event]:
        """What happened within it."""
        return self.details.get("e", [])

    @property
    def links(self) -> list[Link]:
        """The other spans it refers to."""
        return self.details.get("k", [])

    @property
    def message(self) -> str:
        """What its status says beside the code."""
        return self.details.get("m", "")

    @property
    def scope(self) -> str:
        """The instrumentation that made it."""
        return self.details.get("o", "")

    @property
    def cut(self) -> int:
        """How many attributes, events and links were not stored."""
        return self.details.get("d", 0)

    @property
    def end_ns(self) -> int:
        """When it ended."""
        return self.start_ns + self.duration_ns

    @property
    def failed(self) -> bool:
        """Whether its status says error."""
        return self.status == STATUS_ERROR

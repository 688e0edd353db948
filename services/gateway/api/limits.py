"""What is refused before anybody looks at what it means: too much, too often, too deep, or no honest JSON.

Invariants
- A body is measured while it arrives and checked for depth before it is parsed, so a hostile one costs no more than
  its limit.
- What `parse_json` returns is what every other reader of those bytes would see: no duplicate keys, no NaN, no number
  that another language rounds, no text that is not Unicode.
"""

import json
import math
import re
from collections import OrderedDict
from collections.abc import AsyncIterable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from services.gateway.domain.refusals import (
    BrokenRule,
    InvalidError,
    MalformedError,
    RateLimitedError,
    TooLargeError,
    UnsupportedMediaTypeError,
)

BODY_BYTES: Final = 64 * 1024
DEPTH: Final = 16
INTEGER_DIGITS: Final = 18
"""Fits 64 bits."""
KEY_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
"""What an Idempotency-Key may be."""

_JSON_TYPE: Final = re.compile(r'application/json\s*(?:;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)
_YAML_TYPE: Final = re.compile(r'application/yaml\s*(?:;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)
_OUTSIDE_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def check_type(content_type: str | None, content_encoding: str | None) -> None:
    """Raise `UnsupportedMediaTypeError` for anything but plain JSON in UTF-8."""
    if content_encoding is not None and content_encoding.strip().lower() != "identity":
        raise UnsupportedMediaTypeError("Send the body without Content-Encoding: compressed bodies are not read.")
    if content_type is None or not _JSON_TYPE.fullmatch(content_type.strip()):
        raise UnsupportedMediaTypeError("Send JSON with `Content-Type: application/json`.")


def is_yaml(content_type: str | None) -> bool:
    """Whether a body says that it is YAML in UTF-8 (RFC 9512)."""
    return content_type is not None and _YAML_TYPE.fullmatch(content_type.strip()) is not None


async def read(stream: AsyncIterable[bytes], declared_length: str | None, limit: int = BODY_BYTES) -> bytes:
    """The whole body. Raises `TooLargeError` as soon as it is known to be larger than `limit` bytes."""
    if declared_length is not None and declared_length.isdigit() and int(declared_length[:12]) > limit:
        raise too_large(limit)
    body = bytearray()
    async for part in stream:
        body += part
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def too_large(limit: int) -> TooLargeError:
    """What is said of a body that is larger than `limit` bytes."""
    return TooLargeError(f"A request has {limit // 1024} KiB at most.")


def parse_json(body: bytes, limit: int = BODY_BYTES) -> Any:
    """The JSON text (RFC 8259) in `body`. Raises `TooLargeError` and `MalformedError`."""
    if len(body) > limit:
        raise too_large(limit)
    _check_depth(body)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_no_constant
        )
    except UnicodeDecodeError:
        raise MalformedError("The body is not UTF-8.") from None
    except (json.JSONDecodeError, RecursionError):
        raise MalformedError("The body is not JSON.") from None
    check_text(value)
    return value


def _check_depth(body: bytes) -> None:
    depth = 0
    for byte in _OUTSIDE_STRINGS.sub(b"", body):
        if byte in b"[{":
            depth += 1
            if depth > DEPTH:
                raise MalformedError(f"The body is nested deeper than {DEPTH} levels.")
        elif byte in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("An object names the same key twice.")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_DIGITS:
        raise MalformedError(f"An integer has more than {INTEGER_DIGITS} digits.")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits) if len(digits) <= 64 else math.inf
    if not math.isfinite(value):
        raise MalformedError("A number is too large or too long.")
    return value


def _no_constant(_: str) -> None:
    raise MalformedError("NaN and Infinity are not JSON.")


def check_query(query: bytes) -> None:
    """Raise `InvalidError` where a query holds a zero character: no name has one, and Postgres knows no such text."""
    if b"%00" in query or b"\0" in query:
        raise InvalidError([BrokenRule("query", "must not hold a zero character")])


def check_text(value: Any) -> None:
    """Raise `MalformedError` where a text within `value` is not Unicode."""
    if isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise MalformedError("A text holds half of a surrogate pair, which is not Unicode.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_text(key)
            check_text(item)
    elif isinstance(value, list):
        for item in value:
            check_text(item)


@dataclass
class _Bucket:
    tokens: float
    at: float


@dataclass
class RateLimiter:
    """A token bucket for each asker, in this process. With several replicas each allows as much."""

    per_second: float
    at_once: int
    now: Callable[[], float] = monotonic
    most_askers: int = 10_000
    """How many are remembered; whoever was away longest is forgotten first, and then has a full bucket again."""
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def take(self, asker: str) -> None:
        """Let one request of this asker pass. Raises `RateLimitedError`."""
        now = self.now()
        bucket = self._buckets.setdefault(asker, _Bucket(self.at_once, now))
        self._buckets.move_to_end(asker)
        while len(self._buckets) > self.most_askers:
            self._buckets.popitem(last=False)
        bucket.tokens = min(float(self.at_once), bucket.tokens + (now - bucket.at) * self.per_second)
        bucket.at = now
        if bucket.tokens < 1:
            seconds = math.ceil((1 - bucket.tokens) / self.per_second)
            raise RateLimitedError("You ask too often. Wait as long as Retry-After says.", max(1, seconds))
        bucket.tokens -= 1


@dataclass
class Slots:
    """How many of something each asker has open at the same time."""

    most: int
    _open: dict[str, int] = field(default_factory=dict)

    def check(self, asker: str) -> None:
        """Raise `RateLimitedError` where the asker has as many as allowed."""
        if self._open.get(asker, 0) >= self.most:
            raise RateLimitedError(f"You follow {self.most} runs already. Close one of them.", 5)

    @contextmanager
    def hold(self, asker: str) -> Iterator[None]:
        """One more is open until the block ends."""
        self._open[asker] = self._open.get(asker, 0) + 1
        try:
            yield
        finally:
            self._open[asker] -= 1
            if not self._open[asker]:
                del self._open[asker]

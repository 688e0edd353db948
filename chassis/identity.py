"""Ids that follow from their cause.

Invariant: the same cause and the same kind always give the same id, so a handler that runs twice says the same event
twice and the bus keeps one. Nobody without the platform's key can compute one, so nobody outside can say an event
first and have the true one swallowed as its duplicate.
"""

import hmac
from pathlib import Path
from uuid import UUID

_VERSION_8 = 0x8000
_VARIANT = 0x8000_0000_0000_0000


class EventKey:
    """The platform's key for event ids."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the event key needs 32 bytes; make a new one with `openssl rand -hex 32`")
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> "EventKey":
        """The key in a file of hexadecimal digits. Raises OSError or ValueError."""
        return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))

    def derive(self, cause: UUID | str, kind: str) -> UUID:
        """The id of the thing of this kind that `cause` brings about: a UUID of version 8 (RFC 9562 §5.8) over an
        HMAC-SHA-256."""
        digest = hmac.digest(self._key, f"{cause}\0{kind}".encode(), "sha256")
        number = int.from_bytes(digest[:16], "big")
        number = number & ~(0xF000 << 64) | _VERSION_8 << 64
        number = number & ~(0xC000 << 48) | _VARIANT
        return UUID(int=number)

"""Secrets that are shared with others and stored nowhere: each follows from the platform's key and from what it is for.

Invariant: who has the key can tell any of them, at any time; who has one of them can tell no other.
"""

import base64
import hmac
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import SecretStr

PREFIX: Final = "whsec_"
"""How a symmetric secret of the Standard Webhooks specification begins."""


class SigningKey:
    """The platform's key for the secrets of webhooks."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the key for webhooks needs 32 bytes; make a new one with `openssl rand -hex 32`")
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> "SigningKey":
        """The key in a file of hexadecimal digits. Raises OSError or ValueError."""
        return cls(bytes.fromhex(path.read_text(encoding="ascii").strip()))

    def secret(self, subscription: UUID, generation: int) -> SecretStr:
        """The secret of this generation: `whsec_` and 32 bytes in base64."""
        digest = hmac.digest(self._key, f"{subscription}\0{generation}".encode(), "sha256")
        return SecretStr(PREFIX + base64.b64encode(digest).decode("ascii"))

"""The platform's own secrets: made once, kept as files, never printed.

Invariant: a key survives every `up` until it is rotated; each file is 0600 under `keys/`, and
processes are told its path, never its content.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nkeys  # type: ignore[import-untyped]  # the package has no types

from deploy.embedded.home import write_file

_SECRET_BYTES = 32
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def new_secret() -> str:
    """256 random bits as URL-safe text."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def new_password() -> str:
    """A password that a person can type: twenty small letters, 94 random bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(5)) for _ in range(4))


def new_base64_key() -> str:
    """256 random bits as standard base64, the form OpenBao's static seal and TSIG take."""
    return base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def new_hex_key() -> str:
    """256 random bits as hexadecimal."""
    return secrets.token_hex(_SECRET_BYTES)


def new_user_seed() -> str:
    """The seed of a new NATS user (nkeys: Ed25519, prefix U)."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(_SECRET_BYTES), nkeys.PREFIX_BYTE_USER)
    return seed.decode()


def public_user_key(seed: str) -> str:
    """The public half of a NATS user seed, as the server's configuration wants it."""
    pair = nkeys.from_seed(bytearray(seed.encode()))
    public: bytes = pair.public_key
    return public.decode()


@dataclass(frozen=True)
class Keys:
    """The key files in `directory`."""

    directory: Path

    def path(self, name: str) -> Path:
        """Where the key called `name` is or will be."""
        return self.directory / name

    def ensure(self, name: str, make: Callable[[], str] = new_secret) -> Path:
        """The path of the key called `name`, which is made now if it does not exist."""
        path = self.path(name)
        if not path.exists():
            write_file(path, make(), mode=0o600)  # no newline: some readers take it as part of the key
        path.chmod(0o600)
        return path

    def renew(self, name: str, make: Callable[[], str]) -> None:
        """Replace the key called `name`, in one step."""
        write_file(self.path(name), make(), mode=0o600)

    def value(self, name: str, make: Callable[[], str] = new_secret) -> str:
        """The content of the key called `name`, which is made now if it does not exist."""
        return self.ensure(name, make).read_text().strip()

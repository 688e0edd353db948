"""API tokens: `slw_<id>_<secret><checksum>`.

- The prefix lets a scanner find a leaked one, the checksum (CRC-32 of everything before it, in base 62) lets it, and
  us, tell a real one from a look-alike without a look-up.
- `id` names it in lists and logs; `secret` has 256 bits, so a plain SHA-256 of the whole token is all that is kept.
  A slow hash protects what people choose; nobody can try 2²⁵⁶ secrets.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import SecretStr

from services.gateway.domain.people import Principal, Role

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 12
_SECRET_LENGTH: Final = 43
"""62⁴³ > 2²⁵⁶."""
_CHECKSUM_LENGTH: Final = 6
"""62⁶ > 2³²."""
_FORM: Final = re.compile(
    rf"slw_([0-9a-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)


@dataclass(frozen=True)
class ApiToken:
    """What is kept of a token: everything but the token."""

    id: str
    digest: bytes
    name: str
    person: str
    role: Role
    teams: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def opens_for(self, presented: SecretStr, now: datetime) -> bool:
        """Whether `presented` is this token, and may be used at `now`. Takes the same time whatever was presented."""
        return hmac.compare_digest(self.digest, digest(presented)) and self.is_open(now)

    def is_open(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def principal(self) -> Principal:
        """Whoever holds it."""
        return Principal(self.person, self.role, self.teams, self.id, self.name, self.expires_at)


def mint() -> tuple[str, SecretStr]:
    """A new token: its id, and the token itself."""
    identity = "".join(secrets.choice(_ALPHABET[:10] + _ALPHABET[36:]) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    body = f"slw_{identity}_{secret}"
    return identity, SecretStr(body + _checksum(body))


def identity_of(presented: SecretStr) -> str | None:
    """The id within a token, or None for what cannot be one of ours."""
    text = presented.get_secret_value()
    found = _FORM.fullmatch(text)
    if found is None or not hmac.compare_digest(_checksum(text[:-_CHECKSUM_LENGTH]), found[3]):
        return None
    return found[1]


def digest(presented: SecretStr) -> bytes:
    """What is kept of a token: SHA-256 over all of it."""
    return hashlib.sha256(presented.get_secret_value().encode()).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))

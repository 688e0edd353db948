"""Sessions of people who signed in with a browser.

Invariants
- The cookie's value is 256 random bits and stands nowhere but in the browser: kept is its SHA-256, and what goes into
  forms follows from it, so whoever reads the database can neither use a session nor forge a form.
- A session ends when nobody used it for a while, and at a fixed time after its sign-in, whichever is first.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from services.gateway.domain.people import Principal, Role

_BYTES: Final = 32
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 bytes in base64url without padding."""


@dataclass(frozen=True)
class Session:
    """What is kept of a session: everything but what the browser shows."""

    id: str
    """Names it in logs; opens nothing."""
    digest: bytes
    issuer: str
    subject: str
    """Who it is for the issuer: with the issuer, the identity (OpenID Connect Core 1.0, §5.7)."""
    person: str
    role: Role
    teams: tuple[str, ...]
    created_at: datetime
    used_at: datetime
    """When it was last noted that somebody used it."""
    expires_at: datetime
    """When it ends whatever happens."""

    def ends_at(self, idle: timedelta) -> datetime:
        """When it ends if nobody uses it any more."""
        return min(self.expires_at, self.used_at + idle)

    @property
    def principal(self) -> Principal:
        """Whoever signed in."""
        return Principal(
            self.person, self.role, self.teams, f"session:{self.id}", "browser", self.expires_at, is_session=True
        )


def new_secret() -> SecretStr:
    """256 random bits, as a cookie or an address can carry them."""
    return SecretStr(secrets.token_urlsafe(_BYTES))


def is_well_formed(presented: str) -> bool:
    """Whether it can be one of ours."""
    return _FORM.fullmatch(presented) is not None


def digest(secret: SecretStr) -> bytes:
    """What is kept of a random value: its SHA-256."""
    return hashlib.sha256(secret.get_secret_value().encode()).digest()


def derived(secret: SecretStr, purpose: str) -> str:
    """A value that only whoever has `secret` can make: HMAC-SHA256 over the purpose, in base64url without padding."""
    mark = hmac.new(secret.get_secret_value().encode(), purpose.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mark).rstrip(b"=").decode()


def csrf_token(secret: SecretStr) -> str:
    """What every form of this session carries."""
    return derived(secret, "csrf")


def new_id() -> str:
    """A name for a session."""
    return secrets.token_hex(6)

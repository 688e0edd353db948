"""How a machine gets a token of its own (`slipway login`), after RFC 8252 and RFC 7636.

Invariants
- The machine makes a verifier and shows only its challenge; a person who signed in gives a code for that challenge,
  which is good once, for five minutes, and only with the verifier. So a code that somebody else reads opens nothing.
- A token made so reaches exactly as far as the person who gave the code.
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

from services.gateway.domain.people import Role

CODE_LASTS: Final = timedelta(minutes=5)
CHALLENGE_PATTERN: Final = r"^[A-Za-z0-9_-]{43}$"
"""SHA-256 in base64url without padding (RFC 7636 §4.2)."""
VERIFIER_PATTERN: Final = r"^[A-Za-z0-9._~-]{43,128}$"
"""RFC 7636 §4.1."""
NAME_PATTERN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,58}[A-Za-z0-9])?$"
"""What a token may be called (`admission.CreateToken`)."""
_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""Hard to mistake for each other, and no words come of them."""
_GROUPS: Final = 4
_GROUP_LENGTH: Final = 4
"""20¹⁶ > 2⁶⁹ codes, each good for five minutes."""


@dataclass(frozen=True)
class MachineCode:
    """What is kept of a code: everything but the code."""

    digest: bytes
    challenge: str
    name: str
    """What the token is for: the machine."""
    person: str
    role: Role
    teams: tuple[str, ...]
    expires_at: datetime

    def is_redeemed_by(self, verifier: SecretStr, now: datetime) -> bool:
        """Whether the machine that shows `verifier` is the one that the code was given for, in time."""
        mark = hashlib.sha256(verifier.get_secret_value().encode()).digest()
        expected = base64.urlsafe_b64encode(mark).rstrip(b"=").decode()
        return hmac.compare_digest(expected, self.challenge) and now < self.expires_at


def new_code() -> SecretStr:
    """A code that a person can type: `BCDF-GHJK-LMNP-QRST`."""
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS))
    return SecretStr("-".join(groups))


def code_digest(code: SecretStr) -> bytes:
    """What is kept of a code: SHA-256 over its letters, however they were typed."""
    letters = re.sub(r"[\s-]", "", code.get_secret_value()).upper()
    return hashlib.sha256(letters.encode()).digest()

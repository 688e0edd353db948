"""A sign-in under way: from the page that begins it to the code that comes back.

Invariants
- What comes back counts once, within ten minutes, and only in the browser that set out: the state (RFC 6749 §10.12),
  the nonce and the PKCE verifier (RFC 7636) of each sign-in follow from what that browser alone holds.
- Afterwards a person is sent to an address of our own, or nowhere.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import SecretStr

from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.domain.sessions import derived

LASTS: Final = timedelta(minutes=10)
_LOCAL: Final = re.compile(r"/(?![/\\])[\x21-\x7e]{0,1999}")
"""A path of this host. A second slash, or what browsers take for one, would name another host."""


@dataclass(frozen=True)
class SignIn:
    """What is kept until it comes back."""

    state: bytes
    """Its SHA-256."""
    browser: bytes
    """The SHA-256 of what the browser holds."""
    next: str
    """Where the person wanted to go."""
    expires_at: datetime


def nonce(browser: SecretStr, state: SecretStr) -> str:
    """What the ID token must repeat."""
    return derived(browser, f"nonce {state.get_secret_value()}")


def verifier(browser: SecretStr, state: SecretStr) -> SecretStr:
    """What shows to the issuer that the code is ours: 43 characters, as RFC 7636 §4.1 asks."""
    return SecretStr(derived(browser, f"verifier {state.get_secret_value()}"))


def local_path(text: str | None) -> str:
    """Where somebody may be sent after their sign-in; by default the first page. Raises `InvalidError` for anything
    that is not an address of our own."""
    if text is None:
        return "/"
    if not _LOCAL.fullmatch(text) or "\\" in text:
        raise InvalidError([BrokenRule("next", "must be a path of this platform, such as /environments")])
    return text

"""Who somebody is, as others vouch for it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from pydantic import SecretStr

from services.gateway.domain.identities import Identity
from services.gateway.domain.people import Principal


class People(Protocol):
    """Whose name belongs to which identity."""

    async def claim(self, issuer: str, subject: str, names: Sequence[str], now: datetime) -> str:
        """The name of this identity: the one it has, or else the first of `names` that is nobody's, which it has from
        now on. Raises LookupError where there is none."""
        ...


class IssuerRefusedError(Exception):
    """The issuer does not vouch for whoever came back. The message is for the log, and holds nothing that came."""


class Issuer(Protocol):
    """Who vouches for people: an OpenID provider."""

    async def address(self, state: SecretStr, nonce: str, verifier: SecretStr) -> str:
        """Where a browser goes to sign in."""
        ...

    async def redeem(self, code: SecretStr, nonce: str, verifier: SecretStr, issuer: str | None) -> Identity:
        """Whoever the code stands for. `issuer` is who says that the code is theirs (RFC 9207), where they say it.
        Raises `IssuerRefusedError`."""
        ...


class Members(Protocol):
    """Who has been let in here."""

    async def find(self, person: str) -> Principal | None:
        """A person with what their open tokens and sessions give; None where there are none."""
        ...


class WorkflowRefusedError(Exception):
    """A token is none of a workflow's. The message is for the log, and holds nothing that came."""


class WorkflowTokens(Protocol):
    """Whoever issues the tokens by which workflows say who they are."""

    async def claims(self, token: SecretStr) -> Mapping[str, object]:
        """What a token says whose signature, issuer, audience and times hold. Raises `WorkflowRefusedError`."""
        ...

"""Who asks. A policy says what a route takes; a request is looked at against it before anything else is.

Invariant: default deny. A route without a policy is not served, and a policy that lets everybody in says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydantic import SecretStr

from services.gateway.api.limits import RateLimiter
from services.gateway.domain.people import Principal, Role
from services.gateway.domain.refusals import ForbiddenError, UnauthenticatedError
from services.gateway.handlers.sessions import Sessions
from services.gateway.handlers.tokens import Tokens

_log = structlog.get_logger(__name__)

_BEARER: Final = re.compile(r"[Bb]earer ([\x21-\x7e]{1,200})")
_ASK_FOR_ONE: Final = "Send your token: `Authorization: Bearer slw_…`. `slipway login` or an admin gives you one."


@dataclass(frozen=True)
class Policy:
    """What a route takes: a role, or nothing where `role` is None."""

    role: Role | None
    traced: bool = True
    """Whether a request makes a span: not where it stays open for minutes, or is asked every second."""


PUBLIC: Final = Policy(None, traced=False)
SIGNED: Final = Policy(None)
"""Takes no token; the route itself checks who signed the body."""
VIEWER: Final = Policy("viewer")
DEVELOPER: Final = Policy("developer")
ADMIN: Final = Policy("admin")
FOLLOWER: Final = Policy("viewer", traced=False)


@dataclass(frozen=True)
class Gate:
    """Lets in whoever shows a valid token or session, as often as the limits allow."""

    tokens: Tokens
    limiter: RateLimiter
    sessions: Sessions

    async def admit(
        self, policy: Policy, authorization: Sequence[str], address: str, session: SecretStr | None = None
    ) -> Principal | None:
        """Whoever asks; None where the policy takes nobody in particular.

        `authorization` are the values of the header of that name; `session` is what a browser shows that may read in
        place of a token. Raises `UnauthenticatedError`, `ForbiddenError`, `RateLimitedError`.
        """
        if policy.role is None:
            self.limiter.take(f"address {address}")
            return None
        try:
            if session is not None and not authorization:
                principal = (await self.sessions.find(session)).principal
            else:
                principal = await self.tokens.authenticate(_token(authorization))
        except UnauthenticatedError:
            # Whoever guesses is slowed down by address; a valid token is never held up by somebody else's guesses.
            self.limiter.take(f"address {address}")
            raise
        self.limiter.take(f"principal {principal.subject}")
        try:
            principal.require(policy.role)
        except ForbiddenError:
            _log.info(
                "a role does not reach so far",
                person=principal.person,
                token_id=principal.token_id,
                role=principal.role,
                needed=policy.role,
            )
            raise
        return principal


def _token(authorization: Sequence[str]) -> SecretStr:
    if len(authorization) != 1:
        raise UnauthenticatedError(_ASK_FOR_ONE)
    found = _BEARER.fullmatch(authorization[0])
    if found is None:
        raise UnauthenticatedError(_ASK_FOR_ONE)
    return SecretStr(found[1])

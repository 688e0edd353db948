"""`slipway login`: a person who signed in gives a code, and the machine fetches its token with it.

Invariant: a code counts once, whether the machine that shows it is the right one or not.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from chassis.clock import Clock
from services.gateway.domain.machines import CODE_LASTS, MachineCode, code_digest, new_code
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import ForbiddenError, UnauthenticatedError
from services.gateway.domain.tokens import ApiToken
from services.gateway.handlers.tokens import Tokens
from services.gateway.ports import MachineCodes

_log = structlog.get_logger(__name__)

_NO_SUCH_CODE: Final = (
    "This code is not valid: it was used already, is older than five minutes, or was given to another machine. Run"
    " `slipway login` again."
)


@dataclass(frozen=True)
class Machines:
    """Gives machines tokens of the people who use them."""

    store: MachineCodes
    tokens: Tokens
    clock: Clock
    lasts: timedelta = timedelta(days=30)
    """How long such a token opens."""

    async def give_code(self, principal: Principal, challenge: str, name: str) -> SecretStr:
        """A code for the machine that showed this challenge. Raises `ForbiddenError` for anybody who did not sign in
        with a browser: no token makes another one this way."""
        if not principal.is_session:
            raise ForbiddenError("Only somebody who signed in with a browser can let a machine in.")
        code, now = new_code(), self.clock.now()
        await self.store.add(
            MachineCode(
                digest=code_digest(code),
                challenge=challenge,
                name=name,
                person=principal.person,
                role=principal.role,
                teams=principal.teams,
                expires_at=now + CODE_LASTS,
            ),
            now,
        )
        return code

    async def redeem(self, code: SecretStr, verifier: SecretStr) -> tuple[ApiToken, SecretStr]:
        """A new token and, this once, the token itself. Raises `UnauthenticatedError`."""
        given = await self.store.take(code_digest(code))
        if given is None or not given.is_redeemed_by(verifier, self.clock.now()):
            raise UnauthenticatedError(_NO_SUCH_CODE)
        token, text = await self.tokens.make(
            name=given.name, person=given.person, role=given.role, teams=given.teams, lasts=self.lasts
        )
        _log.info("a machine was let in", person=given.person, token_id=token.id)
        return token, text

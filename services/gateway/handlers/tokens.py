"""API tokens: who holds one, and making, listing and revoking them.

Invariants
- Nobody can make a token that reaches further than their own: not in role, not in teams, not in time, not for another
  person (except an admin, who may do anything).
- A token is shown once, when it is made.
"""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from chassis.clock import Clock
from services.gateway.domain.admission import CreateToken
from services.gateway.domain.people import Principal, reaches
from services.gateway.domain.refusals import (
    ForbiddenError,
    UnauthenticatedError,
    UnknownThingError,
)
from services.gateway.domain.tokens import ApiToken, digest, identity_of, mint
from services.gateway.ports import TokenStore

ADMIN_PERSON = "admin"
PLATFORM_TEAM = "platform"
_NOT_VALID = "Send a valid token: `Authorization: Bearer slw_…`. It may be mistyped, expired or revoked."
_NO_SUCH_TOKEN = "There is no such token, or it is not yours."  # noqa: S105 - a sentence, not a token


@dataclass(frozen=True)
class Tokens:
    """Makes and checks tokens."""

    store: TokenStore
    clock: Clock

    async def authenticate(self, presented: SecretStr) -> Principal:
        """Whoever holds this token. Raises `UnauthenticatedError`."""
        identity = identity_of(presented)
        token = await self.store.find(identity) if identity is not None else None
        if token is None or not token.opens_for(presented, self.clock.now()):
            raise UnauthenticatedError(_NOT_VALID)
        return token.principal

    async def create(self, principal: Principal, ask: CreateToken) -> tuple[ApiToken, SecretStr]:
        """A new token and, this once, the token itself."""
        principal.require("developer")
        person = ask.person or principal.person
        teams = tuple(dict.fromkeys(ask.teams)) if ask.teams is not None else principal.teams
        expires_at = self.clock.now() + timedelta(days=ask.expires_in_days)
        if principal.role != "admin":
            if person != principal.person:
                raise ForbiddenError("Only an admin may make a token for somebody else.")
            if not reaches(principal.role, ask.role):
                raise ForbiddenError("A token cannot have a greater role than the one that asks for it.")
            for team in teams:
                principal.team_for(team)
            if principal.expires_at is not None:
                expires_at = min(expires_at, principal.expires_at)
        identity, text = mint()
        token = ApiToken(
            id=identity,
            digest=digest(text),
            name=ask.name,
            person=person,
            role=ask.role,
            teams=teams,
            created_at=self.clock.now(),
            created_by=principal.person,
            expires_at=expires_at,
        )
        await self.store.add(token)
        return token, text

    async def list(self, principal: Principal) -> list[ApiToken]:
        """The principal's own tokens; an admin sees everybody's."""
        return await self.store.all(None if principal.role == "admin" else principal.person)

    async def revoke(self, principal: Principal, token_id: str) -> None:
        """End a token. Raises `UnknownThingError` for one that is not there or not theirs."""
        token = await self.store.find(token_id)
        if token is None or (principal.role != "admin" and token.person != principal.person):
            raise UnknownThingError(_NO_SUCH_TOKEN)
        await self.store.revoke(token_id, self.clock.now())

    async def adopt_admin(self, text: SecretStr) -> bool:
        """Let the platform's own admin token in; False where it is no token of our form. Repeating is safe, and one
        that was revoked stays so."""
        identity = identity_of(text)
        if identity is None:
            return False
        now = self.clock.now()
        await self.store.add(
            ApiToken(
                id=identity,
                digest=digest(text),
                name="platform admin",
                person=ADMIN_PERSON,
                role="admin",
                teams=(PLATFORM_TEAM,),
                created_at=now,
                created_by="gateway",
            )
        )
        return True

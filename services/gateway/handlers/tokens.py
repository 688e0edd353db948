"""API tokens: who holds one, and making, listing and revoking them.

Invariants
- Nobody can make a token that reaches further than their own: not in role, not in teams, not in time, not for another
  person (except an admin, who may do anything).
- A token is shown once, when it is made.
- What is revoked opens nothing any more: at once in the process that was asked to revoke it, and after `Known`'s two
  seconds at most in every other replica. Expiry counts to the moment.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from pydantic import SecretStr

from chassis.clock import Clock
from services.gateway.domain.admission import CreateToken
from services.gateway.domain.people import Principal, Role, reaches
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
REMEMBERED_SECONDS: Final = 2.0
"""How long a token that was found valid is taken for valid without asking the store: the longest that another replica
takes to notice a revocation."""


@dataclass
class Known:
    """Tokens that were found valid a moment ago, by their digest; never the tokens themselves."""

    now: Callable[[], float] = monotonic
    most: int = 10_000
    revocations: int = 0
    """How many there were in this process: what was read before one of them is not remembered after it."""
    _tokens: OrderedDict[bytes, tuple[float, ApiToken]] = field(default_factory=OrderedDict)

    def find(self, mark: bytes) -> ApiToken | None:
        """The token of this digest, where it was remembered not longer ago than it may be."""
        remembered = self._tokens.get(mark)
        if remembered is None or self.now() - remembered[0] > REMEMBERED_SECONDS:
            return None
        return remembered[1]

    def remember(self, token: ApiToken, revocations: int) -> None:
        """It was valid when there had been so many revocations."""
        if revocations != self.revocations:
            return
        self._tokens[token.digest] = (self.now(), token)
        self._tokens.move_to_end(token.digest)
        while len(self._tokens) > self.most:
            self._tokens.popitem(last=False)

    def forget(self, token_id: str) -> None:
        """It is revoked."""
        self.revocations += 1
        for mark in [mark for mark, (_, token) in self._tokens.items() if token.id == token_id]:
            del self._tokens[mark]


@dataclass(frozen=True)
class Tokens:
    """Makes and checks tokens."""

    store: TokenStore
    clock: Clock
    known: Known = field(default_factory=Known)

    async def authenticate(self, presented: SecretStr) -> Principal:
        """Whoever holds this token. Raises `UnauthenticatedError`."""
        if (remembered := self.known.find(digest(presented))) is not None and remembered.is_open(self.clock.now()):
            return remembered.principal
        identity, revocations = identity_of(presented), self.known.revocations
        token = await self.store.find(identity) if identity is not None else None
        if token is None or not token.opens_for(presented, self.clock.now()):
            raise UnauthenticatedError(_NOT_VALID)
        self.known.remember(token, revocations)
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
            # A session ends soon; whoever is in it is there in person, and may make what outlasts it.
            if principal.expires_at is not None and not principal.is_session:
                expires_at = min(expires_at, principal.expires_at)
        return await self._add(ask.name, person, ask.role, teams, principal.person, expires_at)

    async def make(
        self, *, name: str, person: str, role: Role, teams: tuple[str, ...], lasts: timedelta
    ) -> tuple[ApiToken, SecretStr]:
        """A token for somebody who has just shown who they are, and what they may do."""
        return await self._add(name, person, role, teams, person, self.clock.now() + lasts)

    async def _add(  # noqa: PLR0917 - what a token is made of
        self, name: str, person: str, role: Role, teams: tuple[str, ...], created_by: str, expires_at: datetime
    ) -> tuple[ApiToken, SecretStr]:
        identity, text = mint()
        token = ApiToken(
            id=identity,
            digest=digest(text),
            name=name,
            person=person,
            role=role,
            teams=teams,
            created_at=self.clock.now(),
            created_by=created_by,
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
        try:
            await self.store.revoke(token_id, self.clock.now())
        finally:  # also where the answer was lost: then the store is asked again
            self.known.forget(token_id)

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

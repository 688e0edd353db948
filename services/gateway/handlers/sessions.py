"""Sessions: beginning one, finding the one that a browser shows, and ending them.

Invariants
- Every sign-in begins a session of its own with a new value: one that was planted in a browser before never opens
  anything.
- A session that was ended opens nothing any more, at any replica: each request looks.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from pydantic import SecretStr

from chassis.clock import Clock
from services.gateway.domain.people import Principal, Role
from services.gateway.domain.refusals import UnauthenticatedError
from services.gateway.domain.sessions import Session, digest, is_well_formed, new_id, new_secret
from services.gateway.ports import SessionStore

_log = structlog.get_logger(__name__)

_NOT_SIGNED_IN: Final = "You are not signed in, or no longer. Sign in at /sign-in."
_NOTED_EVERY: Final = timedelta(seconds=60)
"""How precisely it is kept when a session was used: a write for every request would serve nobody."""


@dataclass(frozen=True)
class SignedIn:
    """Who signed in, as the issuer and the platform's rules say."""

    issuer: str
    subject: str
    person: str
    role: Role
    teams: tuple[str, ...]


@dataclass(frozen=True)
class Sessions:
    """Begins, finds and ends sessions."""

    store: SessionStore
    clock: Clock
    idle: timedelta = timedelta(hours=8)
    longest: timedelta = timedelta(hours=24)

    async def begin(self, who: SignedIn, replaces: SecretStr | None = None) -> tuple[Session, SecretStr]:
        """A new session and, this once, the value that the browser shows. `replaces` is what it showed so far: that
        one ends."""
        if replaces is not None:
            await self.end(replaces)
        now, secret = self.clock.now(), new_secret()
        session = Session(
            id=new_id(),
            digest=digest(secret),
            issuer=who.issuer,
            subject=who.subject,
            person=who.person,
            role=who.role,
            teams=who.teams,
            created_at=now,
            used_at=now,
            expires_at=now + self.longest,
        )
        await self.store.add(session)
        _log.info("somebody signed in", person=who.person, role=who.role, session_id=session.id)
        return session, secret

    async def find(self, presented: SecretStr) -> Session:
        """The session that this value opens. Raises `UnauthenticatedError`."""
        mark = digest(presented) if is_well_formed(presented.get_secret_value()) else None
        session = await self.store.find(mark) if mark is not None else None
        now = self.clock.now()
        if session is None or mark is None or now >= session.ends_at(self.idle):
            raise UnauthenticatedError(_NOT_SIGNED_IN)
        if now - session.used_at >= _NOTED_EVERY:
            await self.store.touch(mark, now)
        return session

    def ends_at(self, session: Session) -> datetime:
        """When it ends if it is used now and never again."""
        return min(session.expires_at, self.clock.now() + self.idle)

    async def end(self, presented: SecretStr) -> None:
        """Sign out. Repeating is safe."""
        if is_well_formed(presented.get_secret_value()):
            await self.store.end(digest(presented))

    async def end_all(self, principal: Principal, person: str) -> int:
        """End every session of a person; how many there were. Raises `ForbiddenError` for anybody but an admin or that
        person."""
        if person != principal.person:
            principal.require("admin")
        ended = await self.store.end_all(person)
        _log.info("sessions were ended", person=person, by=principal.person, count=ended)
        return ended

"""Twins of what a sign-in keeps, for tests and rehearsals."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import SecretStr

from services.gateway.domain.identities import Identity
from services.gateway.domain.machines import MachineCode
from services.gateway.domain.sessions import Session
from services.gateway.domain.sign_ins import SignIn
from services.gateway.ports import IssuerRefusedError


@dataclass
class MemorySessions:
    """Twin of `ports.SessionStore`."""

    rows: dict[bytes, Session] = field(default_factory=dict)

    async def find(self, digest: bytes) -> Session | None:
        """See the port."""
        return self.rows.get(digest)

    async def add(self, session: Session) -> None:
        """See the port."""
        self.rows = {mark: row for mark, row in self.rows.items() if row.expires_at > session.created_at}
        self.rows[session.digest] = session

    async def touch(self, digest: bytes, at: datetime) -> None:
        """See the port."""
        if digest in self.rows:
            self.rows[digest] = replace(self.rows[digest], used_at=max(at, self.rows[digest].used_at))

    async def end(self, digest: bytes) -> None:
        """See the port."""
        self.rows.pop(digest, None)

    async def end_all(self, person: str) -> int:
        """See the port."""
        ended = [mark for mark, row in self.rows.items() if row.person == person]
        for mark in ended:
            del self.rows[mark]
        return len(ended)


@dataclass
class MemorySignIns:
    """Twin of `ports.SignInStore`."""

    rows: dict[bytes, SignIn] = field(default_factory=dict)

    async def add(self, sign_in: SignIn, now: datetime) -> None:
        """See the port."""
        self.rows = {state: row for state, row in self.rows.items() if row.expires_at > now}
        self.rows[sign_in.state] = sign_in

    async def take(self, state: bytes) -> SignIn | None:
        """See the port."""
        return self.rows.pop(state, None)


@dataclass
class MemoryPeople:
    """Twin of `ports.People`."""

    rows: dict[tuple[str, str], str] = field(default_factory=dict)

    async def claim(self, issuer: str, subject: str, names: Sequence[str], now: datetime) -> str:  # noqa: ARG002
        """See the port."""
        if (issuer, subject) not in self.rows:
            free = [name for name in names if name not in self.rows.values()]
            if not free:
                raise LookupError("every one of these names is somebody else's")
            self.rows[issuer, subject] = free[0]
        return self.rows[issuer, subject]


@dataclass
class MemoryIssuer:
    """Twin of `ports.Issuer`: whoever has an entry in `people` comes back with their login as the code."""

    people: dict[str, Identity] = field(default_factory=dict)
    under_way: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By state: the nonce and the verifier of the sign-in."""

    async def address(self, state: SecretStr, nonce: str, verifier: SecretStr) -> str:
        """See the port."""
        self.under_way[state.get_secret_value()] = (nonce, verifier.get_secret_value())
        return f"http://issuer.test/authorize?state={state.get_secret_value()}"

    async def redeem(
        self,
        code: SecretStr,
        nonce: str,
        verifier: SecretStr,
        issuer: str | None,  # noqa: ARG002
    ) -> Identity:
        """See the port."""
        if (nonce, verifier.get_secret_value()) not in self.under_way.values():
            raise IssuerRefusedError("this sign-in was never begun")
        if code.get_secret_value() not in self.people:
            raise IssuerRefusedError("there is no such code")
        return self.people[code.get_secret_value()]


@dataclass
class MemoryMachineCodes:
    """Twin of `ports.MachineCodes`."""

    rows: dict[bytes, MachineCode] = field(default_factory=dict)

    async def add(self, code: MachineCode, now: datetime) -> None:
        """See the port."""
        self.rows = {mark: row for mark, row in self.rows.items() if row.expires_at > now}
        self.rows[code.digest] = code

    async def take(self, digest: bytes) -> MachineCode | None:
        """See the port."""
        return self.rows.pop(digest, None)

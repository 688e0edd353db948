"""What signing in keeps, in the tables `sessions`, `people`, `sign_ins` and `machine_codes`."""

from collections.abc import Sequence
from datetime import datetime

from psycopg.rows import DictRow

from chassis.database import Database
from services.gateway.adapters.statements import execute, one
from services.gateway.domain.machines import MachineCode
from services.gateway.domain.sessions import Session
from services.gateway.domain.sign_ins import SignIn


class PostgresSessions:
    """Fulfils `ports.SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, digest: bytes) -> Session | None:
        """See the port."""
        row = await one(self._database, "SELECT * FROM sessions WHERE digest = %(digest)s", {"digest": digest})
        return _session(row) if row is not None else None

    async def add(self, session: Session) -> None:
        """See the port."""
        await execute(
            self._database,
            "WITH over AS (DELETE FROM sessions WHERE expires_at <= %(created_at)s)"
            " INSERT INTO sessions (digest, id, issuer, subject, person, role, teams, created_at, used_at, expires_at)"
            " VALUES (%(digest)s, %(id)s, %(issuer)s, %(subject)s, %(person)s, %(role)s, %(teams)s, %(created_at)s,"
            " %(used_at)s, %(expires_at)s)",
            {
                "digest": session.digest,
                "id": session.id,
                "issuer": session.issuer,
                "subject": session.subject,
                "person": session.person,
                "role": session.role,
                "teams": list(session.teams),
                "created_at": session.created_at,
                "used_at": session.used_at,
                "expires_at": session.expires_at,
            },
        )

    async def touch(self, digest: bytes, at: datetime) -> None:
        """See the port."""
        await execute(
            self._database,
            "UPDATE sessions SET used_at = greatest(used_at, %(at)s) WHERE digest = %(digest)s",
            {"digest": digest, "at": at},
        )

    async def end(self, digest: bytes) -> None:
        """See the port."""
        await execute(self._database, "DELETE FROM sessions WHERE digest = %(digest)s", {"digest": digest})

    async def end_all(self, person: str) -> int:
        """See the port."""
        return await execute(self._database, "DELETE FROM sessions WHERE person = %(person)s", {"person": person})


class PostgresSignIns:
    """Fulfils `ports.SignInStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, sign_in: SignIn, now: datetime) -> None:
        """See the port."""
        await execute(
            self._database,
            "WITH over AS (DELETE FROM sign_ins WHERE expires_at <= %(now)s)"
            " INSERT INTO sign_ins (state, browser, next, expires_at)"
            " VALUES (%(state)s, %(browser)s, %(next)s, %(expires_at)s)",
            {
                "state": sign_in.state,
                "browser": sign_in.browser,
                "next": sign_in.next,
                "expires_at": sign_in.expires_at,
                "now": now,
            },
        )

    async def take(self, state: bytes) -> SignIn | None:
        """See the port."""
        row = await one(self._database, "DELETE FROM sign_ins WHERE state = %(state)s RETURNING *", {"state": state})
        if row is None:
            return None
        return SignIn(bytes(row["state"]), bytes(row["browser"]), row["next"], row["expires_at"])


class PostgresPeople:
    """Fulfils `ports.People`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, issuer: str, subject: str, names: Sequence[str], now: datetime) -> str:
        """See the port."""
        who = {"issuer": issuer, "subject": subject}
        for name in names:
            # Where two come with one identity at once, the second finds what the first one got.
            if (found := await self._name(who)) is not None:
                return found
            await execute(
                self._database,
                "INSERT INTO people (issuer, subject, person, first_seen_at)"
                " VALUES (%(issuer)s, %(subject)s, %(person)s, %(now)s) ON CONFLICT DO NOTHING",
                {**who, "person": name, "now": now},
            )
        if (found := await self._name(who)) is None:
            raise LookupError("every one of these names is somebody else's")
        return found

    async def _name(self, who: dict[str, str]) -> str | None:
        row = await one(
            self._database, "SELECT person FROM people WHERE issuer = %(issuer)s AND subject = %(subject)s", who
        )
        return str(row["person"]) if row is not None else None


class PostgresMachineCodes:
    """Fulfils `ports.MachineCodes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, code: MachineCode, now: datetime) -> None:
        """See the port."""
        await execute(
            self._database,
            "WITH over AS (DELETE FROM machine_codes WHERE expires_at <= %(now)s)"
            " INSERT INTO machine_codes (digest, challenge, name, person, role, teams, expires_at)"
            " VALUES (%(digest)s, %(challenge)s, %(name)s, %(person)s, %(role)s, %(teams)s, %(expires_at)s)",
            {
                "digest": code.digest,
                "challenge": code.challenge,
                "name": code.name,
                "person": code.person,
                "role": code.role,
                "teams": list(code.teams),
                "expires_at": code.expires_at,
                "now": now,
            },
        )

    async def take(self, digest: bytes) -> MachineCode | None:
        """See the port."""
        row = await one(
            self._database, "DELETE FROM machine_codes WHERE digest = %(digest)s RETURNING *", {"digest": digest}
        )
        if row is None:
            return None
        return MachineCode(
            digest=bytes(row["digest"]),
            challenge=row["challenge"],
            name=row["name"],
            person=row["person"],
            role=row["role"],
            teams=tuple(row["teams"]),
            expires_at=row["expires_at"],
        )


def _session(row: DictRow) -> Session:
    return Session(
        id=row["id"],
        digest=bytes(row["digest"]),
        issuer=row["issuer"],
        subject=row["subject"],
        person=row["person"],
        role=row["role"],
        teams=tuple(row["teams"]),
        created_at=row["created_at"],
        used_at=row["used_at"],
        expires_at=row["expires_at"],
    )

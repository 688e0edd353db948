"""The port `Instances` by psycopg: what an environment has in a PostgreSQL server that it has to itself.

Invariants: everything is made in one transaction and carries the tenant's mark, the database first, so that a server of
another environment is found out before anything is changed in it; and no password is ever in a statement, an error or
a log line: the server is told its SCRAM verifier.
"""

from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from chassis.failures import PermanentError, TransientError
from services.secrets.domain import ENGINE_USER, Connection, InstanceLogin, Tenant

CONNECT_TIMEOUT_SECONDS: Final = 5
_OPTIONS: Final = "-c lock_timeout=5000 -c statement_timeout=30000"
_PASSING: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.InternalError_,
    # The server is starting, failing over or full, or its first password was exchanged a moment ago.
    psycopg.OperationalError,
)


class PostgresInstances:
    """Servers that vouch for themselves by certificate."""

    def __init__(self, authorities: Path | None) -> None:
        """`authorities` is a file of the certificates (PEM) that vouch for the servers; None: they are spoken to
        without TLS, which is for a loopback interface alone."""
        self._tls: dict[str, str] = (
            {"sslmode": "disable"}
            if authorities is None
            else {"sslmode": "verify-full", "sslrootcert": str(authorities)}
        )

    async def prepare(
        self, connection: Connection, tenant: Tenant, first: InstanceLogin, engine: InstanceLogin | None
    ) -> None:
        """See the port."""
        where = f"{connection.host}:{connection.port}"
        try:
            async with await psycopg.AsyncConnection.connect(
                host=connection.host,
                port=connection.port,
                dbname=connection.database,
                user=first.user,
                password=first.password.get_secret_value(),
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                application_name="slipway-secrets",
                options=_OPTIONS,
                sslmode=self._tls["sslmode"],
                sslrootcert=self._tls.get("sslrootcert"),
            ) as session:
                await _Landlord(session, connection, tenant).settle(engine)
        except _PASSING as error:
            raise TransientError(f"the database instance at {where} could not do it now: {_words(error)}") from None
        except psycopg.Error as error:
            raise PermanentError(
                "instance_refused",
                f"the database instance at {where} refused to be prepared: {_words(error)}",
                next_step="The platform team looks whether its first user may still make roles and schemas.",
            ) from None


class _Landlord:
    """The first user of one server, in one transaction."""

    def __init__(self, session: psycopg.AsyncConnection[Any], connection: Connection, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant
        self._names = {
            "database": sql.Identifier(connection.database),
            "owner": sql.Identifier(tenant.schema),
            "engine": sql.Identifier(ENGINE_USER),
            "mark": sql.Literal(tenant.mark),
        }

    async def settle(self, engine: InstanceLogin | None) -> None:
        """Make or mend everything."""
        await self._session.execute("SELECT pg_advisory_xact_lock(hashtextextended('slipway tenant', 0))")
        await self._take_database()
        await self._make_owner()
        await self._make_engine(engine)
        await self._make_schema()

    async def _take_database(self) -> None:
        held = await self._one(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        )
        if not self._is_ours("the database", held):
            await self._do("COMMENT ON DATABASE {database} IS {mark}")
        await self._do("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")

    async def _make_owner(self) -> None:
        """Nobody can log in as the owner: leased logins are its members. Whoever makes a role may administer it and no
        more; SET is what makes the first user able to give it a schema."""
        if not await self._has_role(self._tenant.schema):
            await self._do("CREATE ROLE {owner} NOLOGIN")
            await self._do("COMMENT ON ROLE {owner} IS {mark}")
        await self._do("ALTER ROLE {owner} NOLOGIN")
        await self._do("GRANT {owner} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE")

    async def _make_engine(self, login: InstanceLogin | None) -> None:
        """It makes short-lived logins, which are its own to act as, and members of the owner."""
        if not await self._has_role(ENGINE_USER):
            await self._do("CREATE ROLE {engine} NOLOGIN")
            await self._do("COMMENT ON ROLE {engine} IS {mark}")
        await self._do("ALTER ROLE {engine} LOGIN CREATEROLE")
        await self._do("ALTER ROLE {engine} SET createrole_self_grant = 'set, inherit'")
        await self._do("GRANT {owner} TO {engine} WITH ADMIN OPTION")
        if login is not None:
            plain, user = login.password.get_secret_value().encode(), login.user.encode()
            verifier = self._session.pgconn.encrypt_password(plain, user, b"scram-sha-256").decode()
            await self._do("ALTER ROLE {engine} PASSWORD {verifier}", verifier=sql.Literal(verifier))

    async def _make_schema(self) -> None:
        found = await self._session.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [self._tenant.schema]
        )
        row = await found.fetchone()
        if row is None:
            await self._do("CREATE SCHEMA {owner} AUTHORIZATION {owner}")
        else:
            self._is_ours("the schema", row[0])
            await self._do("ALTER SCHEMA {owner} OWNER TO {owner}")
        await self._do("SET LOCAL ROLE {owner}")
        await self._do("COMMENT ON SCHEMA {owner} IS {mark}")
        await self._do("REVOKE ALL ON SCHEMA {owner} FROM PUBLIC")
        await self._do("RESET ROLE")

    async def _has_role(self, role: str) -> bool:
        """Raises `PermanentError` where it is another's."""
        found = await self._session.execute(
            "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", [role]
        )
        row = await found.fetchone()
        if row is not None and not self._is_ours(f"the role {role}", row[0]):
            raise self._foreign(f"the role {role}")
        return row is not None

    def _is_ours(self, thing: str, mark: str | None) -> bool:
        """Whether it is marked as the tenant's; False where it has no mark. Raises `PermanentError` at another's."""
        if mark not in (None, self._tenant.mark):
            raise self._foreign(thing)
        return mark is not None

    def _foreign(self, thing: str) -> PermanentError:
        return PermanentError(
            "foreign_instance",
            f"{thing} in the environment's database instance is not this environment's; it was left as it is",
            next_step="The platform team looks whose instance it is; an environment's own is marked with its name.",
        )

    async def _one(self, statement: LiteralString) -> Any:
        row = await (await self._session.execute(statement)).fetchone()
        return None if row is None else row[0]

    async def _do(self, statement: LiteralString, **more: sql.Composable) -> None:
        await self._session.execute(sql.SQL(statement).format(**self._names, **more))


def _words(error: psycopg.Error) -> str:
    """One line of what the server or the client's library says."""
    return f"{type(error).__name__} {' '.join(str(error).split())}"[:300]

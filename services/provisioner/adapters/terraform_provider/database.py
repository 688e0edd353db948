"""`slipway_database`: a schema and the role that owns it, in the database that environments share.

The owner cannot log in. OpenBao's database engine hands out short-lived logins that are its members, for which
the engine's own role (`leases_role`) gets the owner WITH ADMIN OPTION. Role, schema, grants and both marks are
one transaction: they exist together or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from tf.schema import Attribute
from tf.types import Bool, String

from .access import PostgresAccess
from .marks import Busy, Mark, Refused, check_ours
from .resource import MarkedResource, State

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_RETRYABLE: Final = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ObjectInUse,
    # Two transactions touched one catalogue row ("tuple concurrently updated"); harmless when repeated.
    psycopg.errors.InternalError_,
    psycopg.OperationalError,
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the catalogues say of one name; None where there is nothing."""

    role_mark: str | None
    schema_mark: str | None
    owner: str | None
    has_role: bool
    has_schema: bool
    login: bool
    public_access: bool
    leases_granted: bool


class DatabaseResource(MarkedResource):
    """Schema `name` owned by the NOLOGIN role `name`."""

    NAME = "database"

    @classmethod
    def attributes(cls) -> list[Attribute]:
        """`name` is given; the rest is what was found, planned back to health when it drifted."""
        return [
            Attribute("name", String(), required=True, requires_replace=True),
            Attribute("owner", String(), computed=True),
            Attribute("login", Bool(), computed=True, default=False),
            Attribute("public_access", Bool(), computed=True, default=False),
            Attribute("leases_granted", Bool(), computed=True, default=True),
        ]

    @classmethod
    def key(cls, state: State) -> str:
        """The schema's name."""
        return str(state["name"])

    @classmethod
    def from_key(cls, key: str) -> State:
        """The schema's name."""
        return {"name": key}

    def healthy(self, planned: State) -> State:
        """Owned by its role, which nobody can log in as, closed to the public, open to leases."""
        return {"owner": planned["name"], "login": False, "public_access": False, "leases_granted": True}

    def identify(self, state: State) -> str:
        """`<database>/<schema>`."""
        return f"{self._postgres().database}/{state['name']}"

    def check(self, known: State) -> None:
        """A name that needs no quoting and is none of the server's own."""
        name = known.get("name", "x")
        if not _NAME.fullmatch(name) or name.startswith("pg_") or name == "public":
            raise ValueError("name must be a-z, 0-9 and '_', at most 63 characters, not public or pg_...")

    def ensure(self, mark: Mark, wanted: State) -> State:
        """Create what is missing, repair what drifted, refuse what is not ours."""
        name = wanted["name"]
        role = sql.Identifier(name)
        with self._transaction(name) as connection:
            leases = sql.Identifier(self._postgres().leases_role)
            found = _look(connection, name, self._postgres().leases_role)
            _check_marks(mark, name, found)
            text = sql.Literal(str(mark))
            if not found.has_role:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
                connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(role, text))
            elif found.login:
                connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(role))
            # A creator has ADMIN OPTION and nothing else since Postgres 16; SET is what makes it able to own.
            connection.execute(
                sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(role),
            )
            if not found.leases_granted:
                connection.execute(sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(role, leases))
            if not found.has_schema:
                connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(role, role))
            elif found.owner != name:
                connection.execute(sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(role, role))
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
            connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(role, text))
            connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(role))
            connection.execute("RESET ROLE")
            return _state(name, _look(connection, name, self._postgres().leases_role))

    def look(self, mark: Mark, known: State) -> State | None:
        """None unless both halves are there: a half that is left is adopted by the next create."""
        name = known["name"]
        with self._transaction(name) as connection:
            found = _look(connection, name, self._postgres().leases_role)
        _check_marks(mark, name, found)
        return _state(name, found) if found.has_role and found.has_schema else None

    def remove(self, mark: Mark, known: State) -> None:
        """Drop the schema with everything in it, then the role. Leased logins lose their membership with it."""
        name = known["name"]
        role = sql.Identifier(name)
        with self._transaction(name) as connection:
            found = _look(connection, name, self._postgres().leases_role)
            _check_marks(mark, name, found)
            if not found.has_role:
                # Without its owner the schema cannot be ours to drop: only a superuser could have done this.
                if found.has_schema:
                    raise Refused(f"schema {name}", found.schema_mark)
                return
            connection.execute(
                sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE").format(role),
            )
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(role))
            connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
            connection.execute("RESET ROLE")
            connection.execute(sql.SQL("DROP ROLE {}").format(role))

    def _postgres(self) -> PostgresAccess:
        if self._access.postgres is None:
            raise ValueError("this machine offers no database: set SLIPWAY_PROVISIONER_POSTGRES_PASSWORD_FILE")
        return self._access.postgres

    @contextmanager
    def _transaction(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        """One transaction that has `name` to itself; `Busy` for what a repeat may cure."""
        access = self._postgres()
        try:
            with psycopg.connect(
                host=access.host,
                port=access.port,
                dbname=access.database,
                user=access.user,
                password=access.password.get_secret_value(),
                connect_timeout=5,
                application_name="slipway-provisioner",
                options="-c lock_timeout=5000 -c statement_timeout=30000",
            ) as connection:
                connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"slipway {name}"])
                yield connection
        except _RETRYABLE as failure:
            raise Busy(f"Postgres at {access.host}:{access.port} could not do it now: {failure}") from failure
        except psycopg.Error as failure:
            raise ValueError(f"Postgres refused: {failure}") from failure


def _look(connection: psycopg.Connection[Any], name: str, leases_role: str) -> _Found:
    role = connection.execute(
        "SELECT shobj_description(r.oid, 'pg_authid'), r.rolcanlogin, EXISTS ("
        "  SELECT FROM pg_auth_members m JOIN pg_roles l ON l.oid = m.member"
        "  WHERE m.roleid = r.oid AND m.admin_option AND l.rolname = %s)"
        " FROM pg_roles r WHERE r.rolname = %s",
        [leases_role, name],
    ).fetchone()
    schema = connection.execute(
        "SELECT obj_description(n.oid, 'pg_namespace'), pg_get_userbyid(n.nspowner),"
        " has_schema_privilege('public', n.oid, 'USAGE') OR has_schema_privilege('public', n.oid, 'CREATE')"
        " FROM pg_namespace n WHERE n.nspname = %s",
        [name],
    ).fetchone()
    return _Found(
        role_mark=role[0] if role else None,
        schema_mark=schema[0] if schema else None,
        owner=schema[1] if schema else None,
        has_role=role is not None,
        has_schema=schema is not None,
        login=bool(role and role[1]),
        public_access=bool(schema and schema[2]),
        leases_granted=bool(role and role[2]),
    )


def _check_marks(mark: Mark, name: str, found: _Found) -> None:
    if found.has_role:
        check_ours(f"role {name}", mark, found.role_mark)
    if found.has_schema:
        check_ours(f"schema {name}", mark, found.schema_mark)


def _state(name: str, found: _Found) -> State:
    return {
        "name": name,
        "owner": found.owner,
        "login": found.login,
        "public_access": found.public_access,
        "leases_granted": found.leases_granted,
    }

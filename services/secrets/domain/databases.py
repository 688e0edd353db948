"""The database engine's role of an environment, and its SQL.

Invariant: whatever stands in a statement is an identifier from an allow-list, and a role is made only for the very
schema that carries the environment's name. A role leases by the connection of the environment's own instance where it
has one (`instances`), by the shared one otherwise.
"""

import re
from dataclasses import dataclass
from typing import Final

from chassis.failures import PermanentError
from contracts.values import Database
from services.secrets.domain.instances import connection_of, database_of, place_of
from services.secrets.domain.names import Names

_CREATION: Final = (
    (
        """CREATE ROLE "{{name}}" LOGIN NOINHERIT CONNECTION LIMIT 20 PASSWORD '{{password}}'"""
        """ VALID UNTIL '{{expiration}}' IN ROLE [owner];"""
    ),
    """ALTER ROLE "{{name}}" IN DATABASE [database] SET search_path = [owner];""",
    """ALTER ROLE "{{name}}" IN DATABASE [database] SET role = [owner];""",
)
"""OpenBao fills the braces when it leases, we fill the brackets when we make the role. The connection limit is there
because all environments share one server, and none may take its last connection."""
_LOCKOUT: Final = """DO $revoke$
DECLARE leased name := '{{name}}';
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = leased) THEN EXECUTE format('ALTER ROLE %I NOLOGIN', leased); END IF;
END
$revoke$;"""
_COMMIT: Final = "COMMIT;"
"""OpenBao runs all statements in one transaction, and a client that reconnects sees NOLOGIN only once that is
committed. Without this a pool that reconnects between the end of its session and the commit keeps one for good."""
_REVOCATION: Final = """DO $revoke$
DECLARE leased name := '{{name}}';
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = leased) THEN RETURN; END IF;
  PERFORM pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = leased;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = [owner name]) THEN
    EXECUTE format('REASSIGN OWNED BY %I TO %I', leased, [owner name]);
  END IF;
  EXECUTE format('DROP OWNED BY %I', leased);
  PERFORM pg_stat_clear_snapshot();
  PERFORM pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = leased;
  EXECUTE format('DROP ROLE %I', leased);
END
$revoke$;"""
"""Sessions first, for they may hold locks. One block, which OpenBao does not split at semicolons thanks to the dollar
quotes; safe to repeat, and safe after the owner is gone."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class DatabaseRole:
    """A role of the database engine: the statements that make a leased login and take it away."""

    name: str
    creation_statements: tuple[str, ...]
    revocation_statements: tuple[str, ...]
    connection: str | None = None
    """The engine's connection that it leases by; None for the shared one."""


def quoted(identifier: str) -> str:
    """An SQL identifier in double quotes. Raises ValueError for anything but letters, digits and `_`: besides SQL,
    the text passes OpenBao's templates and its splitting at semicolons, so nothing is escaped and nothing odd is let
    through."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError("an SQL identifier here is 1 to 63 letters, digits and '_', not beginning with a digit")
    return f'"{identifier}"'


def database_role(names: Names, database: Database) -> DatabaseRole:
    """The role that leases logins limited to the environment's own schema. Raises `PermanentError` where the schema is
    not this environment's."""
    expected = names.schema
    if (database.schema_name, database.owner_role) != (expected, expected):
        raise PermanentError(
            "foreign_schema",
            f"the schema of {names.environment} should be {expected} and belong to the role of that name",
            next_step="This is a fault of the golden path's Terraform module: tell the platform team.",
        )
    return database_role_in(names, place_of(names, database))


def database_role_in(names: Names, place: str) -> DatabaseRole:
    """The role for the environment's schema in a place (`instances.place_of`).

    A login is a member of the schema's owner, inherits nothing from it and becomes it when it connects: what it makes
    belongs to the owner and outlives the lease. Raises `PermanentError` for a name that cannot stand in a statement.
    """
    try:
        where, owner = quoted(database_of(place)), quoted(names.schema)
    except ValueError as error:
        raise PermanentError(
            "unusable_database_name",
            f"the database's name cannot be used: {error}",
            next_step="This is a fault of the golden path's Terraform module: tell the platform team.",
        ) from error
    return DatabaseRole(
        names.role,
        tuple(_filled(statement, owner, where) for statement in _CREATION),
        (_LOCKOUT, _COMMIT, _filled(_REVOCATION, owner, where)),
        connection_of(place),
    )


def _filled(statement: str, owner: str, database: str) -> str:
    """The brackets of a statement filled in. Both values are `quoted`."""
    bare = owner.strip('"')
    return statement.replace("[owner]", owner).replace("[database]", database).replace("[owner name]", f"'{bare}'")

"""An instance that one environment has to itself: where it is, who may log in to it, and how that is remembered.

Invariant: what stands in the address of a connection is a host's name, a number and an identifier, so no event can put
an option of its own into it.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import SecretStr

from chassis.failures import PermanentError
from contracts.values import Database
from services.secrets.domain.names import Names

ENGINE_USER: Final = "slipway_leases"
"""The login of OpenBao's database engine in an instance of an environment's own; the same name as in the shared one."""
_PASSWORD_BYTES: Final = 32
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class InstanceLogin:
    """A user of an instance and its password."""

    user: str
    password: SecretStr


@dataclass(frozen=True)
class Connection:
    """A connection of the database engine to an instance that one environment has to itself."""

    name: str
    """Of the connection, and of the only role that may lease by it."""
    host: str
    port: int
    database: str


@dataclass(frozen=True)
class Tenant:
    """What an environment has in its own instance: a schema, its owner, and the mark that says whose they are."""

    schema: str
    mark: str


def own_connection(names: Names, database: Database) -> Connection:
    """The connection to the environment's own instance. Raises `PermanentError` for an address that is none."""
    usable = _HOST.fullmatch(database.host) and 0 < database.port < 65_536 and _IDENTIFIER.fullmatch(database.database)
    if not usable:
        raise PermanentError(
            "unusable_database_address",
            f"the address of the database of {names.environment} is not a host, a port and a database's name",
            next_step="This is a fault of the golden path's Terraform module: tell the platform team.",
        )
    return Connection(names.role, database.host, database.port, database.database)


def tenant_of(names: Names, incarnation: UUID) -> Tenant:
    """The environment as its own instance knows it. The mark is what Terraform's resources carry in the shared one."""
    return Tenant(names.schema, f"slipway environment={names.environment} incarnation={incarnation}")


def engine_login() -> InstanceLogin:
    """A login for the database engine: 256 random bits, URL-safe."""
    return InstanceLogin(ENGINE_USER, SecretStr(secrets.token_urlsafe(_PASSWORD_BYTES)))


def place_of(names: Names, database: Database | None) -> str:
    """Where logins are leased to, as it is remembered: a database's name, after the connection's and a slash where that
    is the environment's own; empty without a database."""
    if database is None:
        return ""
    return database.database if database.master_secret is None else f"{names.role}/{database.database}"


def connection_of(place: str | None) -> str | None:
    """The connection of the environment's own instance in a place; None where that is not one."""
    connection, slash, _ = (place or "").rpartition("/")
    return connection if slash else None


def database_of(place: str) -> str:
    """The database's name in a place."""
    return place.rpartition("/")[2]

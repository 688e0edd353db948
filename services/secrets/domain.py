"""What an environment has in the secret store: its names, its policies, its SQL. Pure functions.

Invariant: whatever stands in a path, a policy or a statement is an environment's name or an identifier from an
allow-list, so nothing in an event can say more than its name; and a database role is made only for the very schema
that carries the environment's name.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import SecretStr

from chassis.failures import PermanentError
from contracts.values import Database, EnvironmentSpec, Failure, LeftBehind, Receipt, Resource, Secrets

GENERATED_NAMES: Final = ("APP_SECRET", "SESSION_KEY")
"""What every application gets: a key to sign and encrypt with, and one for its sessions."""
SECRET_BYTES: Final = 32
LEASE_SECONDS: Final = 3600
LEASE_MAX_SECONDS: Final = 86_400
WORKLOAD_TOKEN_SECONDS: Final = 1200
SECRET_ID_SECONDS: Final = 600
MAX_TEXT: Final = 2000

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
_REVOCATION: Final = """DO $revoke$
DECLARE leased name := '{{name}}';
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = leased) THEN RETURN; END IF;
  PERFORM pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = leased;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = [owner name]) THEN
    EXECUTE format('REASSIGN OWNED BY %I TO %I', leased, [owner name]);
  END IF;
  EXECUTE format('DROP OWNED BY %I', leased);
  PERFORM pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = leased;
  EXECUTE format('DROP ROLE %I', leased);
END
$revoke$;"""
"""Sessions first, for they may hold locks. One block, which OpenBao does not split at semicolons thanks to the dollar
quotes; safe to repeat, and safe after the owner is gone."""
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True)
class Names:
    """Every name an environment has in the secret store. They follow from the environment's own, so making one
    again finds it."""

    environment: str

    @property
    def kv_path(self) -> str:
        """The application's secret, as `bao kv get` takes it."""
        return f"kv/env/{self.environment}/app"

    @property
    def role(self) -> str:
        """The workload's policy, its AppRole role and the database engine's role: one name for all three."""
        return f"env-{self.environment}"

    @property
    def developer_policy(self) -> str:
        """What a developer of this environment may do."""
        return f"env-{self.environment}-developer"

    @property
    def access_group(self) -> str:
        """The grant: whoever is in this identity group is a developer of this environment."""
        return f"env:{self.environment}:developer"

    @property
    def credentials_path(self) -> str:
        """Where database credentials are leased."""
        return f"database/creds/{self.role}"


@dataclass(frozen=True)
class Claim:
    """Who holds a name in the secret store. It is made before everything else and removed after everything else, so
    where there is no claim there is nothing."""

    incarnation: UUID | None
    """None where somebody made the secret by hand."""
    readable: bool
    """Whether the current version of the secret can be read."""


@dataclass(frozen=True)
class StoredSecret:
    """What is known of a secret whose values cannot be read back."""

    version: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A policy's name and its rules: API path to capabilities."""

    name: str
    rules: Mapping[str, tuple[str, ...]]

    def document(self) -> str:
        """The policy in HCL. JSON strings are HCL strings."""
        return "\n".join(
            f"path {json.dumps(path)} {{ capabilities = {json.dumps(list(capabilities))} }}"
            for path, capabilities in self.rules.items()
        )


@dataclass(frozen=True)
class DatabaseRole:
    """A role of the database engine: the statements that make a leased login and take it away."""

    name: str
    creation_statements: tuple[str, ...]
    revocation_statements: tuple[str, ...]


@dataclass(frozen=True)
class AccessGroup:
    """An identity group, the policies its members have, and who is to be in it (entity ids)."""

    name: str
    policies: tuple[str, ...]
    members: tuple[str, ...]


def application_secret() -> dict[str, SecretStr]:
    """A new application secret: 256 random bits for each name, URL-safe."""
    return {name: SecretStr(secrets.token_urlsafe(SECRET_BYTES)) for name in GENERATED_NAMES}


def workload_policy(names: Names, *, with_database: bool) -> Policy:
    """Read the secret, lease credentials, nothing else."""
    rules = {_data(names): ("read",)}
    if with_database:
        rules[names.credentials_path] = ("read",)
    return Policy(names.role, rules)


def developer_policy(names: Names, *, with_database: bool) -> Policy:
    """What the workload may, and see which versions there are."""
    rules = dict(workload_policy(names, with_database=with_database).rules)
    rules[f"kv/metadata/env/{names.environment}/app"] = ("read",)
    rules[f"kv/metadata/env/{names.environment}/"] = ("list",)
    return Policy(names.developer_policy, rules)


def _data(names: Names) -> str:
    return f"kv/data/env/{names.environment}/app"


def quoted(identifier: str) -> str:
    """An SQL identifier in double quotes. Raises ValueError for anything but letters, digits and `_`: besides SQL,
    the text passes OpenBao's templates and its splitting at semicolons, so nothing is escaped and nothing odd is let
    through."""
    if not _IDENTIFIER.fullmatch(identifier):
        raise ValueError("an SQL identifier here is 1 to 63 letters, digits and '_', not beginning with a digit")
    return f'"{identifier}"'


def database_role(names: Names, database: Database) -> DatabaseRole:
    """The role that leases logins limited to the environment's own schema.

    A login is a member of the schema's owner, inherits nothing from it and becomes it when it connects: what it makes
    belongs to the owner and outlives the lease. Raises `PermanentError` where the schema is not this environment's.
    """
    expected = f"env_{names.environment.replace('-', '_')}"
    if (database.schema_name, database.owner_role) != (expected, expected):
        raise PermanentError(
            "foreign_schema",
            f"the schema of {names.environment} should be {expected} and belong to the role of that name",
            next_step="This is a fault of the golden path's Terraform module: tell the platform team.",
        )
    try:
        where, owner = quoted(database.database), quoted(expected)
    except ValueError as error:
        raise PermanentError(
            "unusable_database_name",
            f"the database's name cannot be used: {error}",
            next_step="This is a fault of the golden path's Terraform module: tell the platform team.",
        ) from error
    return DatabaseRole(
        names.role,
        tuple(_filled(statement, owner, where) for statement in _CREATION),
        (_filled(_REVOCATION, owner, where),),
    )


def _filled(statement: str, owner: str, database: str) -> str:
    """The brackets of a statement filled in. Both values are `quoted`."""
    bare = owner.strip('"')
    return statement.replace("[owner]", owner).replace("[database]", database).replace("[owner name]", f"'{bare}'")


def belongings(names: Names, *, with_database: bool) -> tuple[Resource, ...]:
    """Everything an environment may have in the secret store, in the order in which it is taken away: what lets
    somebody in first, the secret and its claim last. Ids are paths of OpenBao's API, except the secret's, which is
    the path that people use."""
    found = [
        Resource(kind="access_group", id=f"identity/group/name/{names.access_group}"),
        Resource(kind="policy", id=f"sys/policies/acl/{names.developer_policy}"),
        Resource(kind="policy", id=f"sys/policies/acl/{names.role}"),
        Resource(kind="workload_role", id=f"auth/approle/role/{names.role}"),
    ]
    if with_database:
        found.append(Resource(kind="database_role", id=f"database/roles/{names.role}"))
    return (*found, Resource(kind="secret", id=names.kv_path))


def leases(names: Names) -> Resource:
    """All leased database credentials of an environment, as one thing."""
    return Resource(kind="database_leases", id=names.credentials_path)


def secrets_of(names: Names, stored: StoredSecret, *, with_database: bool) -> Secrets:
    """What the event says: paths, versions and names."""
    return Secrets(
        kv_path=names.kv_path,
        kv_version=stored.version,
        names=stored.names,
        database_role=names.role if with_database else None,
        policy=names.role,
        workload_role=names.role,
        access_group=names.access_group,
    )


def failure_of(error: PermanentError, attempts: int) -> Failure:
    """A failure of this step, in words for the person who asked."""
    return Failure(
        step="secrets",
        code=error.code,
        message=str(error)[:MAX_TEXT],
        next_step=error.next_step[:MAX_TEXT],
        attempts=attempts,
    )


def left_behind(resource: Resource, error: PermanentError) -> LeftBehind:
    """A thing that will not go, and why."""
    return LeftBehind(resource=resource, reason=f"{error} {error.next_step}"[:MAX_TEXT])


def all_left_behind(spec: EnvironmentSpec, error: PermanentError, attempts: int) -> Receipt:
    """The receipt of a revocation that was given up: whatever there was may still be there."""
    names = Names(spec.name)
    reason = f"It could not be removed after {attempts} attempts, and may still be there: {error}"[:MAX_TEXT]
    everything = (leases(names), *belongings(names, with_database=True))
    return Receipt(left_behind=tuple(LeftBehind(resource=one, reason=reason) for one in everything))

"""What is told of an environment's things in the secret store, and the secrets that are made for it."""

import secrets
from collections.abc import Collection
from typing import Final

from pydantic import SecretStr

from chassis.failures import PermanentError
from contracts.values import EnvironmentSpec, Failure, LeftBehind, Receipt, Resource, Secrets
from services.secrets.domain.names import ROLES, Names
from services.secrets.domain.record import StoredSecret

GENERATED_NAMES: Final = ("APP_SECRET", "SESSION_KEY")
"""What every application gets: a key to sign and encrypt with, and one for its sessions."""
SECRET_BYTES: Final = 32
LEASE_SECONDS: Final = 3600
LEASE_MAX_SECONDS: Final = 86_400
WORKLOAD_TOKEN_SECONDS: Final = 1200
SECRET_ID_SECONDS: Final = 600
MAX_TEXT: Final = 2000


def application_secret() -> dict[str, SecretStr]:
    """A new application secret: 256 random bits for each name, URL-safe."""
    return {name: SecretStr(secrets.token_urlsafe(SECRET_BYTES)) for name in GENERATED_NAMES}


def belongings(names: Names, *, with_database: bool, own_instance: bool = False) -> tuple[Resource, ...]:
    """Everything an environment may have in the secret store, in the order in which it is taken away: what lets
    somebody in first, the secret and its claim last. Ids are paths of OpenBao's API, except the secret's, which is
    the path that people use."""
    found = [
        *access_groups(names),
        *(Resource(kind="policy", id=f"sys/policies/acl/{names.policy_of(role)}") for role in ROLES),
        Resource(kind="policy", id=f"sys/policies/acl/{names.role}"),
        Resource(kind="workload_role", id=f"auth/approle/role/{names.role}"),
    ]
    if with_database:
        found.append(leasing_role(names))
    if own_instance:
        found.append(leasing_connection(names))
    return (*found, Resource(kind="secret", id=names.kv_path))


def access_groups(names: Names) -> tuple[Resource, ...]:
    """The groups of everybody who may use an environment, by role."""
    return tuple(Resource(kind="access_group", id=f"identity/group/name/{names.group_of(role)}") for role in ROLES)


def leasing_role(names: Names) -> Resource:
    """The database engine's role."""
    return Resource(kind="database_role", id=f"database/roles/{names.role}")


def leasing_connection(names: Names) -> Resource:
    """The database engine's connection to an instance of the environment's own."""
    return Resource(kind="database_connection", id=f"database/config/{names.role}")


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
        resources=belongings(names, with_database=with_database),
    )


def with_connection(said: Secrets, names: Names) -> Secrets:
    """What the event says of an environment that has an instance of its own."""
    return said.model_copy(update={"resources": belongings(names, with_database=True, own_instance=True)})


def without(said: Secrets, removed: Collection[Resource]) -> Secrets:
    """What is left of what was said to be there."""
    kept = tuple(one for one in said.resources if one not in removed)
    database_role = said.database_role
    if any(one.kind == "database_role" for one in removed):
        database_role = None
    return said.model_copy(update={"resources": kept, "database_role": database_role})


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


def lost_connection(names: Names) -> LeftBehind:
    """What the undo of an update cannot put back: the instance that the update took is another one when it is back."""
    reason = "The instance is a new one, which the secret store has no login for: ask for an update to connect it."
    return LeftBehind(resource=leasing_connection(names), reason=reason)


def all_left_behind(spec: EnvironmentSpec, error: PermanentError, attempts: int) -> Receipt:
    """The receipt of a revocation that was given up: whatever there was may still be there."""
    names = Names(spec.name)
    reason = f"It could not be removed after {attempts} attempts, and may still be there: {error}"[:MAX_TEXT]
    everything = (leases(names), *belongings(names, with_database=True))
    return Receipt(left_behind=tuple(LeftBehind(resource=one, reason=reason) for one in everything))


def not_restored(spec: EnvironmentSpec, error: PermanentError, attempts: int) -> Receipt:
    """The receipt of an update's undo that was given up: what the update changed may still be changed."""
    names = Names(spec.name)
    reason = f"It could not be put back after {attempts} attempts, and may be as the update left it: {error}"[:MAX_TEXT]
    changed = [one for one in belongings(names, with_database=True) if one.kind in {"policy", "database_role"}]
    return Receipt(left_behind=tuple(LeftBehind(resource=one, reason=reason) for one in changed))

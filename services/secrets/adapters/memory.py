"""The twins: a secret store, a log and a journal in memory, which keep the promises of the ports (one contract suite
runs on them and on the real ones). For tests, rehearsals and whoever wants to run the service with nothing beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from contracts.clusters import WrappedLogin
from contracts.envelope import Event
from contracts.values import Receipt, Resource, Secrets
from services.secrets import domain
from services.secrets.domain import (
    AccessGroup,
    Claim,
    Connection,
    DatabaseRole,
    InstanceLogin,
    Names,
    Policy,
    Record,
    StoredSecret,
    Tenant,
)


@dataclass
class _Kept:
    """A secret's claim and its versions; None for one that was deleted."""

    incarnation: UUID | None
    record: Record = field(default_factory=Record)
    record_version: int = 1
    versions: list[dict[str, SecretStr] | None] = field(default_factory=list)

    @property
    def current(self) -> dict[str, SecretStr] | None:
        return self.versions[-1] if self.versions else None


class MemoryVault:
    """A secret store. `away` makes every call fail as a sealed one would; `people` maps logins to entity ids, `teams`
    names to group ids; `introduces` is whether people may be made known before their first login."""

    def __init__(
        self,
        people: Mapping[str, str] | None = None,
        *,
        introduces: bool = True,
        instances: "MemoryInstances | None" = None,
    ) -> None:
        self.people = dict(people or {})
        self.teams: dict[str, str] = {}
        self.introduces = introduces
        self.away = False
        self.secrets: dict[str, _Kept] = {}
        self.policies: dict[str, Policy] = {}
        self.workload_roles: set[str] = set()
        self.database_roles: dict[str, DatabaseRole] = {}
        self.connections: dict[str, tuple[Connection, SecretStr]] = {}
        self.instances = instances or MemoryInstances()
        self.groups: dict[str, tuple[UUID, AccessGroup]] = {}
        self.leases: dict[str, str] = {}

    def lease(self, names: Names) -> str:
        """Lease a login, as a workload would. Raises KeyError where its policy or the role is missing."""
        if names.credentials_path not in self.policies[names.role].rules:
            raise KeyError(names.credentials_path)
        connection = self.database_roles[names.role].connection
        if connection is not None and not self._gets_in(*self.connections[connection]):
            raise KeyError(connection)
        login = f"v-{self.database_roles[names.role].name}-{len(self.leases)}"
        self.leases[login] = names.credentials_path
        return login

    def value(self, names: Names) -> dict[str, str] | None:
        """The secret as its workload reads it; None where it may not or there is none."""
        kept = self.secrets.get(names.kv_path)
        if names.role not in self.policies or kept is None or kept.current is None:
            return None
        return {name: value.get_secret_value() for name, value in kept.current.items()}

    def resources(self) -> set[Resource]:
        """Everything that exists."""
        return {
            *(Resource(kind="secret", id=path) for path in self.secrets),
            *(Resource(kind="policy", id=f"sys/policies/acl/{name}") for name in self.policies),
            *(Resource(kind="workload_role", id=f"auth/approle/role/{name}") for name in self.workload_roles),
            *(Resource(kind="database_role", id=f"database/roles/{name}") for name in self.database_roles),
            *(Resource(kind="database_connection", id=f"database/config/{name}") for name in self.connections),
            *(Resource(kind="access_group", id=f"identity/group/name/{name}") for name in self.groups),
            *(Resource(kind="database_leases", id=path) for path in self.leases.values()),
        }

    async def claim_of(self, names: Names) -> Claim | None:
        """Who holds the name."""
        self._answer()
        kept = self.secrets.get(names.kv_path)
        if kept is None:
            return None
        return Claim(kept.incarnation, kept.current is not None, kept.record, kept.record_version)

    async def claim(self, names: Names, incarnation: UUID, record: Record) -> None:
        """Take the name where nobody has it."""
        self._answer()
        if names.kv_path in self.secrets:
            raise TransientError(f"{names.kv_path} was taken in the meantime")
        self.secrets[names.kv_path] = _Kept(incarnation, record)

    async def keep_record(self, names: Names, claim: Claim, record: Record) -> bool:
        """Replace the record where its version is the one that was read."""
        self._answer()
        kept = self.secrets.get(names.kv_path)
        if kept is None or kept.record_version != claim.version:
            return False
        kept.record, kept.record_version = record, kept.record_version + 1
        return True

    async def keep_secret(self, names: Names, values: Mapping[str, SecretStr]) -> StoredSecret:
        """Add a version unless one can be read."""
        self._answer()
        kept = self.secrets[names.kv_path]
        if kept.current is None:
            kept.versions.append(dict(values))
        return StoredSecret(len(kept.versions), tuple(sorted(kept.current or ())))

    async def write_policy(self, policy: Policy) -> None:
        """Keep the policy."""
        self._answer()
        self.policies[policy.name] = policy

    async def write_workload_role(self, names: Names) -> None:
        """Keep the role."""
        self._answer()
        self.workload_roles.add(names.role)

    async def write_database_role(self, role: DatabaseRole) -> None:
        """Keep the role."""
        self._answer()
        self.database_roles[role.name] = role

    async def mend_connection(self, connection: Connection) -> bool:
        """Keep the address where the password gets in there."""
        self._answer()
        if connection.name not in self.connections or not self._gets_in(
            connection, self.connections[connection.name][1]
        ):
            return False
        self.connections[connection.name] = connection, self.connections[connection.name][1]
        return True

    async def write_connection(self, connection: Connection, login: InstanceLogin) -> None:
        """Keep it where it gets in."""
        self._answer()
        if not self._gets_in(connection, login.password):
            raise TransientError(f"the secret store cannot log in to {connection.host}")
        self.connections[connection.name] = connection, login.password

    async def rotate_login(self, connection: Connection) -> None:
        """A new password, here and there."""
        self._answer()
        kept, password = self.connections[connection.name]
        if not self._gets_in(kept, password):
            raise TransientError(f"the secret store cannot log in to {kept.host}")
        exchanged = domain.engine_login().password
        self.instances.tenants[kept.host] = self.instances.tenants[kept.host][0], exchanged
        self.connections[connection.name] = kept, exchanged

    def _gets_in(self, connection: Connection, password: SecretStr) -> bool:
        there = self.instances.tenants.get(connection.host)
        return there is not None and there[1] == password

    async def entity_of(self, person: str) -> str | None:
        """Look in `people`, and put them there."""
        self._answer()
        if person not in self.people and self.introduces:
            self.people[person] = f"person-{person}"
        return self.people.get(person)

    async def team_of(self, team: str) -> str | None:
        """Look in `teams`."""
        self._answer()
        return self.teams.get(team)

    async def write_group(self, group: AccessGroup, incarnation: UUID) -> None:
        """Keep the group."""
        self._answer()
        self.groups[group.name] = incarnation, group

    async def revoke_leases(self, names: Names) -> None:
        """End the environment's leases."""
        self._answer()
        self.leases = {login: path for login, path in self.leases.items() if path != names.credentials_path}

    async def remove(self, resource: Resource) -> bool:
        """Forget it."""
        self._answer()
        if resource.kind == "secret":
            return self.secrets.pop(resource.id, None) is not None
        name = resource.id.rpartition("/")[2]
        if resource.kind == "workload_role":
            there = name in self.workload_roles
            self.workload_roles.discard(name)
            return there
        kept: dict[str, dict[str, Any]] = {
            "policy": self.policies,
            "database_role": self.database_roles,
            "database_connection": self.connections,
            "access_group": self.groups,
        }
        return kept[resource.kind].pop(name, None) is not None

    def _answer(self) -> None:
        if self.away:
            raise TransientError("the secret store is sealed or away")


class MemoryInstances:
    """Database servers, and who keeps their first logins: `first` by the name that they are kept under, and in
    `tenants` who lives on a host, with the password of the database engine there."""

    def __init__(self) -> None:
        self.first: dict[str, InstanceLogin] = {}
        self.tenants: dict[str, tuple[Tenant, SecretStr]] = {}
        self.away = False

    async def read(self, secret: str) -> InstanceLogin:
        """Look in `first`."""
        if self.away:
            raise TransientError("the first logins cannot be read now")
        if secret not in self.first:
            raise PermanentError("first_login_missing", f"nothing is kept at {secret}", next_step="Report this.")
        return self.first[secret]

    async def prepare(
        self, connection: Connection, tenant: Tenant, first: InstanceLogin, engine: InstanceLogin | None
    ) -> None:
        """Move in, where nobody else lives."""
        if first not in self.first.values():
            raise TransientError(f"{connection.host} does not let the secrets service in")
        known = self.tenants.get(connection.host)
        if known is not None and known[0] != tenant:
            raise PermanentError("foreign_instance", f"{connection.host} is another's", next_step="Report this.")
        password = engine.password if engine is not None else known[1] if known is not None else SecretStr("")
        self.tenants[connection.host] = tenant, password


class MemoryHistory:
    """What was said: `said` by environment, and the incarnations that were `undone`."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, UUID], Secrets] = {}
        self.undone: set[tuple[str, UUID]] = set()

    def note_stored(self, environment: str, incarnation: UUID, secrets: Secrets) -> None:
        """SecretsStored was said."""
        self.said[environment, incarnation] = secrets
        self.undone.discard((environment, incarnation))

    def note_revoked(self, environment: str, incarnation: UUID) -> None:
        """SecretsRevoked was said."""
        self.said.pop((environment, incarnation), None)
        self.undone.add((environment, incarnation))

    def note_restored(self, environment: str, incarnation: UUID, receipt: Receipt) -> None:
        """SecretsRevoked was said of an update."""
        said = self.said.get((environment, incarnation))
        if said is not None:
            self.said[environment, incarnation] = domain.without(said, receipt.removed)

    async def stored(self, environment: str, incarnation: UUID) -> Secrets | None:
        """What is said to be there."""
        return self.said.get((environment, incarnation))

    async def is_undone(self, environment: str, incarnation: UUID) -> bool:
        """Whether it is said to be gone."""
        return (environment, incarnation) in self.undone


class MemoryJournal:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[Event, str]] = []

    async def line(self, event: Event, text: str) -> None:
        """Keep a line."""
        self.lines.append((event, text))


class MemoryClusters:
    """Logins of namespaces. `namespaces` are those that are environments'; what was wrapped lies in `wrapped`."""

    def __init__(self, *namespaces: str) -> None:
        self.namespaces = set(namespaces)
        self.away = False
        self.wrapped: dict[str, SecretStr] = {}

    async def login(self, namespace: str) -> WrappedLogin:
        """See the port."""
        if self.away:
            raise TransientError("the secret store is away")
        if namespace not in self.namespaces:
            raise PermanentError("openbao_refused", f"{namespace} is no environment's", next_step="Report this.")
        wrapping_token = f"s.wrapping-{len(self.wrapped)}"
        self.wrapped[wrapping_token] = SecretStr(f"token-of-{namespace}-{len(self.wrapped)}")
        return WrappedLogin(server="https://cluster.test", wrapping_token=wrapping_token)

"""Two worlds in which the secrets service's deeds are done: the twin's, and a real OpenBao over a real Postgres. A test
that runs in both holds the twin to what the real one does."""

from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import hvac
import psycopg
from hvac import exceptions
from psycopg import sql

from contracts.values import Database, Resource
from deploy.embedded.testing import RunningOpenBao
from deploy.embedded.testing_postgres import RunningPostgres
from services.secrets import domain
from services.secrets.adapters.memory import MemoryVault
from services.secrets.adapters.openbao import OpenBao
from services.secrets.adapters.vault import OpenBaoVault
from services.secrets.domain import AccessRole, Names
from services.secrets.ports import Vault
from tests.unit.secrets.events import a_database


@dataclass(frozen=True)
class Login:
    """Leased database credentials."""

    user: str
    password: str = field(default="", repr=False)


class World(Protocol):
    """What a test may look at that the port does not show."""

    person: str
    """Somebody who can log in to the secret store."""

    @property
    def vault(self) -> Vault:
        """The service's port."""
        ...

    def make_database(self, name: str) -> Database:
        """Make the environment's schema and its owner, as Terraform does."""
        ...

    def existing(self, name: str) -> set[Resource]:
        """Which of an environment's belongings exist."""
        ...

    def members(self, name: str, role: AccessRole = "developer") -> set[str]:
        """Who is in the environment's group for a role: people, and `team:<name>` for teams."""
        ...

    def make_team(self, team: str) -> None:
        """Let there be a group of this team."""
        ...

    def forbid_introductions(self) -> None:
        """From now on nobody may be made known before their first login."""
        ...

    def value(self, name: str) -> dict[str, str] | None:
        """The secret as the workload reads it."""
        ...

    def delete_secret_by_hand(self, name: str) -> None:
        """Delete the current version, as an operator might."""
        ...

    def lease(self, name: str) -> Login:
        """Lease database credentials as the workload."""
        ...

    def can_log_in(self, login: Login) -> bool:
        """Whether leased credentials let somebody in."""
        ...


class TwinWorld:
    """Everything in memory."""

    person = "admin"

    def __init__(self) -> None:
        self.vault = MemoryVault({"admin": "entity-1"})

    def make_database(self, name: str) -> Database:
        """Nothing to make."""
        return a_database(name)

    def existing(self, name: str) -> set[Resource]:
        """Ask the twin."""
        names = Names(name)
        return {
            *domain.belongings(names, with_database=True, own_instance=True),
            domain.leases(names),
        } & self.vault.resources()

    def members(self, name: str, role: AccessRole = "developer") -> set[str]:
        """Ask the twin."""
        group = self.vault.groups[Names(name).group_of(role)][1]
        people = {one for one, identifier in self.vault.people.items() if identifier in group.members}
        return people | {
            f"team:{one}" for one, identifier in self.vault.teams.items() if identifier in group.member_groups
        }

    def make_team(self, team: str) -> None:
        """Tell the twin."""
        self.vault.teams[team] = f"group-{team}"

    def forbid_introductions(self) -> None:
        """Tell the twin."""
        self.vault.introduces = False

    def value(self, name: str) -> dict[str, str] | None:
        """Ask the twin."""
        return self.vault.value(Names(name))

    def delete_secret_by_hand(self, name: str) -> None:
        """Blank the last version."""
        self.vault.secrets[Names(name).kv_path].versions[-1] = None

    def lease(self, name: str) -> Login:
        """Ask the twin."""
        return Login(self.vault.lease(Names(name)))

    def can_log_in(self, login: Login) -> bool:
        """Ask the twin."""
        return login.user in self.vault.leases


class RealWorld:
    """OpenBao and Postgres as the embedded platform configures them."""

    person = "admin"

    def __init__(self, postgres: RunningPostgres, openbao: RunningOpenBao, session: OpenBao) -> None:
        self.postgres = postgres
        self.openbao = openbao
        self.session = session
        self.vault = OpenBaoVault(session, database_connection="apps", people_mounts=("userpass", "oidc"))
        self.service = service_client(openbao)
        """A second login of the service, to look around with."""

    def make_database(self, name: str) -> Database:
        """As the Terraform provider does it, with the provisioner's role."""
        database = a_database(name, self.postgres.port)
        owner = sql.Identifier(database.owner_role)
        with self.postgres.connect("slipway_provisioner", "apps") as connection:
            for statement in (
                "CREATE ROLE {owner} NOLOGIN",
                "GRANT {owner} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE",
                "GRANT {owner} TO slipway_leases WITH ADMIN OPTION",
                "CREATE SCHEMA {owner} AUTHORIZATION {owner}",
            ):
                connection.execute(sql.SQL(statement).format(owner=owner))
        return database

    def drop_database(self, name: str) -> None:
        """Schema and owner go, as when Terraform destroys."""
        owner = sql.Identifier(a_database(name).owner_role)
        with self.postgres.connect("slipway_provisioner", "apps") as connection:
            for statement in ("SET ROLE {owner}", "DROP SCHEMA {owner} CASCADE", "RESET ROLE", "DROP ROLE {owner}"):
                connection.execute(sql.SQL(statement).format(owner=owner))

    def existing(self, name: str) -> set[Resource]:
        """Read every path."""
        names = Names(name)
        found = {one for one in domain.belongings(names, with_database=True, own_instance=True) if self._is_there(one)}
        if self._answers("LIST", f"sys/leases/lookup/{names.credentials_path}"):
            found.add(domain.leases(names))
        return found

    def members(self, name: str, role: AccessRole = "developer") -> set[str]:
        """Read the group, and as an operator who its members are."""
        group = self.service.adapter.get(f"/v1/identity/group/name/{Names(name).group_of(role)}")["data"]
        operator = self.operator()
        entities = [
            operator.adapter.get(f"/v1/identity/entity/id/{one}")["data"] for one in group["member_entity_ids"] or ()
        ]
        groups = [
            operator.adapter.get(f"/v1/identity/group/id/{one}")["data"] for one in group["member_group_ids"] or ()
        ]
        return {alias["name"] for entity in entities for alias in entity["aliases"]} | {one["name"] for one in groups}

    def operator(self) -> hvac.Client:
        """The person `admin`, who manages people."""
        person = hvac.Client(self.openbao.url, timeout=10)
        person.auth.userpass.login("admin", self.openbao.admin_password_file.read_text())
        return person

    def person_client(self, person: str) -> hvac.Client:
        """Somebody's first login, for which an operator has made them a password."""
        password = uuid4().hex
        self.operator().adapter.post(f"/v1/auth/userpass/users/{person}", json={"password": password})
        client = hvac.Client(self.openbao.url, timeout=10)
        client.auth.userpass.login(person, password)
        return client

    def make_team(self, team: str) -> None:
        """As an operator."""
        self.operator().adapter.post(f"/v1/identity/group/name/team:{team}", json={"type": "internal"})

    def forbid_introductions(self) -> None:
        """As on a platform whose policy is older than this."""
        self.session = _WithoutIntroductions(self.session)
        self.vault = OpenBaoVault(self.session, database_connection="apps", people_mounts=("userpass", "oidc"))

    def workload(self, name: str) -> hvac.Client:
        """Log in as the environment's workload."""
        role = f"/v1/auth/approle/role/{Names(name).role}"
        role_id = self.service.adapter.get(f"{role}/role-id")["data"]["role_id"]
        secret_id = self.service.adapter.post(f"{role}/secret-id")["data"]["secret_id"]
        return logged_in(self.openbao.url, role_id, secret_id)

    def value(self, name: str) -> dict[str, str] | None:
        """Read as the workload; None where it cannot log in, may not read, or there is nothing."""
        try:
            return read_value(self.workload(name), name)
        except (exceptions.InvalidPath, exceptions.Forbidden):
            return None

    def delete_secret_by_hand(self, name: str) -> None:
        """The operator's delete: the version stays, unreadable. Done with a policy made for the moment."""
        path = f"kv/data/env/{name}/app"
        rules = {path: ("read", "delete")}
        self._write(f"sys/policies/acl/{Names(name).role}", {"policy": domain.Policy("p", rules).document()})
        self.workload(name).adapter.delete(f"/v1/{path}")

    def lease(self, name: str) -> Login:
        """Lease as the workload."""
        leased = self.workload(name).adapter.get(f"/v1/{Names(name).credentials_path}")["data"]
        return Login(leased["username"], leased["password"])

    def can_log_in(self, login: Login) -> bool:
        """Connect to the environments' database."""
        try:
            with self.connect(login):
                return True
        except psycopg.OperationalError:
            return False

    def connect(self, login: Login) -> psycopg.Connection[Any]:
        """A session with leased credentials."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.postgres.port,
            dbname="apps",
            user=login.user,
            password=login.password,
            autocommit=True,
            connect_timeout=5,
        )

    def _is_there(self, resource: Resource) -> bool:
        path = resource.id
        if resource.kind == "secret":
            path = path.replace("kv/", "kv/metadata/", 1)
        return self._answers("GET", path)

    def _answers(self, method: str, path: str) -> bool:
        try:
            self.service.adapter.request(method, f"/v1/{path}")
        except exceptions.InvalidPath:
            return False
        return True

    def _write(self, path: str, body: dict[str, Any]) -> None:
        self.service.adapter.post(f"/v1/{path}", json=body)


class _WithoutIntroductions(OpenBao):
    """The real one, with a login that may not make entities: it is sent where it has no rights."""

    def __init__(self, whole: OpenBao) -> None:
        self.__dict__ = whole.__dict__

    async def write(self, path: str, body: dict[str, Any], *, timeout_seconds: float | None = None) -> dict[str, Any]:
        allowed = "sys/mounts/not-ours" if path.startswith("identity/entity/") else path
        return await super().write(allowed, body, timeout_seconds=timeout_seconds)


def logged_in(url: str, role_id: str, secret_id: str) -> hvac.Client:
    """A client with an AppRole's token."""
    client = hvac.Client(url, timeout=10)
    client.auth.approle.login(role_id, secret_id)
    return client


def service_client(openbao: RunningOpenBao) -> hvac.Client:
    """A plain client with the service's own login."""
    return logged_in(openbao.url, openbao.role_id_file.read_text(), openbao.secret_id_file.read_text())


def read_value(client: hvac.Client, name: str) -> dict[str, str]:
    """The environment's secret as this client may read it. Raises hvac's errors."""
    found: dict[str, str] = client.adapter.get(f"/v1/kv/data/env/{name}/app")["data"]["data"]
    return found


def a_session(openbao: RunningOpenBao, **options: Any) -> OpenBao:
    """The service's own adapter. Close it."""
    return OpenBao(openbao.url, role_id_file=openbao.role_id_file, secret_id_file=openbao.secret_id_file, **options)

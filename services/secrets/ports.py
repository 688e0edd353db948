"""What the secrets service needs from outside, in its own words.

Every method may be called twice. Each raises `TransientError` where trying again later may work and `PermanentError`
where it cannot; neither ever holds a value of a secret.
"""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from pydantic import SecretStr

from contracts.clusters import WrappedLogin
from contracts.envelope import Event
from contracts.values import Resource, Secrets
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


class Vault(Protocol):
    """The secret store. Values go in and never come back."""

    async def claim_of(self, names: Names) -> Claim | None:
        """Who holds the environment's name here; None where nobody does."""
        ...

    async def claim(self, names: Names, incarnation: UUID, record: Record) -> None:
        """Take the name for an incarnation. Raises `TransientError` where somebody took it in the meantime."""
        ...

    async def keep_record(self, names: Names, claim: Claim, record: Record) -> bool:
        """Replace the record of a claim; False, and nothing is done, where somebody has replaced it since it was
        read."""
        ...

    async def keep_secret(self, names: Names, values: Mapping[str, SecretStr]) -> StoredSecret:
        """Store `values` unless a readable version is there already; answers what is there now. The first write
        wins. Needs the claim."""
        ...

    async def write_policy(self, policy: Policy) -> None:
        """Make or mend a policy."""
        ...

    async def write_workload_role(self, names: Names) -> None:
        """Make or mend the role by which the workload logs in. Hands out no login."""
        ...

    async def write_database_role(self, role: DatabaseRole) -> None:
        """Make or mend a role that leases database credentials."""
        ...

    async def mend_connection(self, connection: Connection) -> bool:
        """Bring a connection to an environment's own instance to this address, with the login that it has; False, and
        nothing is done, where there is none or that login does not get in."""
        ...

    async def write_connection(self, connection: Connection, login: InstanceLogin) -> None:
        """Make or replace a connection, which must get in with this login."""
        ...

    async def rotate_login(self, connection: Connection) -> None:
        """Have the secret store exchange the password of a connection for one that nobody else knows."""
        ...

    async def entity_of(self, person: str) -> str | None:
        """The id by which a person is known. Somebody who has never logged in is made known, so that what they are
        given waits for them; None where this service may not do that."""
        ...

    async def team_of(self, team: str) -> str | None:
        """The id of the group `team:<team>`; None where there is none."""
        ...

    async def write_group(self, group: AccessGroup, incarnation: UUID) -> None:
        """Make or mend a group, so that it has these members and no others."""
        ...

    async def revoke_leases(self, names: Names) -> None:
        """End every leased credential of the environment; when this returns, none of them logs in."""
        ...

    async def remove(self, resource: Resource) -> bool:
        """Remove one of the environment's belongings, a secret with all its versions; answers whether it was
        there."""
        ...


class FirstLogins(Protocol):
    """The first login of each instance, which whoever made the instance keeps and exchanges."""

    async def read(self, secret: str) -> InstanceLogin:
        """The login that is kept under this name. Raises `PermanentError` for what is no instance's first login."""
        ...


class Instances(Protocol):
    """Database servers that one environment has to itself."""

    async def prepare(
        self, connection: Connection, tenant: Tenant, first: InstanceLogin, engine: InstanceLogin | None
    ) -> None:
        """Make or mend the schema, its owner and the database engine's user, all of them marked as the tenant's, in one
        transaction. The engine's password is set where `engine` is given, and stays otherwise. Raises `PermanentError`
        where the instance is another's."""
        ...


class Clusters(Protocol):
    """Logins for the cluster that environments have their namespaces in."""

    async def login(self, namespace: str) -> WrappedLogin:
        """A login of the developers' account of a namespace, for this namespace alone and at most an hour; wrapped, so
        that this service never sees it. Raises `PermanentError` for a namespace that is no environment's."""
        ...


class History(Protocol):
    """What was said about an environment before."""

    async def stored(self, environment: str, incarnation: UUID) -> Secrets | None:
        """What this incarnation was said to have and was not said to have lost since; None where there is no such
        thing."""
        ...

    async def is_undone(self, environment: str, incarnation: UUID) -> bool:
        """Whether the last thing said about this incarnation's secrets is that they were revoked. An update that was
        taken back has revoked nothing of them."""
        ...


class Journal(Protocol):
    """Lines for the person who waits."""

    async def line(self, event: Event, text: str) -> None:
        """Add a line to the run of `event`."""
        ...

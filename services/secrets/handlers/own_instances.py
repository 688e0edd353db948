"""Leases from a database instance that one environment has to itself.

Invariants: the first login of an instance is read when it is needed and kept nowhere; and once this is done, OpenBao
alone knows the password that it leases with. Every step may be repeated: a repeat keeps the login that OpenBao has
where it gets in, and makes a new one through the first login where it does not, so no crash locks OpenBao out.
"""

from dataclasses import dataclass
from uuid import UUID

from contracts.values import Database
from services.secrets import domain
from services.secrets.domain import Names
from services.secrets.ports import FirstLogins, Instances, Vault


@dataclass(frozen=True)
class OwnInstances:
    """The way into instances of environments' own."""

    vault: Vault
    first_logins: FirstLogins
    instances: Instances

    async def connect(self, names: Names, incarnation: UUID, database: Database, master_secret: str) -> None:
        """Make or mend the schema, its owner and the database engine's connection, by which one role may lease."""
        connection = domain.own_connection(names, database)
        gets_in = await self.vault.mend_connection(connection)
        engine = None if gets_in else domain.engine_login()
        first = await self.first_logins.read(master_secret)
        await self.instances.prepare(connection, domain.tenant_of(names, incarnation), first, engine)
        if engine is not None:
            await self.vault.write_connection(connection, engine)
        # Again after a crash as well: whether OpenBao's password is one that we made cannot be seen.
        await self.vault.rotate_login(connection)

"""Taking away everything that an environment has in the secret store.

Invariant: what lets somebody in goes first, the claim goes last, and after it whatever was let in while it went.
"""

from dataclasses import dataclass

from chassis.failures import PermanentError
from contracts.values import LeftBehind, Receipt, Resource, Secrets
from services.secrets import domain
from services.secrets.domain import Claim, Names
from services.secrets.handlers.together import together
from services.secrets.ports import Vault


@dataclass(frozen=True)
class Removal:
    """Removes, and remembers what went and what would not."""

    vault: Vault

    async def clear(self, names: Names, claim: Claim | None) -> tuple[set[Resource], list[LeftBehind]]:
        """Remove everything; answers what was there and what will not go. `claim` says what there may be."""
        removed: set[Resource] = set()
        left_behind: list[LeftBehind] = []
        *doors, database_role, secret = domain.belongings(names, with_database=True)
        await together(*(self.take_away(door, names, removed, left_behind) for door in doors))
        connections = [domain.leasing_connection(names)] if claim is not None and claim.record.has_own_instance else []
        for resource in (database_role, domain.leases(names), *connections, secret):
            await self.take_away(resource, names, removed, left_behind)
        # A grant under way while the doors went has put its group back. Now that the claim is gone no other will.
        stuck = {one.resource for one in left_behind}
        groups = [group for group in domain.access_groups(names) if group not in stuck]
        await together(*(self.take_away(group, names, removed, left_behind) for group in groups))
        return removed, left_behind

    async def take_away(
        self, resource: Resource, names: Names, removed: set[Resource], left_behind: list[LeftBehind]
    ) -> None:
        """Remove one thing and note it; what will not go is noted with its reason."""
        try:
            if resource.kind == "database_leases":
                await self.vault.revoke_leases(names)
            elif await self.vault.remove(resource):
                removed.add(resource)
        except PermanentError as error:
            left_behind.append(domain.left_behind(resource, error))


def receipt_of(names: Names, removed: set[Resource], left_behind: list[LeftBehind], said: Secrets | None) -> Receipt:
    """What is gone. A repeat after a crash finds less than there was, so what the log says was made counts too:
    the receipt of a repeat is the receipt of the first attempt."""
    connection = domain.leasing_connection(names)
    with_database, own_instance = said is not None and said.database_role is not None, False
    if said is not None:
        own_instance = connection in said.resources
    made = domain.belongings(names, with_database=with_database, own_instance=own_instance) if said else ()
    gone = removed.union(made) - {one.resource for one in left_behind}
    order = domain.belongings(names, with_database=True, own_instance=True)
    return Receipt(removed=tuple(one for one in order if one in gone), left_behind=tuple(left_behind))

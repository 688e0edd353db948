"""The two deeds: store what an environment needs to run, and take it all away again.

Invariant: the claim is made first and removed last, so a crash between any two steps leaves something that a repeat
finds and finishes; and nothing of another incarnation that may still be alive is touched.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from chassis.failures import PermanentError, TransientError
from contracts.events import InfraReady, PipelineRemoved, SecretsFailed, SecretsStoredData, Undone
from contracts.values import LeftBehind, Receipt, Resource, Secrets
from services.secrets import domain
from services.secrets.domain import Names
from services.secrets.ports import History, Journal, Vault


@dataclass(frozen=True)
class Handlers:
    """The deeds of the secrets service."""

    vault: Vault
    history: History
    journal: Journal

    async def store(self, event: InfraReady) -> SecretsStoredData:
        """Store a generated secret, make the roles and policies, grant the owner. Raises `PermanentError` where the
        name belongs to another environment that is alive."""
        names, infrastructure = Names(event.subject), event.data.infrastructure
        database = infrastructure.database
        role = domain.database_role(names, database) if database else None
        owner = event.data.spec.owner.person

        _, entity = await _together(self._take_name(names, event), self.vault.entity_of(owner))
        group = domain.AccessGroup(names.access_group, (names.developer_policy,), (entity,) if entity else ())
        stored, *_ = await _together(
            self.vault.keep_secret(names, domain.application_secret()),
            self.vault.write_policy(domain.workload_policy(names, with_database=role is not None)),
            self.vault.write_policy(domain.developer_policy(names, with_database=role is not None)),
            self.vault.write_workload_role(names),
            self.vault.write_group(group, event.incarnation),
            *([self.vault.write_database_role(role)] if role else []),
        )
        kept = domain.secrets_of(names, stored, with_database=role is not None)
        await self._tell(event, names, ", ".join(kept.names), owner if entity else None)
        return SecretsStoredData(spec=event.data.spec, infrastructure=infrastructure, secrets=kept)

    async def revoke(self, event: SecretsFailed | PipelineRemoved) -> Undone:
        """Take away everything the environment has here. What is gone already is no failure; what will not go is in
        the receipt with its reason, and the rest goes."""
        names = Names(event.subject)
        claim = await self.vault.claim_of(names)
        if claim is not None and claim.incarnation != event.incarnation:
            await self.journal.line(event, f"{names.kv_path} is another environment's now and stays as it is.")
            return Undone(spec=event.data.spec, receipt=Receipt())
        removed, left_behind = await self._clear(names)
        said = await self.history.stored(event.subject, event.incarnation)
        receipt = _receipt(names, removed, left_behind, said)
        await self.journal.line(
            event, f"Revoked every lease; removed {len(receipt.removed)} things, left {len(left_behind)} behind."
        )
        return Undone(spec=event.data.spec, receipt=receipt)

    async def _take_name(self, names: Names, event: InfraReady) -> None:
        claim = await self.vault.claim_of(names)
        if claim is not None and claim.incarnation == event.incarnation:
            return
        if claim is not None:
            await self._clear_leftovers(names, claim)
        await self.vault.claim(names, event.incarnation)

    async def _clear_leftovers(self, names: Names, claim: domain.Claim) -> None:
        """Remove what an undone run of an earlier incarnation left; refuse what may be alive."""
        dead = claim.incarnation is not None and (
            not claim.readable or await self.history.is_undone(names.environment, claim.incarnation)
        )
        if not dead:
            raise PermanentError(
                "secrets_of_another",
                f"{names.kv_path} holds secrets that are not this environment's",
                next_step="Choose another name, or ask the platform team whose they are.",
            )
        _, left_behind = await self._clear(names)
        if left_behind:
            raise PermanentError(
                "leftovers_remain",
                f"{left_behind[0].resource.id} is left of an earlier environment: {left_behind[0].reason}",
                next_step="Choose another name, or ask the platform team to remove it.",
            )

    async def _clear(self, names: Names) -> tuple[set[Resource], list[LeftBehind]]:
        """Remove everything; answers what was there and what will not go. Whoever could get in is shut out before
        their leases end, so that no lease is made behind our back."""
        removed: set[Resource] = set()
        left_behind: list[LeftBehind] = []

        async def take_away(resource: Resource) -> None:
            try:
                if resource.kind == "database_leases":
                    await self.vault.revoke_leases(names)
                elif await self.vault.remove(resource):
                    removed.add(resource)
            except PermanentError as error:
                left_behind.append(domain.left_behind(resource, error))

        *doors, database_role, secret = domain.belongings(names, with_database=True)
        await _together(*(take_away(door) for door in doors))
        for resource in (database_role, domain.leases(names), secret):
            await take_away(resource)
        return removed, left_behind

    async def _tell(self, event: InfraReady, names: Names, kept: str, owner: str | None) -> None:
        await self.journal.line(event, f"The secret {names.kv_path} holds {kept}; only the workload can read it.")
        if event.data.infrastructure.database:
            await self.journal.line(
                event, f"Database logins are leased from {names.credentials_path}, for an hour each."
            )
        if owner:
            await self.journal.line(event, f"{owner} is a member of {names.access_group}.")
        else:
            await self.journal.line(
                event, f"The owner has never logged in to the secret store, so {names.access_group} is empty."
            )


def _receipt(names: Names, removed: set[Resource], left_behind: list[LeftBehind], said: Secrets | None) -> Receipt:
    """What is gone. A repeat after a crash finds less than there was, so what the log says was made counts too:
    the receipt of a repeat is the receipt of the first attempt."""
    made = domain.belongings(names, with_database=said.database_role is not None) if said else ()
    gone = removed.union(made) - {one.resource for one in left_behind}
    order = domain.belongings(names, with_database=True)
    return Receipt(removed=tuple(one for one in order if one in gone), left_behind=tuple(left_behind))


async def _together(*calls: Awaitable[Any]) -> list[Any]:
    """All of them at once; every one ends before this does. Raises the permanent failure if there is one: it tells
    more than a transient one beside it."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    failures = [one for one in results if isinstance(one, BaseException)]
    for kind in (PermanentError, TransientError, BaseException):
        for failure in failures:
            if isinstance(failure, kind):
                raise failure
    return results

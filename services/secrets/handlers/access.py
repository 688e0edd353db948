"""Who may use an environment: the record says it, the groups follow.

Invariants: whoever has changed the record, or found it changed, writes the groups after it, so the last to finish
leaves them as the record is; and no group outlives its environment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from chassis.failures import TransientError
from services.secrets import domain
from services.secrets.domain import AccessGroup, AccessRole, Grantee, Names, Record
from services.secrets.handlers.together import together
from services.secrets.ports import Vault

_TRIES: Final = 8


@dataclass(frozen=True)
class Settled:
    """Who has which role, and who of them the secret store does not know yet."""

    record: Record
    awaited: tuple[Grantee, ...]

    def has_in(self, who: Grantee) -> bool:
        """Whether somebody is in their role's group."""
        return who in self.record.holders(who.role) and who not in self.awaited


@dataclass(frozen=True)
class Access:
    """The grants of environments."""

    vault: Vault

    async def settle(self, names: Names, incarnation: UUID, change: Callable[[Record], Record]) -> Settled | None:
        """Change the record and bring the groups to it. None where the name is not this incarnation's; where it is
        nobody's, no group of it is left.

        Raises TransientError where others keep changing it.
        """
        for _ in range(_TRIES):
            claim = await self.vault.claim_of(names)
            if claim is None or claim.incarnation != incarnation:
                if claim is None:
                    # A group that was written while the environment went away.
                    await together(*(self.vault.remove(group) for group in domain.access_groups(names)))
                return None
            record = change(claim.record)
            if record != claim.record and not await self.vault.keep_record(names, claim, record):
                continue
            awaited = await self._write_groups(names, incarnation, record)
            again = await self.vault.claim_of(names)
            if again is not None and (again.incarnation, again.record) == (incarnation, record):
                return Settled(record, awaited)
        raise TransientError(f"who may use {names.environment} is being changed by many at once")

    async def _write_groups(self, names: Names, incarnation: UUID, record: Record) -> tuple[Grantee, ...]:
        ids = await self._ids_of({who for role in domain.ROLES for who in record.holders(role)})

        async def write(role: AccessRole) -> None:
            holders = record.holders(role)
            known = {kind: [ids[who] for who in holders if who.kind == kind] for kind in ("person", "team")}
            group = AccessGroup(
                names.group_of(role),
                (names.policy_of(role),),
                members=tuple(sorted(one for one in known["person"] if one)),
                member_groups=tuple(sorted(one for one in known["team"] if one)),
                awaited=tuple(str(who) for who in holders if ids[who] is None),
            )
            await self.vault.write_group(group, incarnation)

        await together(*(write(role) for role in domain.ROLES))
        return tuple(who for who, found in ids.items() if found is None)

    async def _ids_of(self, people: set[Grantee]) -> dict[Grantee, str | None]:
        """The id of each in the secret store; None for whoever is not known there."""
        everybody = sorted(people, key=lambda who: (who.kind, who.name))
        find = {"person": self.vault.entity_of, "team": self.vault.team_of}
        found = await together(*(find[who.kind](who.name) for who in everybody))
        return dict(zip(everybody, found, strict=True))

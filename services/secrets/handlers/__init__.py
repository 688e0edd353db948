"""The deeds: store what an environment needs to run, take it all away or put it back as it was, and let people in.

Invariant: the claim is made first and removed last, and says what a run is about to change before it does; so a crash
between any two steps leaves something that a repeat finds and finishes, and nothing of another incarnation that may
still be alive is touched.
"""

from dataclasses import dataclass

from chassis.failures import PermanentError, TransientError
from contracts.events import (
    AccessChange,
    AccessRequested,
    AccessRevocationRequested,
    InfraReady,
    PipelineRemoved,
    SecretsFailed,
    SecretsStoredData,
    Undone,
)
from contracts.values import EnvironmentSpec, LeftBehind, Receipt, Resource
from services.secrets import domain
from services.secrets.domain import Claim, Grantee, LastRun, Names, Record
from services.secrets.handlers.access import Access, Settled
from services.secrets.handlers.removal import Removal, receipt_of
from services.secrets.handlers.together import together
from services.secrets.ports import History, Journal, Vault


@dataclass(frozen=True)
class Handlers:
    """The deeds of the secrets service."""

    vault: Vault
    history: History
    journal: Journal

    async def store(self, event: InfraReady) -> SecretsStoredData:
        """Store a generated secret, make the roles and policies, grant the owner; on an update run, mend all of that
        and keep the secret. Raises `PermanentError` where the name belongs to another environment that is alive."""
        names, infrastructure = Names(event.subject), event.data.infrastructure
        database = infrastructure.database
        role = domain.database_role(names, database) if database else None

        await self._take_name(names, event)
        stored, settled, *_ = await together(
            self.vault.keep_secret(names, domain.application_secret()),
            Access(self.vault).settle(names, event.incarnation, lambda record: record),
            *(self.vault.write_policy(policy) for policy in domain.policies(names, with_database=role is not None)),
            self.vault.write_workload_role(names),
            *([self.vault.write_database_role(role)] if role else []),
        )
        if role is None and event.data.previous is not None and (stuck := await self._end_leasing(names)):
            raise PermanentError(
                "leases_remain",
                f"{stuck[0].resource.id} cannot be taken away: {stuck[0].reason}",
                next_step="Ask the platform team to remove it, then ask for the change again.",
            )
        kept = domain.secrets_of(names, stored, with_database=role is not None)
        await self._tell(event, names, ", ".join(kept.names), settled)
        return SecretsStoredData(
            spec=event.data.spec, previous=event.data.previous, infrastructure=infrastructure, secrets=kept
        )

    async def undo(self, event: SecretsFailed | PipelineRemoved) -> Undone:
        """One step of the road back: restore what was before the run, or revoke everything where nothing was."""
        if event.data.previous is None:
            return await self.revoke(event)
        return await self.restore(event, event.data.previous)

    async def revoke(self, event: SecretsFailed | PipelineRemoved) -> Undone:
        """Take away everything the environment has here. What is gone already is no failure; what will not go is in
        the receipt with its reason, and the rest goes."""
        names = Names(event.subject)
        claim = await self.vault.claim_of(names)
        if claim is not None and claim.incarnation != event.incarnation:
            await self.journal.line(event, f"{names.kv_path} is another environment's now and stays as it is.")
            return Undone(spec=event.data.spec, receipt=Receipt())
        removed, left_behind = await Removal(self.vault).clear(names)
        said = await self.history.stored(event.subject, event.incarnation)
        receipt = receipt_of(names, removed, left_behind, said)
        await self.journal.line(
            event, f"Revoked every lease; removed {len(receipt.removed)} things, left {len(left_behind)} behind."
        )
        return Undone(spec=event.data.spec, receipt=receipt)

    async def restore(self, event: SecretsFailed | PipelineRemoved, previous: EnvironmentSpec) -> Undone:
        """Put back what was before an update run. Nothing that was there before it is revoked, the secret least."""
        names = Names(event.subject)
        claim = await self.vault.claim_of(names)
        receipt = Receipt()
        if claim is None or claim.incarnation != event.incarnation:
            await self.journal.line(event, f"{names.kv_path} is not this environment's; it stays as it is.")
        elif claim.record.last_run is None or claim.record.last_run.id != event.run_id:
            await self.journal.line(event, "The update had changed nothing here.")
        else:
            receipt = await self._move_back(event, names, claim.record.last_run, previous)
            gone = "".join(f" {one.id} is gone again." for one in receipt.removed)
            back = "".join(f" {one.id} is there again." for one in receipt.restored)
            await self.journal.line(event, f"The secret stays, and policies are as before.{gone}{back}")
        return Undone(spec=event.data.spec, previous=previous, receipt=receipt)

    async def grant(self, event: AccessRequested) -> AccessChange:
        """Let a person or a team use the environment. Raises `PermanentError` where there is none any more."""
        who = domain.grantee_of(event.data)
        if not await self._change_access(event, who, given=True):
            raise PermanentError(
                "environment_gone",
                f"{event.subject} is gone, so nobody can be let in",
                next_step="Create the environment again, and ask again.",
            )
        return event.data

    async def withdraw(self, event: AccessRevocationRequested) -> AccessChange:
        """Shut a person or a team out. Of an environment that is gone nobody is in."""
        await self._change_access(event, domain.grantee_of(event.data), given=False)
        return event.data

    async def _change_access(
        self, event: AccessRequested | AccessRevocationRequested, who: Grantee, *, given: bool
    ) -> bool:
        """Whether there is an environment to let anybody into. Raises TransientError while there is none yet."""
        names = Names(event.subject)
        settled = await Access(self.vault).settle(
            names, event.incarnation, lambda record: record.with_grant(who, given=given, at=event.time)
        )
        if settled is None:
            claim = await self.vault.claim_of(names)
            taken = claim is not None and claim.incarnation != event.incarnation
            if taken or await self.history.is_undone(event.subject, event.incarnation):
                return False
            # Or they came while we looked.
            raise TransientError(f"{event.subject} has no secrets yet that anybody could be let in to")
        group = names.group_of(who.role)
        if not given:
            await self.journal.line(event, f"{who} is no longer in {group}. Logins leased before end by themselves.")
        elif not settled.has_in(who):
            await self.journal.line(
                event, f"The secret store does not know {who} yet; {group} remembers, and takes them in when it does."
            )
        else:
            await self.journal.line(event, f"{who} is in {group}, from the next login on.")
        return True

    async def _take_name(self, names: Names, event: InfraReady) -> None:
        """Hold the claim, with a record of what this run is about to change."""
        database = event.data.infrastructure.database

        def begun(record: Record) -> Record:
            owned = record.owned_by(event.data.spec.owner.person, event.time)
            return owned.moved_by(event.run_id, database.database if database else "")

        claim = await self.vault.claim_of(names)
        if claim is not None and claim.incarnation == event.incarnation:
            record = begun(claim.record)
            if record != claim.record and not await self.vault.keep_record(names, claim, record):
                raise TransientError(f"{names.kv_path} was changed in the meantime")
            return
        if claim is not None:
            await self._clear_leftovers(names, claim)
        await self.vault.claim(names, event.incarnation, begun(Record()))

    async def _clear_leftovers(self, names: Names, claim: Claim) -> None:
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
        _, left_behind = await Removal(self.vault).clear(names)
        if left_behind:
            raise PermanentError(
                "leftovers_remain",
                f"{left_behind[0].resource.id} is left of an earlier environment: {left_behind[0].reason}",
                next_step="Choose another name, or ask the platform team to remove it.",
            )

    async def _move_back(
        self, event: SecretsFailed | PipelineRemoved, names: Names, run: LastRun, previous: EnvironmentSpec
    ) -> Receipt:
        """Undo what the run changed; what will not go back is in the receipt with its reason."""
        before = run.after if run.before is None else run.before
        role = domain.database_role_in(names, before) if before else None
        await together(
            Access(self.vault).settle(
                names,
                event.incarnation,
                lambda record: record.moved_back(run.id).owned_by(previous.owner.person, event.time),
            ),
            *(self.vault.write_policy(policy) for policy in domain.policies(names, with_database=role is not None)),
            *([self.vault.write_database_role(role)] if role else []),
        )
        leasing = domain.leasing_role(names)
        if role is not None:
            return Receipt(restored=() if run.after else (leasing,))
        left_behind = await self._end_leasing(names) if run.after else []
        stuck = {left.resource for left in left_behind}
        removed: tuple[Resource, ...] = (leasing,) if run.after and leasing not in stuck else ()
        return Receipt(removed=removed, left_behind=tuple(left_behind))

    async def _end_leasing(self, names: Names) -> list[LeftBehind]:
        """Take the database role away and end its leases, the policies being shut already."""
        removed: set[Resource] = set()
        left_behind: list[LeftBehind] = []
        for resource in (domain.leasing_role(names), domain.leases(names)):
            await Removal(self.vault).take_away(resource, names, removed, left_behind)
        return left_behind

    async def _tell(self, event: InfraReady, names: Names, kept: str, settled: Settled | None) -> None:
        await self.journal.line(event, f"The secret {names.kv_path} holds {kept}; only the workload can read it.")
        if event.data.infrastructure.database:
            await self.journal.line(
                event, f"Database logins are leased from {names.credentials_path}, for an hour each."
            )
        owner = Grantee(domain.OWNERS_ROLE, "person", event.data.spec.owner.person)
        if settled is not None and settled.has_in(owner):
            await self.journal.line(event, f"{owner} is a member of {names.access_group}.")
        else:
            await self.journal.line(event, f"The owner, {owner}, is not in {names.access_group}.")

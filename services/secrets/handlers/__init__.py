"""The deeds: store what an environment needs to run, take it all away or put it back as it was, and let people in.

Invariant: the claim is made first and removed last, and says what a run is about to change before it does; so a crash
between any two steps leaves something that a repeat finds and finishes, and nothing of another incarnation that may
still be alive is touched.
"""

from dataclasses import dataclass
from uuid import UUID

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
from contracts.values import Database, EnvironmentSpec, LeftBehind, Receipt, Resource
from services.secrets import domain
from services.secrets.domain import Claim, Grantee, LastRun, Names, Record
from services.secrets.handlers.access import Access, Settled
from services.secrets.handlers.own_instances import OwnInstances
from services.secrets.handlers.removal import Removal, receipt_of
from services.secrets.handlers.together import together
from services.secrets.ports import History, Journal, Vault


@dataclass(frozen=True)
class Handlers:
    """The deeds of the secrets service."""

    vault: Vault
    history: History
    journal: Journal
    own_instances: OwnInstances | None = None
    """None where no environment has a database instance to itself."""

    async def store(self, event: InfraReady) -> SecretsStoredData:
        """Store a generated secret, make the roles and policies, grant the owner; on an update run, mend all of that
        and keep the secret. Raises `PermanentError` where the name belongs to another environment that is alive."""
        names, infrastructure = Names(event.subject), event.data.infrastructure
        database = infrastructure.database
        role = domain.database_role(names, database) if database else None

        run = await self._take_name(names, event)
        if database is not None and database.master_secret is not None:
            await self._connect(names, event.incarnation, database, database.master_secret)
        if run.moves_leases:
            # By the connection that they were made by.
            await self.vault.revoke_leases(names)
        stored, settled, *_ = await together(
            self.vault.keep_secret(names, domain.application_secret()),
            Access(self.vault).settle(names, event.incarnation, lambda record: record),
            *(self.vault.write_policy(policy) for policy in domain.policies(names, with_database=role is not None)),
            self.vault.write_workload_role(names),
            *([self.vault.write_database_role(role)] if role else []),
        )
        stuck: list[LeftBehind] = []
        if role is None and event.data.previous is not None:
            _, stuck = await self._take_away(names, domain.leasing_role(names), domain.leases(names))
        if run.leaves_instance and not stuck:
            _, stuck = await self._take_away(names, domain.leasing_connection(names))
        if stuck:
            raise PermanentError(
                "leases_remain",
                f"{stuck[0].resource.id} cannot be taken away: {stuck[0].reason}",
                next_step="Ask the platform team to remove it, then ask for the change again.",
            )
        kept = domain.secrets_of(names, stored, with_database=role is not None)
        if role is not None and role.connection is not None:
            kept = domain.with_connection(kept, names)
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
        removed, left_behind = await Removal(self.vault).clear(names, claim)
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

    async def _take_name(self, names: Names, event: InfraReady) -> LastRun:
        """Hold the claim, with a record of what this run is about to change; answers that."""
        place = domain.place_of(names, event.data.infrastructure.database)

        def begun(record: Record) -> tuple[Record, LastRun]:
            return record.owned_by(event.data.spec.owner.person, event.time).moved_by(event.run_id, place)

        claim = await self.vault.claim_of(names)
        if claim is not None and claim.incarnation == event.incarnation:
            record, run = begun(claim.record)
            if record != claim.record and not await self.vault.keep_record(names, claim, record):
                raise TransientError(f"{names.kv_path} was changed in the meantime")
            return run
        if claim is not None:
            await self._clear_leftovers(names, claim)
        record, run = begun(Record())
        await self.vault.claim(names, event.incarnation, record)
        return run

    async def _connect(self, names: Names, incarnation: UUID, database: Database, master_secret: str) -> None:
        if self.own_instances is None:
            raise PermanentError(
                "no_way_into_instances",
                f"{names.environment} has a database instance of its own, and the secrets service is not set up for it",
                next_step="The platform team sets SLIPWAY_SECRETS_FIRST_LOGINS, or takes the kind of environment out of"
                " own_database_kinds; docs/how-to/run-on-aws.md goes through it.",
            )
        await self.own_instances.connect(names, incarnation, database, master_secret)

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
        _, left_behind = await Removal(self.vault).clear(names, claim)
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
        if run.moves_leases:
            await self.vault.revoke_leases(names)
        await together(
            Access(self.vault).settle(
                names,
                event.incarnation,
                lambda record: record.moved_back(run.id).owned_by(previous.owner.person, event.time),
            ),
            *(self.vault.write_policy(policy) for policy in domain.policies(names, with_database=role is not None)),
            *([self.vault.write_database_role(role)] if role else []),
        )
        goes: list[Resource] = []
        if role is None and run.after:
            goes = [domain.leasing_role(names), domain.leases(names)]
        if run.enters_instance:
            goes.append(domain.leasing_connection(names))
        gone, left_behind = await self._take_away(names, *goes)
        if run.leaves_instance:
            left_behind.append(domain.lost_connection(names))
        restored = (domain.leasing_role(names),) if role is not None and not run.after else ()
        return Receipt(removed=gone, restored=restored, left_behind=tuple(left_behind))

    async def _take_away(self, names: Names, *resources: Resource) -> tuple[tuple[Resource, ...], list[LeftBehind]]:
        """Take these away in this order, the policies being shut already; answers what is gone of them, be it since
        before a crash, and what will not go."""
        left_behind: list[LeftBehind] = []
        for resource in resources:
            await Removal(self.vault).take_away(resource, names, set(), left_behind)
        stuck = {one.resource for one in left_behind}
        leases = domain.leases(names)
        return tuple(one for one in resources if one not in stuck and one != leases), left_behind

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

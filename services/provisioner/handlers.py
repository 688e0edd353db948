"""The deeds of this service: provision an environment's infrastructure, and take it back or away.

Invariants
- Intent before effect: the environments repository has the commit before Terraform touches anything, and what is
  applied is what that commit holds.
- Everything before the event is adopt-or-create; a deed that is repeated finds what it did and does only the rest.
- An undo uses the committed version, whatever the golden path says today; and what is asked or undone for one life of
  an environment leaves every other one alone.
- What existed before a run exists after its undo: an event that names what was before is restored, never destroyed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from chassis.failures import PermanentError
from contracts.envelope import Event
from contracts.events import (
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraFailed,
    InfraReadyData,
    SecretsRevoked,
    Undone,
)
from contracts.plans import CommittedState, DesiredState, Plan, PlanEnvironment
from contracts.values import EnvironmentSpec, Receipt
from services.provisioner.domain import (
    Platform,
    asks_for_less_data,
    author_of,
    incarnation_of,
    infrastructure_of,
    plan_of,
    read_manifest,
    render,
    render_again,
    says_the_same,
    summary_of,
    what_was_before,
)
from services.provisioner.ports import (
    Change,
    Committed,
    EnvironmentsRepository,
    Files,
    GoldenPaths,
    Infrastructure,
    Line,
    Report,
    StepLog,
)

NOBODY_YET: Final = UUID(int=0)
"""The incarnation in the plan of an environment that nobody has asked for yet."""
VERSIONS_LOOKED_AT: Final = 50
"""How far back in an environment's history what was before a run is looked for."""


@dataclass(frozen=True)
class Handlers:
    """What this service does about an event, and what it answers."""

    repository: EnvironmentsRepository
    infrastructure: Infrastructure
    golden_paths: GoldenPaths
    step_log: StepLog
    platform: Platform

    async def provision(self, event: EnvironmentRequested | EnvironmentUpdateRequested) -> InfraReadyData:
        """Commit the desired state, apply the commit, and tell what is there."""
        spec = event.data.spec
        change = Change(author_of(event.data.requested_by), summary_of(event), str(event.run_id))
        async with self._telling(event) as report:
            head = await self.repository.read(spec.name)
            await self._refuse_where_another_lives(head, event, report)
            if isinstance(event, EnvironmentRequested):
                files = await self._render(spec, event.incarnation)
                committed = await self._commit(spec.name, files, change, report)
            else:
                files = await self._render_on(head, spec, event.incarnation)
                committed = await self._settle(head, spec.name, files, change, report)
            applied = await self.infrastructure.apply(
                spec.name, committed.files, report, keep_data=not asks_for_less_data(event)
            )
        return InfraReadyData(
            spec=spec,
            previous=what_was_before(event),
            infrastructure=infrastructure_of(applied, committed.commit),
        )

    async def undo(self, event: InfraFailed | SecretsRevoked) -> Undone:
        """One step of the road back: restore what was before the run, or take everything away where nothing was."""
        if event.data.previous is None:
            return await self.destroy(event)
        return await self.restore(event, event.data.previous)

    async def restore(self, event: InfraFailed | SecretsRevoked, previous: EnvironmentSpec) -> Undone:
        """Commit the state before the run again, apply it, and tell what is gone with the run and what did not come
        back."""
        spec = event.data.spec
        change = Change(author_of(spec.owner.person), f"Restore {spec.name} after a failed update", str(event.run_id))
        async with self._telling(event) as report:
            head = await self.repository.read(spec.name)
            latest = await self._latest(head, spec.name)
            if latest is not None and incarnation_of(latest.files) != str(event.incarnation):
                report(Line("The name has been taken again since; nothing of this life is left to restore.", "warning"))
                return Undone(spec=spec, previous=previous, receipt=Receipt())
            before = await self._as_it_was(head, previous, event.incarnation)
            committed = await self._settle(head, spec.name, before, change, report)
            failed = await self._as_it_was(head, spec, event.incarnation)
            receipt = await self.infrastructure.restore(spec.name, failed, committed.files, str(event.run_id), report)
            _tell_of(receipt, report)
        return Undone(spec=spec, previous=previous, receipt=receipt)

    async def destroy(self, event: InfraFailed | SecretsRevoked) -> Undone:
        """Destroy what the commit made, remove the commit's directory, and tell what is gone and what is left."""
        spec = event.data.spec
        async with self._telling(event) as report:
            head = await self.repository.read(spec.name)
            receipt = await self.repository.receipt(spec.name, str(event.run_id)) if head is None else None
            latest = await self._latest(head, spec.name) if receipt is None else None
            if latest is not None and incarnation_of(latest.files) == str(event.incarnation):
                receipt = await self.infrastructure.destroy(spec.name, latest.files, report)
                change = Change(author_of(spec.owner.person), f"Remove {spec.name}", str(event.run_id))
                await self.repository.remove(spec.name, receipt, change)
            elif head is not None:
                report(Line("The name has been taken again since; nothing of this life is left to destroy.", "warning"))
                return Undone(spec=spec, receipt=Receipt())
            receipt = receipt or Receipt()
            await self.infrastructure.forget(spec.name)
            _tell_of(receipt, report)
        return Undone(spec=spec, receipt=receipt)

    async def plan(self, question: PlanEnvironment) -> Plan:
        """What applying a desired state would change. Nothing is committed, made or held up by it."""
        spec = question.spec
        if question.incarnation is None:
            files = await self._render(spec, NOBODY_YET)
            return plan_of(files, None, await self.infrastructure.plan(spec.name, files, new=True))
        head = await self.repository.read(spec.name)
        files = await self._render_on(head, spec, question.incarnation)
        if head is not None and says_the_same(spec.name, head.files, files):
            files = head.files
        changes = await self.infrastructure.plan(spec.name, files, new=False)
        return plan_of(files, head.commit if head is not None else None, changes)

    async def desired_state(self, question: DesiredState) -> CommittedState:
        """What the environment's manifest says, as of a commit."""
        committed = await self.repository.read(question.environment, question.commit)
        if committed is None:
            return CommittedState()
        try:
            manifest = read_manifest(committed.files, question.environment)
        except PermanentError as refused:
            return CommittedState(commit=committed.commit, refused=f"{refused} {refused.next_step}"[:2000])
        return CommittedState(spec=manifest.spec, incarnation=manifest.incarnation, commit=committed.commit)

    async def _refuse_where_another_lives(self, head: Committed | None, event: Event, report: Report) -> None:
        """A request of an older life, or of a newer one that should never have been let in, changes nothing of what is
        there: it would take the directory from those things, and nobody would find them to destroy them."""
        name = event.subject
        latest = await self._latest(head, name) if head is not None else None
        if latest is None or (whose := incarnation_of(latest.files)) == str(event.incarnation):
            return
        missing = await self.infrastructure.plan(name, latest.files, new=False)
        if set(missing) == set(await self.infrastructure.plan(name, latest.files, new=True)):
            return  # nothing of that life is left but its directory
        report(Line(f"The name belongs to another life of this environment ({whose}); nothing was changed.", "error"))
        raise PermanentError(
            "another_life",
            f"environments/{name} and what it describes belong to another life of this environment ({whose})",
            next_step="Delete that environment first, or choose another name.",
        )

    async def _render(self, spec: EnvironmentSpec, incarnation: UUID) -> Files:
        """The directory with today's golden path."""
        return render(spec, incarnation, await self.golden_paths.modules(spec.golden_path), self.platform)

    async def _render_on(self, head: Committed | None, spec: EnvironmentSpec, incarnation: UUID) -> Files:
        """The directory with the golden path that the environment was made with, unless it is to have another."""
        latest = await self._latest(head, spec.name)
        again = render_again(spec, incarnation, latest.files, self.platform) if latest is not None else None
        return again if again is not None else await self._render(spec, incarnation)

    async def _settle(
        self, head: Committed | None, name: str, files: Files, change: Change, report: Report
    ) -> Committed:
        """The commit that holds `files`: the newest one where it says the same, be it a person's, or a new one."""
        if head is not None and says_the_same(name, head.files, files):
            report(Line(f"Commit {head.commit[:12]} of the environments repository says so already."))
            return head
        return await self._commit(name, files, change, report)

    async def _commit(self, name: str, files: Files, change: Change, report: Report) -> Committed:
        committed = await self.repository.write(name, files, change)
        report(Line(f"The desired state is commit {committed.commit[:12]} of the environments repository."))
        return committed

    async def _as_it_was(self, head: Committed | None, spec: EnvironmentSpec, incarnation: UUID) -> Files:
        """The directory as it was committed for `spec`, or failing that rendered with what was committed nearest to
        it."""
        nearest: Files | None = None
        async for version in self._versions(head, spec.name):
            again = render_again(spec, incarnation, version.files, self.platform)
            if again is None:
                continue
            if says_the_same(spec.name, version.files, again):
                return version.files
            nearest = nearest or again
        return nearest if nearest is not None else await self._render(spec, incarnation)

    async def _versions(self, head: Committed | None, name: str) -> AsyncIterator[Committed]:
        """The environment's directory through time, newest first."""
        version = head if head is not None else await self.repository.earlier(name, None)
        for _ in range(VERSIONS_LOOKED_AT):
            if version is None:
                return
            yield version
            version = await self.repository.earlier(name, version.commit)

    async def _latest(self, head: Committed | None, name: str) -> Committed | None:
        """The newest version of the directory whose manifest tells whose it is: somebody may have removed or broken it
        since."""
        async for version in self._versions(head, name):
            if incarnation_of(version.files) is not None:
                return version
        return None

    @asynccontextmanager
    async def _telling(self, event: Event) -> AsyncIterator[Report]:
        """A place to report lines to; on leaving, every line has been written, in order."""
        lines: asyncio.Queue[Line | None] = asyncio.Queue()

        async def write() -> None:
            while line := await lines.get():
                await self.step_log.line(event, line.text, line.level)

        writing = asyncio.create_task(write())
        try:
            yield lines.put_nowait
        finally:
            lines.put_nowait(None)
            await writing


def _tell_of(receipt: Receipt, report: Report) -> None:
    for left in receipt.left_behind:
        report(Line(f"Left {left.resource.kind} {left.resource.id}: {left.reason}", "warning"))

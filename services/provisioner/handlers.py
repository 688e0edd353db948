"""The deeds of this service: provision an environment's infrastructure, and destroy it.

Invariants
- Intent before effect: the environments repository has the commit before Terraform touches anything, and what is
  applied is what that commit holds.
- Everything before the event is adopt-or-create; a deed that is repeated finds what it did and does only the rest.
- An undo uses the committed version, whatever the golden path says today; and an undo of an older life leaves a newer
  one alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from contracts.envelope import Event
from contracts.events import EnvironmentRequested, InfraFailed, InfraReadyData, SecretsRevoked, Undone
from contracts.values import Receipt
from services.provisioner.domain import Platform, author_of, incarnation_of, infrastructure_of, render
from services.provisioner.ports import (
    Change,
    EnvironmentsRepository,
    GoldenPaths,
    Infrastructure,
    Line,
    Report,
    StepLog,
)


@dataclass(frozen=True)
class Handlers:
    """What this service does about an event."""

    repository: EnvironmentsRepository
    infrastructure: Infrastructure
    golden_paths: GoldenPaths
    step_log: StepLog
    platform: Platform

    async def provision(self, event: EnvironmentRequested) -> InfraReadyData:
        """Commit the desired state, apply the commit, and tell what is there."""
        spec = event.data.spec
        modules = await self.golden_paths.modules(spec.golden_path)
        files = render(spec, event.incarnation, modules, self.platform)
        change = Change(
            author=author_of(event.data.requested_by),
            summary=f"Create {spec.name} from {spec.golden_path} {spec.golden_path_version}",
            run_id=str(event.run_id),
        )
        async with self._telling(event) as report:
            committed = await self.repository.write(spec.name, files, change)
            report(Line(f"The desired state is commit {committed.commit[:12]} of the environments repository."))
            applied = await self.infrastructure.apply(spec.name, committed.files, report)
        return InfraReadyData(spec=spec, infrastructure=infrastructure_of(applied, committed.commit))

    async def destroy(self, event: InfraFailed | SecretsRevoked) -> Undone:
        """Destroy what the commit made, remove the commit's directory, and tell what is gone and what is left."""
        spec = event.data.spec
        async with self._telling(event) as report:
            committed = await self.repository.read(spec.name)
            if committed is None:
                receipt = await self.repository.receipt(spec.name, str(event.run_id)) or Receipt()
            elif incarnation_of(committed.files) != str(event.incarnation):
                report(Line("The name has been taken again since; nothing of this life is left to destroy.", "warning"))
                return Undone(spec=spec, receipt=Receipt())
            else:
                receipt = await self.infrastructure.destroy(spec.name, committed.files, report)
                change = Change(author_of(spec.owner.person), f"Remove {spec.name}", str(event.run_id))
                await self.repository.remove(spec.name, receipt, change)
            await self.infrastructure.forget(spec.name)
            for left in receipt.left_behind:
                report(Line(f"Left {left.resource.kind} {left.resource.id}: {left.reason}", "warning"))
        return Undone(spec=spec, receipt=receipt)

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

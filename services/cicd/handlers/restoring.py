"""The road back of an update: the pipeline becomes what it was before the run.

Invariants
- Only what this very run did is undone: its commits name it. What somebody changed since stays theirs.
- Nothing is rewritten: a commit of the run is undone by another one that puts the file's former content back.
- An undo ends: what the forge will not let go of is left, and said to be. Repeated, it tells of the same workflows.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from contracts.values import EnvironmentSpec, Receipt, Resource
from services.cicd.domain import MADE_FOR_VARIABLE, Mark, Repository, Seen, owner_of, put_back_message, users_of
from services.cicd.handlers.notes import Notes
from services.cicd.handlers.placing import Workflow
from services.cicd.ports import Forge


@dataclass(frozen=True)
class Restoration:
    """The undo of what `run` did to the pipeline of one environment: from the state `spec` back to `previous`."""

    forge: Forge
    spec: EnvironmentSpec
    previous: EnvironmentSpec
    incarnation: UUID
    run: UUID
    at: datetime
    notes: Notes = field(default_factory=Notes)

    @property
    def mark(self) -> Mark:
        """The environment's mark as it was before."""
        return Mark(self.previous.name, self.incarnation, self.previous.owner.team)

    async def carry_out(self) -> Receipt:
        """Put back what the run changed, take away what it offered, and say what could not be."""
        repository = await self.forge.find(self.previous.repository)
        if repository is None:
            return Receipt()
        variables = await self.forge.variables(repository.name)
        made_by_us = owner_of(repository, variables) == self.mark
        if not made_by_us and users_of(variables).get(self.mark.used_by_variable) != self.mark:
            return Receipt()
        workflow = Workflow(self.forge, repository.name, self.mark)
        branches = await self.forge.branches(repository.name, prefix=self.mark.branch)
        offers = [branch for branch in branches if self.mark.offers_on(branch)]
        of_the_run = {self.mark.update_branch(self.run), self.mark.stop_branch(self.run)}
        for branch in offers:
            if branch in of_the_run:
                await self._withdraw(repository, branch, branches[branch])
            elif await self._put_back(workflow, branch, made_by_us=True):
                await self._reopen(repository, branch)
        for branch in dict.fromkeys((self.spec.branch, self.previous.branch)):
            await self._put_back(workflow, branch, made_by_us=made_by_us)
        for name in (MADE_FOR_VARIABLE, self.mark.used_by_variable):
            if Mark.parse(variables.get(name)) == self.mark and variables[name] != str(self.mark):
                await self.notes.put_back(
                    "variable",
                    f"{repository.name}/{name}",
                    partial(self.forge.set_variable, repository.name, name, str(self.mark)),
                )
        return self.notes.receipt

    async def _withdraw(self, repository: Repository, branch: str, head: str) -> None:
        """Close what the run offered, and remove its branch unless somebody has worked on it."""
        name = repository.name
        for pull in await self.forge.pull_requests(name, head=branch):
            if pull.open:
                close = partial(self.forge.close_pull_request, name, pull.number)
                await self.notes.take("pull_request", pull.html_url, close)
        newest = await self.forge.history(name, head, limit=1)
        if newest and newest[0].made_by(self.mark, self.run):
            await self.notes.take("branch", f"{name}/{branch}", partial(self.forge.delete_branch, name, branch))
        else:
            self.notes.keep("branch", f"{name}/{branch}", "It holds commits that Slipway did not make.")

    async def _put_back(self, workflow: Workflow, branch: str, *, made_by_us: bool) -> bool:
        """Undo the run's commit on a branch, if it made one there that is still the last word on the file. Whether it
        made one."""
        seen = await workflow.look(branch)
        if seen is None or seen.commit is None:
            return False
        identifier = f"{workflow.repository}/{workflow.path}@{branch}"
        if seen.commit.puts_back(self.mark, self.run):
            self.notes.restored.append(Resource(kind="workflow", id=identifier))
            return True
        if not seen.commit.made_by(self.mark, self.run):
            return False
        before = await workflow.look_at(seen.commit.parents[0]) if seen.commit.parents else None
        if before is None or before.file is None or not made_by_us:
            reason = "The pull request of the update that failed was merged meanwhile; revert its merge."
            self.notes.leave("workflow", identifier, reason)
        else:
            await self.notes.put_back("workflow", identifier, partial(self._undo, workflow, branch, seen, before))
        return True

    async def _undo(self, workflow: Workflow, branch: str, seen: Seen, before: Seen) -> None:
        if before.file is not None:
            message = put_back_message(before, self.mark, self.run)
            await workflow.replace(branch, seen, before.file, message, self.at)

    async def _reopen(self, repository: Repository, branch: str) -> None:
        """Open an offer again that the run closed, because another branch was to deploy."""
        for pull in await self.forge.pull_requests(repository.name, head=branch):
            if pull.base == self.previous.branch != self.spec.branch and not pull.open and not pull.merged:
                reopen = partial(self.forge.reopen_pull_request, repository.name, pull.number)
                await self.notes.put_back("pull_request", pull.html_url, reopen)
                return

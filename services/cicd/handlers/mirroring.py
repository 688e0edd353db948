"""How the preview of a pull request is deployed: from a branch of ours with the pull request's files and one workflow.

The pull request itself is left alone: nothing is added to it that would be merged with it. The branch holds no other
workflow, so nothing else runs because of it; and what comes from a fork is built only where a member agreed to that
very commit.

Invariants
- The branch is moved only while its head is ours; what it stands on says which commit it shows, so doing it twice is
  doing it once.
- Without an agreed commit it shows the newest one, and looks again once it has moved: whoever is told of a push before
  the branch is there need not wait for it.
"""

from dataclasses import dataclass
from datetime import datetime

from chassis.failures import PermanentError, TransientError
from contracts.values import Pipeline
from services.cicd.domain import Commit, File, Mark, Plan, decide
from services.cicd.domain.previews import WORKFLOWS, commit_message
from services.cicd.handlers.marking import put_marks
from services.cicd.handlers.placing import Workflow
from services.cicd.handlers.settling import settle
from services.cicd.ports import Forge

_TRIES = 3
"""How often a pull request may move while it is looked at."""


@dataclass(frozen=True)
class Mirror:
    """The branch of one preview."""

    forge: Forge
    repository: str
    number: int
    mark: Mark

    async def carry_out(self, plan: Plan, file: File, approved: str | None) -> Pipeline:
        """Make the branch, or bring it to what `plan` wants. Raises `PermanentError` where the repository or the pull
        request is not there, or must be left alone."""
        repository = await self.forge.find(self.repository)
        if repository is None:
            raise PermanentError(
                "repository_missing",
                f"the repository {self.repository} of this pull request is not on the forge any more",
                next_step="Restore it there and retry, or delete the environment.",
            )
        variables = await self.forge.variables(repository.name)
        decide(repository, variables, plan)
        await put_marks(
            self.forge, repository.name, self.mark, plan.platform_url, variables=variables, made_by_us=False
        )
        shown = await self.show(file, plan.asked_at, approved=approved)
        if shown is None:
            raise TransientError(f"the branch {self.mark.branch} of {repository.name} is going")
        return plan.pipeline(repository, shown.sha, "attached")

    async def show(
        self, file: File | None, at: datetime, *, approved: str | None = None, agreed: str | None = None
    ) -> Commit | None:
        """Have the branch show what it should: `agreed` now, or else, of a fork, what it shows already, or `approved`
        at first; and of the repository itself the newest commit. Without `file` its workflow stays. None where there is
        no branch whose workflow could stay."""
        workflow = Workflow(self.forge, self.repository, self.mark)
        for _ in range(_TRIES):
            head = await workflow.head(self.mark.branch)
            seen = (await self.forge.history(self.repository, head, limit=1))[0] if head is not None else None
            ours = seen is not None and seen.made_for(self.mark)
            if seen is not None and not (ours or seen.made_in_another_life(self.mark)):
                raise _taken(self.repository, self.mark)
            before = await workflow.look_at(seen.sha) if seen is not None and ours else None
            wanted = file or (before.file if before is not None else None)
            if wanted is None:
                return None
            kept = seen.parents[0] if seen is not None and ours and seen.parents and approved is not None else None
            target = agreed or kept or approved or await self._newest()
            if seen is None or not ours or seen.parents != (target,) or before is None or before.file != wanted:
                seen = await self._move(workflow, seen, wanted, target, at)
            if agreed or approved or await self._newest() == target:
                return seen
        raise TransientError(f"the pull request {self.number} of {self.repository} moves all the time")

    async def _newest(self) -> str:
        pull = await self.forge.pull_request(self.repository, self.number)
        if pull is None:
            raise PermanentError(
                "pull_request_missing",
                f"the repository {self.repository} has no pull request {self.number}",
                next_step="Delete the environment: there is nothing that it could show.",
            )
        return pull.head_commit

    async def _move(self, workflow: Workflow, seen: Commit | None, file: File, target: str, at: datetime) -> Commit:
        others = await self.forge.files_in(self.repository, WORKFLOWS, at=target)
        commit = await self.forge.commit(
            self.repository,
            files=(file,),
            without=[path for path in others if path != file.path],
            parent=target,
            keep_other_files=True,
            message=commit_message(self.mark, self.number, target, file),
            at=at,
        )

        async def write() -> Commit:
            place = self.forge.create_branch if seen is None else self.forge.put_branch
            await place(self.repository, self.mark.branch, commit.sha)
            return commit

        async def find() -> Commit | None:
            return commit if await workflow.head(self.mark.branch) == commit.sha else None

        return await settle(write, find)


def _taken(repository: str, mark: Mark) -> PermanentError:
    return PermanentError(
        "branch_taken",
        f"the branch {mark.branch} of the repository {repository} is not this environment's",
        next_step=f"Delete or rename the branch {mark.branch} and retry.",
    )

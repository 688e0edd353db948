"""An environment's workflow on a branch: looking at it, committing it, offering it in a pull request.

Invariants
- Every step is adopt-or-create: repeated, it finds what it did and does only the rest.
- A branch only moves forward, to a commit of ours on top of the very head that was looked at.
"""

from dataclasses import dataclass
from datetime import datetime

from chassis.failures import PermanentError, TransientError
from services.cicd.domain import Commit, File, Mark, PullRequest, Seen, workflow_path
from services.cicd.handlers.settling import settle
from services.cicd.ports import Forge


@dataclass(frozen=True)
class Workflow:
    """The workflow of one environment in one repository, whatever branch it is on."""

    forge: Forge
    repository: str
    mark: Mark

    @property
    def path(self) -> str:
        """Where it is in the repository."""
        return workflow_path(self.mark.environment)

    async def look(self, branch: str) -> Seen | None:
        """How it stands on a branch; None where there is no such branch."""
        head = await self.head(branch)
        return await self.look_at(head) if head else None

    async def look_at(self, commit: str) -> Seen:
        """How it stands in a commit."""
        content = await self.forge.read(self.repository, self.path, at=commit)
        touched = await self.forge.history(self.repository, commit, limit=1, path=self.path)
        file = None if content is None else File(self.path, content)
        return Seen(commit, file, touched[0] if touched else None)

    async def head(self, branch: str) -> str | None:
        """The newest commit of a branch."""
        return (await self.forge.branches(self.repository, prefix=branch)).get(branch)

    async def forget_detachment(self) -> None:
        """Take back an earlier life's offer to remove the file, unless somebody has worked on it. With its branch its
        pull request goes too."""
        head = await self.head(self.mark.detach_branch)
        newest = await self.forge.history(self.repository, head, limit=1) if head else ()
        if newest and newest[0].made_in_another_life(self.mark):
            await self.forge.delete_branch(self.repository, self.mark.detach_branch)

    async def replace(self, branch: str, seen: Seen, file: File, message: str, at: datetime) -> Commit:
        """Commit `file` on the branch. `TransientError` where it has moved since it was looked at, `PermanentError`
        where we may not move it."""
        commit = await self.forge.commit(
            self.repository, files=(file,), parent=seen.head, keep_other_files=True, message=message, at=at
        )

        async def write() -> Commit:
            await self.forge.forward_branch(self.repository, branch, commit.sha)
            return commit

        async def find() -> Commit | None:
            head = await self.head(branch)
            if head not in {commit.sha, seen.head}:
                raise TransientError(f"the branch {branch} of {self.repository} has just moved")
            return commit if head == commit.sha else None

        return await settle(write, find)


@dataclass(frozen=True)
class Offer:
    """A workflow that is offered in a pull request to the branch `base`, on a branch of ours; without a `file`, its
    removal."""

    workflow: Workflow
    base: str
    branch: str
    file: File | None
    message: str
    title: str
    body: str
    at: datetime

    async def make(self, base_head: str) -> tuple[Commit, PullRequest]:
        """The branch, its commit and the pull request. `PermanentError` where somebody else has that branch."""
        commit = await self._commit(base_head)
        return commit, await self._found(commit) or await self._open(commit)

    async def _commit(self, base_head: str) -> Commit:
        forge, repository = self.workflow.forge, self.workflow.repository

        async def find() -> Commit | None:
            head = await self.workflow.head(self.branch)
            found = await forge.history(repository, head, limit=1) if head else ()
            return found[0] if found else None

        async def create() -> Commit:
            made = await forge.commit(
                repository,
                files=(self.file,) if self.file else (),
                without=() if self.file else (self.workflow.path,),
                parent=base_head,
                keep_other_files=True,
                message=self.message,
                at=self.at,
            )
            await forge.create_branch(repository, self.branch, made.sha)
            return made

        commit = await find()
        if commit is not None and commit.made_in_another_life(self.workflow.mark):
            # A leftover, whose removal failed. With its branch its pull request goes too.
            await forge.delete_branch(repository, self.branch)
            commit = None
        if commit is None:
            commit = await settle(create, find)
        if not commit.made_for(self.workflow.mark):
            raise PermanentError(
                "branch_taken",
                f"the branch {self.branch} of the repository {repository} is not this environment's",
                next_step=f"Delete or rename the branch {self.branch} and retry.",
            )
        return commit

    async def _found(self, commit: Commit) -> PullRequest | None:
        """The pull request that offers `commit`. One that an earlier life of the name left, merged, does not."""
        for pull in await self.workflow.forge.pull_requests(self.workflow.repository, head=self.branch):
            if pull.base == self.base and pull.head_commit == commit.sha and (pull.open or pull.merged):
                return pull
        return None

    async def _open(self, commit: Commit) -> PullRequest:
        async def write() -> PullRequest:
            return await self.workflow.forge.open_pull_request(
                self.workflow.repository, head=self.branch, base=self.base, title=self.title, body=self.body
            )

        return await settle(write, lambda: self._found(commit))

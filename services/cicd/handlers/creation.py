"""How a pipeline comes to be, in a repository of its own or in somebody's.

Invariants
- Every step is adopt-or-create: repeated, it finds what it did and does only the rest.
- A write whose answer was lost is settled by reading: what is there afterwards counts, not what was answered.
- The mark goes on first, so whatever is half done has an owner who can finish or undo it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from chassis.failures import PermanentError, TransientError
from contracts.values import Pipeline
from services.cicd.domain import (
    MADE_FOR_VARIABLE,
    TOPIC,
    URL_VARIABLE,
    Commit,
    Plan,
    PullRequest,
    Repository,
    decide,
    is_initial,
)
from services.cicd.ports import Forge

HISTORY_LIMIT = 100
"""How far back our own first commit is looked for in a repository that we made and people have used since."""


@dataclass(frozen=True)
class Creation:
    """One plan, and the forge that it is carried out on."""

    forge: Forge
    plan: Plan

    async def carry_out(self) -> Pipeline:
        """Create the repository and fill it, or offer the workflow to the one there is. Raises `PermanentError` where
        it must be left alone."""
        repository = await self._find() or await self._create_repository()
        variables = await self.forge.variables(repository.name)
        pipeline: Pipeline | None = None
        if decide(repository, variables, self.plan) == "continue":
            await self._mark(made_by_us=True)
            pipeline = await self._fill(repository)
        return pipeline or await self._offer(repository)

    async def _find(self) -> Repository | None:
        found = await self.forge.find(self.plan.repository)
        # A renamed repository answers under its old name, which is free to be used again.
        return found if found and found.name.lower() == self.plan.repository.lower() else None

    async def _create_repository(self) -> Repository:
        """Create it, claimed for this environment by the very call that creates it."""

        async def create() -> None:
            homepage = self.plan.environment_url or ""
            await self.forge.create(self.plan.repository, description=self.plan.mark.claim, homepage=homepage)

        async def there() -> bool:
            return await self._find() is not None

        await settle(create, there)
        repository = await self._find()
        if repository is None:
            raise TransientError(f"the forge does not show the new repository {self.plan.repository} yet")
        return repository

    async def _mark(self, *, made_by_us: bool) -> None:
        """Say whose this is, then let workflows find the platform. The first push runs one, so this comes before it."""
        variables = await self.forge.variables(self.plan.repository)
        wanted = {MADE_FOR_VARIABLE: str(self.plan.mark)} if made_by_us else {}
        wanted |= {self.plan.mark.used_by_variable: str(self.plan.mark), URL_VARIABLE: self.plan.platform_url}
        for name, value in wanted.items():
            if variables.get(name) != value:
                await self.forge.set_variable(self.plan.repository, name, value)
        if made_by_us:
            topics = await self.forge.topics(self.plan.repository)
            if TOPIC not in topics:
                await self.forge.set_topics(self.plan.repository, (*topics, TOPIC))
        if not await self.forge.has_environment(self.plan.repository, self.plan.mark.environment):
            await self.forge.put_environment(self.plan.repository, self.plan.mark.environment)

    async def _fill(self, repository: Repository) -> Pipeline | None:
        """Put the skeleton into a repository of ours. None where somebody else's commits were there first: those are
        not overwritten."""
        ours = await self._first_commit()
        if ours is None:
            if not await self._put_first_commit(repository):
                return None
            ours = await self._first_commit()
            if ours is None:
                raise TransientError(f"the forge does not show the new commit in {self.plan.repository} yet")
        if repository.description == self.plan.mark.claim:
            await self._finish(repository, ours)
        return self.plan.pipeline(repository, ours.sha, "created")

    async def _first_commit(self) -> Commit | None:
        history = await self.forge.history(self.plan.repository, self.plan.branch, limit=HISTORY_LIMIT)
        return next((commit for commit in history if commit.made_for(self.plan.mark)), None)

    async def _put_first_commit(self, repository: Repository) -> bool:
        branches = await self.forge.branches(self.plan.repository)
        for branch in branches:
            if not all(map(is_initial, await self.forge.history(self.plan.repository, branch, limit=2))):
                return False
        parent = branches.get(self.plan.branch) or branches.get(repository.default_branch)
        sha = await self.forge.commit(
            self.plan.repository,
            files=self.plan.files,
            parent=parent,
            keep_other_files=False,
            message=self.plan.first_commit_message,
            at=self.plan.asked_at,
        )

        async def place() -> None:
            move = self.forge.forward_branch if self.plan.branch in branches else self.forge.create_branch
            await move(self.plan.repository, self.plan.branch, sha)

        async def there() -> bool:
            return await self._first_commit() is not None

        await settle(place, there)
        return True

    async def _finish(self, repository: Repository, ours: Commit) -> None:
        """The chosen branch becomes the default one, the forge's own first branch goes, and last of all the claim in
        the description makes room for a real one."""
        if repository.default_branch != self.plan.branch:
            await self.forge.describe(
                self.plan.repository, description=repository.description, default_branch=self.plan.branch
            )
        for branch, head in (await self.forge.branches(self.plan.repository)).items():
            if branch != self.plan.branch and head in ours.parents:
                await self.forge.delete_branch(self.plan.repository, branch)
        await self.forge.describe(
            self.plan.repository, description=self.plan.description, default_branch=self.plan.branch
        )

    async def _offer(self, repository: Repository) -> Pipeline:
        """Offer the workflow to a repository that is not ours, on a branch of its own, with a pull request."""
        plan = self.plan
        base = await self.forge.history(plan.repository, plan.branch, limit=1)
        if not base:
            raise PermanentError(
                "branch_missing",
                f"the repository {plan.repository} has no branch {plan.branch}",
                next_step=f"Push the branch {plan.branch} and retry, or start over with another branch.",
            )
        await self._mark(made_by_us=False)
        if await self.forge.read(plan.repository, plan.workflow.path, branch=plan.branch) == plan.workflow.content:
            return plan.pipeline(repository, base[0].sha, "attached")
        commit = await self._offered_commit(base[0])
        pull_request = await self._pull_request(commit) or await self._open_pull_request(commit)
        return plan.pipeline(repository, commit.sha, "attached", pull_request.html_url)

    async def _offered_commit(self, base: Commit) -> Commit:
        """The head of our branch, with the workflow on it."""
        plan = self.plan

        async def head() -> Commit | None:
            found = await self.forge.history(plan.repository, plan.mark.branch, limit=1)
            return found[0] if found else None

        async def there() -> bool:
            return await head() is not None

        async def create() -> None:
            sha = await self.forge.commit(
                plan.repository,
                files=(plan.workflow,),
                parent=base.sha,
                keep_other_files=True,
                message=plan.workflow_commit_message,
                at=plan.asked_at,
            )
            await self.forge.create_branch(plan.repository, plan.mark.branch, sha)

        if not await there():
            await settle(create, there)
        commit = await head()
        if commit is None:
            raise TransientError(f"the forge does not show the branch {plan.mark.branch} yet")
        if not commit.made_for(plan.mark):
            raise PermanentError(
                "branch_taken",
                f"the branch {plan.mark.branch} of the repository {plan.repository} is not this environment's",
                next_step=f"Delete or rename the branch {plan.mark.branch} and retry.",
            )
        return commit

    async def _pull_request(self, commit: Commit) -> PullRequest | None:
        """The pull request that offers `commit`. One that an earlier life of the name left, merged, does not."""
        for pull in await self.forge.pull_requests(self.plan.repository, head=self.plan.mark.branch):
            offers = pull.base == self.plan.branch and pull.head_commit == commit.sha
            if offers and (pull.open or pull.merged):
                return pull
        return None

    async def _open_pull_request(self, commit: Commit) -> PullRequest:
        async def write() -> None:
            await self.forge.open_pull_request(
                self.plan.repository,
                head=self.plan.mark.branch,
                base=self.plan.branch,
                title=self.plan.pull_request_title,
                body=self.plan.pull_request_body,
            )

        async def there() -> bool:
            return await self._pull_request(commit) is not None

        await settle(write, there)
        pull_request = await self._pull_request(commit)
        if pull_request is None:
            raise TransientError(f"the forge does not show the new pull request in {self.plan.repository} yet")
        return pull_request


async def settle(write: Callable[[], Awaitable[None]], there: Callable[[], Awaitable[bool]]) -> None:
    """Write, and where the answer is an error or is lost, believe what is there instead of what was answered."""
    try:
        await write()
    except (TransientError, PermanentError):
        if not await there():
            raise

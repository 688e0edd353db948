"""How a pipeline comes to be, in a repository of its own or in somebody's.

Invariants
- Every step is adopt-or-create: repeated, it finds what it did and does only the rest.
- What this deed has just made is not looked for: a repository that it created holds nothing else yet.
- The claim in a new repository's description goes last, so what is half done is known to be.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from chassis.failures import PermanentError, TransientError
from contracts.values import Pipeline
from services.cicd.domain import Commit, File, Mark, Plan, Repository, decide, is_initial
from services.cicd.handlers.marking import put_marks
from services.cicd.handlers.placing import Offer, Workflow
from services.cicd.handlers.settling import settle
from services.cicd.ports import Forge

HISTORY_LIMIT = 100
"""How far back our own first commit is looked for in a repository that we made and people have used since."""


@dataclass(frozen=True)
class Creation:
    """One plan, what it puts into a repository, and the forge that it is carried out on."""

    forge: Forge
    plan: Plan
    workflow: File
    skeleton: Sequence[File]

    async def carry_out(self) -> Pipeline:
        """Create the repository and fill it, or offer the workflow to the one there is. Raises `PermanentError` where
        it must be left alone."""
        found = await self._find()
        new = found is None
        if found is None:
            found, new = await self._create_repository()
        variables: Mapping[str, str] = {} if new else await self.forge.variables(found.name)
        pipeline: Pipeline | None = None
        if decide(found, variables, self.plan) == "continue":
            await self._mark(variables, made_by_us=True, new=new)
            pipeline = await self._fill(found)
        return pipeline or await self._offer(found, variables)

    async def _find(self) -> Repository | None:
        found = await self.forge.find(self.plan.repository)
        # A renamed repository answers under its old name, which is free to be used again.
        return found if found and found.name.lower() == self.plan.repository.lower() else None

    async def _create_repository(self) -> tuple[Repository, bool]:
        """Create it, claimed for this environment by the very call that creates it. Says too whether it is certain
        that this call did, so that nothing else can be in it."""

        async def create() -> tuple[Repository, bool]:
            homepage = self.plan.environment_url or ""
            made = await self.forge.create(self.plan.repository, description=self.plan.mark.claim, homepage=homepage)
            return made, True

        async def find() -> tuple[Repository, bool] | None:
            found = await self._find()
            return (found, False) if found else None

        return await settle(create, find)

    async def _mark(self, variables: Mapping[str, str], *, made_by_us: bool, new: bool = False) -> None:
        await put_marks(
            self.forge,
            self.plan.repository,
            self.plan.mark,
            self.plan.platform_url,
            variables=variables,
            made_by_us=made_by_us,
            new=new,
            reviewers=self.plan.safeguards.reviewers,
        )

    async def _fill(self, repository: Repository) -> Pipeline | None:
        """Put the skeleton into a repository of ours. None where somebody else's commits were there first: those are
        not overwritten."""
        heads = await self.forge.branches(self.plan.repository)
        if not heads:
            raise TransientError(f"the forge does not show the first commit of {self.plan.repository} yet")
        head = heads.get(self.plan.branch)
        history = await self.forge.history(self.plan.repository, head, limit=HISTORY_LIMIT) if head else ()
        ours = self._first_of_ours(history)
        if ours is None:
            others = [sha for sha in set(heads.values()) if sha != head]
            if not all(map(is_initial, history)) or not await self._all_initial(others):
                return None
            ours = await self._put_first_commit(head or heads.get(repository.default_branch), begins=head is None)
        if Mark.parse_claim(repository.description):
            await self._finish(repository, heads, ours)
        return self.plan.pipeline(repository, ours.sha, "created")

    def _first_of_ours(self, history: Sequence[Commit]) -> Commit | None:
        return next((commit for commit in reversed(history) if commit.made_for(self.plan.mark)), None)

    async def _all_initial(self, heads: Sequence[str]) -> bool:
        for head in heads:
            if not all(map(is_initial, await self.forge.history(self.plan.repository, head, limit=2))):
                return False
        return True

    async def _put_first_commit(self, parent: str | None, *, begins: bool) -> Commit:
        """The first commit of the chosen branch, which `begins` with it where it is not there yet."""
        commit = await self.forge.commit(
            self.plan.repository,
            files=self.plan.files(self.skeleton, self.workflow),
            parent=parent,
            keep_other_files=False,
            message=self.plan.first_commit_message(self.workflow),
            at=self.plan.asked_at,
        )

        async def place() -> Commit:
            move = self.forge.create_branch if begins else self.forge.forward_branch
            await move(self.plan.repository, self.plan.branch, commit.sha)
            return commit

        async def find() -> Commit | None:
            head = (await self.forge.branches(self.plan.repository, prefix=self.plan.branch)).get(self.plan.branch)
            history = await self.forge.history(self.plan.repository, head, limit=HISTORY_LIMIT) if head else ()
            ours = self._first_of_ours(history)
            if ours is None and head != (None if begins else parent):
                raise TransientError(f"somebody was first on the branch {self.plan.branch} of {self.plan.repository}")
            return ours

        return await settle(place, find)

    async def _finish(self, repository: Repository, heads: Mapping[str, str], ours: Commit) -> None:
        """The chosen branch becomes the default one, the forge's own first branch goes, and last of all the claim in
        the description makes room for a real one."""
        if repository.default_branch != self.plan.branch:
            await self.forge.describe(
                self.plan.repository, description=repository.description, default_branch=self.plan.branch
            )
        for branch, head in heads.items():
            if branch != self.plan.branch and head in ours.parents:
                await self.forge.delete_branch(self.plan.repository, branch)
        if self.plan.safeguards.approvals is not None:
            await self.forge.protect_branch(
                self.plan.repository, self.plan.branch, approvals=self.plan.safeguards.approvals
            )
        await self.forge.describe(
            self.plan.repository, description=self.plan.description, default_branch=self.plan.branch
        )

    async def _offer(self, repository: Repository, variables: Mapping[str, str]) -> Pipeline:
        """Offer the workflow to a repository that is not ours, on a branch of its own, with a pull request."""
        plan = self.plan
        workflow = Workflow(self.forge, plan.repository, plan.mark)
        base = await workflow.head(plan.branch)
        if base is None:
            raise branch_missing(plan)
        if plan.path is not None and not await self.forge.has_directory(plan.repository, plan.path, at=base):
            raise _directory_missing(plan, plan.path)
        await workflow.forget_detachment()
        await self._mark(variables, made_by_us=False)
        if await self.forge.read(plan.repository, workflow.path, at=base) == self.workflow.content:
            await self._run(workflow.path, base)
            return plan.pipeline(repository, base, "attached")
        offer = Offer(
            workflow,
            base=plan.branch,
            branch=plan.mark.branch,
            file=self.workflow,
            message=plan.workflow_commit_message(self.workflow),
            title=plan.pull_request_title,
            body=plan.pull_request_body,
            at=plan.asked_at,
        )
        commit, pull_request = await offer.make(base)
        return plan.pipeline(repository, commit.sha, "attached", pull_request.html_url)

    async def _run(self, workflow: str, commit: str) -> None:
        """Deploy what is there: the workflow was merged before, so nothing is pushed that would. A forge shows a run a
        moment after it was asked for, so one more is possible; the same commit twice is the same release."""
        repository, plan = self.plan.repository, self.plan
        if await self.forge.has_run(repository, workflow, commit=commit, since=plan.asked_at):
            return
        with suppress(PermanentError):  # the default branch has no such workflow: the next push deploys
            await self.forge.run_workflow(repository, workflow, branch=plan.branch)


def branch_missing(plan: Plan) -> PermanentError:
    """The refusal where the branch to deploy from is not there."""
    return PermanentError(
        "branch_missing",
        f"the repository {plan.repository} has no branch {plan.branch}",
        next_step=f"Push the branch {plan.branch} and retry, or start over with another branch.",
    )


def _directory_missing(plan: Plan, path: str) -> PermanentError:
    return PermanentError(
        "path_missing",
        f"the branch {plan.branch} of the repository {plan.repository} has no directory {path}",
        next_step=f"Push the application to {path} and retry, or start over with another path.",
    )

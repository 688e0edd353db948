"""How a pipeline that exists follows its environment to another desired state.

Invariants
- Nothing of the owner's is overwritten: the file is changed by a commit only in a repository that we made and while it
  is, to the byte, what we put there; everywhere else the change is offered in a pull request.
- What is as wanted is not touched: an update that changes nothing makes no commit.
- Every commit names the run, so that the road back finds what the run did (`restoring`).
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from chassis.failures import PermanentError
from contracts.values import EnvironmentSpec, Pipeline
from services.cicd.domain import File, Plan, PullRequest, Seen, decide
from services.cicd.handlers.creation import branch_missing
from services.cicd.handlers.marking import put_marks
from services.cicd.handlers.placing import Offer, Workflow
from services.cicd.ports import Forge


@dataclass(frozen=True)
class Placed:
    """Where the wanted workflow is: in a commit on its branch, or in one that a pull request offers."""

    commit: str
    pull_request_url: str | None = None


@dataclass(frozen=True)
class Update:
    """One plan, the desired state before it, and the forge that it is carried out on. Without `workflow` the one in
    place stays."""

    forge: Forge
    plan: Plan
    previous: EnvironmentSpec
    workflow: File | None

    async def carry_out(self) -> Pipeline:
        """Bring marks and workflow to what the plan wants. Raises `PermanentError` where the repository or the branch
        is not there, or must be left alone."""
        repository = await self.forge.find(self.plan.repository)
        if repository is None:
            raise PermanentError(
                "repository_missing",
                f"the repository {self.plan.repository} of this environment is not on the forge any more",
                next_step="Restore it there and retry, or delete the environment and start over.",
            )
        variables = await self.forge.variables(repository.name)
        made_by_us = decide(repository, variables, self.plan) == "continue"
        workflow = Workflow(self.forge, repository.name, self.plan.mark)
        seen = await workflow.look(self.plan.branch)
        if seen is None:
            raise branch_missing(self.plan)
        await put_marks(
            self.forge,
            repository.name,
            self.plan.mark,
            self.plan.platform_url,
            variables=variables,
            made_by_us=made_by_us,
            reviewers=self.plan.safeguards.reviewers,
        )
        placed = await self._place(workflow, seen, made_by_us=made_by_us)
        origin: Literal["created", "attached"] = "created" if made_by_us else "attached"
        return self.plan.pipeline(repository, placed.commit, origin, placed.pull_request_url)

    async def _place(self, workflow: Workflow, seen: Seen, *, made_by_us: bool) -> Placed:
        if self.workflow is None:
            offered = None if seen.file else await self._open_offer(workflow, self.plan.branch)
            return Placed(offered[1].head_commit, offered[1].html_url) if offered else _in_place(seen)
        placed = await self._bring(workflow, self.workflow, seen, made_by_us=made_by_us)
        if self.previous.branch != self.plan.branch:
            await self._retire(workflow, self.workflow, made_by_us=made_by_us)
        return placed

    async def _bring(self, workflow: Workflow, wanted: File, seen: Seen, *, made_by_us: bool) -> Placed:
        """The wanted workflow on the branch that deploys, or offered to it."""
        if seen.file == wanted:
            return _in_place(seen)
        if offered := await self._open_offer(workflow, self.plan.branch):
            branch, pull = offered
            there = await workflow.look_at(pull.head_commit)
            if there.file == wanted:
                return Placed(pull.head_commit, pull.html_url)
            if there.untouched(self.plan.mark):
                # Nobody has worked on what we offered: it is brought up to date instead of offering a second one.
                return Placed(await self._commit(workflow, wanted, branch, there), pull.html_url)
        elif made_by_us and seen.untouched(self.plan.mark):
            with suppress(PermanentError):  # a protected branch: to that one it can still be offered
                return Placed(await self._commit(workflow, wanted, self.plan.branch, seen))
        return await self._offer(workflow, wanted, seen, self.plan.branch, self.plan.mark.update_branch(self.plan.run))

    async def _retire(self, workflow: Workflow, wanted: File, *, made_by_us: bool) -> None:
        """Keep the branch that deployed until now from deploying: there too goes the wanted workflow, which runs for
        another branch. Removing the file instead would remove it from that branch as well, once the two are merged."""
        branch = self.previous.branch
        stop = self.plan.mark.stop_branch(self.plan.run)
        offered = await self._open_offer(workflow, branch)
        if offered and offered[0] != stop:
            there = await workflow.look_at(offered[1].head_commit)
            if there.untouched(self.plan.mark):
                # The commit is also what tells the road back that it was this run that closed the offer.
                if there.file != wanted:
                    await self._commit(workflow, wanted, offered[0], there)
                await self.forge.close_pull_request(workflow.repository, offered[1].number)
        seen = await workflow.look(branch)
        if seen is None or seen.file is None or seen.file == wanted:
            return
        if made_by_us and seen.untouched(self.plan.mark):
            with suppress(PermanentError):  # as above
                await self._commit(workflow, wanted, branch, seen)
                return
        await self._offer(workflow, wanted, seen, branch, stop)

    async def _open_offer(self, workflow: Workflow, base: str) -> tuple[str, PullRequest] | None:
        """The newest open pull request of this environment's to `base`, with its branch."""
        found: list[tuple[str, PullRequest]] = []
        for branch in await self.forge.branches(workflow.repository, prefix=self.plan.mark.branch):
            if self.plan.mark.offers_on(branch):
                pulls = await self.forge.pull_requests(workflow.repository, head=branch)
                found += [(branch, pull) for pull in pulls if pull.open and pull.base == base]
        return max(found, key=lambda one: one[1].number, default=None)

    async def _commit(self, workflow: Workflow, wanted: File, branch: str, seen: Seen) -> str:
        message = self.plan.update_commit_message(wanted)
        return (await workflow.replace(branch, seen, wanted, message, self.plan.asked_at)).sha

    async def _offer(self, workflow: Workflow, wanted: File, seen: Seen, base: str, branch: str) -> Placed:
        offer = Offer(
            workflow,
            base=base,
            branch=branch,
            file=wanted,
            message=self.plan.update_commit_message(wanted),
            title=self.plan.update_title if base == self.plan.branch else f"{self.plan.update_title} on {base}",
            body=self.plan.update_body(base),
            at=self.plan.asked_at,
        )
        commit, pull = await offer.make(seen.head)
        return Placed(commit.sha, pull.html_url)


def _in_place(seen: Seen) -> Placed:
    return Placed(seen.commit.sha if seen.commit else seen.head)

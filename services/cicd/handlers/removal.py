"""How what `creation` and `updating` made is taken away again.

Invariants
- Only what carries this environment's mark is touched, and only what is still all our own is deleted. What holds
  somebody's work is kept on purpose, which is no failure.
- The mark comes off last, so an undo that broke off is finished by repeating it.
- An undo ends: what the forge will not let go of is left, and said to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from chassis.failures import PermanentError
from contracts.values import Receipt
from services.cicd.domain import (
    MADE_FOR_VARIABLE,
    TOPIC,
    URL_VARIABLE,
    Commit,
    Mark,
    Repository,
    detach_body,
    detach_message,
    detach_title,
    only_ours,
    owner_of,
    reasons_to_keep,
    users_of,
)
from services.cicd.handlers.notes import Notes
from services.cicd.handlers.placing import Offer, Workflow
from services.cicd.ports import Forge

HISTORY_LIMIT = 100
"""A branch with more commits than this is taken to hold somebody's work without looking at all of them."""


@dataclass(frozen=True)
class Removal:
    """The removal of one environment's pipeline from one repository; `branch` is where it deployed from. With `archive`
    a repository of ours that holds somebody's work is archived."""

    forge: Forge
    repository: str
    branch: str
    mark: Mark
    at: datetime
    archive: bool = False
    notes: Notes = field(default_factory=Notes)

    async def carry_out(self) -> Receipt:
        """Remove what is ours, and say what went, what was kept on purpose and what was left."""
        repository = await self.forge.find(self.repository)
        if repository is None:
            return Receipt()
        variables = await self.forge.variables(repository.name)
        made_by_us = owner_of(repository, variables) == self.mark
        if not made_by_us and users_of(variables).get(self.mark.used_by_variable) != self.mark:
            return Receipt()
        if repository.archived:
            self.notes.keep("repository", repository.name, "It is archived on the forge, so it deploys nothing.")
        elif made_by_us:
            await self._remove_made(repository, variables)
        else:
            await self._detach(Workflow(self.forge, repository.name, self.mark))
            await self._withdraw(repository, variables, await self._our_branches(repository))
        return self.notes.receipt

    async def _detach(self, workflow: Workflow) -> None:
        """Offer to take away the workflow that its owner merged. It is theirs by now, so they decide."""
        seen = await workflow.look(self.branch)
        if seen is None or seen.file is None:
            return
        offer = Offer(
            workflow,
            base=self.branch,
            branch=self.mark.detach_branch,
            file=None,
            message=detach_message(self.mark),
            title=detach_title(self.mark),
            body=detach_body(self.mark),
            at=self.at,
        )
        merged = "It was merged, so it is yours: it tests, and deploys nothing any more."
        try:
            _, pull = await offer.make(seen.head)
        except PermanentError as error:
            reason = f"{merged} Delete it if you like; a pull request for that could not be opened: {error}"
        else:
            reason = f"{merged} Merge {pull.html_url} to remove it."
        self.notes.keep("workflow", f"{workflow.repository}/{workflow.path}", reason)

    async def _our_branches(self, repository: Repository) -> dict[str, str]:
        heads = await self.forge.branches(repository.name, prefix=self.mark.branch)
        return {branch: head for branch, head in heads.items() if self.mark.offers_on(branch)}

    async def _remove_made(self, repository: Repository, variables: Mapping[str, str]) -> None:
        """Delete a repository of ours that holds only our work; from one that holds more, take away what is ours."""
        name = repository.name
        being_made = repository.description == self.mark.claim
        heads = await self.forge.branches(name)
        histories: list[Sequence[Commit]] = []
        for head in dict.fromkeys(heads.values()):
            histories.append(await self.forge.history(name, head, limit=HISTORY_LIMIT))
            if not only_ours(self.mark, histories[-1], being_made=being_made):
                break
        reasons = reasons_to_keep(
            self.mark,
            histories=histories,
            being_made=being_made,
            tags=await self.forge.has_tags(name),
            conversations=await self.forge.has_conversations(name),
            variables=variables,
        )
        if not reasons:
            await self.notes.take("repository", name, partial(self.forge.delete, name))
            if not self.notes.left_behind:
                return
        if being_made:
            await self.notes.take("claim", name, partial(self._without_claim, repository))
        topics = await self.forge.topics(name)
        if TOPIC in topics:
            await self.notes.take("topic", f"{name}/{TOPIC}", partial(self._without_topic, name, topics))
        ours = {branch: head for branch, head in heads.items() if self.mark.offers_on(branch)}
        await self._withdraw(repository, variables, ours)
        if reasons:
            await self._keep(name, reasons, alone=not set(users_of(variables)) - {self.mark.used_by_variable})

    async def _keep(self, name: str, reasons: Sequence[str], *, alone: bool) -> None:
        """Keep a repository that holds somebody's work, archived where that is wanted and nobody else deploys from
        it."""
        held = " and ".join(reasons)
        if not (self.archive and alone):
            self.notes.keep("repository", name, f"It holds {held}. Delete it on the forge if nobody needs it.")
            return
        advice = "Unarchive it on the forge to work on it, or delete it there if nobody needs it."
        try:
            await self.forge.archive(name)
        except PermanentError as error:
            self.notes.keep("repository", name, f"It holds {held}. It could not be archived: {error}")
        else:
            self.notes.keep("repository", name, f"It holds {held}, so it is archived. {advice}")

    async def _without_claim(self, repository: Repository) -> None:
        await self.forge.describe(repository.name, description="", default_branch=repository.default_branch)

    async def _without_topic(self, repository: str, topics: Sequence[str]) -> None:
        await self.forge.set_topics(repository, tuple(topic for topic in topics if topic != TOPIC))

    async def _withdraw(
        self, repository: Repository, variables: Mapping[str, str], branches: Mapping[str, str]
    ) -> None:
        """Take our pull requests, branches, environment and, last of all, our marks out of a repository."""
        name = repository.name
        for branch, head in branches.items():
            await self._withdraw_offer(name, branch, head)
        if self.mark.not_ours_variable in variables:
            self.notes.keep("deployment_environment", f"{name}/{self.mark.environment}", "It was there before Slipway.")
        elif await self.forge.has_environment(name, self.mark.environment):
            await self.notes.take(
                "deployment_environment",
                f"{name}/{self.mark.environment}",
                partial(self.forge.delete_environment, name, self.mark.environment),
            )
        if not set(users_of(variables)) - {self.mark.used_by_variable}:
            await self._remove_variable(name, URL_VARIABLE, variables)
            others = set(users_of(await self.forge.variables(name))) - {self.mark.used_by_variable}
            if others and URL_VARIABLE in variables:
                # Another environment moved in between the two reads; it counts on the variable.
                await self.forge.set_variable(name, URL_VARIABLE, variables[URL_VARIABLE])
        await self._remove_variable(name, self.mark.used_by_variable, variables)
        # After the mark: a removal that broke off and is repeated must still know whose the environment is.
        await self._remove_variable(name, self.mark.not_ours_variable, variables)
        if Mark.parse(variables.get(MADE_FOR_VARIABLE)) == self.mark:
            await self._remove_variable(name, MADE_FOR_VARIABLE, variables)

    async def _withdraw_offer(self, name: str, branch: str, head: str) -> None:
        for pull in await self.forge.pull_requests(name, head=branch):
            if pull.open:
                close = partial(self.forge.close_pull_request, name, pull.number)
                await self.notes.take("pull_request", pull.html_url, close)
        newest = await self.forge.history(name, head, limit=1)
        if newest and newest[0].made_for(self.mark):
            await self.notes.take("branch", f"{name}/{branch}", partial(self.forge.delete_branch, name, branch))
        else:
            self.notes.keep("branch", f"{name}/{branch}", "It holds commits that Slipway did not make.")

    async def _remove_variable(self, repository: str, name: str, variables: Mapping[str, str]) -> None:
        if name in variables:
            remove = partial(self.forge.delete_variable, repository, name)
            await self.notes.take("variable", f"{repository}/{name}", remove)

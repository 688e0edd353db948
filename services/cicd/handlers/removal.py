"""How what `creation` made is taken away again.

Invariants
- Only what carries this environment's mark is touched, and only what is still all our own is deleted.
- The mark comes off last, so an undo that broke off is finished by repeating it.
- An undo ends: what the forge will not let go of is left, and said to be.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from chassis.failures import PermanentError
from contracts.values import LeftBehind, Receipt, Resource
from services.cicd.domain import (
    MADE_FOR_VARIABLE,
    TOPIC,
    URL_VARIABLE,
    Commit,
    Mark,
    Repository,
    only_ours,
    owner_of,
    reasons_to_keep,
    users_of,
    workflow_path,
)
from services.cicd.ports import Forge


class Removal:
    """The removal of one environment's pipeline from one repository; `branch` is where it deployed from."""

    def __init__(self, forge: Forge, repository: str, branch: str, mark: Mark) -> None:
        self.forge = forge
        self.repository = repository
        self.branch = branch
        self.mark = mark
        self.removed: list[Resource] = []
        self.left_behind: list[LeftBehind] = []

    async def carry_out(self) -> Receipt:
        """Remove what is ours, and say what went and what was left."""
        repository = await self.forge.find(self.repository)
        if repository is not None:
            variables = await self.forge.variables(repository.name)
            if owner_of(repository, variables) == self.mark:
                await self._remove_made(repository, variables)
            elif users_of(variables).get(self.mark.used_by_variable) == self.mark:
                await self._withdraw(repository, variables)
                path = workflow_path(self.mark.environment)
                if await self.forge.read(repository.name, path, branch=self.branch) is not None:
                    self.leave("workflow", f"{repository.name}/{path}", "was merged; delete it with a commit of yours")
        return Receipt(removed=tuple(self.removed), left_behind=tuple(self.left_behind))

    async def _remove_made(self, repository: Repository, variables: Mapping[str, str]) -> None:
        """Delete a repository of ours that holds only our work; from one that holds more, take away what is ours."""
        name = repository.name
        histories: list[Sequence[Commit]] = []
        for branch in await self.forge.branches(name):
            histories.append(await self.forge.history(name, branch, limit=3))
            if not only_ours(self.mark, histories[-1]):
                break
        conversations = await self.forge.has_conversations(name)
        reasons = reasons_to_keep(self.mark, histories=histories, conversations=conversations, variables=variables)
        if not reasons:
            await self.take("repository", name, lambda: self.forge.delete(name))
            if not self.left_behind:
                return
        else:
            self.leave("repository", name, f"holds {' and '.join(reasons)}")
        if repository.description == self.mark.claim:
            await self.take("claim", name, partial(self._without_claim, repository))
        topics = await self.forge.topics(name)
        if TOPIC in topics:
            await self.take("topic", f"{name}/{TOPIC}", lambda: self._without_topic(name, topics))
        await self._withdraw(repository, variables)

    async def _without_claim(self, repository: Repository) -> None:
        await self.forge.describe(repository.name, description="", default_branch=repository.default_branch)

    async def _without_topic(self, repository: str, topics: Sequence[str]) -> None:
        await self.forge.set_topics(repository, tuple(topic for topic in topics if topic != TOPIC))

    async def _withdraw(self, repository: Repository, variables: Mapping[str, str]) -> None:
        """Take our pull request, branch, environment and, last of all, our marks out of a repository."""
        name = repository.name
        for pull in await self.forge.pull_requests(name, head=self.mark.branch):
            if pull.open:
                await self.take(
                    "pull_request", pull.html_url, partial(self.forge.close_pull_request, name, pull.number)
                )
        head = await self.forge.history(name, self.mark.branch, limit=1)
        if head and head[0].made_for(self.mark):
            await self.take(
                "branch", f"{name}/{self.mark.branch}", lambda: self.forge.delete_branch(name, self.mark.branch)
            )
        elif head:
            self.leave("branch", f"{name}/{self.mark.branch}", "holds commits that Slipway did not make")
        if await self.forge.has_environment(name, self.mark.environment):
            await self.take(
                "deployment_environment",
                f"{name}/{self.mark.environment}",
                lambda: self.forge.delete_environment(name, self.mark.environment),
            )
        if not set(users_of(variables)) - {self.mark.used_by_variable}:
            await self._remove_variable(name, URL_VARIABLE, variables)
            others = set(users_of(await self.forge.variables(name))) - {self.mark.used_by_variable}
            if others and URL_VARIABLE in variables:
                # Another environment moved in between the two reads; it counts on the variable.
                await self.forge.set_variable(name, URL_VARIABLE, variables[URL_VARIABLE])
        await self._remove_variable(name, self.mark.used_by_variable, variables)
        if Mark.parse(variables.get(MADE_FOR_VARIABLE)) == self.mark:
            await self._remove_variable(name, MADE_FOR_VARIABLE, variables)

    async def _remove_variable(self, repository: str, name: str, variables: Mapping[str, str]) -> None:
        if name in variables:
            await self.take("variable", f"{repository}/{name}", lambda: self.forge.delete_variable(repository, name))

    async def take(self, kind: str, identifier: str, action: Callable[[], Awaitable[None]]) -> None:
        """Remove a thing; where the forge will not have it, say so and go on: an undo ends."""
        try:
            await action()
        except PermanentError as error:
            self.leave(kind, identifier, str(error))
        else:
            self.removed.append(Resource(kind=kind, id=identifier))

    def leave(self, kind: str, identifier: str, reason: str) -> None:
        """Leave a thing, with the reason."""
        self.left_behind.append(LeftBehind(resource=Resource(kind=kind, id=identifier), reason=reason))

"""What workflows find in a repository: variables and deployment environments.

PyGithub's own calls that change or remove one say nothing of a refusal, so those are made here.
"""

from collections.abc import Mapping, Sequence

from github import GithubException
from github.EnvironmentProtectionRuleReviewer import ReviewerParams
from github.Repository import Repository as GithubRepository

from chassis.failures import PermanentError
from services.cicd.adapters.github.answers import or_none
from services.cicd.adapters.github.connection import Connection


class Variables(Connection):
    """Part of `ports.Forge`."""

    async def variables(self, repository: str) -> Mapping[str, str]:
        """See the port."""
        return await self.on(
            repository,
            "read the variables",
            lambda repo: {variable.name: variable.value for variable in repo.get_variables()},
        )

    async def set_variable(self, repository: str, name: str, value: str) -> None:
        """See the port."""

        def put(repo: GithubRepository) -> None:
            try:
                repo.create_variable(name, value)
            except GithubException as error:
                if error.status not in {409, 422}:
                    raise
                # There is one.
                address = f"{repo.url}/actions/variables/{name}"
                repo.requester.requestJsonAndCheck("PATCH", address, input={"name": name, "value": value})

        await self.on(repository, f"set the variable {name}", put)

    async def delete_variable(self, repository: str, name: str) -> None:
        """See the port."""
        await self.on(
            repository, f"remove the variable {name}", lambda repo: _delete(repo, f"actions/variables/{name}")
        )

    async def has_environment(self, repository: str, name: str) -> bool:
        """See the port."""
        return await self.on(
            repository,
            f"look for the environment {name}",
            lambda repo: or_none(lambda: repo.get_environment(name)) is not None,
        )

    async def put_environment(self, repository: str, name: str, *, reviewers: Sequence[str] = ()) -> None:
        """See the port."""
        owner = repository.partition("/")[0]

        def put(repo: GithubRepository) -> None:
            repo.create_environment(name, reviewers=[_reviewer(repo, owner, reviewer) for reviewer in reviewers])

        await self.on(repository, f"create the environment {name}", put)

    async def delete_environment(self, repository: str, name: str) -> None:
        """See the port."""
        await self.on(repository, f"remove the environment {name}", lambda repo: _delete(repo, f"environments/{name}"))


def _reviewer(repo: GithubRepository, owner: str, reviewer: str) -> ReviewerParams:
    """A reviewer as GitHub wants it told: by number. Raises `PermanentError` for one who is not there."""
    kind, _, name = reviewer.partition("/")
    address = f"/orgs/{owner}/teams/{name}" if kind == "team" else f"/users/{name}"
    found = or_none(lambda: repo.requester.requestJsonAndCheck("GET", address))
    if found is None:
        raise PermanentError(
            "reviewer_missing",
            f"the forge knows no {kind} {name} that could agree to deployments of {owner}",
            next_step="Tell the platform team: SLIPWAY_CICD_PRODUCTION_REVIEWERS names somebody who is not there, or"
            " whom the platform's account may not see.",
        )
    return ReviewerParams("Team" if kind == "team" else "User", found[1]["id"])


def _delete(repo: GithubRepository, what: str) -> None:
    or_none(lambda: repo.requester.requestJsonAndCheck("DELETE", f"{repo.url}/{what}"))

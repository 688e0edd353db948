"""Repositories as a whole: their existence, their face, their topics."""

from collections.abc import Sequence

from github import Github
from github.Organization import Organization
from github.Repository import Repository as GithubRepository

from services.cicd.adapters.github.answers import or_none
from services.cicd.adapters.github.connection import Connection
from services.cicd.domain import Repository


class Repositories(Connection):
    """Part of `ports.Forge`."""

    async def find(self, repository: str) -> Repository | None:
        """See the port."""
        found = await self.call(f"look for {repository}", lambda client: or_none(lambda: client.get_repo(repository)))
        return None if found is None else _told(found)

    async def create(self, repository: str, *, description: str, homepage: str) -> Repository:
        """See the port."""
        owner, _, name = repository.partition("/")

        def make(client: Github) -> Repository:
            organization = Organization(client.requester, url=f"/orgs/{owner}", completed=False)
            made = organization.create_repo(
                name,
                description=description,
                homepage=homepage,
                private=self.private,
                # GitHub's Git data calls refuse a repository without a commit.
                auto_init=True,
                has_wiki=False,
                has_projects=False,
                delete_branch_on_merge=True,
            )
            return _told(made)

        return await self.call(f"create {repository}", make)

    async def describe(self, repository: str, *, description: str, default_branch: str) -> None:
        """See the port."""
        await self.on(
            repository,
            "set the default branch",
            lambda repo: repo.edit(
                name=repository.partition("/")[2], description=description, default_branch=default_branch
            ),
        )

    async def delete(self, repository: str) -> None:
        """See the port."""
        await self.on(repository, "delete the repository", lambda repo: or_none(repo.delete))

    async def archive(self, repository: str) -> None:
        """See the port."""
        name = repository.partition("/")[2]
        await self.on(repository, "archive the repository", lambda repo: repo.edit(name=name, archived=True))

    async def topics(self, repository: str) -> tuple[str, ...]:
        """See the port."""
        return await self.on(repository, "read the topics", lambda repo: tuple(repo.get_topics()))

    async def set_topics(self, repository: str, topics: Sequence[str]) -> None:
        """See the port."""
        await self.on(repository, "set the topics", lambda repo: repo.replace_topics(list(topics)))


def _told(found: GithubRepository) -> Repository:
    return Repository(
        name=found.full_name,
        id=found.id,
        html_url=found.html_url,
        clone_url=found.clone_url,
        default_branch=found.default_branch,
        description=found.description or "",
        archived=found.archived,
    )

"""Pull requests, and whether anybody talks."""

from collections.abc import Sequence

from github.PullRequest import PullRequest as GithubPullRequest
from github.Repository import Repository as GithubRepository

from services.cicd.adapters.github.answers import or_none
from services.cicd.adapters.github.connection import Connection
from services.cicd.domain import PullRequest


class PullRequests(Connection):
    """Part of `ports.Forge`."""

    async def has_conversations(self, repository: str) -> bool:
        """See the port."""
        # GitHub counts pull requests among the issues, except where a repository has its issues turned off.
        return await self.on(
            repository,
            "read the conversations",
            lambda repo: any(
                next(iter(listed), None) is not None
                for listed in (repo.get_issues(state="all"), repo.get_pulls(state="all"))
            ),
        )

    async def pull_requests(self, repository: str, *, head: str) -> Sequence[PullRequest]:
        """See the port."""
        owner = repository.partition("/")[0]

        def read(repo: GithubRepository) -> list[PullRequest]:
            return [_told(pull) for pull in repo.get_pulls(state="all", head=f"{owner}:{head}")]

        return await self.on(repository, "read the pull requests", read)

    async def pull_request(self, repository: str, number: int) -> PullRequest | None:
        """See the port."""

        def read(repo: GithubRepository) -> PullRequest | None:
            pull = or_none(lambda: repo.get_pull(number))
            return _told(pull) if pull is not None else None

        return await self.on(repository, f"read the pull request {number}", read)

    async def open_pull_request(self, repository: str, *, head: str, base: str, title: str, body: str) -> PullRequest:
        """See the port."""
        return await self.on(
            repository,
            "open a pull request",
            lambda repo: _told(repo.create_pull(base=base, head=head, title=title, body=body)),
        )

    async def close_pull_request(self, repository: str, number: int) -> None:
        """See the port."""
        await self.on(
            repository, f"close the pull request {number}", lambda repo: _pull(repo, number).edit(state="closed")
        )

    async def reopen_pull_request(self, repository: str, number: int) -> None:
        """See the port."""
        await self.on(
            repository, f"open the pull request {number} again", lambda repo: _pull(repo, number).edit(state="open")
        )


def _pull(repo: GithubRepository, number: int) -> GithubPullRequest:
    return GithubPullRequest(repo.requester, url=f"{repo.url}/pulls/{number}", completed=False)


def _told(pull: GithubPullRequest) -> PullRequest:
    return PullRequest(
        number=pull.number,
        html_url=pull.html_url,
        base=pull.base.ref,
        head_commit=pull.head.sha,
        open=pull.state == "open",
        merged=pull.merged_at is not None,
    )

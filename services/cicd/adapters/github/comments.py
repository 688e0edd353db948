"""Comments on pull requests."""

from github.Issue import Issue as GithubIssue
from github.IssueComment import IssueComment
from github.Repository import Repository as GithubRepository

from services.cicd.adapters.github.connection import Connection
from services.cicd.domain.previews import Comment


class Comments(Connection):
    """Fulfils `ports.Conversations`. For GitHub a pull request is an issue too."""

    async def find_comment(self, repository: str, number: int, mark: str) -> Comment | None:
        """See the port."""

        def find(repo: GithubRepository) -> Comment | None:
            for comment in _issue(repo, number).get_comments():
                if (comment.body or "").startswith(mark):
                    return _told(comment)
            return None

        return await self.on(repository, f"read the comments on {number}", find)

    async def add_comment(self, repository: str, number: int, body: str) -> Comment:
        """See the port."""
        return await self.on(
            repository, f"comment on {number}", lambda repo: _told(_issue(repo, number).create_comment(body))
        )

    async def edit_comment(self, repository: str, comment: int, body: str) -> None:
        """See the port."""

        def edit(repo: GithubRepository) -> None:
            IssueComment(repo.requester, url=f"{repo.url}/issues/comments/{comment}", completed=False).edit(body)

        await self.on(repository, "edit a comment", edit)


def _issue(repo: GithubRepository, number: int) -> GithubIssue:
    return GithubIssue(repo.requester, url=f"{repo.url}/issues/{number}", completed=False)


def _told(comment: IssueComment) -> Comment:
    return Comment(comment.id, comment.body or "")

"""Issues as tickets for the platform team."""

from typing import Final

from github.Issue import Issue as GithubIssue
from github.Repository import Repository as GithubRepository

from services.cicd.adapters.github.connection import Connection
from services.cicd.domain.tickets import Ticket

_LOOKED_AT: Final = 200
"""How many of the newest tickets are searched: one that was opened and never confirmed is a few minutes old."""


class Tickets(Connection):
    """Fulfils `ports.TicketDesk`."""

    async def find_ticket(self, repository: str, *, label: str, mark: str) -> Ticket | None:
        """See the port."""

        def find(repo: GithubRepository) -> Ticket | None:
            issues = repo.get_issues(state="all", labels=[label], sort="created", direction="desc")
            for _, issue in zip(range(_LOOKED_AT), issues, strict=False):
                if mark in (issue.body or "").splitlines():
                    return _told(issue)
            return None

        return await self.on(repository, "read the tickets", find)

    async def open_ticket(self, repository: str, *, title: str, body: str, label: str) -> Ticket:
        """See the port."""
        return await self.on(
            repository,
            "open a ticket",
            lambda repo: _told(repo.create_issue(title=title, body=body, labels=[label])),
        )


def _told(issue: GithubIssue) -> Ticket:
    return Ticket(issue.number, issue.title, issue.html_url)

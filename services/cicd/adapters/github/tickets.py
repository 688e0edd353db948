"""Issues as tickets for the platform team."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, get_args

from github.GithubObject import NotSet
from github.Issue import Issue as GithubIssue
from github.Repository import Repository as GithubRepository
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from services.cicd.adapters.github.connection import Connection
from services.cicd.domain.tickets import Outcome, Ticket, TicketRecord, TicketReply

_LOOKED_AT: Final = 200
"""How many of the newest tickets are searched: one that was opened and never confirmed is a few minutes old."""


_A_PAGE: Final = 100
_OUTCOMES: Final = get_args(Outcome)


class Tickets(Connection):
    """Fulfils `ports.TicketDesk`. Looking for what has changed is in no trace: it belongs to nobody's deed."""

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

    async def changed_tickets(self, repository: str, *, label: str, since: datetime | None) -> Sequence[TicketRecord]:
        """See the port."""

        def look(repo: GithubRepository) -> list[TicketRecord]:
            with suppress_http_instrumentation():
                issues = repo.get_issues(
                    state="all", labels=[label], sort="updated", direction="asc", since=since or NotSet
                )
                return [_record(issue) for issue in issues]

        return await self.on(repository, "look for changed tickets", look)

    async def latest_reply(self, repository: str, ticket: TicketRecord) -> TicketReply | None:
        """See the port. Comments come oldest first and in pages: the last one is on the last."""

        def look(repo: GithubRepository) -> TicketReply | None:
            with suppress_http_instrumentation():
                issue = GithubIssue(repo.requester, url=f"{repo.url}/issues/{ticket.number}", completed=False)
                page = issue.get_comments().get_page(max(0, ticket.replies - 1) // _A_PAGE)
            if not page:
                return None
            last = page[-1]
            return TicketReply(last.user.login if last.user else "ghost", last.body or "", last.created_at)

        return await self.on(repository, "read the replies to a ticket", look) if ticket.replies else None


def _record(issue: GithubIssue) -> TicketRecord:
    return TicketRecord(
        number=issue.number,
        title=issue.title,
        url=issue.html_url,
        body=issue.body or "",
        state="closed" if issue.state == "closed" else "open",
        outcome=next((one for one in _OUTCOMES if one == issue.state_reason), None),
        replies=issue.comments,
        changed_at=issue.updated_at,
    )


def _told(issue: GithubIssue) -> Ticket:
    return Ticket(issue.number, issue.title, issue.html_url)

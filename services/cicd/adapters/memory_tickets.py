"""The twins of the ticket desk and of the facts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from chassis.failures import TransientError
from contracts.signals import Signal, TicketChanged
from services.cicd.domain.tickets import Outcome, Ticket, TicketRecord, TicketReply


@dataclass
class MemoryTicketDesk:
    """Twin of `ports.TicketDesk`. `lose_the_next_answer`: it is opened, and nobody hears of it."""

    tickets: list[tuple[Ticket, str, str, str]] = field(default_factory=list)
    """With the repository, the label and the text of each, the oldest first."""
    lose_the_next_answer: bool = False
    records: dict[int, TicketRecord] = field(default_factory=dict)
    """What became of each, by its number."""
    written: dict[int, list[TicketReply]] = field(default_factory=dict)
    looks: list[datetime | None] = field(default_factory=list)
    """Since when changes were asked for."""
    now: datetime = datetime(2026, 11, 23, tzinfo=UTC)

    async def find_ticket(self, repository: str, *, label: str, mark: str) -> Ticket | None:
        """See the port."""
        for ticket, where, labelled, body in reversed(self.tickets):
            if (where, labelled) == (repository, label) and mark in body.splitlines():
                return ticket
        return None

    async def open_ticket(self, repository: str, *, title: str, body: str, label: str) -> Ticket:
        """See the port."""
        number = len(self.tickets) + 1
        ticket = Ticket(number, title, f"https://forge.test/{repository}/issues/{number}")
        self.tickets.append((ticket, repository, label, body))
        self.records[number] = TicketRecord(number, title, ticket.url, body, "open", None, 0, self.now)
        if self.lose_the_next_answer:
            self.lose_the_next_answer = False
            raise TransientError("the forge did not answer")
        return ticket

    async def changed_tickets(self, repository: str, *, label: str, since: datetime | None) -> Sequence[TicketRecord]:
        """See the port."""
        self.looks.append(since)
        of_label = {
            ticket.number for ticket, where, labelled, _ in self.tickets if (where, labelled) == (repository, label)
        }
        found = [one for one in self.records.values() if one.number in of_label]
        return sorted(
            (one for one in found if since is None or one.changed_at >= since), key=lambda one: one.changed_at
        )

    async def latest_reply(self, repository: str, ticket: TicketRecord) -> TicketReply | None:  # noqa: ARG002
        """See the port."""
        return self.written.get(ticket.number, [None])[-1]

    def answer(self, number: int, author: str, text: str) -> None:
        """Somebody writes under a ticket."""
        self.written.setdefault(number, []).append(TicketReply(author, text, self.now))
        ticket = self.records[number]
        self.records[number] = replace(ticket, replies=ticket.replies + 1, changed_at=self.now)

    def close(self, number: int, outcome: Outcome) -> None:
        """Somebody closes a ticket."""
        self.records[number] = replace(self.records[number], state="closed", outcome=outcome, changed_at=self.now)


@dataclass
class MemoryFacts:
    """Twin of `ports.Facts`: a fact of an id is there once."""

    said: dict[str, Signal] = field(default_factory=dict)

    async def say(self, signal: Signal) -> None:
        """See the port."""
        self.said.setdefault(str(signal.id), signal)

    async def last_change(self) -> datetime | None:
        """See the port."""
        changes = [one.time for one in self.said.values() if isinstance(one, TicketChanged)]
        return changes[-1] if changes else None

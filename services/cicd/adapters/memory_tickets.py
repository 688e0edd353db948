"""The twins of the ticket desk and of the facts."""

from dataclasses import dataclass, field

from chassis.failures import TransientError
from contracts.signals import Signal
from services.cicd.domain.tickets import Ticket


@dataclass
class MemoryTicketDesk:
    """Twin of `ports.TicketDesk`. `lose_the_next_answer`: it is opened, and nobody hears of it."""

    tickets: list[tuple[Ticket, str, str, str]] = field(default_factory=list)
    """With the repository, the label and the text of each, the oldest first."""
    lose_the_next_answer: bool = False

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
        if self.lose_the_next_answer:
            self.lose_the_next_answer = False
            raise TransientError("the forge did not answer")
        return ticket


@dataclass
class MemoryFacts:
    """Twin of `ports.Facts`: a fact of an id is there once."""

    said: dict[str, Signal] = field(default_factory=dict)

    async def say(self, signal: Signal) -> None:
        """See the port."""
        self.said.setdefault(str(signal.id), signal)

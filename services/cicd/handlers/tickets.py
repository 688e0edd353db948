"""The deed of the feedback button: a ticket for the platform team, once, and the word that it is there."""

from dataclasses import dataclass

import structlog

from chassis.clock import Clock
from chassis.identity import EventKey
from contracts.signals import FeedbackGiven, TicketOpened
from contracts.signals import Ticket as TicketFact
from services.cicd.domain.tickets import LABEL, body_of, mark, title_of
from services.cicd.ports import Facts, TicketDesk

_log = structlog.get_logger(__name__)
_SOURCE = "cicd"


@dataclass(frozen=True)
class Tickets:
    """Opens tickets. Safe to repeat: a ticket that is there is found by its mark, and the word has an id that follows
    from the feedback's."""

    desk: TicketDesk
    facts: Facts
    key: EventKey
    clock: Clock
    repository: str
    platform_url: str

    async def open(self, feedback: FeedbackGiven) -> None:
        """Open a ticket about this feedback, or find the one that is there, and say so."""
        ticket = await self.desk.find_ticket(self.repository, label=LABEL, mark=mark(feedback.id))
        if ticket is None:
            ticket = await self.desk.open_ticket(
                self.repository, title=title_of(feedback), body=body_of(feedback, self.platform_url), label=LABEL
            )
        await self.facts.say(
            TicketOpened.model_validate(
                {
                    "id": self.key.derive(feedback.id, TicketOpened.kind),
                    "source": _SOURCE,
                    "subject": feedback.subject,
                    "time": self.clock.now(),
                    "traceparent": feedback.traceparent,
                    "data": TicketFact.model_validate(
                        {
                            "ticket": f"{self.repository}#{ticket.number}",
                            "title": ticket.title,
                            "url": ticket.url,
                            "feedback_id": feedback.id,
                            "person": feedback.data.person,
                        }
                    ),
                }
            )
        )
        _log.info("opened a ticket", feedback_id=str(feedback.id), ticket=f"{self.repository}#{ticket.number}")

"""Telling what becomes of tickets: their state, and what was written under them.

Invariants
- The forge is looked at; nothing depends on it calling us. What it says while nobody looks is told at the next look.
- Where to go on follows from the log: from the change that was told last. So a new process, or a second one, tells
  nothing anew but what fell into the last moments, and that under the same id.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NoReturn
from uuid import UUID

import structlog

from chassis.failures import PermanentError, TransientError
from chassis.identity import EventKey
from contracts.signals import TicketChanged
from services.cicd.domain.tickets import LABEL, TicketRecord, feedback_of, status_of
from services.cicd.ports import Facts, TicketDesk

_log = structlog.get_logger(__name__)
_SOURCE: Final = "cicd"
OVERLAP: Final = timedelta(minutes=2)
"""So far back each look begins: a forge may show a change a moment after others that came later."""


@dataclass
class TicketWatch:
    """Looks at tickets that have changed, and says so. Safe to run in several processes."""

    desk: TicketDesk
    facts: Facts
    key: EventKey
    repository: str
    interval_seconds: float = 60.0
    _told: dict[int, TicketRecord] = field(default_factory=dict)
    """As this process has seen them last."""

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except (TransientError, PermanentError) as error:
                _log.warning("could not look at the tickets", repository=self.repository, error=str(error))
            await asyncio.sleep(self.interval_seconds)

    async def look(self) -> int:
        """Tell every change since the last one that was told; how many there were."""
        last = await self.facts.last_change()
        since = last - OVERLAP if last is not None else None
        told = 0
        for ticket in await self.desk.changed_tickets(self.repository, label=LABEL, since=since):
            if self._told.get(ticket.number) == ticket:
                continue
            if (feedback_id := feedback_of(ticket.body)) is not None:
                await self._tell(ticket, feedback_id)
                told += 1
            self._told[ticket.number] = ticket
        return told

    async def _tell(self, ticket: TicketRecord, feedback_id: UUID) -> None:
        reply = await self.desk.latest_reply(self.repository, ticket)
        status = status_of(self.repository, ticket, feedback_id, reply)
        identity = f"{ticket.changed_at.isoformat()} {status.model_dump_json()}"
        await self.facts.say(
            TicketChanged(
                id=self.key.derive(identity, TicketChanged.kind),
                source=_SOURCE,
                time=ticket.changed_at,
                data=status,
            )
        )
        _log.info("a ticket has changed", ticket=status.ticket, state=status.state, replies=status.replies)

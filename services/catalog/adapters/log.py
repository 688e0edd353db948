"""The log on the bus: verdicts go out here, and what cannot be believed is laid aside."""

from typing import Final

from prometheus_client import Counter

from chassis import dead_letters
from chassis.bus import Bus, ConflictError, Expectation
from chassis.identity import EventKey
from chassis.looking import look
from contracts import subjects
from contracts.events import BY_KIND, parse
from services.catalog.domain.records import EXPLANATIONS, Decision, Message
from services.catalog.ports import Outlook, OvertakenError, Rejected

SAID: Final = Counter("slipway_decisions_said_total", "Verdicts and other decisions said", ["event"])


class BusLog:
    """See `ports.Log`."""

    def __init__(self, bus: Bus, key: EventKey) -> None:
        self._bus = bus
        self._key = key

    async def say(self, decision: Decision) -> None:
        expect = None
        if decision.is_conditional:
            environment = decision.subject.split(".")[1]
            expect = Expectation(subjects.every_event_of(environment), decision.cause_sequence)
        try:
            await self._bus.publish(
                decision.subject,
                decision.body,
                stream=subjects.ENVIRONMENTS,
                message_id=str(decision.event_id),
                expect=expect,
            )
        except ConflictError as error:
            # A single server checks the expectation before the message id: our own success looks like this too.
            last = await self._bus.last_stored(subjects.ENVIRONMENTS, decision.subject)
            if last is None or last.data != decision.body:
                raise OvertakenError from error
        SAID.labels(decision.kind).inc()

    async def outlook(self, decision: Decision, cause: Message) -> Outlook:
        said = BY_KIND[decision.kind]
        return (await look(self._bus, self._key, parse(cause.body), cause.sequence, (said,))).view

    async def lay_aside(self, rejected: Rejected) -> None:
        message = rejected.message
        await dead_letters.lay_aside(
            self._bus,
            service="catalog",
            subject=_printable(message.subject),
            stream=subjects.ENVIRONMENTS,
            sequence=message.sequence,
            body=message.body,
            reason=rejected.rejection,
            error=EXPLANATIONS[rejected.rejection],
        )


def _printable(subject: bytes) -> str:
    """A subject as one that can be published to and written into a header."""
    return "".join(c if c.isprintable() and c not in " *>" else "?" for c in subject.decode(errors="replace"))

"""The twin of what the catalog knows of feedback: what was said on the twin of the facts, and tickets as they are."""

from dataclasses import dataclass, field
from uuid import UUID

from chassis.failures import TransientError
from contracts.feedback import FeedbackPage, FeedbackView, FindFeedback, GetSurvey, Survey, TicketView
from contracts.signals import FeedbackGiven, Signal, SurveyAnswered, SurveyDeclined
from services.gateway.adapters.memory import MemorySignals


@dataclass
class MemoryVoices:
    """Twin of `ports.Voices`."""

    signals: MemorySignals
    tickets: dict[UUID, TicketView] = field(default_factory=dict)
    """By the feedback that they are about."""
    away: bool = False

    async def feedback(self, query: FindFeedback) -> FeedbackPage:
        """See the port."""
        found = [
            FeedbackView(
                id=one.id,
                sequence=sequence,
                at=one.time,
                person=one.data.person,
                text=one.data.text,
                page=one.data.page,
                run_id=one.data.run_id,
                ticket=self.tickets.get(one.id),
            )
            for sequence, one in enumerate(self._said(), 1)
            if isinstance(one, FeedbackGiven) and one.data.person == query.person
            if query.before_sequence is None or sequence < query.before_sequence
        ][::-1]
        items = found[: query.limit]
        return FeedbackPage(items=tuple(items), next_before=items[-1].sequence if len(found) > query.limit else None)

    async def survey(self, query: GetSurvey) -> Survey:
        """See the port."""
        said = [one for one in self._said() if one.time >= query.since]
        answers = [one.time for one in said if isinstance(one, SurveyAnswered) and one.data.person == query.person]
        refusals = [one.time for one in said if isinstance(one, SurveyDeclined) and one.data.person == query.person]
        return Survey(answered_at=min(answers, default=None), declined_at=min(refusals, default=None))

    def _said(self) -> list[Signal]:
        if self.away:
            raise TransientError("the catalog is away")
        return list(self.signals.said.values())

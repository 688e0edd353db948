"""The twin of what people told the platform team."""

from dataclasses import dataclass

from contracts.feedback import FeedbackPage, FindFeedback, GetSurvey, Survey
from contracts.signals import (
    AnySignal,
    FeedbackGiven,
    SurveyAnswered,
    SurveyDeclined,
    TicketChanged,
    TicketOpened,
    parse_signal,
)
from services.catalog.adapters.memory_signals import MemorySignals
from services.catalog.domain.feedback import feedback_view, survey_view


@dataclass
class MemoryVoices:
    """See `ports.Voices`."""

    signals: MemorySignals

    async def feedback(self, query: FindFeedback) -> FeedbackPage:
        said = self._said()
        found = [
            feedback_view(
                sequence,
                given,
                next((one for one in said.values() if isinstance(one, TicketOpened) and _is_about(one, given)), None),
                [one for one in said.values() if isinstance(one, TicketChanged) and _is_about(one, given)],
            )
            for sequence, given in sorted(said.items(), reverse=True)
            if isinstance(given, FeedbackGiven) and given.data.person == query.person
            if query.before_sequence is None or sequence < query.before_sequence
        ]
        items = found[: query.limit]
        return FeedbackPage(items=tuple(items), next_before=items[-1].sequence if len(found) > query.limit else None)

    async def survey(self, query: GetSurvey) -> Survey:
        return survey_view(
            [
                one
                for one in self._said().values()
                if isinstance(one, SurveyAnswered | SurveyDeclined)
                and one.data.person == query.person
                and one.time >= query.since
            ]
        )

    def _said(self) -> dict[int, AnySignal]:
        return {sequence: parse_signal(body) for sequence, body in self.signals.believed()}


def _is_about(one: TicketOpened | TicketChanged, given: FeedbackGiven) -> bool:
    return one.data.feedback_id == given.id

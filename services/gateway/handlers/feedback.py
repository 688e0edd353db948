"""Taking what people think of the platform, and passing it on as facts.

Invariant: what is sent twice counts once, and each person's answer to the survey counts once a quarter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from chassis import tracing
from chassis.clock import Clock
from contracts.signals import Answer, Feedback, FeedbackGiven, SurveyAnswered
from services.gateway.domain.feedback import AnswerSurvey, GiveFeedback, quarter
from services.gateway.domain.people import Principal
from services.gateway.ports import Signals

_log = structlog.get_logger(__name__)
_SOURCE = "gateway"


@dataclass(frozen=True)
class Listening:
    """Says what people say."""

    signals: Signals
    derive: Callable[[UUID | str, str], UUID]
    """The id that follows from a text and a kind."""
    clock: Clock

    async def feedback(self, principal: Principal, ask: GiveFeedback, key: str) -> FeedbackGiven:
        """Tell the platform team. The same key is the same word."""
        said = FeedbackGiven(
            id=self.derive(f"{principal.subject} {key}", FeedbackGiven.kind),
            source=_SOURCE,
            time=self.clock.now(),
            traceparent=tracing.traceparent(),
            data=Feedback(person=principal.person, text=ask.text, page=ask.page),
        )
        await self.signals.say(said)
        _log.info("somebody gave feedback", person=principal.person, feedback_id=str(said.id))
        return said

    async def survey(self, principal: Principal, ask: AnswerSurvey) -> SurveyAnswered:
        """Answer this quarter's survey; the first answer counts."""
        now = self.clock.now()
        said = SurveyAnswered(
            id=self.derive(f"{principal.subject} {quarter(now)}", SurveyAnswered.kind),
            source=_SOURCE,
            time=now,
            traceparent=tracing.traceparent(),
            data=Answer(person=principal.person, score=ask.score, text=ask.text),
        )
        await self.signals.say(said)
        _log.info("somebody answered the survey", person=principal.person)
        return said

"""Taking what people think of the platform, passing it on as facts, and telling them what became of it.

Invariants
- What is sent twice counts once, and each person's answer to the survey counts once a quarter.
- Everybody is told of their own feedback and of nobody else's, whatever their role.
- Whoever was asked for an opinion in this quarter, and answered or did not want to, is not asked again in it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

import structlog

from chassis import tracing
from chassis.clock import Clock
from chassis.failures import TransientError
from contracts.feedback import FeedbackPage, FindFeedback, GetSurvey, Survey
from contracts.signals import Answer, Feedback, FeedbackGiven, Silence, SurveyAnswered, SurveyDeclined
from services.gateway.domain.feedback import AnswerSurvey, GiveFeedback, quarter, quarter_begins
from services.gateway.domain.people import Principal
from services.gateway.ports import Signals, Voices

_log = structlog.get_logger(__name__)
_SOURCE = "gateway"
_LOOKS = 20
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class Listening:
    """Says what people say, and what came of it."""

    signals: Signals
    voices: Voices
    derive: Callable[[UUID | str, str], UUID]
    """The id that follows from a text and a kind."""
    clock: Clock

    async def feedback(self, principal: Principal, ask: GiveFeedback, key: str | None) -> FeedbackGiven:
        """Tell the platform team. The same key is the same word."""
        said = FeedbackGiven(
            id=self.derive(f"{principal.subject} {key or uuid4()}", FeedbackGiven.kind),
            source=_SOURCE,
            time=self.clock.now(),
            traceparent=tracing.traceparent(),
            data=Feedback(person=principal.person, text=ask.text, page=ask.page, run_id=ask.run_id),
        )
        await self.signals.say(said)
        await self._until_known(lambda: self._is_known(principal, said.id))
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
        await self._until_known(lambda: self._is_settled(principal))
        _log.info("somebody answered the survey", person=principal.person)
        return said

    async def decline(self, principal: Principal) -> SurveyDeclined:
        """Do not ask again in this quarter."""
        now = self.clock.now()
        said = SurveyDeclined(
            id=self.derive(f"{principal.subject} {quarter(now)}", SurveyDeclined.kind),
            source=_SOURCE,
            time=now,
            traceparent=tracing.traceparent(),
            data=Silence(person=principal.person),
        )
        await self.signals.say(said)
        await self._until_known(lambda: self._is_settled(principal))
        return said

    async def told_by(self, principal: Principal, before: int | None, limit: int) -> FeedbackPage:
        """What one said, with the tickets that it became, the newest first."""
        return await self.voices.feedback(FindFeedback(person=principal.person, before_sequence=before, limit=limit))

    async def survey_of(self, principal: Principal) -> Survey:
        """What one made of this quarter's survey."""
        return await self.voices.survey(GetSurvey(person=principal.person, since=quarter_begins(self.clock.now())))

    async def _is_known(self, principal: Principal, feedback_id: UUID) -> bool:
        page = await self.told_by(principal, None, 5)
        return any(one.id == feedback_id for one in page.items)

    async def _is_settled(self, principal: Principal) -> bool:
        survey = await self.survey_of(principal)
        return survey.answered_at is not None or survey.declined_at is not None

    async def _until_known(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the catalog has read what was said, a second at most: whoever said it sees it at once. It is said
        in any case."""
        try:
            for _ in range(_LOOKS):
                if await look():
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
        except TransientError as error:
            _log.info("the catalog does not say whether it has heard", error=str(error))

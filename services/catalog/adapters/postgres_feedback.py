"""What people told the platform team, read from the copy of the facts."""

from typing import Any, Final, LiteralString

from chassis.database import Database
from contracts.feedback import FeedbackPage, FeedbackView, FindFeedback, GetSurvey, Survey
from contracts.signals import FeedbackGiven, SurveyAnswered, SurveyDeclined, TicketChanged, TicketOpened, parse_signal
from contracts.upcasting import read
from services.catalog.adapters.postgres import connection
from services.catalog.domain.feedback import feedback_view, survey_view

_FEEDBACK: Final = """
SELECT f.sequence, f.body, (
    SELECT o.body FROM signals o
    WHERE o.rejection IS NULL AND o.kind = 'ticket_opened'
      AND signal_feedback(o.body) = f.signal_id::text
    ORDER BY o.time, o.sequence LIMIT 1
), ARRAY(
    SELECT c.body FROM signals c
    WHERE c.rejection IS NULL AND c.kind = 'ticket_changed'
      AND signal_feedback(c.body) = f.signal_id::text
    ORDER BY c.time DESC, c.sequence DESC LIMIT 10
)
FROM signals f
WHERE f.rejection IS NULL AND f.kind = 'feedback_given' AND signal_person(f.body) = %(person)s
  AND (%(before)s::bigint IS NULL OR f.sequence < %(before)s)
ORDER BY f.sequence DESC LIMIT %(limit)s
"""
_SURVEY: Final = """
SELECT body FROM signals
WHERE rejection IS NULL AND kind IN ('survey_answered', 'survey_declined') AND signal_person(body) = %(person)s
  AND time >= %(since)s
"""


class PostgresVoices:
    """See `ports.Voices`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def feedback(self, query: FindFeedback) -> FeedbackPage:
        values = {"person": query.person, "before": query.before_sequence, "limit": query.limit + 1}
        rows = await self._rows(_FEEDBACK, values)
        items = [_view(*row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return FeedbackPage(items=tuple(items), next_before=items[-1].sequence if more else None)

    async def survey(self, query: GetSurvey) -> Survey:
        rows = await self._rows(_SURVEY, {"person": query.person, "since": query.since})
        said = [parse_signal(row[0]) for row in rows]
        return survey_view([one for one in said if isinstance(one, SurveyAnswered | SurveyDeclined)])

    async def _rows(self, statement: LiteralString, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with connection(self._database) as database:
            return await (await database.execute(statement, values)).fetchall()


def _view(sequence: int, given: bytes, opened: bytes | None, changes: list[bytes]) -> FeedbackView:
    return feedback_view(
        sequence,
        read(FeedbackGiven.model_validate_json, given),
        read(TicketOpened.model_validate_json, opened) if opened is not None else None,
        [read(TicketChanged.model_validate_json, change) for change in changes],
    )

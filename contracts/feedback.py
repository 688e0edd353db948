"""Questions about what people told the platform team: what became of it, and who has answered the survey.

All of it follows from the facts on `SIGNALS`. Whoever asks for somebody's answers for whether they may know them.
"""

from typing import Literal
from uuid import UUID

from pydantic import Field

from contracts.envelope import Timestamp, Value
from contracts.names import PersonName
from contracts.queries import Query
from contracts.signals import Reply


class TicketView(Value):
    """The ticket that feedback became, as it was told last."""

    ticket: str
    title: str
    url: str
    opened_at: Timestamp
    state: Literal["open", "closed"] = "open"
    outcome: Literal["completed", "not_planned", "duplicate"] | None = None
    changed_at: Timestamp | None = None
    """None: nobody has said anything of it since it was opened."""
    replies: int = 0
    reply: Reply | None = None
    """The latest."""


class FeedbackView(Value):
    """What somebody said, and what became of it."""

    id: UUID
    sequence: int
    """Of `SIGNALS`."""
    at: Timestamp
    person: PersonName
    text: str
    page: str = ""
    run_id: UUID | None = None
    ticket: TicketView | None = None
    """None while none is open."""


class FeedbackPage(Value):
    items: tuple[FeedbackView, ...]
    next_before: int | None = None


class FindFeedback(Query[FeedbackPage]):
    """What one person said, the newest first."""

    name = "feedback"
    person: PersonName
    before_sequence: int | None = None
    limit: int = Field(default=50, ge=1, le=200)


class Survey(Value):
    """Whether somebody has answered the survey, or does not want to."""

    answered_at: Timestamp | None = None
    declined_at: Timestamp | None = None


class GetSurvey(Query[Survey]):
    """What one person made of the survey since a moment: the beginning of a quarter."""

    name = "survey"
    person: PersonName
    since: Timestamp

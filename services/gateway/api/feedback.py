"""`/feedback`: a word to the platform team, and what became of yours."""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from contracts.envelope import Timestamp
from contracts.feedback import FeedbackView, TicketView
from services.gateway.api.answers import API
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.feedback import GiveFeedback
from services.gateway.domain.people import Principal


class ReplyAnswer(BaseModel):
    """What somebody wrote under a ticket: text, whatever it looks like."""

    author: str
    text: str
    at: Timestamp


class TicketAnswer(BaseModel):
    """The ticket that feedback became."""

    id: str
    title: str
    url: str
    state: Literal["open", "closed"]
    outcome: Literal["completed", "not_planned", "duplicate"] | None
    opened_at: Timestamp
    changed_at: Timestamp | None
    replies: int
    reply: ReplyAnswer | None
    """The latest."""


class FeedbackAnswer(BaseModel):
    """What you said, and what became of it; without a ticket while none is open."""

    id: UUID
    at: Timestamp
    text: str
    page: str
    run_id: UUID | None
    ticket: TicketAnswer | None


class FeedbackAnswers(BaseModel):
    """A page of your feedback, the newest first."""

    items: list[FeedbackAnswer]
    next_cursor: str | None


class FeedbackGivenAnswer(BaseModel):
    """What was said to the platform team."""

    id: UUID
    at: Timestamp


async def give_feedback(body: GiveFeedback, asker: Asker, key: IdempotencyKey, gateway: Deeds) -> FeedbackGivenAnswer:
    """Tell the platform team what is in your way; it becomes a ticket. The same key is the same word."""
    said = await gateway.listening.feedback(asker, body, key)
    return FeedbackGivenAnswer(id=said.id, at=said.time)


async def list_feedback(
    asker: Asker,
    gateway: Deeds,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> FeedbackAnswers:
    """Your own feedback with its tickets, their state and the latest reply."""
    return await page_of_feedback(gateway, asker, cursor, limit)


async def page_of_feedback(gateway: Gateway, asker: Principal, cursor: str | None, limit: int) -> FeedbackAnswers:
    """A page of what somebody said."""
    of_list = f"feedback {asker.subject}"
    before = int(gateway.cursors.read(of_list, cursor)) if cursor is not None else None
    found = await gateway.listening.told_by(asker, before, limit)
    more = gateway.cursors.make(of_list, str(found.next_before)) if found.next_before is not None else None
    return FeedbackAnswers(items=[_feedback(one) for one in found.items], next_cursor=more)


def _feedback(view: FeedbackView) -> FeedbackAnswer:
    return FeedbackAnswer(
        id=view.id,
        at=view.at,
        text=view.text,
        page=view.page,
        run_id=view.run_id,
        ticket=_ticket(view.ticket) if view.ticket is not None else None,
    )


def _ticket(view: TicketView) -> TicketAnswer:
    reply = view.reply
    return TicketAnswer(
        id=view.ticket,
        title=view.title,
        url=view.url,
        state=view.state,
        outcome=view.outcome,
        opened_at=view.opened_at,
        changed_at=view.changed_at,
        replies=view.replies,
        reply=ReplyAnswer(author=reply.author, text=reply.text, at=reply.at) if reply is not None else None,
    )


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/feedback", list_feedback, VIEWER, 200, FeedbackAnswers, "feedback"),
    Endpoint("POST", f"{API}/feedback", give_feedback, VIEWER, 202, FeedbackGivenAnswer, "feedback"),
)

"""Feedback: a word to the platform team, what became of yours, and the survey, once a quarter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from chassis.failures import TransientError
from contracts.feedback import Survey
from services.gateway.api import problems
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.feedback import FeedbackAnswer, FeedbackAnswers, page_of_feedback
from services.gateway.api.problems import Problem
from services.gateway.domain.feedback import AnswerSurvey, GiveFeedback, next_quarter_begins, quarter
from services.gateway.domain.refusals import RefusalError
from services.gateway.portal import forms
from services.gateway.portal.rendering import field_errors, now, page, safe_link

_log = structlog.get_logger(__name__)

ROWS: Final = 20
SCORES: Final = (("5", "5, very"), ("4", "4"), ("3", "3"), ("2", "2"), ("1", "1, not at all"))


@dataclass(frozen=True)
class Row:
    """Something that somebody said, as the page shows it."""

    said: FeedbackAnswer
    title: str
    state: str
    """Of `words.TICKET`."""
    ticket_link: str | None
    page_link: str | None


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The two forms, and what became of one's feedback. `?about=` names the page that one comes from."""
    return await _page(request, visitor, gateway, typed={"page": request.query_params.get("about", "")})


async def _page(
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    *,
    typed: Mapping[str, str],
    problem: Problem | None = None,
) -> Response:
    moment = now(gateway)
    cursor = request.query_params.get("cursor") or None
    mine, survey = await _mine(visitor, gateway, cursor)
    rows = [_row(one, gateway) for one in mine.items] if mine is not None else []
    return page(
        request,
        visitor,
        gateway,
        "feedback.html",
        here="feedback",
        title="Feedback",
        status=problem.status if problem is not None else 200,
        typed=typed,
        problem=problem,
        errors=field_errors(problem),
        scores=SCORES,
        quarter=quarter(moment),
        asked_again=next_quarter_begins(moment),
        survey=survey,
        asks=survey is not None and _asks(survey, request, problem),
        rows=rows,
        known=mine is not None,
        waits=any(row.state == "waiting" for row in rows),
        cursor=cursor,
        next_cursor=mine.next_cursor if mine is not None else None,
    )


async def _mine(visitor: Visitor, gateway: Gateway, cursor: str | None) -> tuple[FeedbackAnswers | None, Survey | None]:
    """What one said and made of the survey; None where that cannot be had now: the form is there in any case."""
    try:
        mine = await page_of_feedback(gateway, visitor.principal, cursor, ROWS)
        return mine, await gateway.listening.survey_of(visitor.principal)
    except TransientError as error:
        _log.info("nobody's feedback is known at the moment", error=str(error))
        return None, None


def _asks(survey: Survey, request: Request, problem: Problem | None) -> bool:
    """Whether the survey is asked: once a quarter, and again only for whoever wants to answer after all."""
    if survey.answered_at is not None:
        return False
    return survey.declined_at is None or request.query_params.get("survey") == "open" or problem is not None


def _row(said: FeedbackAnswer, gateway: Gateway) -> Row:
    ticket = said.ticket
    state = "waiting" if ticket is None else ticket.outcome or ticket.state
    return Row(
        said=said,
        title=ticket.title if ticket is not None else " ".join(said.text.split())[:80],
        state=state,
        ticket_link=safe_link(ticket.url, gateway) if ticket is not None else None,
        page_link=safe_link(said.page, gateway) if said.page.startswith("/") else None,
    )


async def survey_is_due(visitor: Visitor, gateway: Gateway) -> bool:
    """Whether somebody is still to be asked in this quarter; not while nobody knows whether they were."""
    try:
        survey = await gateway.listening.survey_of(visitor.principal)
    except TransientError:
        return False
    return survey.answered_at is None and survey.declined_at is None


async def give(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Pass a word on."""
    sent = await forms.posted(request)
    try:
        ask = forms.understood(GiveFeedback, {"text": sent.get("text", ""), "page": sent.get("page", "")})
        await gateway.listening.feedback(visitor.principal, ask, forms.key_of(sent))
    except RefusalError as error:
        problem = problems.of(error, request.url.path).problem
        return await _page(request, visitor, gateway, typed=sent, problem=problem)
    return RedirectResponse("/feedback?done=feedback", 303)


async def survey(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Take an answer to the survey."""
    sent = await forms.posted(request)
    score = sent.get("score", "")
    values = {"score": int(score) if score in dict(SCORES) else score, "text": sent.get("why", "")}
    try:
        await gateway.listening.survey(visitor.principal, forms.understood(AnswerSurvey, values))
    except RefusalError as error:
        problem = problems.of(error, request.url.path).problem
        return await _page(request, visitor, gateway, typed=sent, problem=problem)
    return RedirectResponse("/feedback?done=survey", 303)


async def decline(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Do not ask again in this quarter."""
    sent = await forms.posted(request)
    await gateway.listening.decline(visitor.principal)
    return RedirectResponse(f"{'/' if sent.get('from') == 'home' else '/feedback'}?done=survey_declined", 303)


PAGES: Final = (
    Page("GET", "/feedback", show),
    Page("POST", "/feedback", give),
    Page("POST", "/feedback/survey", survey),
    Page("POST", "/feedback/survey/decline", decline),
)

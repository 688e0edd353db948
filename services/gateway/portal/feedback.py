"""Feedback: a word to the platform team, and the survey, once a quarter."""

from collections.abc import Mapping
from typing import Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api import problems
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.feedback import AnswerSurvey, GiveFeedback, quarter
from services.gateway.domain.refusals import RefusalError
from services.gateway.portal import forms
from services.gateway.portal.rendering import field_errors, now, page

SCORES: Final = (("5", "5, very"), ("4", "4"), ("3", "3"), ("2", "2"), ("1", "1, not at all"))


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The two forms. `?about=` names the page that one comes from."""
    return _page(request, visitor, gateway, typed={"page": request.query_params.get("about", "")})


def _page(
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    *,
    typed: Mapping[str, str],
    problem: Problem | None = None,
) -> Response:
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
        quarter=quarter(now(gateway)),
    )


async def give(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Pass a word on."""
    sent = await forms.posted(request)
    try:
        ask = forms.understood(GiveFeedback, {"text": sent.get("text", ""), "page": sent.get("page", "")})
        await gateway.listening.feedback(visitor.principal, ask, forms.key_of(sent))
    except RefusalError as error:
        problem = problems.of(error, request.url.path).problem
        return _page(request, visitor, gateway, typed=sent, problem=problem)
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
        return _page(request, visitor, gateway, typed=sent, problem=problem)
    return RedirectResponse("/feedback?done=survey", 303)


PAGES: Final = (
    Page("GET", "/feedback", show),
    Page("POST", "/feedback", give),
    Page("POST", "/feedback/survey", survey),
)

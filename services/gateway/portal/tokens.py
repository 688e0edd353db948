"""API tokens: make one, which is shown once, and end one."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from services.gateway.api import problems
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.admission import CreateToken
from services.gateway.domain.people import ROLES, reaches
from services.gateway.domain.refusals import RefusalError
from services.gateway.portal import forms
from services.gateway.portal.rendering import field_errors, now, page

DAYS: Final = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("366", "a year"))


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """One's tokens; as an admin everybody's."""
    return await _page(request, visitor, gateway)


async def _page(
    request: Request,
    visitor: Visitor,
    gateway: Gateway,
    problem: Problem | None = None,
    **more: Any,
) -> Response:
    tokens = await gateway.tokens.list(visitor.principal)
    moment = now(gateway)
    return page(
        request,
        visitor,
        gateway,
        "tokens.html",
        here="tokens",
        title="API tokens",
        status=problem.status if problem is not None else 200,
        tokens=[(token, token.is_open(moment)) for token in tokens],
        roles=[role for role in ROLES if reaches(visitor.principal.role, role)],
        days=DAYS,
        problem=problem,
        errors=field_errors(problem),
        typed=more.get("typed", {}),
        new_token=more.get("new_token"),
        new_name=more.get("new_name", ""),
    )


async def create(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """A new token, which this one answer shows."""
    sent = await forms.posted(request)
    try:
        token, text = await gateway.tokens.create(visitor.principal, _ask(sent))
    except RefusalError as error:
        return await _page(request, visitor, gateway, problems.of(error, request.url.path).problem, typed=sent)
    return await _page(request, visitor, gateway, new_token=text.get_secret_value(), new_name=token.name)


def _ask(sent: Mapping[str, str]) -> CreateToken:
    days = sent.get("expires_in_days", "")
    values: dict[str, Any] = {"name": sent.get("name", "").strip(), "role": sent.get("role", "")}
    values["expires_in_days"] = int(days) if days.isascii() and days.isdigit() and len(days) < 5 else days
    return forms.understood(CreateToken, values)


async def revoke(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """End a token."""
    await gateway.tokens.revoke(visitor.principal, str(request.path_params["id"]))
    return RedirectResponse("/tokens?done=token_revoked", 303)


PAGES: Final = (
    Page("GET", "/tokens", show, "developer"),
    Page("POST", "/tokens", create, "developer"),
    Page("POST", "/tokens/{id}/revoke", revoke, "developer"),
)

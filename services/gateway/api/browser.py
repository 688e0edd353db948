"""The browser's door. Every page goes through here, in this order: trace, session, rate, role, origin, form.

Invariants
- A page is made from a `Page`, which says the role that it takes; one that takes nobody says so.
- Nothing is changed by a page but what a form of our own sent, with the token of the very session that sends it.
- Whatever happens behind the door, what comes out is a page.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import SecretStr
from starlette.routing import Route
from starlette.types import Message

from chassis import tracing
from services.gateway.api import cookies, html, limits, problems
from services.gateway.api.auth import Gate
from services.gateway.api.context import Gateway
from services.gateway.api.cookies import Site
from services.gateway.api.routing import TRACE_HEADER, note, root_span, tell
from services.gateway.domain.people import Principal, Role
from services.gateway.domain.refusals import (
    ForbiddenError,
    UnauthenticatedError,
    UnknownThingError,
    UnsupportedMediaTypeError,
)
from services.gateway.domain.sessions import csrf_token

CSRF_FIELD: Final = "csrf_token"
"""What the hidden field of every form is called."""
_FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page."""

    principal: Principal
    csrf_token: str
    """To be put into every form, as `CSRF_FIELD`."""
    signed_in_until: datetime
    """If they do nothing more; never later than the session's fixed end."""


Show = Callable[[Request, Visitor, Gateway], Awaitable[Response]]
ShowProblem = Callable[[Request, Visitor | None, Gateway, problems.Problem], Awaitable[Response]]
Frame = Callable[[Visitor | None, Gateway], dict[str, Any]]
"""What `base.html` knows on every page."""


@dataclass(frozen=True)
class Page:
    """One row of the table of pages."""

    method: Literal["GET", "POST"]
    path: str
    show: Show
    role: Role = "viewer"
    anonymous: bool = False
    """Whether it is shown to whoever is not signed in, too; `show` is then given None in place of the visitor."""
    is_part: bool = False
    """Whether it is loaded by pages and the same for everybody: no session is looked up for it, and no span made."""


async def problem_page(
    request: Request, visitor: Visitor | None, gateway: Gateway, problem: problems.Problem
) -> Response:
    """What a problem looks like, unless the portal brings a page of its own."""
    return await render(request, visitor, gateway, "sign_in/problem.html", problem.status, problem=problem)


async def render(
    request: Request, visitor: Visitor | None, gateway: Gateway, template: str, status: int = 200, /, **values: Any
) -> Response:
    """A page made of `portal/templates/<template>`, in the frame that the application was given."""
    frame: Frame = request.app.state.frame
    return html.page(template, status, **{**frame(visitor, gateway), **values})


def serve_pages(
    app: FastAPI,
    gate: Gate,
    gateway: Gateway,
    pages: tuple[Page, ...],
    *,
    frame: Frame,
    show_problem: ShowProblem = problem_page,
) -> None:
    """Add these pages to the application.

    `show_problem` renders whatever a page raises, and a page that is not there; `frame` gives `base.html` what it
    needs.
    """
    app.state.show_problem, app.state.frame = show_problem, frame
    for page in pages:
        app.router.routes.append(
            Route(page.path, _handler(gate, gateway, page), methods=[page.method], include_in_schema=False)
        )


def wants_page(request: Request) -> bool:
    """Whether a browser asked, for something that is not of the API."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


async def show_error(request: Request, error: Exception, visitor: Visitor | None = None) -> Response:
    """Any exception as a page."""
    refused = problems.of(error, request.url.path)
    show: ShowProblem = request.app.state.show_problem
    response = await show(request, visitor, request.app.state.gateway, refused.problem)
    for name, value in (html.HEADERS | refused.headers).items():
        if name != "WWW-Authenticate":  # a browser would ask for a password
            response.headers.setdefault(name, value)
    return response


def _handler(gate: Gate, gateway: Gateway, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def hand_out(request: Request) -> Response:
        try:
            response = await page.show(request, cast("Visitor", None), gateway)
        except UnknownThingError as error:
            response = await show_error(request, error)
        for name, value in html.HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    if page.is_part:
        return hand_out

    async def handle(request: Request) -> Response:
        with root_span(request, page.path) as span:
            response = await _answer(gate, gateway, page, request)
            for name, value in html.HEADERS.items():
                response.headers.setdefault(name, value)
            if trace_id := tracing.trace_id():
                response.headers[TRACE_HEADER] = trace_id
            tell(span, response)
            note(request, page.path, response)
            return response

    return handle


async def _answer(gate: Gate, gateway: Gateway, page: Page, request: Request) -> Response:
    visitor: Visitor | None = None
    try:
        limits.check_query(request.scope["query_string"])
        site = Site(gateway.links.public_url)
        secret = site.cookie(request, cookies.SESSION)
        visitor = await _visitor(gate, secret, request)
        if visitor is not None:
            request.state.principal = visitor.principal
            visitor.principal.require(page.role)
        elif not page.anonymous:
            return _ask_to_sign_in(request)
        if page.method == "POST":
            site.require_own_page(request)
            request = await _form(request)
            if visitor is not None:
                await _require_csrf_token(request, visitor)
        return await page.show(request, cast("Visitor", visitor), gateway)
    except Exception as error:  # noqa: BLE001 - whatever it is, it leaves as a page
        return await show_error(request, error, visitor)


async def _visitor(gate: Gate, secret: SecretStr | None, request: Request) -> Visitor | None:
    address = f"address {request.client.host if request.client else 'unknown'}"
    if secret is None:
        gate.limiter.take(address)
        return None
    try:
        session = await gate.sessions.find(secret)
    except UnauthenticatedError:
        gate.limiter.take(address)
        return None
    gate.limiter.take(f"principal {session.principal.subject}")
    return Visitor(session.principal, csrf_token(secret), gate.sessions.ends_at(session))


def _ask_to_sign_in(request: Request) -> Response:
    if request.method == "POST":
        raise UnauthenticatedError(
            "You are not signed in any more, and nothing was changed. Sign in and send it again."
        )
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", 303)


async def _form(request: Request) -> Request:
    """The same request with its form read, and no more of it than an honest one has."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORM_TYPES or "content-encoding" in request.headers:
        raise UnsupportedMediaTypeError("Send a form.")
    body = await limits.read(request.stream(), request.headers.get("content-length"))

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, again)


async def _require_csrf_token(request: Request, visitor: Visitor) -> None:
    sent: list[Any] = (await request.form()).getlist(CSRF_FIELD)
    if len(sent) != 1 or not isinstance(sent[0], str) or not _is_same(sent[0], visitor.csrf_token):
        raise ForbiddenError("This form belongs to another session, and nothing was changed. Open the page again.")


def _is_same(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode())

"""`/sign-in`, its way back, and `/sign-out`: how somebody with a browser shows who they are."""

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Path, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from contracts.names import PersonName
from services.gateway.api.answers import API
from services.gateway.api.auth import VIEWER
from services.gateway.api.browser import Page, Visitor, render
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.cookies import SESSION, SIGNING_IN, site_of
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.domain.sign_ins import LASTS, local_path
from services.gateway.handlers.signing_in import NO_ISSUER

CALLBACK: Final = "/sign-in/callback"
"""Where the issuer sends browsers back: the redirect URI is the public address and this."""
_START: Final = "/sign-in/start"
_PARAMETERS: Final = ("state", "code", "iss")


async def show_sign_in(request: Request, visitor: Visitor | None, gateway: Gateway) -> Response:
    """By whom one signs in. Whoever is signed in goes where they wanted to go."""
    where = local_path(_only(request, "next"))
    if visitor is not None:
        return RedirectResponse(where, 303)
    if gateway.signing_in.issuer is None:
        return await render(request, visitor, gateway, "sign_in/none.html", 503, reason=NO_ISSUER)
    return await render(
        request,
        visitor,
        gateway,
        "sign_in/choose.html",
        signed_out="signed-out" in request.query_params,
        start=f"{_START}?next={quote(where, safe='')}",
        label=gateway.signing_in.label,
    )


async def start_sign_in(
    request: Request,
    visitor: Visitor | None,  # noqa: ARG001 - signing in again makes a new session
    gateway: Gateway,
) -> Response:
    """On to the issuer."""
    site = site_of(request)
    set_out = await gateway.signing_in.set_out(_only(request, "next"), site.cookie(request, SIGNING_IN))
    response = RedirectResponse(set_out.address, 303)
    site.set_cookie(response, SIGNING_IN, set_out.browser, int(LASTS.total_seconds()))
    return response


async def finish_sign_in(
    request: Request,
    visitor: Visitor | None,  # noqa: ARG001
    gateway: Gateway,
) -> Response:
    """Back from the issuer: a session, and on to where the person wanted to go."""
    site = site_of(request)
    said = {name: value for name in _PARAMETERS if (value := _only(request, name)) is not None}
    came_back = await gateway.signing_in.come_back(
        said, site.cookie(request, SIGNING_IN), site.cookie(request, SESSION)
    )
    response = RedirectResponse(came_back.next, 303)
    longest = gateway.signing_in.sessions.longest
    site.set_cookie(response, SESSION, came_back.secret, int(longest.total_seconds()))
    return response


async def sign_out(request: Request, visitor: Visitor | None, gateway: Gateway) -> Response:  # noqa: ARG001
    """End the session. Whoever has none any more is signed out as well."""
    site = site_of(request)
    if (secret := site.cookie(request, SESSION)) is not None:
        await gateway.signing_in.sessions.end(secret)
    response = RedirectResponse("/sign-in?signed-out=", 303)
    site.forget_cookie(response, SESSION)
    site.forget_cookie(response, SIGNING_IN)
    return response


def _only(request: Request, name: str) -> str | None:
    """A parameter that may be sent once."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise InvalidError([BrokenRule(name, "must be sent once")])
    return values[0] if values else None


class Ended(BaseModel):
    """How many sessions were ended."""

    ended: int


async def end_sessions(
    person: Annotated[PersonName, Path(description="Whose; an admin may name anybody")], asker: Asker, gateway: Deeds
) -> Ended:
    """Sign a person out, in every browser. Their API tokens stay: those are revoked one by one."""
    return Ended(ended=await gateway.signing_in.sessions.end_all(asker, person))


PAGES: Final = (
    Page("GET", "/sign-in", show_sign_in, anonymous=True),
    Page("GET", _START, start_sign_in, anonymous=True),
    Page("GET", CALLBACK, finish_sign_in, anonymous=True),
    Page("POST", "/sign-out", sign_out, anonymous=True),
)
ENDPOINTS: Final = (
    Endpoint("DELETE", f"{API}/people/{{person}}/sessions", end_sessions, VIEWER, 200, Ended, "tokens"),
)

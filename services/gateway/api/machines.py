"""`/cli/login` and `/machine-tokens`: how `slipway login` gets a token for its machine.

With a port the browser takes the code to the command line by itself, on this machine (RFC 8252 §7.3); without one the
page shows it.
"""

import re
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, SecretStr

from services.gateway.api import html
from services.gateway.api.answers import API
from services.gateway.api.auth import SIGNED, VIEWER
from services.gateway.api.browser import Page, Visitor, render
from services.gateway.api.context import Deeds, Gateway
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.api.tokens import NewToken, answer_of
from services.gateway.domain.admission import Ask
from services.gateway.domain.machines import CHALLENGE_PATTERN, CODE_LASTS, NAME_PATTERN, VERIFIER_PATTERN
from services.gateway.domain.refusals import BrokenRule, InvalidError

_RULES: Final = {
    "challenge": (CHALLENGE_PATTERN, "must be the SHA-256 of the verifier in base64url, as `slipway login` makes it"),
    "name": (NAME_PATTERN, "must be 1 to 60 letters, digits, spaces and . _ -"),
    "port": (r"^(?:10(?:2[4-9]|[3-9]\d)|1[1-9]\d\d|[2-9]\d{3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d)$", "must be a port"),
    "state": (CHALLENGE_PATTERN, "must be what `slipway login` sent"),
}


class RedeemCode(Ask):
    """A code that a person gave, and the verifier of the machine that it was given for."""

    code: str = Field(min_length=16, max_length=40, pattern=r"^[A-Za-z -]+$")
    verifier: Annotated[str, Field(pattern=VERIFIER_PATTERN)]


async def show_machine(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Whether this machine may act as whoever is signed in."""
    asked = _asked(request.query_params.multi_items())
    values: dict[str, Any] = {"port": None, "state": None, **asked, "days": gateway.machines.lasts.days}
    response = await render(request, visitor, gateway, "sign_in/machine.html", **values)
    if "port" in asked:  # browsers hold a form's policy against where its answer leads, too
        response.headers["Content-Security-Policy"] = html.CONTENT_SECURITY_POLICY.replace(
            "form-action 'self'", f"form-action 'self' {_listener(asked)}"
        )
    return response


async def let_machine_in(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """It may: here is its code."""
    form = await request.form()
    asked = _asked([(name, value) for name, value in form.multi_items() if name in _RULES])
    code = await gateway.machines.give_code(visitor.principal, asked["challenge"], asked["name"])
    if "port" in asked:
        query = urlencode({"code": code.get_secret_value(), "state": asked["state"]})
        return RedirectResponse(f"{_listener(asked)}/?{query}", 303)
    minutes = int(CODE_LASTS.total_seconds() // 60)
    return await render(request, visitor, gateway, "sign_in/code.html", code=code.get_secret_value(), minutes=minutes)


async def redeem_machine_code(body: RedeemCode, gateway: Deeds) -> NewToken:
    """A token for the machine of whoever gave this code. The code counts once, and the token is shown in this answer
    only."""
    token, text = await gateway.machines.redeem(SecretStr(body.code), SecretStr(body.verifier))
    return NewToken(**answer_of(token).model_dump(), token=text.get_secret_value())


async def end_my_token(asker: Asker, gateway: Deeds) -> Response:
    """End the token of this request: from now on it opens nothing."""
    await gateway.tokens.revoke(asker, asker.token_id)
    return Response(status_code=204)


def _asked(sent: list[tuple[str, Any]]) -> dict[str, str]:
    """What `slipway login` sent, each once and in its form. Raises `InvalidError`."""
    asked: dict[str, str] = {}
    for name, value in sent:
        if name not in _RULES or name in asked:
            raise InvalidError([BrokenRule("query", "must have the parameters of `slipway login`, each once")])
        if not isinstance(value, str) or not re.fullmatch(_RULES[name][0], value):
            raise InvalidError([BrokenRule(name, _RULES[name][1])])
        asked[name] = value
    back = {"port", "state"}
    missing = ({"challenge", "name"} | (back if asked.keys() & back else set())) - asked.keys()
    if missing:
        raise InvalidError([BrokenRule(name, "is required") for name in sorted(missing)])
    return asked


def _listener(asked: dict[str, str]) -> str:
    """Where the command line waits: on the machine of the browser, and nowhere else."""
    return f"http://127.0.0.1:{asked['port']}"


PAGES: Final = (
    Page("GET", "/cli/login", show_machine),
    Page("POST", "/cli/login", let_machine_in),
)
ENDPOINTS: Final = (
    Endpoint("POST", f"{API}/machine-tokens", redeem_machine_code, SIGNED, 201, NewToken, "tokens"),
    Endpoint("DELETE", f"{API}/me/token", end_my_token, VIEWER, 204, None, "tokens"),
)

"""From an HTTP request to the arguments of a call: Slack takes JSON, forms and query strings alike.

Invariant: what comes out is a flat mapping of names to values, whatever was sent; nested values that a form carries
as JSON text (blocks, metadata) are parsed. Everything malformed is one of Slack's errors.
"""

from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from deploy.embedded.inbox.errors import SlackError

_NESTED = ("blocks", "metadata", "attachments")
_FIELDS_LIMIT = 100


async def arguments(request: Request) -> dict[str, Any]:
    """The call's arguments: the body's over the query string's."""
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given: dict[str, Any] = dict(request.query_params)
    if kind == "application/json":
        given |= json_object(body, "invalid_json")
    elif kind in ("application/x-www-form-urlencoded", ""):
        given |= _form(body)
    else:
        raise SlackError("invalid_post_type")
    for name in _NESTED:
        if isinstance(given.get(name), str):
            given[name] = _parse(given[name], f"invalid_{name}_format")
    return given


def json_object(body: bytes, code: str) -> dict[str, Any]:
    """The JSON object in `body`. Raises SlackError(`code`) for anything else."""
    value = _parse(body, code) if body else {}
    if not isinstance(value, dict):
        raise SlackError(code)
    return value


def bearer_token(request: Request, given: dict[str, Any]) -> str | None:
    """The token of the Authorization header, or else the `token` argument."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    argument = given.get("token")
    return argument if isinstance(argument, str) else None


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_LIMIT))
    except (UnicodeDecodeError, ValueError) as error:
        raise SlackError("invalid_form_data") from error


def _parse(text: str | bytes, code: str) -> Any:
    try:
        # orjson refuses what the standard library lets through: NaN, lone surrogates, endless depth.
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SlackError(code) from error

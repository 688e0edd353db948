"""Pages, as GitHub cuts them: `page` from 1, `per_page` up to 100, the neighbours in a Link header (RFC 8288)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from starlette.responses import JSONResponse

from deploy.embedded.forge.errors import ForgeError

Item = TypeVar("Item")
_DEFAULT_PER_PAGE = 30
_MOST_PER_PAGE = 100
_LAST_PAGE = 1_000_000


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise ForgeError(422, f"{name} must be a number from 1 to {most}")
    return min(max(int(text), 1), most)


def window(request: Request) -> tuple[int, int]:
    """What a query asks for, as (page, per_page)."""
    per_page = _number(request, "per_page", _DEFAULT_PER_PAGE, _MOST_PER_PAGE)
    return _number(request, "page", 1, _LAST_PAGE), per_page


def link_header(request: Request, total: int) -> dict[str, str]:
    """The Link header for a list of `total` items; empty when all are on one page."""
    page, per_page = window(request)
    last = max(1, -(-total // per_page))
    base = request.app.state.forge.settings.url + request.url.path

    def link(number: int, relation: str) -> str:
        query = dict(parse_qsl(request.url.query, keep_blank_values=True), page=str(number))
        return f'<{base}?{urlencode(query)}>; rel="{relation}"'

    links = []
    if page > 1:
        links += [link(min(page - 1, last), "prev"), link(1, "first")]
    if page < last:
        links += [link(page + 1, "next"), link(last, "last")]
    return {"Link": ", ".join(links)} if links else {}


def paged(
    request: Request,
    items: Sequence[Item],
    shape: Callable[[Item], Any],
    *,
    key: str | None = None,
) -> JSONResponse:
    """One page of `items`; `key` names the list where GitHub wraps it as `{"total_count": …, key: […]}`."""
    page, per_page = window(request)
    shown = [shape(item) for item in items[(page - 1) * per_page : page * per_page]]
    body: Any = shown if key is None else {"total_count": len(items), key: shown}
    if key == "items":
        # Only searches call their list so, and only they may be incomplete. Ours never are.
        body["incomplete_results"] = False
    return JSONResponse(body, headers=link_header(request, len(items)))

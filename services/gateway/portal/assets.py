"""What pages load besides themselves: style sheets, scripts, the icon.

Invariant: an asset's address holds the hash of its content, so a browser may keep it for good, and a page never meets
another version's style or script.
"""

import hashlib
from importlib import resources
from typing import Final

from fastapi import Request, Response

from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.refusals import UnknownThingError

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_DIRECTORY: Final = resources.files("services.gateway") / "portal" / "static"
_NAMES: Final = (
    "tokens.css",
    "layout.css",
    "components.css",
    "runs.css",
    "icon.svg",
    "theme.js",
    "portal.js",
    "run.js",
    "vendor/htmx.min.js",
    "vendor/htmx-sse.min.js",
)
_FOREVER: Final = "public, max-age=31536000, immutable"


def _read() -> dict[str, tuple[str, bytes]]:
    """By name: the name in its address, and the content."""
    found = {}
    for name in _NAMES:
        content = _DIRECTORY.joinpath(*name.split("/")).read_bytes()
        stem, _, ending = name.rpartition("/")[2].rpartition(".")
        found[name] = (f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{ending}", content)
    return found


_ASSETS: Final = _read()
_BY_FILE: Final = dict(_ASSETS.values())


def address(name: str) -> str:
    """Where a browser finds an asset."""
    return f"/assets/{_ASSETS[name][0]}"


async def show(request: Request, visitor: Visitor | None, gateway: Gateway) -> Response:  # noqa: ARG001 - for anybody
    """The content of one asset."""
    file = str(request.path_params["file"])
    content = _BY_FILE.get(file)
    if content is None:
        raise UnknownThingError("There is no such file. Reload the page: it names the files of this version.")
    media_type = _TYPES[file[file.rindex(".") :]]
    return Response(content, headers={"Cache-Control": _FOREVER}, media_type=media_type)


PAGES: Final = (Page("GET", "/assets/{file}", show, anonymous=True, is_part=True),)

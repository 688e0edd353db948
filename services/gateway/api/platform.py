"""`/platform` and the page at `/`: what this is and where everything else is."""

from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from jinja2 import Environment, StrictUndefined
from pydantic import BaseModel

from services.gateway.api.answers import API
from services.gateway.api.auth import PUBLIC, VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint

OPENAPI: Final = f"{API}/openapi.json"
STYLE: Final = "/style.css"
_HERE: Final = resources.files("services.gateway.api")


class Urls(BaseModel):
    """Where the parts of the platform are; null where there is none."""

    portal: str
    api: str
    openapi: str
    forge: str | None
    traces: str | None
    inbox: str | None


class Platform(BaseModel):
    """This platform."""

    version: str
    api_version: str
    organisation: str
    urls: Urls


async def get_platform(asker: Asker, gateway: Deeds) -> Platform:  # noqa: ARG001 - takes somebody
    """The platform's version, and where its parts are."""
    public = gateway.links.public_url
    return Platform(
        version=gateway.version,
        api_version="v1",
        organisation=gateway.organisation,
        urls=Urls(
            portal=f"{public}/",
            api=f"{public}{API}",
            openapi=f"{public}{OPENAPI}",
            forge=gateway.forge_url or None,
            traces=gateway.links.traces_url or None,
            inbox=gateway.inbox_url or None,
        ),
    )


async def get_openapi(request: Request) -> Response:
    """This description (OpenAPI 3.1)."""
    describe: Callable[[], dict[str, Any]] = request.app.openapi
    return JSONResponse(describe())


async def get_page(request: Request, gateway: Deeds) -> Response:
    """What this is, for a person who comes with a browser."""
    description: dict[str, Any] = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, "summary": _first_sentence(operation.get("description", ""))}
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (_HERE / "templates" / "index.html").read_text(encoding="utf-8")
    )
    text = template.render(operations=operations, version=gateway.version, openapi=OPENAPI, style=STYLE)
    return Response(text, media_type="text/html; charset=utf-8")


async def get_style() -> Response:
    """The page's style sheet."""
    return Response((_HERE / "static" / "style.css").read_bytes(), media_type="text/css; charset=utf-8")


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/platform", get_platform, VIEWER, 200, Platform, "platform"),
    Endpoint("GET", OPENAPI, get_openapi, PUBLIC, in_schema=False),
    Endpoint("GET", "/", get_page, PUBLIC, in_schema=False),
    Endpoint("GET", STYLE, get_style, PUBLIC, in_schema=False),
)

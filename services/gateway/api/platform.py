"""`/platform`: what this is and where everything else is."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from services.gateway.api.answers import API
from services.gateway.api.auth import PUBLIC, VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint

OPENAPI: Final = f"{API}/openapi.json"


class Urls(BaseModel):
    """Where the parts of the platform are; null where there is none."""

    portal: str
    api: str
    openapi: str
    forge: str | None
    traces: str | None
    inbox: str | None
    environments: str | None
    """The repository that says what every environment shall be, in `environments/<name>/`."""


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
            environments=f"{gateway.forge_url}/{gateway.environments_repository}" if gateway.forge_url else None,
        ),
    )


async def get_openapi(request: Request) -> Response:
    """This description (OpenAPI 3.1)."""
    describe: Callable[[], dict[str, Any]] = request.app.openapi
    return JSONResponse(describe())


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/platform", get_platform, VIEWER, 200, Platform, "platform"),
    Endpoint("GET", OPENAPI, get_openapi, PUBLIC, in_schema=False),
)

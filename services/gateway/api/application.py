"""The HTTP application: the table of routes, the headers of every answer, and the description (OpenAPI 3.1)."""

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway import portal
from services.gateway.api import (
    admin,
    applications,
    browser,
    deployments,
    environments,
    exports,
    facts,
    feedback,
    github,
    golden_paths,
    graph,
    history,
    hooks,
    insights,
    kubeconfigs,
    life,
    machines,
    plans,
    platform,
    problems,
    rollouts,
    runs,
    sign_in,
    stream,
    tokens,
    webhooks,
)
from services.gateway.api.auth import Gate
from services.gateway.api.browser import Page, serve_pages
from services.gateway.api.context import Gateway
from services.gateway.api.routing import Endpoint, serve
from services.gateway.portal import failures, rendering

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *exports.ENDPOINTS,
    *environments.ENDPOINTS,
    *facts.ENDPOINTS,
    *deployments.ENDPOINTS,
    *graph.ENDPOINTS,
    *plans.ENDPOINTS,
    *feedback.ENDPOINTS,
    *rollouts.ENDPOINTS,
    *life.ENDPOINTS,
    *kubeconfigs.ENDPOINTS,
    *history.ENDPOINTS,
    *insights.ENDPOINTS,
    *applications.ENDPOINTS,
    *runs.ENDPOINTS,
    *stream.ENDPOINTS,
    *golden_paths.ENDPOINTS,
    *tokens.ENDPOINTS,
    *machines.ENDPOINTS,
    *sign_in.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *github.ENDPOINTS,
    *hooks.ENDPOINTS,
    *admin.ENDPOINTS,
    *platform.ENDPOINTS,
)

PAGES: Final[tuple[Page, ...]] = (*portal.PAGES, *sign_in.PAGES, *machines.PAGES)

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def application(
    gateway: Gateway, gate: Gate, endpoints: tuple[Endpoint, ...] = ENDPOINTS, pages: tuple[Page, ...] = PAGES
) -> FastAPI:
    """The application. Raises `LookupError` where a route has no policy."""
    app = _bare(gateway.version)
    app.state.gateway = gateway
    app.add_middleware(_SafeHeaders)
    serve(app, gate, endpoints)
    rendering.equip()
    serve_pages(app, gate, gateway, pages, frame=rendering.frame, show_problem=failures.show_problem)
    app.public = _public(endpoints)
    return app


def description(version: str, gate: Gate) -> dict[str, Any]:
    """What the application says of itself, with nothing behind it: to be published. Nobody goes through `gate`."""
    app = _bare(version)
    serve(app, gate, ENDPOINTS)
    app.public = _public(ENDPOINTS)
    return app.openapi()


def _public(endpoints: tuple[Endpoint, ...]) -> set[tuple[str, str]]:
    return {(e.method.lower(), e.path) for e in endpoints if e.policy.role is None}


def _bare(version: str) -> "_Application":
    """The application without routes."""
    return _Application(
        title="Slipway",
        version=version,
        description="An internal developer platform: environments, their runs, and the golden paths behind them.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # spans are made at the one door
        exception_handlers={HTTPException: _problem, RequestValidationError: _problem, Exception: _problem},
    )


class _Application(FastAPI):
    """Describes itself with what FastAPI cannot know."""

    public: set[tuple[str, str]]

    def openapi(self) -> dict[str, Any]:
        """The description."""
        return _described(super().openapi(), self.public)


async def _problem(request: Request, error: Exception) -> Response:
    """What is said where no route was reached."""
    if browser.wants_page(request):
        return await browser.show_error(request, error)
    refused = problems.of(error, request.url.path)
    return Response(refused.body, refused.problem.status, headers=refused.headers, media_type=problems.MEDIA_TYPE)


class _SafeHeaders:
    """Adds to every answer what keeps a browser from doing more with it than showing it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sending)


def _described(description: dict[str, Any], public: set[tuple[str, str]]) -> dict[str, Any]:
    """`description`, with our errors and how one shows a token. Repeating is safe."""
    components = description.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs", {})
    schemas["Problem"] = problem
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token, `slw_…`"}
    }
    refused = {
        "description": "Why it was not done (RFC 9457)",
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = refused
            if (method, path) not in public:
                operation["security"] = [{"token": []}]
    return description

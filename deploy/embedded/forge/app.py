"""Putting the forge together: settings, parts, listeners, routes, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, Depends, FastAPI, Request
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.util.http import ExcludeList
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from deploy.embedded.forge import (
    actions,
    comments,
    commits,
    contents,
    deployments,
    errors,
    forks,
    git_data,
    hook_routes,
    issue_labels,
    issues,
    labels,
    merges,
    organisation_hooks,
    protection,
    pulls,
    refs,
    repositories,
    search,
    users,
)
from deploy.embedded.forge.accounts import Accounts
from deploy.embedded.forge.auth import Tokens
from deploy.embedded.forge.context import Forge
from deploy.embedded.forge.deliveries import Deliveries
from deploy.embedded.forge.git import Git
from deploy.embedded.forge.guard import API_PREFIX, Guard, RateLimit
from deploy.embedded.forge.hooks import Hooks
from deploy.embedded.forge.pages import Pages
from deploy.embedded.forge.pushes import Pushes, PushListener
from deploy.embedded.forge.records import Repositories
from deploy.embedded.forge.settings import ForgeSettings
from deploy.embedded.forge.smart_http import SmartHttp
from deploy.embedded.forge.store import Store
from deploy.embedded.forge.urls import Urls
from deploy.embedded.forge.workflows import routes as workflow_routes
from deploy.embedded.forge.workflows.actions import Actions
from deploy.embedded.forge.workflows.identity import ISSUER_PATH
from deploy.embedded.forge.workflows.job_tokens import JobTokens
from deploy.embedded.forge.workflows.pages import RunPages

# Order matters within a repository: `/commits/{ref}/status` before `/commits/{ref}`.
_ROUTERS = (
    users.router,
    search.router,
    git_data.router,
    refs.router,
    contents.router,
    # Before `/branches/{branch}`, as above.
    protection.router,
    # Before `/commits/{ref}`, as above.
    workflow_routes.router,
    commits.router,
    merges.router,
    pulls.router,
    issues.router,
    comments.router,
    issue_labels.router,
    labels.router,
    actions.router,
    deployments.router,
    hook_routes.router,
    organisation_hooks.router,
    forks.router,
    repositories.router,
)


def build(settings: ForgeSettings, listeners: Sequence[PushListener] = ()) -> ASGIApp:
    """The forge as an ASGI application. `listeners` hear of every push after the forge's own have (see
    `pushes.PushListener`). Raises TokensFileError, StoreError or GitError where it cannot start."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = settings.data.resolve()
    store = Store(data / "forge.db")
    accounts, records, urls = Accounts(store), Repositories(store), Urls(settings.url)
    accounts.ensure_first_organisations()
    job_tokens = JobTokens(accounts)
    tokens = Tokens(settings.tokens_file, accounts, job_tokens.principal)
    git = Git(data, pack_limit_bytes=settings.pack_limit_bytes)
    deliveries = Deliveries(settings, store)
    hooks = Hooks(store, git, urls, deliveries.wake)
    pushes = Pushes(store, git, accounts, records)
    forge = Forge(settings, store, git, urls, accounts, records, pushes, hooks)
    pushes.listeners += [
        merges.FirstBranchIsDefault(forge),
        merges.PullsFollowBranches(forge),
        hooks.say_push,
    ]
    workflows = Actions(forge, data, job_tokens)
    workflows.listen()
    pushes.listeners += listeners
    guarded = Guard(
        _routes(forge, deliveries, workflows),
        url=settings.url,
        hosts=settings.hosts,
        tokens=tokens,
        limit=RateLimit(settings.requests_per_hour),
        repositories=records,
    )
    return OpenTelemetryMiddleware(
        guarded,
        excluded_urls=ExcludeList(["/livez$", "/readyz$"]),
        default_span_details=_span_details,
        exclude_spans=["receive", "send"],
    )


def _routes(forge: Forge, deliveries: Deliveries, workflows: Actions) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(forge.pushes.recover)
        # In this thread: it lives as long as the forge, and so do those that it starts.
        workflows.start()
        sending = asyncio.create_task(deliveries.run())
        try:
            yield
        finally:
            await run_in_threadpool(workflows.stop)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
            forge.git.close()
            forge.store.close()

    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Its own spans would stand beside ours: it takes the caller for their parent, not the current span.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.forge = forge
    app.state.actions = workflows
    errors.install(app)
    app.router.routes += _health(forge)
    rest = APIRouter(dependencies=[Depends(_name_span)])
    for router in (_meta(), *_ROUTERS):
        rest.include_router(router)
    app.add_api_route(API_PREFIX, _root, methods=["GET"])
    app.include_router(rest, prefix=API_PREFIX)
    app.include_router(rest)
    app.include_router(workflow_routes.identity_router, prefix=ISSUER_PATH)
    smart = SmartHttp(forge.settings, forge.git, forge.repositories, forge.pushes)
    for action in ("info/refs", "git-upload-pack", "git-receive-pack"):
        app.router.routes.append(Route(f"/{{owner}}/{{repo}}/{action}", smart))
    pages = Pages(forge)
    app.router.routes += [*RunPages(pages, workflows).routes(), *pages.routes()]
    return app


def _root(request: Request) -> dict[str, str]:
    """Where to go from the root of the REST protocol."""
    api = request.app.state.forge.urls.api
    return {
        "current_user_url": f"{api}/user",
        "organization_url": f"{api}/orgs/{{org}}",
        "repository_url": f"{api}/repos/{{owner}}/{{repo}}",
        "rate_limit_url": f"{api}/rate_limit",
    }


def _meta() -> APIRouter:
    router = APIRouter()

    @router.get("/meta")
    def meta() -> dict[str, object]:
        """What this is."""
        return {"verifiable_password_authentication": False, "installed_version": "slipway-forge"}

    @router.get("/rate_limit")
    def rate_limit(request: Request) -> JSONResponse:
        """How many calls are left; the guard says the same in the headers of every answer."""
        limit, used, resets_at = request.state.rate
        core = {"limit": limit, "used": used, "remaining": max(0, limit - used), "reset": resets_at}
        return JSONResponse({"resources": {"core": core, "search": core}, "rate": core})

    return router


def _health(forge: Forge) -> list[Route]:
    def live(_: Request) -> PlainTextResponse:
        """The process answers."""
        return PlainTextResponse("ok\n")

    def ready(_: Request) -> PlainTextResponse:
        """The database answers."""
        forge.store.one("SELECT 1")
        return PlainTextResponse("ok\n")

    return [Route("/livez", live), Route("/readyz", ready)]


def _span_details(scope: Scope) -> tuple[str, dict[str, str]]:
    """A span is named by its method at first, and by its route once that is known."""
    return str(scope.get("method", "HTTP")), {}


async def _name_span(request: Request) -> None:
    route = request.scope["route"].path
    span = trace.get_current_span()
    span.update_name(f"{request.method} {route}")
    span.set_attribute("http.route", route)

"""The inbox as an ASGI application: Slack's Web API under `/api/`, webhooks, pages, and JSON for programs.

`/api/<method.with.dots>` is Slack's; `/api/channels` and `/api/channels/<name>/messages` are ours, for reading.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from deploy.embedded.inbox.errors import RateLimitedError, SlackError
from deploy.embedded.inbox.pages import Pages
from deploy.embedded.inbox.requests import arguments, bearer_token, json_object
from deploy.embedded.inbox.settings import InboxSettings
from deploy.embedded.inbox.store import Store
from deploy.embedded.inbox.web_api import WebApi, shown
from deploy.embedded.inbox.webhooks import IncomingWebhook
from deploy.embedded.web.guard import guards
from deploy.embedded.web.pages import look

_BODY_LIMIT_BYTES = 1_000_000
_MESSAGES_LIMIT = 200

log = structlog.get_logger(__name__)


class TokenFileError(RuntimeError):
    """The token file is missing or empty."""


def read_token(path: Path) -> SecretStr:
    """The bot's token. Raises TokenFileError when there is none."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise TokenFileError(f"cannot read the token file {path}: write the bot's token into it") from error
    if not token:
        raise TokenFileError(f"the token file {path} is empty: write the bot's token into it")
    return SecretStr(token)


def create_app(settings: InboxSettings) -> Starlette:
    """The application over the database in `settings.data`. Raises TokenFileError."""
    token = read_token(settings.token_file)
    store = Store(settings.data / "inbox.sqlite3")
    for name in settings.channels:
        if store.channel(name) is None:
            store.create_channel(name)
    first = store.channel(settings.channels[0])
    if first is None:
        raise RuntimeError("a channel that was just made is expected to be there")
    endpoints = _Endpoints(
        store,
        WebApi(store, token, f"http://{settings.host}:{settings.port}/", settings.posts_per_minute),
        IncomingWebhook(store, token, first.id),
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        log.info("inbox_ready", port=settings.port)
        yield
        store.close()

    return Starlette(
        routes=[
            Route("/", endpoints.page),
            Route("/channels/{name}", endpoints.page),
            Route("/api/channels", endpoints.channels),
            Route("/api/channels/{name}/messages", endpoints.messages),
            Route("/api/{method}", endpoints.web_api, methods=["GET", "POST"]),
            Route("/services/{team}/{bot}/{secret}", endpoints.webhook, methods=["POST"]),
            Route("/readyz", endpoints.ready),
            *look(Path(__file__).with_name("static")),
        ],
        middleware=guards(hosts=settings.hosts, body_limit_bytes=_BODY_LIMIT_BYTES),
        lifespan=lifespan,
    )


class _Endpoints:
    def __init__(self, store: Store, web_api: WebApi, webhook: IncomingWebhook) -> None:
        self._store = store
        self._web_api = web_api
        self._webhook = webhook
        self._pages = Pages(store)

    async def web_api(self, request: Request) -> Response:
        """One call of Slack's Web API."""
        method = request.path_params["method"]
        try:
            given = await arguments(request)
            token = bearer_token(request, given)
            return JSONResponse(await anyio.to_thread.run_sync(self._web_api.call, method, token, given))
        except RateLimitedError as error:
            headers = {"Retry-After": str(error.retry_after_seconds)}
            return JSONResponse({"ok": False, "error": error.code}, 429, headers)
        except SlackError as error:
            log.info("inbox_call_refused", method=method[:100], error=error.code)
            return JSONResponse({"ok": False, "error": error.code, **error.fields})

    async def webhook(self, request: Request) -> Response:
        """A post by the secret address."""
        try:
            body = await request.body()
            if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                form = await arguments(request)
                body = str(form.get("payload", "")).encode()
            given = json_object(body, "invalid_payload")
        except SlackError as error:
            return PlainTextResponse(error.code, 400)
        path = request.path_params
        status, text = await anyio.to_thread.run_sync(
            self._webhook.accept, path["team"], path["bot"], path["secret"], given
        )
        return PlainTextResponse(text, status)

    async def page(self, request: Request) -> Response:
        """A channel for people."""
        name = request.path_params.get("name")
        html = await anyio.to_thread.run_sync(self._pages.channel, name, request.query_params.get("before"))
        return HTMLResponse(html) if html is not None else HTMLResponse(self._pages.missing(), 404)

    async def channels(self, _: Request) -> Response:
        """All channels, for programs."""
        found = await anyio.to_thread.run_sync(self._store.channels)
        return JSONResponse({"channels": [{"id": channel.id, "name": channel.name} for channel in found]})

    async def messages(self, request: Request) -> Response:
        """The latest messages of a channel with their metadata, newest first, for programs."""
        channel = await anyio.to_thread.run_sync(self._store.channel, request.path_params["name"])
        if channel is None:
            return JSONResponse({"error": "channel_not_found"}, 404)
        found = await anyio.to_thread.run_sync(lambda: self._store.history(channel.id, limit=_MESSAGES_LIMIT))
        return JSONResponse({"messages": [shown(message, with_metadata=True) for message in found]})

    async def ready(self, _: Request) -> Response:
        """Whether the database answers."""
        await anyio.to_thread.run_sync(self._store.channels)
        return JSONResponse({"service": "inbox", "status": "ready"})

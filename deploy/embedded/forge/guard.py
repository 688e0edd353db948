"""What every request passes before anything else looks at it: the host it names, where it comes from, who sends it
and how many they sent. Default deny: only the root page, its style sheet, the health checks and what says who a job is
are open.

A browser keeps a Basic password and sends it along with other sites' requests, so a request that changes something
must not come from another origin, and the Host must be ours (DNS rebinding).
"""

import re
import secrets
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.embedded.forge.accounts import Principal
from deploy.embedded.forge.auth import Tokens
from deploy.embedded.forge.errors import ForgeError
from deploy.embedded.forge.records import Repositories
from deploy.embedded.forge.workflows.job_tokens import narrowed

API_PREFIX: Final = "/api/v3"
OPEN_PATHS: Final = frozenset({"/", "/livez", "/readyz", "/assets/forge.css"})
# Jobs and those who check their tokens; the route for jobs looks at the request token itself.
_IDENTITY: Final = re.compile(r"/_services/token/(?:\.well-known/(?:openid-configuration|jwks)|jobs/[0-9]{1,18})")
_API_ROOTS: Final = frozenset(
    {
        "admin",
        "meta",
        "orgs",
        "organizations",
        "rate_limit",
        "repos",
        "repositories",
        "search",
        "user",
        "users",
    }
)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BY_ID: Final = re.compile(r"(?P<prefix>/api/v3)?/repositories/(?P<id>[0-9]{1,18})(?P<rest>/.*)?")
_HOST: Final = re.compile(r"(?P<name>[a-z0-9_.-]{1,253}|\[[0-9a-f:]{2,39}\])(:[0-9]{1,5})?")
_SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HOUR_SECONDS: Final = 3600


class RateLimit:
    """Requests per login in the current hour, counted from the clock's hour."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._hour = 0
        self._used: dict[str, int] = {}

    def take(self, login: str) -> tuple[int, int]:
        """Count one request: how many were used with it, and when the hour ends (seconds since the epoch)."""
        hour = int(time.time()) // _HOUR_SECONDS
        if hour != self._hour:
            self._hour, self._used = hour, {}
        self._used[login] = self._used.get(login, 0) + 1
        return self._used[login], (hour + 1) * _HOUR_SECONDS


def is_api(path: str) -> bool:
    """Whether a path belongs to the REST protocol, under `/api/v3` or, as on api.github.com, at the root."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return path == API_PREFIX or path.startswith(API_PREFIX + "/") or first in _API_ROOTS


class Guard:
    """ASGI middleware. Puts the caller under `principal` in the request's state."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        url: str,
        tokens: Tokens,
        limit: RateLimit,
        repositories: Repositories,
        hosts: Sequence[str] = (),
    ) -> None:
        """`hosts`: further names that are ours."""
        self._app = app
        parts = urlsplit(url)
        self._hosts = {"127.0.0.1", "localhost", "::1", (parts.hostname or "").lower(), *hosts}
        self._origin = url.lower()
        self._tokens = tokens
        self._limit = limit
        self._repositories = repositories

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer_headers = dict(_SECURITY_HEADERS, **{"X-GitHub-Request-Id": secrets.token_hex(16).upper()})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in answer_headers.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = await self._refuse(scope, answer_headers)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    async def _refuse(self, scope: Scope, answer_headers: dict[str, str]) -> Response | None:
        headers, path = Headers(scope=scope), str(scope["path"])
        if not self._is_our_host(headers.get("host", "")):
            return PlainTextResponse("This forge does not answer to that host name.\n", 421)
        origin = headers.get("origin")
        if scope["method"] not in _SAFE_METHODS and origin is not None and origin.lower() != self._origin:
            return ForgeError(403, "Requests from other sites may not change anything here").response()
        if path in OPEN_PATHS or _IDENTITY.fullmatch(path):
            return None
        principal = self._tokens.principal(headers.get("authorization"))
        if principal is None:
            return _unauthenticated(path, gave_one="authorization" in headers)
        if principal.grant is not None:
            query = str(scope.get("query_string", b""), "latin-1")
            allowed = narrowed(principal, principal.grant, scope["method"], path, query)
            if allowed is None:
                return ForgeError(403, "Resource not accessible by integration").response()
            principal = allowed
        scope.setdefault("state", {})["principal"] = principal
        return await self._refuse_call(scope, path, principal, answer_headers) if is_api(path) else None

    async def _refuse_call(
        self, scope: Scope, path: str, principal: Principal, answer_headers: dict[str, str]
    ) -> Response | None:
        used, resets_at = self._limit.take(principal.account.login)
        scope["state"]["rate"] = (self._limit.limit, used, resets_at)
        answer_headers |= {
            "X-RateLimit-Limit": str(self._limit.limit),
            "X-RateLimit-Remaining": str(max(0, self._limit.limit - used)),
            "X-RateLimit-Used": str(used),
            "X-RateLimit-Reset": str(resets_at),
            "X-RateLimit-Resource": "core",
            "X-GitHub-Media-Type": "github.v3; format=json",
        }
        if used > self._limit.limit:
            return ForgeError(403, f"API rate limit exceeded for user {principal.account.login}.").response()
        await self._follow_id(scope, path)
        return None

    def _is_our_host(self, host: str) -> bool:
        match = _HOST.fullmatch(host.lower())
        name = match["name"].strip("[]") if match is not None else ""
        return name in self._hosts or name.endswith(".localhost")

    async def _follow_id(self, scope: Scope, path: str) -> None:
        """`/repositories/<id>/…` is `/repos/<owner>/<name>/…`: ids outlive names."""
        match = _BY_ID.fullmatch(path)
        if match is None:
            return
        found = await run_in_threadpool(self._repositories.by_id, int(match["id"]))
        if found is not None:
            scope["path"] = f"{match['prefix'] or ''}/repos/{found.full_name}{match['rest'] or ''}"


def _unauthenticated(path: str, *, gave_one: bool) -> Response:
    if is_api(path):
        return ForgeError(401, "Bad credentials" if gave_one else "Requires authentication").response()
    return PlainTextResponse(
        "This forge shows repositories to people it knows.\n"
        "Sign in with any user name and your forge token as the password.\n",
        401,
        {"WWW-Authenticate": 'Basic realm="Slipway forge: your login, and your forge token as password"'},
    )

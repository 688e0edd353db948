"""ASGI middleware in front of every page and API of a stand-in: headers, host check, body limit.

The servers listen on the loopback interface without sign-in, so the browser is the way in: the host check stops
DNS rebinding, the policy stops whatever markup might slip through a template.
"""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "*.localhost")

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def guards(
    *, hosts: Sequence[str] = LOOPBACK_HOSTS, body_limit_bytes: int, forms_lead_to: str = ""
) -> list[Middleware]:
    """The middleware of a stand-in, outermost first. `forms_lead_to`: another origin to which the answer to a form may
    send the browser on."""
    return [
        Middleware(_SecurityHeaders, forms_lead_to=forms_lead_to),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        Middleware(_BodyLimit, limit_bytes=body_limit_bytes),
    ]


class _SecurityHeaders:
    def __init__(self, app: ASGIApp, forms_lead_to: str) -> None:
        self._app = app
        policy = _HEADERS["Content-Security-Policy"]
        if forms_lead_to:
            policy = policy.replace("form-action 'self'", f"form-action 'self' {forms_lead_to}")
        self._headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, send_guarded if scope["type"] == "http" else send)


class _BodyLimit:
    """413 for a body over the limit, whether its length is declared or comes in chunks."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            if declared.isdigit() and int(declared) > self._limit_bytes:
                raise self._too_large()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit_bytes:
                raise self._too_large()
            return message

        await self._app(scope, receive_limited, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The body may have at most {self._limit_bytes} bytes.")

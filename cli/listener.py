"""Where the browser brings a code back: a server on this machine for one answer (RFC 8252 §7.3).

Invariant: what counts is a request that repeats our state; anything else is answered and forgotten.
"""

import hmac
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} · Slipway</title>
<p>{title}. {text}</p></html>
"""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class Listener:
    """A server on a free port of 127.0.0.1, from the moment it is made until it is closed."""

    def __init__(self, state: str) -> None:
        self.code: str | None = None
        self._state = state
        listener = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 5

            def do_GET(self) -> None:
                listener._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
                """Say nothing: the address holds the code."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._server.timeout = 0.5

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def wait(self, seconds: float) -> str | None:
        """The code, or None where nobody brought one in time."""
        deadline = time.monotonic() + seconds
        while self.code is None and time.monotonic() < deadline:
            self._server.handle_request()
        return self.code

    def close(self) -> None:
        """Listen no more."""
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(request.path)
        said = parse_qs(asked.query)
        state, code = said.get("state", [""])[0], said.get("code", [""])[0]
        is_ours = asked.path == "/" and hmac.compare_digest(state.encode(), self._state.encode()) and bool(code)
        if is_ours:
            self.code = code
        title = "The command line has your answer" if is_ours else "This is not what was waited for"
        text = "You can close this page." if is_ours else "Run slipway login again."
        body = _PAGE.format(title=title, text=text).encode()
        request.send_response(200 if is_ours else 400)
        for name, value in {**_HEADERS, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

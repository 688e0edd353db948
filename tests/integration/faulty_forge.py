"""A way to the forge on which answers get lost, late or replaced: a proxy that does to chosen requests what a bad day
of the network, or of GitHub, does."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Fault = Literal["refused", "answer lost", "connection lost", "answer late", "secondary limit", "used up"]
FAULTS: tuple[Fault, ...] = ("refused", "answer lost", "connection lost", "answer late", "secondary limit", "used up")
_LIMITED: Mapping[str, tuple[int, str, dict[str, str]]] = {
    "secondary limit": (
        403,
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
        {"Retry-After": "7"},
    ),
    "used up": (
        429,
        "API rate limit exceeded for installation ID 7.",
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1900", "Date": "Thu, 01 Jan 1970 00:30:00 GMT"},
    ),
}
LIMIT_SECONDS: Mapping[Fault, float] = {"secondary limit": 7, "used up": 100}
"""How long the caller is told to wait."""


@dataclass
class BadDay:
    """The proxy at `url`. `strikes` chooses requests by their method and by how many writes there were so far; `fault`
    is what becomes of those."""

    url: str = ""
    fault: Fault = "refused"
    strikes: Callable[[str, int], bool] = field(default=lambda _, __: False)
    writes: int = 0
    struck: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def strike(self, fault: Fault, at_write: int) -> None:
        """One write, counted from 1, will meet the fault."""
        self.fault, self.writes, self.struck = fault, 0, []
        self.strikes = lambda method, writes: method != "GET" and writes == at_write


class _Server(ThreadingHTTPServer):
    def __init__(self, day: BadDay, forge_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.day, self.forge_port = day, forge_port


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: _Server

    def handle_request(self) -> None:
        day = self.server.day
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = f"{self.command} {self.path}"
        day.asked.append(asked)
        day.writes += self.command != "GET"
        if day.strikes(self.command, day.writes):
            day.struck.append(asked)
            self.suffer(day, body)
        else:
            self.give(*self.forward(body))

    def suffer(self, day: BadDay, body: bytes) -> None:
        if day.fault in _LIMITED:
            status, message, headers = _LIMITED[day.fault]
            self.give(status, headers, json.dumps({"message": message}).encode())
            return
        if day.fault != "refused":
            self.forward(body)
        if day.fault == "answer late":
            day.over.wait(30)
        if day.fault in {"answer late", "connection lost"}:
            self.close_connection = True
        else:
            self.give(502, {}, b"<html>Bad Gateway</html>")

    def forward(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.forge_port, timeout=20)
        try:
            connection.request(self.command, self.path, body or None, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def give(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def bad_day(forge_port: int) -> Iterator[BadDay]:
    """A proxy to the forge at this port, until the block ends."""
    day = BadDay()
    server = _Server(day, forge_port)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    day.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield day
    finally:
        day.over.set()
        server.shutdown()
        server.server_close()

"""A gateway that follows a script: a real HTTP server in a thread, which answers what the test wrote down.

Invariant: what was asked is recorded before it is answered; a request that the script does not know is answered 404 as
the gateway does, and fails the test that forgot it.
"""

import contextlib
import json
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal

Json = dict[str, Any]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@dataclass(frozen=True)
class Answer:
    """One answer; `body` is sent as JSON unless it is text."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hangup:
    """The connection is closed without an answer."""


@dataclass(frozen=True)
class Stream:
    """A stream of server-sent events: `frames`, and then the connection is closed, or stays until the gateway ends."""

    frames: tuple[str, ...] = ()
    then: Literal["close", "stay"] = "close"


Scripted = Answer | Hangup | Stream


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


def frame(event: str, id_: str, data: Json) -> str:
    """A message as the gateway sends it."""
    return f"id: {id_}\nevent: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def problem(status: int, code: str, **more: Any) -> Answer:
    """A problem document."""
    body = {
        "type": f"urn:slipway:problem:{code}", "title": code.replace("_", " ").capitalize(), "status": status,
        "detail": "This is why.", "instance": "/api/v1/x", "trace_id": TRACE_ID, "errors": [],
    } | more  # fmt: skip
    return Answer(body, status, {"Content-Type": "application/problem+json"})


BUSY = Answer(problem(503, "unavailable").body, 503, {"Retry-After": "0"})
"""Come back at once."""


class ScriptedGateway:
    """`script[method, path]` are the answers to a request, one after the other; the last one again and again."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.unknown: list[str] = []
        self.date_ahead_seconds = 0.0
        self._script: dict[tuple[str, str], deque[Scripted]] = defaultdict(deque)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"gateway": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator["ScriptedGateway"]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def on(self, method: str, path: str, *answers: Scripted | Json) -> None:
        """From now on, answer `method path` (without its query) like this; a dictionary is a 200."""
        with self._lock:
            self._script[method, path] = deque(Answer(a) if isinstance(a, dict) else a for a in answers)

    def asked(self, method: str, path: str) -> list[Request]:
        """The requests for `method path`, without regard to their query."""
        with self._lock:
            return [r for r in self.requests if r.method == method and r.path.partition("?")[0] == path]

    def changes(self) -> list[Request]:
        """The requests that would have changed something."""
        return [request for request in self.requests if request.method != "GET"]

    def next_answer(self, request: Request) -> Scripted:
        """Record a request and take its answer."""
        path = request.path.partition("?")[0]
        with self._lock:
            self.requests.append(request)
            answers = self._script.get((request.method, path))
            if not answers:
                self.unknown.append(f"{request.method} {path}")
                return problem(404, "not_found", detail="There is no such thing.")
            return answers[0] if len(answers) == 1 else answers.popleft()

    def stay(self) -> None:
        """Keep a connection open until the gateway ends."""
        self._ended.wait()


class _Handler(BaseHTTPRequestHandler):
    gateway: ClassVar[ScriptedGateway]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are written apart; else the second waits for an ACK

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        sent = self.rfile.read(length)
        is_json = self.headers.get("Content-Type") == "application/json"
        body = json.loads(sent) if sent and is_json else sent.decode() or None
        answer = self.gateway.next_answer(Request(self.command, self.path, dict(self.headers), body))
        match answer:
            case Answer():
                self._answer(answer)
            case Stream():
                self._stream(answer)
            case Hangup():
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - so the standard library names them

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) + self.gateway.date_ahead_seconds, usegmt=True)

    def _answer(self, answer: Answer) -> None:
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        content = b"" if answer.body is None else text.encode()
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "application/json"} | dict(answer.headers)).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, stream: Stream) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"retry: 5\n\n")
        for text in stream.frames:
            self.wfile.write(text.encode())
        if stream.then == "stay":
            self.gateway.stay()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so the standard library names it
        """Say nothing."""

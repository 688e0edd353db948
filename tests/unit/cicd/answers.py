"""GitHub, as a server that gives whatever answer a test wants."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import SecretStr

from services.cicd.adapters.github import AppCredentials, GitHubForge


class Answers:
    """The answers to come, by method; the last one of a method stays."""

    def __init__(self) -> None:
        self.to: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.sent: list[Any] = []
        """The bodies of what was asked, None where there was none."""
        self.url = ""

    def will_be(self, method: str, status: int, body: Any = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.to.setdefault(method, []).append((status, named, json.dumps(body or {}).encode()))

    def forge(self, credentials: SecretStr | AppCredentials | None = None) -> GitHubForge:
        return GitHubForge(self.url, credentials or SecretStr("ghp_secret"), pause_seconds=(0, 0))


@contextmanager
def answering() -> Iterator[Answers]:
    """A server that gives the answers, until the block ends."""
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answers.sent.append(json.loads(body) if body else None)
            answers.asked.append((self.command, self.path, dict(self.headers)))
            queue = answers.to[self.command]
            status, headers, told = queue.pop(0) if len(queue) > 1 else queue[0]
            if status == 0:
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    answers.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield answers
    server.shutdown()
    server.server_close()

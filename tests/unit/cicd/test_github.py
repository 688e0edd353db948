"""What GitHub's answers mean, told over HTTP by a server that gives whatever answer a test wants."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github import MAX_WAIT_SECONDS, GitHubForge
from tests.unit.hostile import inputs


class Answers:
    """The answers to come, by method; the last one of a method stays."""

    def __init__(self) -> None:
        self.to: dict[str, list[tuple[int, dict[str, str], bytes]]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""

    def will_be(self, method: str, status: int, body: Any = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.to.setdefault(method, []).append((status, named, json.dumps(body or {}).encode()))

    def forge(self) -> GitHubForge:
        return GitHubForge(self.url, SecretStr("ghp_secret"), pause_seconds=(0, 0))


@pytest.fixture
def github() -> Iterator[Answers]:
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            answers.asked.append((self.command, self.path, dict(self.headers)))
            queue = answers.to[self.command]
            status, headers, body = queue.pop(0) if len(queue) > 1 else queue[0]
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"content-type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

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


async def test_a_missing_repository_is_none(github: Answers) -> None:
    github.will_be("GET", 404, {"message": "Not Found"})
    assert await github.forge().find("acme/x") is None


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"message": "Bad credentials"}, "forge_credentials"),
        (403, {"message": "Resource not accessible by integration"}, "forge_forbidden"),
        (404, {"message": "Not Found"}, "forge_not_found"),
        (422, {"message": "Validation Failed", "errors": [{"message": "name is too long"}]}, "forge_refused"),
    ],
)
async def test_a_no_is_permanent_and_says_why(github: Answers, status: int, body: Any, code: str) -> None:
    github.will_be("PUT", status, body)
    with pytest.raises(PermanentError) as refused:
        await github.forge().set_topics("acme/x", ["slipway"])
    assert refused.value.code == code
    assert refused.value.next_step
    assert "acme/x" in str(refused.value)
    assert "ghp_secret" not in str(refused.value)


@pytest.mark.parametrize("text", inputs("texts"))
async def test_the_forges_own_words_are_one_printable_line(github: Answers, text: str) -> None:
    github.will_be("PUT", 422, {"message": text * 50})
    with pytest.raises(PermanentError) as refused:
        await github.forge().set_topics("acme/x", [])
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
async def test_a_write_that_got_no_proper_answer_is_sent_once_and_is_transient(github: Answers, status: int) -> None:
    github.will_be("PUT", status)
    with pytest.raises(TransientError):
        await github.forge().set_topics("acme/x", [])
    assert len(github.asked) == 1


async def test_a_read_is_repeated(github: Answers) -> None:
    github.will_be("GET", 502)
    github.will_be("GET", 200, {"names": ["slipway"]})
    assert await github.forge().topics("acme/x") == ("slipway",)
    assert len(github.asked) == 2


async def test_a_read_is_not_repeated_for_ever(github: Answers) -> None:
    github.will_be("GET", 502)
    with pytest.raises(TransientError):
        await github.forge().topics("acme/x")
    assert len(github.asked) == 3


async def test_nobody_there_is_transient(github: Answers) -> None:
    forge = GitHubForge("http://127.0.0.1:1", SecretStr("t"), pause_seconds=(0, 0))
    with pytest.raises(TransientError):
        await forge.set_topics("acme/x", [])


@pytest.mark.parametrize(
    ("status", "asked_seconds", "waited"), [(429, "7", 7), (403, "60", 60), (429, "86400", MAX_WAIT_SECONDS)]
)
async def test_a_rate_limit_says_when_to_come_back(
    github: Answers, status: int, asked_seconds: str, waited: float
) -> None:
    github.will_be("PUT", status, {"message": "You have exceeded a secondary rate limit"}, retry_after=asked_seconds)
    with pytest.raises(TransientError) as limited:
        await github.forge().set_topics("acme/x", [])
    assert limited.value.delay_seconds == waited


async def test_a_used_up_rate_limit_is_transient(github: Answers) -> None:
    headers = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1"}
    github.will_be("PUT", 403, {"message": "API rate limit exceeded"}, **headers)
    with pytest.raises(TransientError) as limited:
        await github.forge().set_topics("acme/x", [])
    assert limited.value.delay_seconds == 1


async def test_the_token_goes_to_the_forge_and_nowhere_else(github: Answers) -> None:
    github.will_be("GET", 200, {"names": []})
    forge = github.forge()
    await forge.topics("acme/x")
    assert github.asked[0][2]["Authorization"] == "token ghp_secret"
    assert "ghp_secret" not in repr(vars(forge))


async def test_the_trace_goes_on_into_the_forge(github: Answers) -> None:
    provider = TracerProvider()
    RequestsInstrumentor().instrument(tracer_provider=provider)
    try:
        github.will_be("GET", 200, {"names": []})
        with provider.get_tracer("test").start_as_current_span("cicd create_pipeline") as span:
            await github.forge().topics("acme/x")
            trace_id = format(span.get_span_context().trace_id, "032x")
    finally:
        RequestsInstrumentor().uninstrument()
    assert tracing.trace_id_of(github.asked[0][2]["traceparent"]) == trace_id


async def test_a_renamed_repository_tells_its_new_name(github: Answers) -> None:
    described = {"full_name": "acme/shop", "id": 7, "default_branch": "main", "archived": False, "description": None}
    pages = {"html_url": f"{github.url}/acme/shop", "clone_url": f"{github.url}/acme/shop.git"}
    github.will_be("GET", 301, {"message": "Moved Permanently"}, location=f"{github.url}/repositories/7")
    github.will_be("GET", 200, described | pages)
    found = await github.forge().find("acme/demo-api")
    assert found is not None
    assert (found.name, found.id, found.description) == ("acme/shop", 7, "")

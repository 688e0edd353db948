"""What GitHub's answers mean, told over HTTP by a server that gives whatever answer a test wants."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import SecretStr, ValidationError

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github import AppCredentials, GitHubForge, trace_requests
from services.cicd.adapters.github.answers import MAX_WAIT_SECONDS, SECONDARY_LIMIT_WAIT_SECONDS
from services.cicd.adapters.github.spans import template
from services.cicd.app import credentials
from services.cicd.settings import CicdSettings
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

    def forge(self, credentials: SecretStr | AppCredentials | None = None) -> GitHubForge:
        return GitHubForge(self.url, credentials or SecretStr("ghp_secret"), pause_seconds=(0, 0))


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
            self.send_response_only(status)
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


@pytest.mark.parametrize(
    ("reset", "date", "waited"),
    [
        ("1", "Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("2460", "Thu, 01 Jan 1970 00:01:00 GMT", 2400),
        ("1", "no date", 1),
    ],
)
@pytest.mark.parametrize("status", [403, 429])
async def test_a_used_up_rate_limit_is_waited_for_by_the_forges_own_clock(
    github: Answers, status: int, reset: str, date: str, waited: float
) -> None:
    headers = {"x_ratelimit_remaining": "0", "x_ratelimit_reset": reset, "date": date}
    github.will_be("PUT", status, {"message": "API rate limit exceeded for installation ID 7."}, **headers)
    with pytest.raises(TransientError) as limited:
        await github.forge().set_topics("acme/x", [])
    assert limited.value.delay_seconds == waited


@pytest.mark.parametrize("status", [403, 429])
async def test_a_secondary_limit_without_a_time_is_given_a_minute(github: Answers, status: int) -> None:
    words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    github.will_be("PUT", status, {"message": words}, x_ratelimit_remaining="4711", x_ratelimit_reset="1")
    with pytest.raises(TransientError) as limited:
        await github.forge().set_topics("acme/x", [])
    assert limited.value.delay_seconds == SECONDARY_LIMIT_WAIT_SECONDS


async def test_a_variable_that_cannot_be_changed_or_removed_is_no_success(github: Answers) -> None:
    github.will_be("POST", 409, {"message": "Already exists"})
    github.will_be("PATCH", 403, {"message": "Resource not accessible"})
    github.will_be("DELETE", 500)
    with pytest.raises(PermanentError):
        await github.forge().set_variable("acme/x", "A", "b")
    with pytest.raises(TransientError):
        await github.forge().delete_variable("acme/x", "A")


async def test_the_token_goes_to_the_forge_and_nowhere_else(github: Answers) -> None:
    github.will_be("GET", 200, {"names": []})
    forge = github.forge()
    await forge.topics("acme/x")
    assert github.asked[0][2]["Authorization"] == "token ghp_secret"
    assert "ghp_secret" not in repr(vars(forge))


async def test_the_trace_goes_on_into_the_forge(github: Answers) -> None:
    provider = TracerProvider()
    trace_requests(provider)
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


# -- spans -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_requests(provider)
    yield exporter
    RequestsInstrumentor().uninstrument()


def _only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


async def test_a_look_up_that_finds_nothing_is_no_failed_span(github: Answers, spans: InMemorySpanExporter) -> None:
    github.will_be("GET", 404, {"message": "Not Found"})
    assert await github.forge().find("acme/x") is None
    span = _only(spans)
    assert span.name == "GET /repos/{owner}/{repo}"
    assert span.status.status_code is StatusCode.OK


async def test_removing_what_is_gone_is_no_failed_span(github: Answers, spans: InMemorySpanExporter) -> None:
    github.will_be("DELETE", 404, {"message": "Not Found"})
    await github.forge().delete_variable("acme/x", "SLIPWAY_URL")
    span = _only(spans)
    assert span.name == "DELETE /repos/{owner}/{repo}/actions/variables/{name}"
    assert span.status.status_code is StatusCode.OK


@pytest.mark.parametrize(("method", "status"), [("PUT", 404), ("PUT", 422), ("PUT", 500)])
async def test_what_was_refused_is_a_failed_span(
    github: Answers, spans: InMemorySpanExporter, method: str, status: int
) -> None:
    github.will_be(method, status, {"message": "No"})
    with pytest.raises((PermanentError, TransientError)):
        await github.forge().set_topics("acme/x", [])
    span = _only(spans)
    assert span.name == "PUT /repos/{owner}/{repo}/topics"
    assert span.status.status_code is StatusCode.ERROR


async def test_the_health_check_is_in_no_trace(github: Answers, spans: InMemorySpanExporter) -> None:
    github.will_be("GET", 200, {"resources": {}, "rate": {}})
    await github.forge().check()
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/repos/acme/x", "/repos/{owner}/{repo}"),
        ("/api/v3/repos/acme/x/git/ref/heads/feature/a", "/repos/{owner}/{repo}/git/ref/{ref}"),
        ("/repos/acme/x/git/refs/heads/main", "/repos/{owner}/{repo}/git/refs/{ref}"),
        ("/repos/acme/x/git/refs", "/repos/{owner}/{repo}/git/refs"),
        ("/repos/acme/x/git/matching-refs/heads%2Fmain", "/repos/{owner}/{repo}/git/matching-refs/{ref}"),
        ("/repos/acme/x/git/commits/0123abcd", "/repos/{owner}/{repo}/git/commits/{sha}"),
        ("/repos/acme/x/git/trees", "/repos/{owner}/{repo}/git/trees"),
        ("/repos/acme/x/contents/.github/workflows/a.yml", "/repos/{owner}/{repo}/contents/{path}"),
        ("/repos/acme/x/actions/variables", "/repos/{owner}/{repo}/actions/variables"),
        ("/repos/acme/x/actions/variables/SLIPWAY_URL", "/repos/{owner}/{repo}/actions/variables/{name}"),
        ("/repos/acme/x/environments/x", "/repos/{owner}/{repo}/environments/{environment_name}"),
        ("/repos/acme/x/pulls/12", "/repos/{owner}/{repo}/pulls/{pull_number}"),
        ("/repos/acme/x/pulls", "/repos/{owner}/{repo}/pulls"),
        ("/repos/acme/x/commits", "/repos/{owner}/{repo}/commits"),
        ("/orgs/acme/repos", "/orgs/{org}/repos"),
        ("/repositories/7", "/repositories/{id}"),
        ("/app/installations/7/access_tokens", "/app/installations/{installation_id}/access_tokens"),
        ("/rate_limit", "/rate_limit"),
        ("/a/path/we/never/saw", "/…"),
    ],
)
def test_a_span_is_named_by_what_is_asked_and_not_by_whose_it_is(path: str, named: str) -> None:
    assert template(path) == named


# -- a GitHub App ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _app(key: rsa.RSAPrivateKey) -> AppCredentials:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return AppCredentials(4711, 7, SecretStr(pem.decode()))


def _will_sign_in(github: Answers, token: str, lives: timedelta) -> None:
    expires_at = (datetime.now(UTC) + lives).strftime("%Y-%m-%dT%H:%M:%SZ")
    github.will_be("POST", 201, {"token": token, "expires_at": expires_at})


async def test_an_app_signs_in_with_its_key_and_works_with_the_installations_token(
    github: Answers, key: rsa.RSAPrivateKey
) -> None:
    _will_sign_in(github, "ghs_one", timedelta(hours=1))
    github.will_be("GET", 200, {"names": []})
    forge = github.forge(_app(key))
    await asyncio.gather(*(forge.topics("acme/x") for _ in range(4)))
    signed_in = [one for one in github.asked if one[0] == "POST"]
    assert [path for _, path, _ in signed_in] == ["/app/installations/7/access_tokens"]
    claims = jwt.decode(signed_in[0][2]["Authorization"].split()[1], key.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "4711"
    assert {one[2]["Authorization"] for one in github.asked if one[0] == "GET"} == {"token ghs_one"}


async def test_a_token_is_replaced_before_it_ends(github: Answers, key: rsa.RSAPrivateKey) -> None:
    _will_sign_in(github, "ghs_short", timedelta(seconds=60))
    _will_sign_in(github, "ghs_next", timedelta(hours=1))
    github.will_be("GET", 200, {"names": []})
    forge = github.forge(_app(key))
    for _ in range(3):
        await forge.topics("acme/x")
    assert [one[2]["Authorization"] for one in github.asked if one[0] == "GET"] == [
        "token ghs_short",
        "token ghs_next",
        "token ghs_next",
    ]


async def test_a_token_that_is_taken_back_is_replaced_at_the_next_attempt(
    github: Answers, key: rsa.RSAPrivateKey
) -> None:
    _will_sign_in(github, "ghs_revoked", timedelta(hours=1))
    _will_sign_in(github, "ghs_new", timedelta(hours=1))
    github.will_be("GET", 401, {"message": "Bad credentials"})
    github.will_be("GET", 200, {"names": ["slipway"]})
    forge = github.forge(_app(key))
    with pytest.raises(TransientError, match="sign in anew"):
        await forge.topics("acme/x")
    assert await forge.topics("acme/x") == ("slipway",)
    assert github.asked[-1][2]["Authorization"] == "token ghs_new"


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_app_that_may_not_sign_in_is_a_matter_for_the_platform_team(
    github: Answers, key: rsa.RSAPrivateKey, status: int
) -> None:
    github.will_be("POST", status, {"message": "Integration not found"})
    with pytest.raises(PermanentError) as refused:
        await github.forge(_app(key)).topics("acme/x")
    assert refused.value.code == "forge_credentials"
    assert "private key" in refused.value.next_step


async def test_github_away_while_the_app_signs_in_is_transient(github: Answers, key: rsa.RSAPrivateKey) -> None:
    github.will_be("POST", 502)
    with pytest.raises(TransientError):
        await github.forge(_app(key)).topics("acme/x")


def test_what_is_no_key_is_refused_at_once_and_not_repeated(github: Answers) -> None:
    with pytest.raises(ValueError, match="RSA key in PEM") as refused:
        github.forge(AppCredentials(1, 2, SecretStr("-----BEGIN nonsense")))
    assert "nonsense" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "either"),
        ({"forge_token_file": "t", "github_app_id": 1}, "all of"),
        ({"github_app_id": 1, "github_app_installation_id": 2}, "all of"),
        (
            {
                "forge_token_file": "t",
                "github_app_id": 1,
                "github_app_installation_id": 2,
                "github_app_private_key_file": "k",
            },
            "either",
        ),
    ],
)
def test_there_is_one_way_to_sign_in(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        CicdSettings(**given)


def test_the_settings_name_the_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.pem").write_text("the key\n")
    monkeypatch.setenv("SLIPWAY_CICD_GITHUB_APP_ID", "4711")
    monkeypatch.setenv("SLIPWAY_CICD_GITHUB_APP_INSTALLATION_ID", "7")
    monkeypatch.setenv("SLIPWAY_CICD_GITHUB_APP_PRIVATE_KEY_FILE", str(tmp_path / "app.pem"))
    assert credentials(CicdSettings()) == AppCredentials(4711, 7, SecretStr("the key"))

"""What GitHub's answers mean, told over HTTP by a server that gives whatever answer a test wants."""

from typing import Any

import pytest
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from pydantic import SecretStr

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github import GitHubForge, trace_requests
from services.cicd.adapters.github.answers import MAX_WAIT_SECONDS, SECONDARY_LIMIT_WAIT_SECONDS
from tests.unit.cicd.answers import Answers
from tests.unit.hostile import inputs


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

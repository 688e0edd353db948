"""Spans of the requests to GitHub."""

from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chassis.failures import PermanentError, TransientError
from services.cicd.adapters.github import trace_requests
from services.cicd.adapters.github.spans import template
from tests.unit.cicd.answers import Answers


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

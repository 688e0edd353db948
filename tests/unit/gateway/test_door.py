"""The one door: policies, limits, problems, spans, and the description of all that."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from chassis.failures import TransientError
from contracts.golden_path import GoldenPath
from services.gateway.adapters.memory import MemoryGoldenPaths, MemoryTokens
from services.gateway.api import limits
from services.gateway.api.application import ENDPOINTS
from services.gateway.api.cursors import Cursors
from services.gateway.api.routing import refuse_undeclared
from services.gateway.domain.refusals import InvalidError, MalformedError, RateLimitedError
from services.gateway.domain.tokens import ApiToken
from tests.unit.gateway.rig import Rig

CREATE = {"name": "demo-api", "golden_path": "nodejs-api"}


# -- default deny


def test_a_route_without_a_policy_is_not_served() -> None:
    app = FastAPI(openapi_url=None)

    async def forgotten() -> str:
        return "everything"

    app.add_api_route("/forgotten", forgotten)
    with pytest.raises(LookupError, match="/forgotten"):
        refuse_undeclared(app, {})


async def test_every_route_but_the_description_and_the_exchange_of_a_code_takes_a_token() -> None:
    rig = Rig()
    public = set()
    async with rig.client() as client:
        for endpoint in ENDPOINTS:
            address = endpoint.path.format(name="demo-api", id="x", delivery_id="x", sequence=1, person="ada")
            answer = await client.request(endpoint.method, address)
            if answer.status_code != 401:
                public.add(endpoint.path)
                continue
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert public == {"/api/v1/openapi.json", "/api/v1/machine-tokens"}
    async with rig.client() as client:
        unsigned = await client.post("/api/v1/webhooks/forge", json={})
    assert unsigned.status_code == 401


async def test_whoever_has_no_role_is_told_before_the_body_is_looked_at() -> None:
    rig = Rig()
    async with rig.client(await rig.token("viewer")) as client:
        answer = await client.post("/api/v1/environments", content=b"[" * 60_000)
    assert answer.status_code == 403


# -- limits


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(),
    lambda within: st.lists(within, max_size=4) | st.dictionaries(st.text(), within, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_honest_json_is_read_as_it_was_written(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        assert limits.parse_json(body) == value
    except MalformedError as error:
        assert "nested" in str(error)  # noqa: PT017 - deeper than we take


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        limits.parse_json(body)
    except MalformedError:
        return


def test_brackets_within_a_text_have_no_depth() -> None:
    assert limits.parse_json(json.dumps({"a": "[" * 1000 + '"\\' + "{" * 1000}).encode())


async def test_a_body_is_refused_as_soon_as_it_is_too_large() -> None:
    rig = Rig()
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield b" " * 1024

    async with rig.client(await rig.token()) as client:
        answer = await client.post(
            "/api/v1/environments", content=endless(), headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 413
    assert taken <= 66


def test_a_bucket_lets_a_burst_pass_and_then_the_rate() -> None:
    now = [0.0]
    limiter = limits.RateLimiter(per_second=2, at_once=3, now=lambda: now[0])
    for _ in range(3):
        limiter.take("ada")
    with pytest.raises(RateLimitedError) as refused:
        limiter.take("ada")
    assert refused.value.retry_after_seconds == 1
    limiter.take("bob")
    now[0] += 0.5
    limiter.take("ada")
    with pytest.raises(RateLimitedError):
        limiter.take("ada")


def test_a_limiter_forgets_whoever_was_away_longest() -> None:
    limiter = limits.RateLimiter(per_second=0.001, at_once=1, most_askers=2)
    for asker in ("a", "b", "c", "a"):
        limiter.take(asker)
    with pytest.raises(RateLimitedError):
        limiter.take("c")


async def test_whoever_asks_too_often_is_told_when_to_come_back_and_others_are_not_held_up() -> None:
    rig = Rig(limiter=limits.RateLimiter(per_second=0.5, at_once=2))
    async with rig.client(await rig.token()) as ada, rig.client(await rig.token(person="bob")) as bob:
        codes = [(await ada.get("/api/v1/me")).status_code for _ in range(3)]
        answer = await ada.get("/api/v1/me")
        assert codes == [200, 200, 429]
        assert answer.json()["type"] == "urn:slipway:problem:rate_limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 2
        assert (await bob.get("/api/v1/me")).status_code == 200


async def test_guesses_are_slowed_down_and_a_valid_token_is_not() -> None:
    rig = Rig(limiter=limits.RateLimiter(per_second=0.01, at_once=3))
    async with rig.client("slw_guess") as guesser, rig.client(await rig.token()) as ada:
        codes = [(await guesser.get("/api/v1/me")).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        assert (await ada.get("/api/v1/me")).status_code == 200


# -- problems


async def test_a_fault_of_ours_is_a_problem_without_any_of_our_insides() -> None:
    rig = Rig(golden_paths=_Unforeseen())
    async with rig.client(await rig.token()) as client:
        answer = await client.get("/api/v1/golden-paths")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:slipway:problem:internal"
    assert "inside" not in answer.text


async def test_a_part_that_is_away_is_503_with_the_time_to_come_back() -> None:
    rig = Rig()
    rig.log.away = True
    async with rig.client(await rig.token()) as client:
        for answer in (
            await client.get("/api/v1/environments"),
            await client.post("/api/v1/environments", json=CREATE, headers={"Idempotency-Key": "k"}),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
        rig.log.away = False
        again = await client.post("/api/v1/environments", json=CREATE, headers={"Idempotency-Key": "k"})
        assert again.status_code == 202


class _Unforeseen(MemoryGoldenPaths):
    """Does what nobody thought of."""

    async def all(self) -> list[GoldenPath]:
        raise KeyError("an inside of ours")


class _Away(MemoryTokens):
    """Fails as the real one does when its database is away."""

    async def find(self, token_id: str) -> ApiToken | None:
        raise TransientError(f"nobody answers about {token_id}")


async def test_a_token_store_that_is_away_is_not_a_wrong_token() -> None:
    rig = Rig(token_store=_Away())
    async with rig.client(await rig.token()) as client:
        assert (await client.get("/api/v1/me")).status_code == 503


async def test_every_change_and_everybody_turned_away_leaves_a_line_without_a_secret() -> None:
    rig = Rig()
    token = await rig.token()
    with capture_logs() as lines:
        async with rig.client(token) as client:
            await client.post("/api/v1/environments", json=CREATE)
            await client.get("/api/v1/environments")
            await client.get("/api/v1/admin/dead-letters")
            await client.get("/api/v1/me", headers={"Authorization": "Bearer wrong"})
    found = [(line["method"], line["status"], line["person"]) for line in lines if "method" in line]
    assert found == [("POST", 202, "ada"), ("GET", 403, None), ("GET", 401, None)]
    assert token not in str(lines)


# -- spans


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Every span that ends; the global provider can be set once only, so it is put in place directly."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr("chassis.tracing._TRACER", provider.get_tracer("slipway"))
    yield exporter
    provider.shutdown()


def root(exporter: InMemorySpanExporter) -> ReadableSpan:
    [found] = [span for span in exporter.get_finished_spans() if span.parent is None]
    return found


async def test_a_request_is_the_root_of_its_trace_and_a_foreign_parent_only_a_link(
    spans: InMemorySpanExporter,
) -> None:
    rig = Rig()
    foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with rig.client(await rig.token()) as client:
        answer = await client.post("/api/v1/environments", json=CREATE, headers={"traceparent": foreign})
    span = root(spans)
    trace_id = format(span.context.trace_id, "032x")
    assert span.name == "POST /api/v1/environments"
    assert answer.headers["Slipway-Trace-Id"] == answer.json()["trace_id"] == trace_id
    assert trace_id not in foreign
    assert [format(link.context.trace_id, "032x") for link in span.links] == [foreign.split("-")[1]]
    [event] = rig.log.events_said
    assert event.traceparent is not None
    assert event.traceparent.startswith(f"00-{trace_id}-{format(span.context.span_id, '016x')}-")


async def test_a_spans_name_is_the_routes_template(spans: InMemorySpanExporter) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.get("/api/v1/environments/some-name", headers={"traceparent": "00-zz-not-one"})
    span = root(spans)
    assert span.name == "GET /api/v1/environments/{name}"
    assert span.links == ()
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 404
    assert answer.json()["trace_id"] == answer.headers["Slipway-Trace-Id"]
    assert "some-name" not in json.dumps(dict(span.attributes))


async def test_what_is_asked_all_the_time_makes_no_span(spans: InMemorySpanExporter) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        for address in ("/api/v1/openapi.json", "/api/v1/runs/x/stream", "/elsewhere"):
            await client.get(address)
    assert spans.get_finished_spans() == ()


async def test_a_request_that_is_published_again_stays_in_its_trace(spans: InMemorySpanExporter) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.post("/api/v1/environments", json=CREATE)
    rig.log.events_said.clear()
    rig.clock.at += timedelta(hours=1)
    await rig.keeping.look()
    [event] = rig.log.events_said
    assert event.traceparent is not None
    assert answer.json()["trace_id"] in event.traceparent


# -- pages and lists


async def test_every_answer_keeps_a_browser_from_doing_more_than_showing_it() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        for address in ("/api/v1/openapi.json", "/api/v1/me", "/elsewhere"):
            answer = await client.get(address)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_description_says_what_is_served_and_how_it_fails() -> None:
    async with Rig().client() as client:
        description = (await client.get("/api/v1/openapi.json")).json()
        again = (await client.get("/api/v1/openapi.json")).json()
    assert description == again
    assert description["openapi"].startswith("3.1")
    served = {(e.method.lower(), e.path) for e in ENDPOINTS if e.in_schema}
    described = {(method, path) for path, methods in description["paths"].items() for method in methods}
    assert described == served
    for path, methods in description["paths"].items():
        for operation in methods.values():
            takes_token = path != "/api/v1/machine-tokens"
            assert operation.get("security") == ([{"token": []}] if takes_token else None)
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation["description"]
    names = set(description["components"]["schemas"])
    used = {part.split('"')[0] for part in json.dumps(description).split("#/components/schemas/")[1:]}
    assert used <= names


async def test_pages_follow_one_another_and_a_cursor_belongs_to_its_list() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client, rig.client(await rig.token(person="bob")) as bob:
        for number in range(7):
            await client.post("/api/v1/environments", json=CREATE | {"name": f"demo-{number}"})
        names: list[str] = []
        cursor: str | None = None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = (await client.get("/api/v1/environments", params={"limit": 3, **more})).json()
            names += [item["name"] for item in page["items"]]
            assert page["total"] == 7
            cursor = page["next_cursor"]
            if cursor is None:
                break
            for asker, filters in ((bob, {}), (client, {"state": "ready"})):
                refused = await asker.get("/api/v1/environments", params={"cursor": cursor, **filters})
                assert refused.status_code == 422
        assert names == [f"demo-{number}" for number in range(7)]


def test_a_cursor_that_was_changed_is_refused() -> None:
    cursors = Cursors(lambda text: str(len(text)))
    cursor = cursors.make("list", "after")
    assert cursors.read("list", cursor) == "after"
    for wrong in (cursor[:-1], cursor + "A", "", "é", "AAAA"):
        with pytest.raises(InvalidError):
            cursors.read("list", wrong)


async def test_what_a_team_does_not_see_is_in_none_of_its_lists() -> None:
    rig = Rig()
    eve = await rig.token("developer", "search", person="eve")
    async with rig.client(await rig.token()) as ada, rig.client(eve) as stranger:
        await ada.post("/api/v1/environments", json=CREATE)
        for address in ("/api/v1/environments", "/api/v1/environments?team=payments", "/api/v1/runs"):
            assert (await stranger.get(address)).json()["items"] == []
    async with rig.client(await rig.token("admin", "platform", person="root")) as admin:
        assert len((await admin.get("/api/v1/environments")).json()["items"]) == 1
        assert len((await admin.get("/api/v1/runs")).json()["items"]) == 1


@pytest.mark.parametrize("path", ["../orders", "/etc", "a//b", ".git", "${{ github.token }}", "x" * 201])
async def test_a_directory_that_leaves_the_repository_is_told_by_its_field(path: str) -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.post(
            "/api/v1/environments", json={"name": "demo-api", "golden_path": "nodejs-api", "path": path}
        )
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, ["path"])
    assert path not in answer.text

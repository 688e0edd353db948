"""The real client on a real forge, over a network that loses, delays and refuses: what a write did is found out by
reading, and nothing is made twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from pydantic import SecretStr

from chassis.failures import TransientError
from contracts.values import EnvironmentSpec, Pipeline
from services.cicd.adapters.github import GitHubForge, trace_requests
from tests.contract.pipelines.workbench import Workbench, client_of
from tests.integration.faulty_forge import FAULTS, LIMIT_SECONDS, BadDay, Fault, bad_day
from tests.integration.forge_process import ForgeProcess
from tests.unit.cicd.events import spec

MOST_REQUESTS = {"new": 15, "existing": 16, "again": 6, "update": 7}
"""What a deed may ask of the forge; GitHub allows an installation 5,000 requests an hour."""


@pytest.fixture
def day(embedded: ForgeProcess) -> Iterator[BadDay]:
    with bad_day(embedded.port) as made:
        yield made


@pytest.fixture
def bench(embedded: ForgeProcess, day: BadDay, tmp_path: Path) -> Workbench:
    token = SecretStr(embedded.tokens["slipway"])
    forge = GitHubForge(f"{day.url}/api/v3", token, pause_seconds=(0, 0), timeout_seconds=1)
    return Workbench(forge, tmp_path / "bench")


@pytest.fixture
def calm(embedded: ForgeProcess, tmp_path: Path) -> Workbench:
    """The same forge, on the shortest way."""
    return Workbench(client_of(embedded), tmp_path / "calm")


async def _until_done(bench: Workbench, wanted: EnvironmentSpec) -> tuple[Pipeline, list[TransientError]]:
    """Create, with the attempts that the chassis would make."""
    waits: list[TransientError] = []
    while True:
        try:
            return await bench.create(wanted), waits
        except TransientError as error:
            waits.append(error)
            assert len(waits) < 5


@pytest.mark.parametrize(
    ("existing", "fault"),
    [*((False, fault) for fault in FAULTS), (True, "connection lost"), (True, "secondary limit")],
)
async def test_whatever_becomes_of_a_write_a_creation_ends_the_same(
    bench: Workbench, calm: Workbench, day: BadDay, fault: Fault, existing: bool
) -> None:
    kind = f"{'old' if existing else 'new'}-{fault.replace(' ', '-')}"
    whole = spec(f"{kind}-x")
    if existing:
        await calm.existing(whole.repository)
    day.strike(fault, at_write=0)
    await bench.create(whole)
    wanted, writes = await calm.state(whole.repository), day.writes
    assert writes >= 6

    for at in range(1, writes + 1):
        broken = whole.model_copy(update={"name": f"{kind}-{at}", "repository": f"acme/{kind}-{at}"})
        if existing:
            await calm.existing(broken.repository)
        day.strike(fault, at_write=at)
        pipeline, waits = await _until_done(bench, broken)
        assert len(day.struck) == 1
        assert await calm.state(broken.repository) == wanted, f"after {fault} of {day.struck}"
        assert await bench.create(broken) == pipeline
        if fault in LIMIT_SECONDS and waits:
            assert [error.delay_seconds for error in waits] == [LIMIT_SECONDS[fault]]


async def test_an_ambiguous_creation_of_a_repository_needs_no_second_attempt(bench: Workbench, day: BadDay) -> None:
    for fault in ("answer lost", "connection lost", "answer late"):
        wanted = spec(f"ambiguous-{fault.replace(' ', '-')}")
        day.strike(fault, at_write=1)
        _, waits = await _until_done(bench, wanted)
        assert day.struck == ["POST /api/v3/orgs/acme/repos"]
        assert waits == []
        assert len([asked for asked in day.asked if asked.startswith("POST /api/v3/orgs")]) == 1
        day.asked.clear()


async def test_a_read_that_is_limited_says_when_to_come_back(bench: Workbench, day: BadDay) -> None:
    day.fault = "used up"
    day.strikes = lambda method, _: method == "GET"
    with pytest.raises(TransientError) as limited:
        await bench.create(spec("limited-api"))
    assert limited.value.delay_seconds == LIMIT_SECONDS["used up"]
    assert len(day.asked) == 1, "a limit is not run against"


# -- how much is asked -------------------------------------------------------------------------------------------------


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace_requests(provider)
    yield exporter
    RequestsInstrumentor().uninstrument()


def _taken(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    found = list(exporter.get_finished_spans())
    exporter.clear()
    return found


async def test_the_forge_is_asked_no_more_than_it_must_be(calm: Workbench, spans: InMemorySpanExporter) -> None:
    asked: dict[str, list[ReadableSpan]] = {}
    await calm.create(spec("frugal-api", branch="trunk"))
    asked["new"] = _taken(spans)
    await calm.create(spec("frugal-api", branch="trunk"))
    asked["again"] = _taken(spans)
    await calm.update(spec("frugal-api", branch="trunk"), spec("frugal-api", branch="trunk"))
    asked["update"] = _taken(spans)
    await calm.existing("acme/frugal-old")
    _taken(spans)
    await calm.create(spec("frugal-old"))
    asked["existing"] = _taken(spans)

    for kind, most in MOST_REQUESTS.items():
        assert 0 < len(asked[kind]) <= most, f"{kind}: {[span.name for span in asked[kind]]}"
        failed = [span.name for span in asked[kind] if span.status.status_code is StatusCode.ERROR]
        assert failed == [], "a look-up that finds nothing is no failure"
        assert all("{" in span.name for span in asked[kind])

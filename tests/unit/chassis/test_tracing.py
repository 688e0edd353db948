"""Spans: where they hang, what an error leaves in them, and that none is made where nothing is exported."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from chassis import tracing

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "enabled", lambda: True)
    monkeypatch.setattr(tracing, "_TRACER", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def test_a_span_hangs_below_the_event_that_it_handles(exported: InMemorySpanExporter) -> None:
    with tracing.span("outer", parent=PARENT):
        said = tracing.traceparent()
        with tracing.span("inner"):
            pass
    inner, outer = exported.get_finished_spans()
    assert outer.parent is not None
    assert outer.parent.span_id == int("b" * 16, 16)
    assert outer.context is not None
    assert said == f"00-{'a' * 32}-{outer.context.span_id:016x}-{outer.context.trace_flags:02x}"
    assert inner.parent == outer.context
    assert tracing.traceparent() is None


@pytest.mark.parametrize("garbage", ["", "garbage", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'A' * 32}-{'b' * 16}-01"])
def test_what_is_no_traceparent_begins_a_trace_of_its_own(exported: InMemorySpanExporter, garbage: str) -> None:
    with tracing.span("alone", parent=garbage):
        pass
    (alone,) = exported.get_finished_spans()
    assert alone.parent is None


def test_an_error_leaves_its_type_and_nothing_that_it_says(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("failing"):
        raise ValueError("a secret")
    (failing,) = exported.get_finished_spans()
    assert failing.status.status_code is StatusCode.ERROR
    assert "secret" not in failing.to_json()
    assert (failing.attributes or {})["error.type"] == "ValueError"


def test_nothing_is_made_where_nothing_is_exported() -> None:
    with tracing.span("unseen", parent=PARENT) as span:
        assert not span.is_recording()
        assert tracing.traceparent() is None
        assert trace.get_current_span() is trace.INVALID_SPAN

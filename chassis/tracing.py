"""One trace from the click to the message: spans of our own, one a hop, carried from event to event in `traceparent`
(W3C Trace Context).

FastStream's middleware makes four spans and two histograms a hop, names them by concrete subject, and costs a third of
the throughput; one consumer span a hop tells the same story.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_W3C: Final = TraceContextTextMapPropagator()
_TRACER: Final = trace.get_tracer("slipway")
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_NO_SPAN: Final = nullcontext(trace.INVALID_SPAN)


def configure(service: str, endpoint: str) -> TracerProvider | None:
    """Export this process's spans to an OTLP/HTTP receiver. None, and no spans, where `endpoint` is empty."""
    if not endpoint:
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": service, "service.namespace": "slipway"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=1_000, max_queue_size=16_384, max_export_batch_size=2_048)
    )
    trace.set_tracer_provider(provider)
    return provider


def enabled() -> bool:
    """Whether this process exports spans."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def traceparent() -> str | None:
    """The current span as a `traceparent`, or None where nothing is traced."""
    current = trace.get_current_span().get_span_context()
    if not current.is_valid:
        return None
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}"


def context_of(parent: str | None) -> Context | None:
    """The context to which `parent` refers."""
    return _W3C.extract({"traceparent": parent}) if parent else None


def trace_id() -> str | None:
    """The current trace id as 32 hexadecimal digits."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def trace_id_of(parent: str | None) -> str | None:
    """The trace id within a `traceparent`."""
    return parent.split("-")[1] if parent else None


def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> AbstractContextManager[Span]:
    """A span around a block: a child of the current one, or of `parent` where that is given. An exception marks it as
    failed with its type only: a message may hold what no trace should."""
    return _Block(name, kind, parent, attributes) if enabled() else _NO_SPAN


class _Block(AbstractContextManager[Span]):
    """What `span` gives. OpenTelemetry's own is a generator within two others, which costs as much as the span."""

    __slots__ = ("_attributes", "_kind", "_name", "_parent", "_span", "_token")

    def __init__(
        self, name: str, kind: SpanKind, parent: str | None, attributes: Mapping[str, AttributeValue] | None
    ) -> None:
        self._name, self._kind, self._parent, self._attributes = name, kind, parent, attributes

    def __enter__(self) -> Span:
        context = _remote(self._parent) if self._parent is not None else None
        self._span = _TRACER.start_span(self._name, context, self._kind, self._attributes)
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        otel_context.detach(self._token)
        if error is not None:
            failed(self._span, error)
        self._span.end()


def within(current: Span | None) -> AbstractContextManager[object]:
    """Make a span of `begin` the current one for a block, without ending it; None changes nothing."""
    return nullcontext() if current is None else trace.use_span(current, record_exception=False)


def failed(current: Span, error: BaseException) -> None:
    """Mark a span as failed with the error's type."""
    current.set_attribute("error.type", type(error).__name__)
    current.set_status(Status(StatusCode.ERROR, type(error).__name__))


def begin(name: str, parent: str, started_ns: int, attributes: Mapping[str, AttributeValue]) -> Span:
    """A span that began at `started_ns` within the trace of `parent` (a `traceparent`); the caller ends it."""
    return _TRACER.start_span(
        name, _remote(parent), SpanKind.CONSUMER, attributes, start_time=started_ns, record_exception=False
    )


def _remote(parent: str) -> Context:
    """The context of a `traceparent`; where it is none, one without a span."""
    found = _TRACEPARENT.fullmatch(parent)
    if found is None:
        return context_of(parent) or Context()
    remote = SpanContext(
        int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16))
    )
    return trace.set_span_in_context(NonRecordingSpan(remote), Context())

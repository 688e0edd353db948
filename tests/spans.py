"""Spans that a test looks at.

Invariant: nobody outside the test is traced. The global provider can be set only once, and then stays for every test
that comes after; so it is put in place of, and taken away with the test.
"""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import tracing
from services.provisioner.adapters import terraform_spans


def recorded_spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Every span that ends in this process until the test does."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    for module in (tracing, terraform_spans):
        monkeypatch.setattr(module, "_TRACER", provider.get_tracer("slipway"))
    return exporter

"""The trace store as OpenTelemetry's exporter, a Jaeger client and a reader's browser see it."""

import gzip
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, format_span_id, format_trace_id

from deploy.embedded.ports import free_port
from deploy.embedded.traces.otlp import decode
from deploy.embedded.traces.queries import Resource as StoredResource
from deploy.embedded.traces.queries import Trace
from deploy.embedded.traces.spans import Details
from deploy.embedded.traces.spans import Span as StoredSpan
from deploy.embedded.traces.store import Store
from deploy.embedded.traces.waterfall import waterfall
from tests.stand_ins import Child, running, start_module, wait_until

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}


def launch(directory: Path, port: int) -> Child:
    environment = {"SLIPWAY_TRACES_PORT": str(port), "SLIPWAY_TRACES_DATA": str(directory / "data")}
    return start_module("deploy.embedded.traces", environment, directory)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running(launch(tmp_path_factory.mktemp("traces"), port), lambda: is_ready(address)):
        yield address


def tracer_of(url: str, service: str, compression: Compression = Compression.Gzip) -> Any:
    provider = TracerProvider(resource=Resource.create({"service.name": service, "host.name": "h"}))
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test-scope")


def request_of(*spans: Span, service: str = "attack") -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    name = resource_spans.resource.attributes.add()
    name.key, name.value.string_value = "service.name", service
    resource_spans.scope_spans.add().spans.extend(spans)
    return request


def span_of(name: str = "op", *, trace_id: bytes | None = None, parent: bytes = b"", **fields: Any) -> Span:
    now = time.time_ns()
    return Span(
        trace_id=trace_id or os.urandom(16),
        span_id=fields.pop("span_id", None) or os.urandom(8),
        parent_span_id=parent,
        name=name,
        start_time_unix_nano=fields.pop("start", now),
        end_time_unix_nano=fields.pop("end", now + 1_000_000),
        **fields,
    )


def jaeger_trace(url: str, trace_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/api/traces/{trace_id}").json()
    assert answer["errors"] is None
    return dict(answer["data"][0])


def tags_of(item: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in item["tags"]}


@pytest.mark.parametrize("compression", [Compression.Gzip, Compression.NoCompression])
def test_what_the_sdk_exports_comes_back_in_jaegers_shape(url: str, compression: Compression) -> None:
    gateway, secrets = tracer_of(url, "gateway", compression), tracer_of(url, "secrets", compression)
    with gateway.start_as_current_span("POST /x", kind=SpanKind.SERVER) as root:
        root.set_attributes({"text": "a", "whole": 7, "ratio": 1.5, "yes": True, "many": ["x", "y"]})
        with secrets.start_as_current_span("store", links=[Link(root.get_span_context())]) as child:
            child.add_event("retry", {"attempt": 2})
            child.set_status(Status(StatusCode.ERROR, "refused"))
    trace_id = format_trace_id(root.get_span_context().trace_id)
    trace = jaeger_trace(url, trace_id)
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert trace["traceID"] == trace_id
    assert set(spans) == {"POST /x", "store"}
    parent, failed = spans["POST /x"], spans["store"]
    assert parent["references"] == []
    root_id = format_span_id(root.get_span_context().span_id)
    assert failed["references"][0] == {"refType": "CHILD_OF", "traceID": trace_id, "spanID": root_id}
    assert failed["references"][1]["refType"] == "FOLLOWS_FROM"
    typed = {tag["key"]: (tag["type"], tag["value"]) for tag in parent["tags"]}
    assert typed["text"] == ("string", "a")
    assert typed["whole"] == ("int64", 7)
    assert typed["ratio"] == ("float64", 1.5)
    assert typed["yes"] == ("bool", True)
    assert typed["many"] == ("string", '["x","y"]')
    assert typed["span.kind"] == ("string", "server")
    assert typed["otel.scope.name"] == ("string", "test-scope")
    tags = tags_of(failed)
    assert (tags["error"], tags["otel.status_code"]) == (True, "ERROR")
    assert tags["otel.status_description"] == "refused"
    assert {field["key"]: field["value"] for field in failed["logs"][0]["fields"]} == {"event": "retry", "attempt": 2}
    process = trace["processes"][failed["processID"]]
    assert process["serviceName"] == "secrets"
    assert tags_of(process)["host.name"] == "h"
    assert abs(parent["startTime"] / 1e6 - time.time()) < 600
    assert parent["duration"] >= failed["duration"] >= 0


def test_the_same_span_sent_twice_is_stored_once(url: str) -> None:
    span = span_of()
    body = request_of(span).SerializeToString()
    for _ in range(2):
        assert httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF).status_code == 200
    assert len(jaeger_trace(url, span.trace_id.hex())["spans"]) == 1


def test_spans_may_come_as_json(url: str) -> None:
    trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
    span = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": "as json",
        "kind": 3,
        "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns() + 5_000_000),
        "attributes": [{"key": "n", "value": {"intValue": "9007199254740993"}}],
        "links": [{"traceId": trace_id, "spanId": span_id}],
        "unknownField": 1,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "json-service"}}]}
    document = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    answer = httpx.post(f"{url}/v1/traces", json=document)
    assert (answer.status_code, answer.json()) == (200, {})
    stored = jaeger_trace(url, trace_id)["spans"][0]
    assert tags_of(stored)["n"] == 9007199254740993
    assert tags_of(stored)["span.kind"] == "client"


def test_malformed_spans_are_left_out_and_counted(url: str) -> None:
    good = span_of("good")
    request = request_of(
        good,
        span_of(trace_id=b"short"),
        span_of(trace_id=bytes(16)),
        span_of(span_id=bytes(8)),
        span_of(start=2**63),
        span_of(parent=b"abc"),
    )
    answer = httpx.post(f"{url}/v1/traces", content=request.SerializeToString(), headers=PROTOBUF)
    assert answer.status_code == 200
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 5
    assert len(jaeger_trace(url, good.trace_id.hex())["spans"]) == 1


def test_a_span_that_ends_before_it_begins_has_no_length(url: str) -> None:
    span = span_of(start=2_000, end=1_000)
    httpx.post(f"{url}/v1/traces", content=request_of(span).SerializeToString(), headers=PROTOBUF)
    assert jaeger_trace(url, span.trace_id.hex())["spans"][0]["duration"] == 0


def test_traces_are_found_by_service_operation_tags_and_time(url: str) -> None:
    begin = time.time_ns()
    slow = span_of("slow", end=begin + 3_000_000_000, attributes=[_attribute("env", "a")])
    quick = span_of("quick", attributes=[_attribute("env", "b")])
    for span in (slow, quick):
        body = request_of(span, service="searched").SerializeToString()
        httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF)

    def found(**parameters: Any) -> set[str]:
        answer = httpx.get(f"{url}/api/traces", params={"service": "searched", **parameters})
        assert answer.status_code == 200, answer.text
        return {trace["traceID"] for trace in answer.json()["data"]}

    both, only_slow, only_quick = (
        {slow.trace_id.hex(), quick.trace_id.hex()},
        {slow.trace_id.hex()},
        {quick.trace_id.hex()},
    )
    assert found() == both
    assert len(found(limit=1)) == 1
    assert found(operation="slow") == only_slow
    assert found(minDuration="1.5s") == only_slow
    assert found(maxDuration="100ms") == only_quick
    assert found(tags=json.dumps({"env": "b"})) == only_quick
    assert found(tag="env:a") == only_slow
    assert found(tags=json.dumps({"env": "c"})) == set()
    assert found(end=begin // 1000 - 1_000_000) == set()
    assert found(start=begin // 1000 - 1_000_000) == both
    by_id = httpx.get(f"{url}/api/traces", params={"traceID": [*both]}).json()["data"]
    assert {trace["traceID"] for trace in by_id} == both


def _attribute(key: str, value: str) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.string_value = value
    return pair


def test_services_and_operations_are_listed(url: str) -> None:
    body = request_of(
        span_of("read", kind=Span.SPAN_KIND_CLIENT), span_of("write"), service="a/listed"
    ).SerializeToString()
    httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF)
    assert "a/listed" in httpx.get(f"{url}/api/services").json()["data"]
    assert httpx.get(f"{url}/api/services/a%2Flisted/operations").json()["data"] == ["read", "write"]
    operations = httpx.get(f"{url}/api/operations", params={"service": "a/listed", "spanKind": "client"}).json()
    assert operations["data"] == [{"name": "read", "spanKind": "client"}]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "service=x&limit=0",
        "service=x&limit=1e9",
        "service=x&start=-1",
        "service=x&minDuration=soon",
        "service=x&minDuration=" + "9" * 5000 + "s",
        "service=x&tags=[]",
        "service=x&tags={",
        "service=x&tags=" + "[" * 5000,
        "service=x&tag=novalue",
    ],
)
def test_a_search_that_makes_no_sense_is_a_400(url: str, query: str) -> None:
    answer = httpx.get(f"{url}/api/traces?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == 400


def test_a_trace_that_is_not_there_is_a_404(url: str) -> None:
    answer = httpx.get(f"{url}/api/traces/{'0' * 31}1")
    assert (answer.status_code, answer.json()["errors"][0]["msg"]) == (404, "trace not found")
    assert httpx.get(f"{url}/api/traces/xyz").status_code == 400
    assert httpx.get(f"{url}/trace/xyz").status_code == 404
    assert "&lt;script&gt;" in httpx.get(f"{url}/trace/%3Cscript%3E").text


def _bomb() -> bytes:
    return gzip.compress(bytes(100_000_000))


def _many_spans() -> bytes:
    spans = b"\x12\x00" * 1_000_000
    scope = b"\x12" + _varint(len(spans)) + spans
    return b"\x0a" + _varint(len(scope)) + scope


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"\xff" * 100, PROTOBUF, 400),
        (b"\x0a\xff\xff\xff\xff\x0f", PROTOBUF, 400),
        (b"\x0a\x05abc", PROTOBUF, 400),
        (b"\x0f\x00", PROTOBUF, 400),
        (_many_spans(), PROTOBUF, 413),
        (b"no gzip", PROTOBUF | {"Content-Encoding": "gzip"}, 400),
        (_bomb(), PROTOBUF | {"Content-Encoding": "gzip"}, 413),
        (gzip.compress(b"x" * 100)[:-10], PROTOBUF | {"Content-Encoding": "gzip"}, 400),
        (b"x", PROTOBUF | {"Content-Encoding": "br"}, 415),
        (b"x" * (9 << 20), PROTOBUF, 413),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"[" * 100_000, JSON, 400),
        (b"null", JSON, 400),
        (b'{"resourceSpans": 7}', JSON, 400),
        (b'{"resourceSpans": [7]}', JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}', JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 7}]}]}]}', JSON, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"links": 7}]}]}]}', JSON, 400),
        (b'{"resourceSpans": NaN}', JSON, 400),
    ],
    # Said here: bodies are long, and what gzip makes is another every second.
    ids=[
        "no protobuf",
        "a length beyond the end",
        "a text cut short",
        "a field that is none",
        "too many spans",
        "no gzip",
        "a gzip bomb",
        "a gzip cut short",
        "an encoding that nobody knows",
        "too long",
        "a type that nobody knows",
        "nested without end",
        "null",
        "a number for a list",
        "a number for an object",
        "an id that is no hexadecimal",
        "an id that is a number",
        "a number for links",
        "not a number",
    ],
)
def test_hostile_bodies_get_a_4xx(url: str, body: bytes, headers: dict[str, str], status: int) -> None:
    answer = httpx.post(f"{url}/v1/traces", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert is_ready(url)


def test_hostile_names_and_values_are_shown_literally(url: str) -> None:
    text = '"><script>alert(1)</script>{{7*7}}\x1b[31m\u202e\x00'
    nested = KeyValue(key="nested")
    inner = nested.value
    for _ in range(40):
        inner = inner.array_value.values.add()
    span = span_of(text, attributes=[_attribute(text, text), _attribute("items", "x"), nested, KeyValue(key="empty")])
    span.attributes.add(key="nan").value.double_value = float("nan")
    span.attributes.add(key="bytes").value.bytes_value = b"\x00\xff"
    span.status.code, span.status.message = 2, text  # type: ignore[assignment]  # an enum's number
    for event in range(200):
        span.events.add(name=f"{event}{text}", time_unix_nano=2**64 - 1)
    body = request_of(span, service=text).SerializeToString()
    assert httpx.post(f"{url}/v1/traces", content=body, headers=PROTOBUF).status_code == 200
    for path in (f"/trace/{span.trace_id.hex()}", "/"):
        page = httpx.get(f"{url}{path}")
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "{{7*7}}" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
    trace = jaeger_trace(url, span.trace_id.hex())
    assert len(trace["spans"][0]["logs"]) == 128
    assert tags_of(trace["spans"][0])["nan"] == "nan"


def test_the_list_filters_and_pages(url: str) -> None:
    base = time.time_ns() - 10**15
    spans = [span_of(f"listed {n}", start=base + n, end=base + n + 2 * 10**9) for n in range(60)]
    httpx.post(f"{url}/v1/traces", content=request_of(*spans, service="paged").SerializeToString(), headers=PROTOBUF)
    first = httpx.get(f"{url}/?service=paged").text
    assert "listed 59<" in first
    assert "listed 9<" not in first
    older = first.split('href="/?')[-1].split('"')[0].replace("&amp;", "&")
    assert "listed 9<" in httpx.get(f"{url}/?{older}").text
    assert "No trace matches" in httpx.get(f"{url}/?service=paged&failed=1").text
    assert "No trace matches" in httpx.get(f"{url}/?service=paged&shortest=10000").text
    assert httpx.get(f"{url}/?service=%00&shortest=x&before=x").status_code == 200


def test_a_foreign_host_name_is_refused(url: str) -> None:
    assert httpx.get(f"{url}/", headers={"Host": "evil.test"}).status_code == 400


def test_what_was_answered_200_survives_kill_9(tmp_path: Path) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    spans = [span_of(str(n)) for n in range(20)]
    with running(launch(tmp_path, port), lambda: is_ready(address)) as child:
        for span in spans:
            body = request_of(span).SerializeToString()
            assert httpx.post(f"{address}/v1/traces", content=body, headers=PROTOBUF).status_code == 200
        child.kill()
    with running(launch(tmp_path, port), lambda: is_ready(address)):
        assert all(jaeger_trace(address, span.trace_id.hex()) for span in spans)


async def test_traces_go_when_their_time_is_up(tmp_path: Path) -> None:
    now = [time.time()]
    path = tmp_path / "traces.sqlite3"
    old = Store(path, retention_days=1, clock=lambda: now[0])
    await old.submit(request_of(span_of("old")).SerializeToString(), "protobuf", gzipped=False)
    old.close()
    now[0] += 2 * 86_400
    # A store sweeps when it begins.
    store = Store(path, retention_days=1, clock=lambda: now[0])
    wait_until(lambda: _count(path) == 0)
    await store.submit(request_of(span_of("fresh")).SerializeToString(), "protobuf", gzipped=False)
    store.close()
    assert _count(path) == 1


def _count(path: Path) -> int:
    with sqlite3.connect(path) as database:
        return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])


def stored(span_id: int, parent_id: int | None, start: int, length: int, service: str = "a") -> StoredSpan:
    parent = parent_id.to_bytes(8, "big") if parent_id is not None else None
    details: Details = {}
    return StoredSpan(
        bytes(16), span_id.to_bytes(8, "big"), parent, service, 1, str(span_id), 1, start, length, 0, details
    )


def rows_of(*spans: StoredSpan) -> list[tuple[str, int]]:
    laid_out = waterfall(Trace(sorted(spans, key=lambda s: s.start_ns), {1: StoredResource(1, "a", {})}))
    return [(row.span.operation, row.depth) for row in laid_out.rows]


def test_children_follow_their_parent_by_start() -> None:
    spans = [stored(1, None, 0, 100), stored(3, 1, 50, 10), stored(2, 1, 10, 10), stored(4, 3, 51, 1)]
    assert rows_of(*spans) == [("1", 0), ("2", 1), ("3", 1), ("4", 2)]


def test_every_span_is_shown_once_whatever_its_parent_says() -> None:
    orphan, own_parent, ring_a, ring_b = stored(1, 99, 0, 1), stored(2, 2, 1, 1), stored(3, 4, 2, 1), stored(4, 3, 3, 1)
    assert sorted(name for name, _ in rows_of(orphan, own_parent, ring_a, ring_b)) == ["1", "2", "3", "4"]


def test_a_chain_of_ten_thousand_spans_is_laid_out() -> None:
    spans = [stored(n, n - 1 if n > 1 else None, n, 20_000) for n in range(1, 10_001)]
    assert rows_of(*spans)[-1] == ("10000", 9_999)


def test_own_time_leaves_out_what_children_cover() -> None:
    spans = [stored(1, None, 0, 100), stored(2, 1, 10, 30, "b"), stored(3, 1, 20, 40, "b"), stored(4, 1, 90, 50, "c")]
    laid_out = waterfall(Trace(spans, {1: StoredResource(1, "a", {})}))
    own = {share.name: share.own_ns for share in laid_out.services}
    assert own == {"a": 40, "b": 70, "c": 50}
    assert laid_out.length_ns == 140


def test_values_keep_their_json_type() -> None:
    span = span_of()
    for key, value in (("i", 2**63 - 1), ("b", True)):
        pair = span.attributes.add(key=key)
        if isinstance(value, bool):
            pair.value.bool_value = value
        else:
            pair.value.int_value = value
    row = decode(request_of(span).SerializeToString(), "protobuf", gzipped=False).rows[0]
    assert json.loads(row.details)["a"] == {"i": 2**63 - 1, "b": True}

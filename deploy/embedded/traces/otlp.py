"""OTLP to rows (OTLP 1.x, trace service; protobuf and its JSON mapping with hexadecimal ids).

Invariant: a body is bounded before it is parsed (bytes after decompression, number of spans), and a span before it
is stored (attributes, events, links, length of a text), so no request can take more memory than the limits say.
"""

import base64
import binascii
import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from google.protobuf import json_format  # type: ignore[import-untyped]  # its stubs are not installed
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # as above
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from deploy.embedded.traces.spans import KINDS, Details, Event, Link, Row

BODY_LIMIT_BYTES = 8 << 20
"""Both as received and after decompression."""

_SPANS_LIMIT = 20_000
_ITEMS_LIMIT = 128
_NAME_LIMIT = 256
_TEXT_LIMIT = 16_384
_VALUE_DEPTH_LIMIT = 8
_LATEST_NS = (1 << 63) - 1
_GZIP_WBITS = 31
_LENGTH_DELIMITED = 2

Encoding = Literal["protobuf", "json"]


class RefusedBodyError(Exception):
    """The body cannot be taken, now or later; `status` is the HTTP status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Batch:
    """What one request holds: the rows to store, and how many spans were left out because they are malformed."""

    rows: list[Row]
    rejected: int


def decode(body: bytes, encoding: Encoding, *, gzipped: bool) -> Batch:
    """The spans in a request's body. Raises RefusedBodyError."""
    if gzipped:
        body = _gunzip(body)
    request = _from_json(body) if encoding == "json" else _from_protobuf(body)
    rows: list[Row] = []
    rejected = 0
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        service = str(resource.get("service.name") or "unknown")[:_NAME_LIMIT]
        resource_json = _json(resource)
        for scope_spans in resource_spans.scope_spans:
            scope = scope_spans.scope.name[:_NAME_LIMIT]
            for span in scope_spans.spans:
                row = _row(span, service, resource_json, scope)
                if row is None:
                    rejected += 1
                else:
                    rows.append(row)
    return Batch(rows, rejected)


def _gunzip(body: bytes) -> bytes:
    decompressor = zlib.decompressobj(_GZIP_WBITS)
    try:
        plain = decompressor.decompress(body, BODY_LIMIT_BYTES)
    except zlib.error as error:
        raise RefusedBodyError(400, "the body is not gzip") from error
    if decompressor.unconsumed_tail:
        raise RefusedBodyError(413, f"the body may have at most {BODY_LIMIT_BYTES} bytes after decompression")
    if not decompressor.eof:
        raise RefusedBodyError(400, "the gzip body ends too early")
    return plain


def _from_protobuf(body: bytes) -> ExportTraceServiceRequest:
    try:
        _bound_spans(body)
        request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(body)
    except (DecodeError, IndexError) as error:
        raise RefusedBodyError(400, "the body is no ExportTraceServiceRequest") from error
    return request


def _bound_spans(body: bytes) -> None:
    """Counts spans on the wire, before an empty one of two bytes becomes an object of two hundred."""
    count = 0
    view = memoryview(body)
    for resource_spans in _fields(view, 1):
        for scope_spans in _fields(resource_spans, 2):
            for _ in _fields(scope_spans, 2):
                count += 1
                if count > _SPANS_LIMIT:
                    raise RefusedBodyError(413, f"a request may have at most {_SPANS_LIMIT} spans")


def _fields(view: memoryview, wanted: int) -> Iterator[memoryview]:
    """The length-delimited fields numbered `wanted` at the top level of a message. Raises DecodeError, IndexError."""
    position = 0
    while position < len(view):
        tag, position = _varint(view, position)
        if tag & 7 != _LENGTH_DELIMITED:
            raise DecodeError("a message of the trace service has only length-delimited fields at these levels")
        length, position = _varint(view, position)
        if tag >> 3 == wanted:
            yield view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise DecodeError("a varint has at most ten bytes")


def _from_json(body: bytes) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    try:
        document = orjson.loads(body)
        spans = list(_json_spans(document))
        if len(spans) > _SPANS_LIMIT:
            raise RefusedBodyError(413, f"a request may have at most {_SPANS_LIMIT} spans")
        for span in spans:
            _ids_to_base64(span)
            for link in span.get("links", ()):
                _ids_to_base64(link)
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except (ValueError, TypeError, AttributeError, RecursionError, json_format.Error) as error:
        raise RefusedBodyError(400, "the body is no ExportTraceServiceRequest in JSON") from error
    return request


def _json_spans(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource_spans in document.get("resourceSpans", ()):
        for scope_spans in resource_spans.get("scopeSpans", ()):
            yield from scope_spans.get("spans", ())


def _ids_to_base64(item: dict[str, Any]) -> None:
    """OTLP's JSON writes ids as hexadecimal where protobuf's mapping expects base64."""
    for name in ("traceId", "spanId", "parentSpanId"):
        if item.get(name):
            item[name] = base64.b64encode(binascii.unhexlify(item[name])).decode()


def _row(span: trace_pb2.Span, service: str, resource: bytes, scope: str) -> Row | None:
    """One span as a row; None when its ids or times cannot be."""
    trace_id, span_id, parent_id = span.trace_id, span.span_id, span.parent_span_id
    if len(trace_id) != 16 or len(span_id) != 8 or len(parent_id) not in (0, 8):
        return None
    if not any(trace_id) or not any(span_id) or max(span.start_time_unix_nano, span.end_time_unix_nano) > _LATEST_NS:
        return None
    return Row(
        trace_id,
        span_id,
        parent_id if any(parent_id) else None,
        service,
        resource,
        span.name[:_NAME_LIMIT],
        span.kind if 0 <= span.kind < len(KINDS) else 0,
        span.start_time_unix_nano,
        max(0, span.end_time_unix_nano - span.start_time_unix_nano),
        span.status.code,
        _json(_details(span, scope)),
    )


def _details(span: trace_pb2.Span, scope: str) -> Details:
    details: Details = {}
    if span.attributes:
        details["a"] = _attributes(span.attributes)
    if span.events:
        details["e"] = [_event(event) for event in span.events[:_ITEMS_LIMIT]]
    if span.links:
        details["k"] = [Link(t=link.trace_id.hex(), s=link.span_id.hex()) for link in span.links[:_ITEMS_LIMIT]]
    if span.status.message:
        details["m"] = span.status.message[:_TEXT_LIMIT]
    if scope:
        details["o"] = scope
    cut = sum(max(0, len(items) - _ITEMS_LIMIT) for items in (span.attributes, span.events, span.links))
    if cut:
        details["d"] = cut
    return details


def _event(event: trace_pb2.Span.Event) -> Event:
    return Event(t=min(event.time_unix_nano, _LATEST_NS), n=event.name[:_NAME_LIMIT], a=_attributes(event.attributes))


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for pair in pairs:
        if len(attributes) == _ITEMS_LIMIT:
            break
        attributes[pair.key[:_NAME_LIMIT]] = _value(pair.value, _VALUE_DEPTH_LIMIT)
    return attributes


def _value(value: AnyValue, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text = value.string_value
        return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}…"
    if kind in ("array_value", "kvlist_value"):
        return _nested(value, kind, depth) if depth else "…"
    return _scalar(value, kind)


def _scalar(value: AnyValue, kind: str | None) -> Any:
    if kind == "double_value":
        # JSON has no NaN and no infinity; as text they are at least seen.
        return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value[:_TEXT_LIMIT]).decode()
    return None if kind is None else getattr(value, kind)


def _nested(value: AnyValue, kind: str, depth: int) -> Any:
    if kind == "array_value":
        return [_value(item, depth - 1) for item in value.array_value.values[:_ITEMS_LIMIT]]
    pairs = value.kvlist_value.values[:_ITEMS_LIMIT]
    return {pair.key[:_NAME_LIMIT]: _value(pair.value, depth - 1) for pair in pairs}


def _json(value: Any) -> bytes:
    return orjson.dumps(value)

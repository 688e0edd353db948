"""Jaeger's JSON, as its query service answers it (HTTP JSON API used by the Jaeger UI), and its search parameters.

OTLP's own fields become the tags that Jaeger's translation gives them: `span.kind`, `error`, `otel.status_code`,
`otel.status_description`, `otel.scope.name`. Times are microseconds.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from deploy.embedded.traces.queries import Resource, Search, Trace
from deploy.embedded.traces.spans import KINDS, STATUS_ERROR, Span

Json = dict[str, Any]

_DEFAULT_LIMIT, _LARGEST_LIMIT = 20, 500
_TRACE_ID = re.compile(r"[0-9a-fA-F]{1,32}")
_GO_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LATEST_NS = (1 << 63) - 1


class BadParameterError(ValueError):
    """A search parameter cannot be read; the message names it."""


def parse_trace_id(text: str) -> bytes | None:
    """A trace id of up to 32 hexadecimal digits (leading zeros may be missing, as in Jaeger), or None."""
    return bytes.fromhex(text.zfill(32)) if _TRACE_ID.fullmatch(text) else None


def answer(data: object, *, total: int = 0, limit: int = 0) -> Json:
    """Jaeger's envelope around an answer."""
    return {"data": data, "total": total, "limit": limit, "offset": 0, "errors": None}


def failure(code: int, message: str) -> Json:
    """Jaeger's envelope around an error."""
    return answer(None) | {"errors": [{"code": code, "msg": message}]}


def trace_json(trace_id: bytes, trace: Trace) -> Json:
    """One trace: its spans, and the processes they ran in."""
    processes = {resource_id: f"p{n}" for n, resource_id in enumerate(sorted(trace.resources), 1)}
    return {
        "traceID": trace_id.hex(),
        "spans": [_span(span, processes[span.resource_id]) for span in trace.spans],
        "processes": {processes[i]: _process(resource) for i, resource in trace.resources.items()},
        "warnings": None,
    }


def operation_json(operation: str, kind: int) -> Json:
    """One entry of `/api/operations`."""
    return {"name": operation, "spanKind": KINDS[kind] if kind else ""}


class SpanFilter:
    """The part of a search that looks at single spans: operation, duration, tags."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._operation = parameters.get("operation") or None
        self._shortest_ns = _duration(parameters, "minDuration", 0)
        self._longest_ns = _duration(parameters, "maxDuration", _LATEST_NS)
        self._tags = _tags(parameters)

    def __call__(self, span: Span, resource: Resource) -> bool:
        """Whether this one span has all that was asked for."""
        return (
            self._operation in (None, span.operation)
            and self._shortest_ns <= span.duration_ns <= self._longest_ns
            and (not self._tags or self._has_tags(span, resource))
        )

    def _has_tags(self, span: Span, resource: Resource) -> bool:
        present = {tag["key"]: tag["value"] for tag in (*_tag_list(resource.attributes), *_span_tags(span))}
        return all(key in present and _tag_text(present[key]) == value for key, value in self._tags.items())


def search(parameters: Mapping[str, str]) -> tuple[str, Search]:
    """The service and the bounds of a search. Raises BadParameterError."""
    service = parameters.get("service")
    if not service:
        raise BadParameterError("parameter 'service' is required")
    limit = _number(parameters, "limit", _DEFAULT_LIMIT)
    if not 1 <= limit <= _LARGEST_LIMIT:
        raise BadParameterError(f"parameter 'limit' must be from 1 to {_LARGEST_LIMIT}")
    start = _number(parameters, "start", 0) * 1_000
    end = _number(parameters, "end", _LATEST_NS // 1_000) * 1_000
    return service, Search(service, start_ns=min(start, _LATEST_NS), end_ns=min(end, _LATEST_NS), limit=limit)


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadParameterError(f"parameter '{name}' must be a whole number")
    return int(text)


def _duration(parameters: Mapping[str, str], name: str, default: int) -> int:
    """Nanoseconds of a duration in Go's form: `1.5s`, `100ms`, `1m30s`."""
    text = parameters.get(name)
    if not text:
        return default
    if len(text) > 40 or _GO_DURATION.sub("", text):
        raise BadParameterError(f"parameter '{name}' must be a duration such as 100ms or 1m30s")
    return int(sum(float(number) * _UNIT_NS[unit] for number, unit in _GO_DURATION.findall(text)))


def _tags(parameters: Mapping[str, str]) -> dict[str, str]:
    if parameters.get("tag"):
        key, colon, value = parameters["tag"].partition(":")
        if not colon:
            raise BadParameterError("parameter 'tag' must be key:value")
        return {key: value}
    text = parameters.get("tags")
    if not text:
        return {}
    try:
        tags = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadParameterError("parameter 'tags' must be a JSON object of strings") from error
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise BadParameterError("parameter 'tags' must be a JSON object of strings")
    return tags


def _span(span: Span, process: str) -> Json:
    references = [{"refType": "FOLLOWS_FROM", "traceID": link["t"], "spanID": link["s"]} for link in span.links]
    if span.parent_id is not None:
        parent = {"refType": "CHILD_OF", "traceID": span.trace_id.hex(), "spanID": span.parent_id.hex()}
        references.insert(0, parent)
    return {
        "traceID": span.trace_id.hex(),
        "spanID": span.span_id.hex(),
        "operationName": span.operation,
        "references": references,
        "startTime": span.start_ns // 1_000,
        "duration": span.duration_ns // 1_000,
        "tags": _span_tags(span),
        "logs": [_log(event["t"], event["n"], event["a"]) for event in span.events],
        "processID": process,
        "warnings": None,
    }


def _log(time_ns: int, name: str, attributes: dict[str, Any]) -> Json:
    return {"timestamp": time_ns // 1_000, "fields": _tag_list({"event": name} | attributes)}


def _process(resource: Resource) -> Json:
    attributes = {key: value for key, value in resource.attributes.items() if key != "service.name"}
    return {"serviceName": resource.service, "tags": _tag_list(attributes)}


def _span_tags(span: Span) -> list[Json]:
    attributes = dict(span.attributes)
    if span.scope:
        attributes["otel.scope.name"] = span.scope
    if span.kind:
        attributes["span.kind"] = KINDS[span.kind]
    if span.status:
        attributes["otel.status_code"] = "ERROR" if span.status == STATUS_ERROR else "OK"
    if span.failed:
        attributes["error"] = True
    if span.message:
        attributes["otel.status_description"] = span.message
    return _tag_list(attributes)


def _tag_list(attributes: Mapping[str, Any]) -> list[Json]:
    return [_tag(key, value) for key, value in attributes.items()]


def _tag(key: str, value: object) -> Json:
    # bool first: it is an int in Python.
    for kind, name in ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return {"key": key, "type": name, "value": value}
    return {"key": key, "type": "string", "value": orjson.dumps(value).decode()}


def _tag_text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)

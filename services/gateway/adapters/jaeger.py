"""A trace store that answers Jaeger's query API (HTTP JSON, `/api/traces/{id}`): Jaeger itself, or the embedded one."""

import re
from dataclasses import dataclass
from typing import Any, Final

import httpx

from chassis.failures import TransientError
from services.gateway.ports import TraceSpan

_TIMEOUT: Final = httpx.Timeout(3.0)
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
_MOST_SPANS: Final = 5_000


@dataclass(frozen=True)
class JaegerTraces:
    """Fulfils `ports.Traces`. `address` is the store's, without a path."""

    address: str
    transport: httpx.AsyncBaseTransport | None = None

    async def spans(self, trace_id: str) -> tuple[TraceSpan, ...]:
        """See the port."""
        if not _TRACE_ID.fullmatch(trace_id):
            return ()
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT, transport=self.transport, follow_redirects=False) as client:
                answer = await client.get(f"{self.address}/api/traces/{trace_id}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return ()
            answer.raise_for_status()
            return tuple(_spans(answer.json()))[:_MOST_SPANS]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TransientError(f"the trace store does not answer as Jaeger does: {type(error).__name__}") from error


def _spans(answer: dict[str, Any]) -> list[TraceSpan]:
    found = []
    for trace in answer["data"] or ():
        services = {key: str(process["serviceName"]) for key, process in trace["processes"].items()}
        found += [_span(span, services) for span in trace["spans"]]
    return found


def _span(span: dict[str, Any], services: dict[str, str]) -> TraceSpan:
    parents = (one["spanID"] for one in span.get("references") or () if one["refType"] == "CHILD_OF")
    tags = {tag["key"]: tag["value"] for tag in span.get("tags") or ()}
    return TraceSpan(
        id=str(span["spanID"]),
        parent=next(parents, None),
        service=services.get(span["processID"], "unknown"),
        operation=str(span["operationName"]),
        begun=int(span["startTime"]),
        lasted=int(span["duration"]),
        failed=tags.get("error") is True or tags.get("otel.status_code") == "ERROR",
    )

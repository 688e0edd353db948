"""A trace as a waterfall in the terminal: one line a span, indented by parent, a bar where and how long it ran."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from rich.text import Text

from cli.failures import CommandError, Exit
from cli.platforms import is_loopback
from cli.wording import one_line

_UNBOUNDED = 120
"""Columns of a waterfall that nothing narrows: a pipe has no width."""
_WIDEST_BAR = 40
_LEAST_NAME = 16
_DURATION_WIDTH = 9
_GAPS = 3 * 2


@dataclass(frozen=True)
class Span:
    """One span of a trace, times in microseconds."""

    id: str
    parent: str | None
    service: str
    name: str
    start: int
    duration: int
    failed: bool


def fetch(traces_url: str, trace_id: str) -> list[Span]:
    """The spans of a trace, from a server that answers Jaeger's query API."""
    address = f"{traces_url.rstrip('/')}/api/traces/{trace_id}"
    try:
        response = httpx.get(address, timeout=10, trust_env=not is_loopback(address))
        found = response.json().get("data") if response.status_code == 200 else None
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        raise CommandError(
            f"The trace store at {traces_url} does not answer.", remedy="`slipway doctor` says what is wrong."
        ) from error
    if not found or not (spans := parse(found[0])):
        raise CommandError(
            f"The trace {trace_id} is not in the trace store.",
            remedy="Spans arrive within a second; old ones are dropped after a while.",
            code=Exit.NOT_FOUND,
        )
    return spans


def parse(trace: dict[str, Any]) -> list[Span]:
    """The spans of one trace in Jaeger's JSON."""
    processes = {key: value["serviceName"] for key, value in trace.get("processes", {}).items()}
    spans = []
    for raw in trace.get("spans", ()):
        parents = [r["spanID"] for r in raw.get("references", ()) if r.get("refType") == "CHILD_OF"]
        tags = {tag["key"]: tag.get("value") for tag in raw.get("tags", ())}
        spans.append(
            Span(
                id=raw["spanID"],
                parent=parents[0] if parents else None,
                service=processes.get(raw.get("processID"), "?"),
                name=raw["operationName"],
                start=int(raw["startTime"]),
                duration=int(raw["duration"]),
                failed=tags.get("error") in {True, "true"} or tags.get("otel.status_code") == "ERROR",
            )
        )
    return spans


def ordered(spans: list[Span]) -> list[tuple[int, Span]]:
    """Every span with its depth, parents before children, siblings by start."""
    known = {span.id for span in spans}
    children: dict[str | None, list[Span]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span.start):
        children[span.parent if span.parent in known else None].append(span)
    found: list[tuple[int, Span]] = []
    stack = [(0, span) for span in reversed(children[None])]
    while stack:
        depth, span = stack.pop()
        found.append((depth, span))
        stack += [(depth + 1, child) for child in reversed(children[span.id])]
    return found


def render(spans: list[Span], columns: int | None) -> Iterator[Text]:
    """The waterfall, in lines of `columns`: the name gives way first, then the bar, never the duration."""
    rows = ordered(spans)
    begin = min(span.start for span in spans)
    total = max(max(span.start + span.duration for span in spans) - begin, 1)
    service_width = max(len("service"), *(len(span.service) for span in spans))
    longest = max(len("operation"), *(2 * depth + 2 * span.failed + len(span.name) for depth, span in rows))
    scale = f"0 … {total / 1000:,.0f} ms"
    left = (columns or _UNBOUNDED) - service_width - _DURATION_WIDTH - _GAPS
    name_width = max(_LEAST_NAME, min(longest, left - len(scale)))
    bar_width = max(len(scale), min(_WIDEST_BAR, left - name_width))

    def line(service: str, name: Text, duration: str, bar: Text) -> Text:
        name.truncate(name_width, overflow="ellipsis", pad=True)
        return Text.assemble((f"{service:<{service_width}}  ", "dim"), name, f"  {duration:>{_DURATION_WIDTH}}  ", bar)

    yield line("service", Text("operation"), "ms", Text(scale))
    for depth, span in rows:
        style = "red" if span.failed else ""
        name = Text(f"{'  ' * depth}{'✗ ' if span.failed else ''}{one_line(span.name)}", style=style)
        start = min(int((span.start - begin) / total * bar_width), bar_width - 1)
        length = min(max(1, round(span.duration / total * bar_width)), bar_width - start)
        bar = Text(" " * start + "━" * length, style=style or "cyan")
        yield line(one_line(span.service), name, f"{span.duration / 1000:,.1f}", bar)

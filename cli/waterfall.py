"""A trace as a waterfall in the terminal: one line a span, indented by parent, a bar where and how long it ran."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import httpx
from rich.table import Table
from rich.text import Text

from cli.failures import CommandError, Exit

_BAR_WIDTH = 30
_NAME_WIDTHS = (24, 60)
WIDE = 120
"""Columns of a waterfall that nothing narrows."""


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
    try:
        response = httpx.get(f"{traces_url.rstrip('/')}/api/traces/{trace_id}", timeout=10, trust_env=False)
    except httpx.TransportError as error:
        raise CommandError(
            f"The trace store at {traces_url} does not answer.", remedy="`slipway doctor` says what is wrong."
        ) from error
    found = response.json().get("data") if response.status_code == 200 else None
    if not found:
        raise CommandError(
            f"The trace {trace_id} is not in the trace store.",
            remedy="Spans arrive within a second; older ones are kept for a limited time.",
            code=Exit.NOT_FOUND,
        )
    return parse(found[0])


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


def render(spans: list[Span], width: int) -> Table:
    """The waterfall, in lines of `width` columns: the name gives way first, never the duration."""
    begin = min(span.start for span in spans)
    total = max(max(span.start + span.duration for span in spans) - begin, 1)
    services = max(len(span.service) for span in spans)
    name_width = max(_NAME_WIDTHS[0], min(_NAME_WIDTHS[1], width - services - _BAR_WIDTH - 16))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    table.add_column("service", no_wrap=True, width=services)
    table.add_column("operation", no_wrap=True, width=name_width)
    table.add_column("ms", justify="right", no_wrap=True, width=9)
    table.add_column(f"0 … {total / 1000:,.0f} ms", no_wrap=True, width=_BAR_WIDTH)
    for depth, span in ordered(spans):
        left = min(int((span.start - begin) / total * _BAR_WIDTH), _BAR_WIDTH - 1)
        bar = " " * left + "━" * min(max(1, round(span.duration / total * _BAR_WIDTH)), _BAR_WIDTH - left)
        name = Text(f"{'  ' * depth}{'✗ ' if span.failed else ''}{span.name}", style="red" if span.failed else "")
        name.truncate(name_width, overflow="ellipsis")
        duration = f"{span.duration / 1000:,.1f}"
        table.add_row(
            Text(span.service, style="dim"), name, duration, Text(bar, style="red" if span.failed else "cyan")
        )
    return table

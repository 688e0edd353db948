"""A trace as rows for the waterfall: parents above their children, each with where its bar begins and how long it is.

Invariant: every span given is in the result exactly once, whatever its parent says: a missing parent, a span that
is its own ancestor, a chain of ten thousand.
"""

from collections import defaultdict
from dataclasses import dataclass

from deploy.embedded.traces.queries import Trace, by_service
from deploy.embedded.traces.spans import Span

_COLOURS = 8
_TICKS = 4


@dataclass(frozen=True)
class BarRow:
    """One span in the waterfall; `left` and `width` are per cent of the trace's length."""

    span: Span
    depth: int
    left: float
    width: float
    parent_missing: bool


@dataclass(frozen=True)
class ServiceShare:
    """A service in the trace: its colour's number, its spans, and the time spent in it and not below."""

    name: str
    colour: int
    spans: int
    own_ns: int


@dataclass(frozen=True)
class Waterfall:
    """Rows in order of display, services in order of appearance, ticks as nanoseconds from the start."""

    rows: list[BarRow]
    services: list[ServiceShare]
    start_ns: int
    length_ns: int
    ticks_ns: list[int]
    failed: list[Span]

    @property
    def colours(self) -> dict[str, int]:
        """Each service's colour number."""
        return {share.name: share.colour for share in self.services}


def waterfall(trace: Trace) -> Waterfall:
    """Lays out a trace that has at least one span."""
    spans = trace.spans
    start = min(span.start_ns for span in spans)
    length = max(1, max(span.end_ns for span in spans) - start)
    present = {span.span_id for span in spans}
    rows = [
        BarRow(
            span,
            depth,
            100 * (span.start_ns - start) / length,
            100 * span.duration_ns / length,
            span.parent_id is not None and span.parent_id not in present,
        )
        for span, depth in _in_order(spans)
    ]
    own = _own_times(spans)
    services = [
        ServiceShare(name, number % _COLOURS, len(group), sum(own[span.span_id] for span in group))
        for number, (name, group) in enumerate(by_service(spans).items())
    ]
    ticks = [length * tick // _TICKS for tick in range(_TICKS + 1)]
    return Waterfall(rows, services, start, length, ticks, [row.span for row in rows if row.span.failed])


def _in_order(spans: list[Span]) -> list[tuple[Span, int]]:
    """Spans depth first with their depth; siblings by start. Spans that no root leads to begin trees of their own."""
    children = _children(spans)
    present = {span.span_id for span in spans}
    ordered: list[tuple[Span, int]] = []
    seen: set[bytes] = set()
    roots = [span for span in spans if span.parent_id not in present]
    for first in (*roots, *spans):
        waiting = [(first, 0)]
        while waiting:
            span, depth = waiting.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            ordered.append((span, depth))
            waiting.extend((child, depth + 1) for child in reversed(children[span.span_id]))
    return ordered


def _children(spans: list[Span]) -> dict[bytes, list[Span]]:
    children: dict[bytes, list[Span]] = defaultdict(list)
    for span in spans:
        if span.parent_id is not None:
            children[span.parent_id].append(span)
    return children


def _own_times(spans: list[Span]) -> dict[bytes, int]:
    """Nanoseconds of each span in which none of its children was under way."""
    children = _children(spans)
    own: dict[bytes, int] = {}
    for span in spans:
        covered, reached = 0, span.start_ns
        for child in sorted(children[span.span_id], key=lambda c: c.start_ns):
            begin, end = max(child.start_ns, reached), min(child.end_ns, span.end_ns)
            if end > begin:
                covered += end - begin
                reached = end
        own[span.span_id] = span.duration_ns - covered
    return own

"""A run's trace as a waterfall: parents above their children, each with where its bar begins and how long it is.

Invariant: every span is drawn once, whatever its parent says: a missing parent, or a span that is its own ancestor.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from chassis.failures import TransientError
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.views import run as shown_run
from services.gateway.portal import words
from services.gateway.portal.rendering import page, safe_link
from services.gateway.ports import TraceSpan

MOST_BARS: Final = 300
_COLOURS: Final = 8
_DEEPEST: Final = 6
_LANE: Final = 1_000
"""How wide a lane is, in the drawing's own units."""
_NARROWEST: Final = 3


@dataclass(frozen=True)
class Bar:
    """One span; `x` and `width` in thousandths of the trace's length."""

    service: str
    operation: str
    depth: int
    x: int
    width: int
    colour: int
    failed: bool
    seconds: float


@dataclass(frozen=True)
class Waterfall:
    """The bars in order of display, and the services by colour."""

    bars: tuple[Bar, ...]
    services: tuple[tuple[str, int], ...]
    seconds: float
    hidden: int
    failed: int


def waterfall(spans: Sequence[TraceSpan]) -> Waterfall | None:
    """Lays out a trace; None where it has no span."""
    if not spans:
        return None
    start = min(span.begun for span in spans)
    length = max(1, max(span.begun + span.lasted for span in spans) - start)
    colours: dict[str, int] = {}
    for span in sorted(spans, key=lambda one: one.begun):
        colours.setdefault(span.service, len(colours) % _COLOURS)
    bars = [
        Bar(
            service=span.service,
            operation=span.operation,
            depth=min(depth, _DEEPEST),
            x=min(_LANE - _NARROWEST, _LANE * (span.begun - start) // length),
            width=max(_NARROWEST, _LANE * span.lasted // length),
            colour=colours[span.service],
            failed=span.failed,
            seconds=span.lasted / 1e6,
        )
        for span, depth in _in_order(spans)
    ]
    return Waterfall(
        bars=tuple(bars[:MOST_BARS]),
        services=tuple(colours.items()),
        seconds=length / 1e6,
        hidden=max(0, len(bars) - MOST_BARS),
        failed=sum(bar.failed for bar in bars),
    )


def _in_order(spans: Sequence[TraceSpan]) -> list[tuple[TraceSpan, int]]:
    """Depth first, siblings by their beginning. Spans that no root leads to begin trees of their own."""
    present = {span.id for span in spans}
    children: dict[str, list[TraceSpan]] = defaultdict(list)
    by_time = sorted(spans, key=lambda span: (span.begun, span.id))
    for span in by_time:
        if span.parent is not None:
            children[span.parent].append(span)
    roots = [span for span in by_time if span.parent not in present]
    ordered: list[tuple[TraceSpan, int]] = []
    seen: set[str] = set()
    for first in (*roots, *by_time):
        waiting = [(first, 0)]
        while waiting:
            span, depth = waiting.pop()
            if span.id in seen:
                continue
            seen.add(span.id)
            ordered.append((span, depth))
            waiting.extend((child, depth + 1) for child in reversed(children[span.id]))
    return ordered


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The trace of a run: a page of its own, and what the run's page puts below its log."""
    view = await gateway.reading.run(visitor.principal, str(request.path_params["id"]))
    run = shown_run(view, gateway.links)
    fall, unanswered = None, False
    if run.trace_id is not None and gateway.traces is not None:
        try:
            fall = waterfall(await gateway.traces.spans(run.trace_id))
        except TransientError:
            unanswered = True
    return page(
        request,
        visitor,
        gateway,
        "trace.html",
        here="runs",
        title=f"Trace of {words.RUN_KINDS.get(run.kind, run.kind).lower()} {run.environment}",
        run=run,
        fall=fall,
        unanswered=unanswered,
        trace=safe_link(run.links["trace"], gateway),
        lane=_LANE,
    )


PAGES: Final = (Page("GET", "/runs/{id}/trace", show),)

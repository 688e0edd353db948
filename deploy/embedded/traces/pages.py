"""The pages that people read: the list of traces, and one trace as a waterfall."""

import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from deploy.embedded.traces.jaeger import parse_trace_id
from deploy.embedded.traces.queries import Queries, Search
from deploy.embedded.traces.spans import KINDS
from deploy.embedded.traces.waterfall import waterfall
from deploy.embedded.web.pages import templates

_TRACES_PER_PAGE = 50
_ROWS_LIMIT = 1_500
_DEEPEST_INDENT = 14
_LATEST_NS = (1 << 63) - 1
_SHORTEST_CHOICES = (("", "Any"), ("100", "100 ms"), ("1000", "1 s"), ("10000", "10 s"), ("60000", "1 min"))


class Pages:
    """Renders pages from the database; blocks on it."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._templates = templates(Path(__file__).with_name("templates"))

    def trace(self, text: str) -> str | None:
        """The page of a trace. None when there is none."""
        trace_id = parse_trace_id(text)
        trace = self._queries.trace(trace_id) if trace_id is not None else None
        if trace is None or trace_id is None:
            return None
        laid_out = waterfall(trace)
        rows = laid_out.rows[:_ROWS_LIMIT]
        return self._templates.get_template("trace.html").render(
            trace_id=trace_id.hex(),
            root=laid_out.rows[0].span,
            fall=laid_out,
            rows=rows,
            hidden=len(laid_out.rows) - len(rows),
            shown_failures={row.span.span_id for row in rows if row.span.failed},
            resources=trace.resources,
            kinds=KINDS,
            deepest=_DEEPEST_INDENT,
            now=time.time(),
        )

    def missing(self, text: str) -> str:
        """The page for a trace that is not there."""
        return self._templates.get_template("missing.html").render(trace_id=text[:64])

    def traces(self, parameters: Mapping[str, str]) -> str:
        """The list of traces; parameters that make no sense are left out."""
        services = self._queries.services()
        service = parameters.get("service") if parameters.get("service") in services else None
        failed_only = parameters.get("failed") == "1"
        before = _whole(parameters.get("before"))
        choices = {value for value, _ in _SHORTEST_CHOICES}
        shortest = parameters.get("shortest", "") if parameters.get("shortest", "") in choices else ""
        found = self._queries.summaries(
            Search(
                service,
                failed_only,
                int(shortest or 0) * 1_000_000,
                end_ns=before - 1 if before else _LATEST_NS,
                limit=_TRACES_PER_PAGE + 1,
            )
        )
        page = found[:_TRACES_PER_PAGE]
        filters = {"service": service or "", "failed": "1" if failed_only else "", "shortest": shortest}
        older = filters | {"before": str(page[-1].start_ns)} if len(found) > _TRACES_PER_PAGE else None
        return self._templates.get_template("traces.html").render(
            traces=page,
            services=services,
            filters=filters,
            is_filtered=any(filters.values()),
            is_newest=not before,
            newest=f"/?{urlencode(filters)}",
            older=f"/?{urlencode(older)}" if older else None,
            shortest_choices=_SHORTEST_CHOICES,
            longest_ns=max((t.end_ns - t.start_ns for t in page), default=1) or 1,
            now=time.time(),
        )


def _whole(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else 0

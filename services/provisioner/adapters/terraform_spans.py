"""Spans for resources whose provider is not ours, from the lines in which Terraform tells what it does.

Our own provider makes its spans itself, in this process; a cloud's provider is a process of its own.
"""

from __future__ import annotations

import json
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_TRACER: Final = trace.get_tracer("slipway")
_OURS: Final = "slipway_"


class ResourceSpans:
    """One span from `apply_start` to `apply_complete` or `apply_errored`, below the span that is current."""

    def __init__(self) -> None:
        """For the lines of one command."""
        self._open: dict[str, Span] = {}

    def take(self, text: str) -> None:
        """Look at a line of `-json` output; all but three types are passed over, unparsed."""
        if '"apply_' not in text:
            return
        try:
            line: dict[str, Any] = json.loads(text)
            resource = line["hook"]["resource"]
            address, resource_type = resource["addr"], resource["resource_type"]
        except (ValueError, KeyError, TypeError):
            return
        if resource_type.startswith(_OURS):
            return
        match line.get("type"):
            case "apply_start":
                action = line["hook"].get("action", "")
                self._open[address] = _TRACER.start_span(
                    f"{resource_type} {action}",
                    kind=SpanKind.CLIENT,
                    attributes={
                        "terraform.resource_type": resource_type,
                        "terraform.address": address,
                        "terraform.action": action,
                    },
                )
            case "apply_complete":
                self._close(address, Status(StatusCode.OK))
            case "apply_errored":
                self._close(address, Status(StatusCode.ERROR))

    def end(self) -> None:
        """Close what was still open when the command ended."""
        for address in list(self._open):
            self._close(address, Status(StatusCode.ERROR, "terraform ended first"))

    def _close(self, address: str, status: Status) -> None:
        span = self._open.pop(address, None)
        if span is not None:
            span.set_status(status)
            span.end()

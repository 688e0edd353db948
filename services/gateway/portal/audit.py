"""Audit: who did what, to which environment, and why; the newest first."""

from typing import Any, Final, get_args

from fastapi import Request, Response

from contracts.insights import AuditAction, AuditEntry, FindAudit
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.portal import words
from services.gateway.portal.forms import understood
from services.gateway.portal.rendering import page

ROWS: Final = 50
ACTIONS: Final = {
    "environment_requested": "asked for",
    "environment_update_requested": "changed",
    "environment_deletion_requested": "deleted",
    "run_cancel_requested": "called a run off",
    "access_requested": "granted access",
    "access_revocation_requested": "revoked access",
    "environment_extended": "moved its end",
    "environment_expired": "time was up",
    "drift_detected": "drift was found",
}
_FILTERS: Final = ("person", "environment", "action", "team")
_LONGEST_SEQUENCE: Final = 16


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The table, and what it is narrowed to."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    values: dict[str, Any] = {name: asked[name] for name in ("person", "environment", "action") if name in asked}
    before = asked.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < _LONGEST_SEQUENCE:
        values["before_sequence"] = int(before)
    query = understood(FindAudit, {**values, "limit": ROWS})
    found = await gateway.reviewing.audit(visitor.principal, query, asked.get("team"))
    return page(
        request,
        visitor,
        gateway,
        "audit.html",
        here="audit",
        title="Audit",
        entries=[(entry, _why(entry)) for entry in found.items],
        next_before=found.next_before,
        asked=asked,
        kept={name: asked[name] for name in _FILTERS if name in asked},
        actions=[(action, ACTIONS[action]) for action in get_args(AuditAction)],
        words=ACTIONS,
        teams=visitor.principal.teams,
    )


def _why(entry: AuditEntry) -> str:
    """The reason, the detail and the cause, as far as they say something."""
    cause = words.CAUSES.get(entry.cause or "", "")
    return "; ".join(text for text in (entry.detail, entry.reason, cause) if text)


PAGES: Final = (Page("GET", "/audit", show),)

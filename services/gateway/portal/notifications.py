"""Notifications: what was sent, to which channel or webhook, about what, and whether it arrived."""

from typing import Any, Final

from fastapi import Request, Response

from contracts.webhooks import FindNotifications, SentNotification
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.people import reaches
from services.gateway.portal import words
from services.gateway.portal.forms import understood
from services.gateway.portal.rendering import page

ROWS: Final = 50
WAYS: Final = {"slack": "Slack", "webhook": "Webhook"}
_FILTERS: Final = ("way", "environment", "team")


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The table, and what it is narrowed to."""
    asked = {name: value.strip() for name, value in request.query_params.items() if value.strip()}
    kept = {name: asked[name] for name in _FILTERS if name in asked}
    of_list = f"notifications {visitor.principal.subject} {sorted(kept.items())}"
    cursor = asked.get("cursor")
    values: dict[str, Any] = {name: kept[name] for name in ("way", "environment") if name in kept}
    if cursor is not None:
        values["after"] = gateway.cursors.read(of_list, cursor)
    query = understood(FindNotifications, {**values, "limit": ROWS})
    found = await gateway.notifying.notifications(visitor.principal, query, kept.get("team"))
    return page(
        request,
        visitor,
        gateway,
        "notifications.html",
        here="notifications",
        title="Notifications",
        rows=[(one, words.event_name(one.kind), _target(one)) for one in found.items],
        kept=kept,
        ways=list(WAYS.items()),
        way_names=WAYS,
        teams=visitor.principal.teams,
        cursor=cursor,
        next_cursor=gateway.cursors.make(of_list, found.next_after) if found.next_after is not None else None,
        may_have_webhooks=reaches(visitor.principal.role, "developer"),
    )


def _target(one: SentNotification) -> str:
    return f"#{one.target}" if one.way == "slack" else one.target


PAGES: Final = (Page("GET", "/notifications", show),)

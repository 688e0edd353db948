"""Webhooks: whom a team tells what becomes of its environments, and what came of each delivery.

Invariant: a secret is shown in the one answer that makes it, and on no page that can be opened again.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from contracts.webhooks import OUTWARD_KINDS, Delivery, Webhook
from services.gateway.api import problems
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.api.problems import Problem
from services.gateway.domain.hooks import ChangeHook, CreateHook
from services.gateway.domain.refusals import RefusalError, UnknownThingError
from services.gateway.handlers.notifying import NO_SUCH_DELIVERY, NO_SUCH_WEBHOOK
from services.gateway.portal import forms, words
from services.gateway.portal.rendering import field_errors, page

ROWS: Final = 20
_TEXTS: Final = ("url", "environment", "golden_path", "description")
_SHOWN_PATH: Final = 40


async def show_list(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The webhooks of one's teams, and a form for a new one."""
    return await _list(request, visitor, gateway, {})


async def _list(
    request: Request, visitor: Visitor, gateway: Gateway, typed: Mapping[str, str], problem: Problem | None = None
) -> Response:
    hooks = await gateway.notifying.webhooks(visitor.principal)
    return page(
        request,
        visitor,
        gateway,
        "webhooks.html",
        here="webhooks",
        title="Webhooks",
        status=problem.status if problem is not None else 200,
        hooks=[(hook, address_of(hook.url), _about(hook)) for hook in hooks],
        teams=visitor.principal.teams,
        paths=await _paths(gateway),
        kinds=KINDS,
        typed=typed,
        problem=problem,
        errors=field_errors(problem),
    )


async def create(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """A new webhook; this one answer shows its secret."""
    sent = await forms.posted(request)
    try:
        ask = forms.understood(CreateHook, _asked(sent) | {"team": sent.get("team") or None})
        made = await gateway.notifying.create(visitor.principal, ask, forms.key_of(sent))
    except RefusalError as error:
        return await _list(request, visitor, gateway, sent, problems.of(error, request.url.path).problem)
    return await _one(request, visitor, gateway, made.webhook, secret=made.secret.get_secret_value())


async def show_one(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """One webhook, and what it was sent."""
    hook = await gateway.notifying.webhook(visitor.principal, _id(request))
    return await _one(request, visitor, gateway, hook)


async def _one(
    request: Request, visitor: Visitor, gateway: Gateway, hook: Webhook, problem: Problem | None = None, **more: Any
) -> Response:
    of_list = f"deliveries {visitor.principal.subject} {hook.id}"
    cursor = request.query_params.get("cursor") or None
    after = gateway.cursors.read(of_list, cursor) if cursor is not None else None
    found = await gateway.notifying.deliveries(visitor.principal, hook.id, after, ROWS)
    deliveries = found.items or ()
    tried: Delivery | None = more.get("tried")
    return page(
        request,
        visitor,
        gateway,
        "webhook.html",
        here="webhooks",
        title=urlsplit(hook.url).hostname or "Webhook",
        status=problem.status if problem is not None else 200,
        hook=hook,
        about=_about(hook),
        names=[words.event_name(kind) for kind in hook.kinds],
        deliveries=[(one, words.event_name(one.kind)) for one in deliveries],
        waits=cursor is None and any(one.state == "waiting" for one in deliveries),
        cursor=cursor,
        next_cursor=gateway.cursors.make(of_list, found.next_after) if found.next_after is not None else None,
        paths=await _paths(gateway),
        kinds=KINDS,
        typed=more.get("typed") or _typed(hook),
        editing=problem is not None and "typed" in more,
        problem=problem,
        errors=field_errors(problem),
        secret=more.get("secret"),
        tried=tried.attempts[-1] if tried is not None and tried.attempts else None,
    )


async def change(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Other events, another address."""
    webhook_id, sent = _id(request), await forms.posted(request)
    try:
        ask = forms.understood(ChangeHook, _asked(sent, empty=""))
        await gateway.notifying.change(visitor.principal, webhook_id, ask)
    except RefusalError as error:
        return await _refused(request, visitor, gateway, error, typed=sent)
    return RedirectResponse(f"/webhooks/{webhook_id}?done=webhook_changed", 303)


async def pause(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Send nothing until it is resumed."""
    return await _put(request, visitor, gateway, "paused")


async def resume(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Send again, also after the platform had disabled it."""
    return await _put(request, visitor, gateway, "active")


async def _put(request: Request, visitor: Visitor, gateway: Gateway, state: Literal["active", "paused"]) -> Response:
    webhook_id = _id(request)
    await gateway.notifying.change(visitor.principal, webhook_id, ChangeHook(state=state))
    return RedirectResponse(f"/webhooks/{webhook_id}", 303)


async def test(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Send a test event now, and show what came back."""
    webhook_id = _id(request)
    tried = await gateway.notifying.test(visitor.principal, webhook_id)
    hook = await gateway.notifying.webhook(visitor.principal, webhook_id)
    return await _one(request, visitor, gateway, hook, tried=tried)


async def rotate(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """A new secret, which this one answer shows."""
    try:
        made = await gateway.notifying.rotate(visitor.principal, _id(request))
    except RefusalError as error:
        return await _refused(request, visitor, gateway, error)
    return await _one(request, visitor, gateway, made.webhook, secret=made.secret.get_secret_value())


async def delete(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Take it away, with what is known of its deliveries."""
    await gateway.notifying.delete(visitor.principal, _id(request))
    return RedirectResponse("/webhooks?done=webhook_deleted", 303)


async def redeliver(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Send an event again."""
    webhook_id = _id(request)
    try:
        delivery_id = UUID(str(request.path_params["delivery"]))
    except ValueError:
        raise UnknownThingError(NO_SUCH_DELIVERY) from None
    try:
        await gateway.notifying.redeliver(visitor.principal, webhook_id, delivery_id)
    except RefusalError as error:
        return await _refused(request, visitor, gateway, error)
    return RedirectResponse(f"/webhooks/{webhook_id}?done=webhook_redelivered", 303)


async def _refused(request: Request, visitor: Visitor, gateway: Gateway, error: RefusalError, **more: Any) -> Response:
    """The page with what is wrong; a page of its own where there is nothing to show."""
    problem = problems.of(error, request.url.path).problem
    if problem.status in {403, 404}:
        raise error
    hook = await gateway.notifying.webhook(visitor.principal, _id(request))
    return await _one(request, visitor, gateway, hook, problem, **more)


def address_of(url: str) -> str:
    """An address for a table: without what is secret in it, and not too long."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return (parts.hostname or url) + (path if len(path) <= _SHOWN_PATH else f"{path[: _SHOWN_PATH - 1]}…")


def _about(hook: Webhook) -> str:
    """Of what it tells."""
    events = words.counted(len(hook.kinds), "kind of event", "kinds of event") if hook.kinds else "every event"
    of = hook.environment or (f"environments made with {hook.golden_path}" if hook.golden_path else "")
    return f"{events} of {of}" if of else events


def _asked(sent: Mapping[str, str], empty: str | None = None) -> dict[str, Any]:
    """What a form asks for; `empty` is what stands for a place that is left open."""
    typed = {name: sent.get(name, "").strip() for name in _TEXTS}
    return {
        "url": typed["url"],
        "description": typed["description"],
        "environment": typed["environment"] or empty,
        "golden_path": typed["golden_path"] or empty,
        "kinds": [kind for kind in OUTWARD_KINDS if sent.get(f"kind.{kind}") == "true"],
    }


def _typed(hook: Webhook) -> dict[str, str]:
    """A webhook as its form has it."""
    return {
        "url": hook.url,
        "description": hook.description,
        "environment": hook.environment or "",
        "golden_path": hook.golden_path or "",
        **{f"kind.{kind}": "true" for kind in hook.kinds},
    }


async def _paths(gateway: Gateway) -> list[tuple[str, str]]:
    return [("", "Any"), *((path.name, path.title) for path in await gateway.golden_paths.all())]


def _id(request: Request) -> UUID:
    try:
        return UUID(str(request.path_params["id"]))
    except ValueError:
        raise UnknownThingError(NO_SUCH_WEBHOOK) from None


KINDS: Final = [(kind, words.event_name(kind)) for kind in OUTWARD_KINDS]
PAGES: Final = (
    Page("GET", "/webhooks", show_list, "developer"),
    Page("POST", "/webhooks", create, "developer"),
    Page("GET", "/webhooks/{id}", show_one, "developer"),
    Page("POST", "/webhooks/{id}", change, "developer"),
    Page("POST", "/webhooks/{id}/pause", pause, "developer"),
    Page("POST", "/webhooks/{id}/resume", resume, "developer"),
    Page("POST", "/webhooks/{id}/test", test, "developer"),
    Page("POST", "/webhooks/{id}/rotate", rotate, "developer"),
    Page("POST", "/webhooks/{id}/delete", delete, "developer"),
    Page("POST", "/webhooks/{id}/deliveries/{delivery}/redeliver", redeliver, "developer"),
)

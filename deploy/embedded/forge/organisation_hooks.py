"""REST: the webhooks of an organisation, which hear of every repository of it.

Invariant: what is delivered goes out by rows among the repositories' own hooks (`Hooks.subscribed`), which follow the
organisation's hook and are gone with it.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge.accounts import Account
from deploy.embedded.forge.bodies import json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Call, Caller
from deploy.embedded.forge.errors import ForgeError, forbidden, invalid, not_found
from deploy.embedded.forge.hook_routes import MASK, HookChange, NewHook, checked_url
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/orgs/{org}/hooks")


def _organisation(call: Call, login: str) -> Account:
    if not call.principal.admin:
        raise forbidden("Must have admin rights to the organization.")
    found = call.forge.accounts.by_login(login)
    if found is None or found.kind != "Organization":
        raise not_found()
    return found


def _find(call: Call, org: str, hook_id: int) -> Row:
    owner = _organisation(call, org)
    row = call.forge.store.one("SELECT * FROM organisation_hooks WHERE id = ? AND owner_id = ?", [hook_id, owner.id])
    if row is None:
        raise not_found()
    return row


def _shape(call: Call, org: str, row: Row) -> dict[str, Any]:
    url = f"{call.forge.urls.api}/orgs/{org}/hooks/{row['id']}"
    config = {"url": row["url"], "content_type": row["content_type"], "insecure_ssl": "0"}
    return {
        "type": "Organization",
        "id": row["id"],
        "name": "web",
        "active": bool(row["active"]),
        "events": json.loads(row["events"]),
        "config": config | ({"secret": MASK} if row["secret"] else {}),
        "url": url,
        "ping_url": f"{url}/pings",
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


@router.get("")
def list_hooks(org: str, request: Request, call: Caller) -> JSONResponse:
    """All hooks. Their secrets are never shown."""
    owner = _organisation(call, org)
    rows = call.forge.store.all("SELECT * FROM organisation_hooks WHERE owner_id = ? ORDER BY id", [owner.id])
    return paged(request, rows, lambda row: _shape(call, owner.login, row))


@router.post("", status_code=201)
def create_hook(org: str, body: Annotated[NewHook, Depends(json_body(NewHook))], call: Caller) -> dict[str, Any]:
    """A new hook. The same address with the same events is refused, as on GitHub."""
    owner, url, now = _organisation(call, org), checked_url(body.config), timestamp()
    secret = body.config.secret
    with call.forge.store.transaction():
        rows = call.forge.store.all("SELECT * FROM organisation_hooks WHERE owner_id = ?", [owner.id])
        if any(row["url"] == url and set(json.loads(row["events"])) == set(body.events) for row in rows):
            error = {"resource": "Hook", "code": "custom", "message": "Hook already exists on this organization"}
            raise ForgeError(422, "Validation Failed", [error])
        hook_id = call.forge.store.insert(
            "organisation_hooks",
            owner_id=owner.id,
            active=int(body.active),
            events=json.dumps(body.events),
            url=url,
            content_type=body.config.content_type,
            secret=secret.get_secret_value() if secret is not None else None,
            created_at=now,
            updated_at=now,
        )
    return _shape(call, owner.login, call.forge.store.row("organisation_hooks", hook_id))


@router.get("/{hook_id:number}")
def get_hook(org: str, hook_id: int, call: Caller) -> dict[str, Any]:
    """A hook by its id."""
    return _shape(call, org, _find(call, org, hook_id))


@router.patch("/{hook_id:number}")
def change_hook(
    org: str, hook_id: int, body: Annotated[HookChange, Depends(json_body(HookChange))], call: Caller
) -> dict[str, Any]:
    """Change what is given. A new `config` without a secret removes the secret, as on GitHub."""
    row = _find(call, org, hook_id)
    events = body.events if body.events is not None else json.loads(row["events"])
    events = [each for each in dict.fromkeys([*events, *body.add_events]) if each not in body.remove_events]
    if not events:
        raise invalid("Hook", "events")
    changes: dict[str, Any] = {"events": json.dumps(events), "updated_at": timestamp()}
    if body.active is not None:
        changes["active"] = int(body.active)
    if body.config is not None:
        secret = body.config.secret.get_secret_value() if body.config.secret is not None else None
        changes |= {"url": checked_url(body.config), "content_type": body.config.content_type}
        if secret != MASK:
            changes["secret"] = secret
    with call.forge.store.transaction():
        call.forge.store.update("organisation_hooks", hook_id, **changes)
        shadows = call.forge.store.all("SELECT id FROM hooks WHERE organisation_hook_id = ?", [hook_id])
        for shadow in shadows:
            call.forge.store.update("hooks", shadow["id"], **changes)
    return _shape(call, org, _find(call, org, hook_id))


@router.delete("/{hook_id:number}", status_code=204)
def delete_hook(org: str, hook_id: int, call: Caller) -> Response:
    """Delete a hook and what is still to be delivered to it."""
    call.forge.store.execute("DELETE FROM organisation_hooks WHERE id = ?", [_find(call, org, hook_id)["id"]])
    return Response(status_code=204)

"""REST: the webhooks of a repository and what became of their deliveries."""

import json
import re
import time
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from starlette.responses import JSONResponse, Response

from deploy.embedded.forge.bodies import Body, json_body
from deploy.embedded.forge.clock import timestamp
from deploy.embedded.forge.context import Access, Administered
from deploy.embedded.forge.errors import ForgeError, invalid, not_found
from deploy.embedded.forge.hooks import is_loopback_url
from deploy.embedded.forge.pagination import paged
from deploy.embedded.forge.store import Row

router = APIRouter(prefix="/repos/{owner}/{repo}/hooks")
MASK: Final = "********"
_EVENT: Final = re.compile(r"\*|[a-z][a-z_]{0,49}")
_MOST_HOOKS: Final = 20
_OWN: Final = "SELECT * FROM hooks WHERE repository_id = ? AND organisation_hook_id IS NULL"


class HookConfig(BaseModel):
    """Where a hook goes and the key it is signed with."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    url: str = Field(min_length=1, max_length=2000)
    content_type: Literal["json", "form"] = "form"
    secret: SecretStr | None = None


class NewHook(Body):
    """`POST …/hooks`."""

    name: Literal["web"] = "web"
    config: HookConfig
    events: list[str] = Field(default_factory=lambda: ["push"], min_length=1, max_length=50)
    active: bool = True

    @field_validator("events")
    @classmethod
    def _events(cls, value: list[str]) -> list[str]:
        if not all(_EVENT.fullmatch(event) for event in value):
            raise ValueError("events are names such as push, or *")
        return list(dict.fromkeys(value))


class HookChange(Body):
    """`PATCH …/hooks/{id}`."""

    config: HookConfig | None = None
    events: list[str] | None = Field(default=None, min_length=1, max_length=50)
    add_events: list[str] = Field(default_factory=list, max_length=50)
    remove_events: list[str] = Field(default_factory=list, max_length=50)
    active: bool | None = None


def _find(access: Access, hook_id: int) -> Row:
    row = access.forge.store.one(
        "SELECT * FROM hooks WHERE id = ? AND repository_id = ? AND organisation_hook_id IS NULL",
        [hook_id, access.repository.id],
    )
    if row is None:
        raise not_found()
    return row


def _shape(access: Access, row: Row) -> dict[str, Any]:
    url = f"{access.url}/hooks/{row['id']}"
    config = {"url": row["url"], "content_type": row["content_type"], "insecure_ssl": "0"}
    if row["secret"]:
        config["secret"] = MASK
    last = access.forge.store.one(
        "SELECT status_code, status FROM deliveries WHERE hook_id = ? AND attempts > 0 ORDER BY id DESC",
        [row["id"]],
    )
    return {
        "type": "Repository",
        "id": row["id"],
        "name": "web",
        "active": bool(row["active"]),
        "events": json.loads(row["events"]),
        "config": config,
        "url": url,
        "test_url": f"{url}/test",
        "ping_url": f"{url}/pings",
        "deliveries_url": f"{url}/deliveries",
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "last_response": {
            "code": last["status_code"] if last is not None else None,
            "status": "unused" if last is None else "active" if last["status"] == "OK" else "failed",
            "message": last["status"] if last is not None else None,
        },
    }


def checked_url(config: HookConfig) -> str:
    """The address of a hook. Raises ForgeError 422 for one that leads away from this machine."""
    if not is_loopback_url(config.url):
        raise invalid("Hook", "url", "custom", "this forge delivers to addresses of this machine only")
    return config.url


@router.get("")
def list_hooks(request: Request, access: Administered) -> JSONResponse:
    """All hooks. Their secrets are never shown."""
    rows = access.forge.store.all(f"{_OWN} ORDER BY id", [access.repository.id])
    return paged(request, rows, lambda row: _shape(access, row))


@router.post("", status_code=201)
def create_hook(body: Annotated[NewHook, Depends(json_body(NewHook))], access: Administered) -> dict[str, Any]:
    """A new hook; its first delivery is a `ping`. The same address with the same events is refused, as on GitHub."""
    url, events, now = checked_url(body.config), json.dumps(body.events), timestamp()
    secret = body.config.secret
    with access.forge.store.transaction():
        rows = access.forge.store.all(_OWN, [access.repository.id])
        if any(row["url"] == url and set(json.loads(row["events"])) == set(body.events) for row in rows):
            error = {
                "resource": "Hook",
                "code": "custom",
                "message": "Hook already exists on this repository",
            }
            raise ForgeError(422, "Validation Failed", [error])
        if len(rows) >= _MOST_HOOKS:
            raise invalid("Hook", "events", "custom", f"a repository has at most {_MOST_HOOKS} hooks")
        hook_id = access.forge.store.insert(
            "hooks",
            repository_id=access.repository.id,
            active=int(body.active),
            events=events,
            url=url,
            content_type=body.config.content_type,
            secret=secret.get_secret_value() if secret is not None else None,
            created_at=now,
            updated_at=now,
        )
    shape = _shape(access, _find(access, hook_id))
    if body.active:
        access.forge.hooks.ping(hook_id, access.repository, access.caller, shape)
    return shape


@router.get("/{hook_id:number}")
def get_hook(hook_id: int, access: Administered) -> dict[str, Any]:
    """A hook by its id."""
    return _shape(access, _find(access, hook_id))


@router.patch("/{hook_id:number}")
def change_hook(
    hook_id: int, body: Annotated[HookChange, Depends(json_body(HookChange))], access: Administered
) -> dict[str, Any]:
    """Change what is given. A new `config` without a secret removes the secret, as on GitHub."""
    row = _find(access, hook_id)
    events = body.events if body.events is not None else json.loads(row["events"])
    events = [each for each in dict.fromkeys([*events, *body.add_events]) if each not in body.remove_events]
    if not events or not all(_EVENT.fullmatch(event) for event in events):
        raise invalid("Hook", "events")
    changes: dict[str, Any] = {"events": json.dumps(events), "updated_at": timestamp()}
    if body.active is not None:
        changes["active"] = int(body.active)
    if body.config is not None:
        secret = body.config.secret.get_secret_value() if body.config.secret is not None else None
        changes |= {"url": checked_url(body.config), "content_type": body.config.content_type}
        # Somebody who sends back what we showed means to keep it.
        if secret != MASK:
            changes["secret"] = secret
    access.forge.store.update("hooks", hook_id, **changes)
    return _shape(access, _find(access, hook_id))


@router.delete("/{hook_id:number}", status_code=204)
def delete_hook(hook_id: int, access: Administered) -> Response:
    """Delete a hook and what is still to be delivered to it."""
    access.forge.store.execute("DELETE FROM hooks WHERE id = ?", [_find(access, hook_id)["id"]])
    return Response(status_code=204)


@router.post("/{hook_id:number}/pings", status_code=204)
def ping_hook(hook_id: int, access: Administered) -> Response:
    """Deliver a `ping`."""
    shape = _shape(access, _find(access, hook_id))
    access.forge.hooks.ping(hook_id, access.repository, access.caller, shape)
    return Response(status_code=204)


# Deliveries


def _delivery_shape(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "guid": row["guid"],
        "delivered_at": row["delivered_at"] or row["created_at"],
        "redelivery": bool(row["redelivery"]),
        "duration": row["duration_seconds"] or 0,
        "status": row["status"],
        "status_code": row["status_code"] or 0,
        "event": row["event"],
        "action": row["action"],
        "attempts": row["attempts"],
    }


@router.get("/{hook_id:number}/deliveries")
def list_deliveries(hook_id: int, request: Request, access: Administered) -> JSONResponse:
    """What was delivered or is to be, newest first."""
    hook = _find(access, hook_id)
    rows = access.forge.store.all("SELECT * FROM deliveries WHERE hook_id = ? ORDER BY id DESC", [hook["id"]])
    return paged(request, rows, _delivery_shape)


def _delivery(access: Access, hook_id: int, delivery_id: int) -> Row:
    row = access.forge.store.one(
        "SELECT * FROM deliveries WHERE id = ? AND hook_id = ?", [delivery_id, _find(access, hook_id)["id"]]
    )
    if row is None:
        raise not_found()
    return row


@router.get("/{hook_id:number}/deliveries/{delivery_id:number}")
def get_delivery(hook_id: int, delivery_id: int, access: Administered) -> dict[str, Any]:
    """A delivery with what was sent."""
    row = _delivery(access, hook_id, delivery_id)
    headers = {"X-GitHub-Event": row["event"], "X-GitHub-Delivery": row["guid"]}
    return _delivery_shape(row) | {"request": {"headers": headers, "payload": json.loads(row["payload"])}}


@router.post("/{hook_id:number}/deliveries/{delivery_id:number}/attempts", status_code=202)
def redeliver(hook_id: int, delivery_id: int, access: Administered) -> dict[str, Any]:
    """Deliver once more, under the same delivery id."""
    row = _delivery(access, hook_id, delivery_id)
    access.forge.store.update("deliveries", row["id"], redelivery=1, attempts=0, due_at=time.time(), status="pending")
    access.forge.hooks.wake()
    return {}

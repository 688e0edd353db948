"""`slipway_route`: the environment's host name at the ingress (Caddy).

The route `env-<environment>` holds two handlers: the mark (a `vars` handler, which sends nothing to anybody) and
a subroute with one route, `env-<environment>-app`. That inner one is the slot of whoever deploys: a deployment
replaces its `handle` list at `/id/env-<environment>-app/handle`, for instance by a reverse proxy. Until then it
answers with a page that says what to push where.

Invariant: what a deployment put into the slot is never overwritten, and never called drift.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote, unquote

from tf.schema import Attribute
from tf.types import String

from .caddy import CaddyAdmin
from .marks import Mark, check_ours
from .placeholder import MARKER, page
from .resource import MarkedResource, State

_HOSTNAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_PLACEHOLDER, _DEPLOYED, _ALTERED = "placeholder", "deployed", "altered"


class RouteResource(MarkedResource):
    """Host `hostname` → the environment; `clone_url` and `branch` are what its first page tells people."""

    NAME = "route"

    @classmethod
    def attributes(cls) -> list[Attribute]:
        """`content` is found: placeholder, deployed or altered."""
        return [
            Attribute("hostname", String(), required=True),
            Attribute("clone_url", String(), required=True),
            Attribute("branch", String(), required=True),
            Attribute("content", String(), computed=True),
        ]

    @classmethod
    def key(cls, state: State) -> str:
        """The host name."""
        return str(state["hostname"])

    @classmethod
    def from_key(cls, key: str) -> State:
        """The host name."""
        return {"hostname": key}

    def identify(self, state: State) -> str:
        """The route's `@id` at Caddy; the host may change."""
        return f"env-{state['environment']}"

    def healthy(self, planned: State) -> State:
        """A deployment is not drift, a placeholder that somebody edited is."""
        return {"content": _DEPLOYED if planned.get("content") == _DEPLOYED else _PLACEHOLDER}

    def check(self, known: State) -> None:
        """A plain host name: Caddy would expand wildcards and placeholders."""
        if not _HOSTNAME.fullmatch(known.get("hostname", "x")):
            raise ValueError("hostname must be a host name in lower case, without wildcard or port")

    def ensure(self, mark: Mark, wanted: State) -> State:
        """Put the route there, or bring ours to what is wanted without touching what is deployed."""
        caddy, route_id = self._caddy(), f"env-{mark.environment}"
        found = caddy.find(route_id)
        if found is None:
            caddy.put_route(_route(route_id, mark, wanted))
        else:
            check_ours(f"ingress route {route_id}", mark, _vars(found).get("slipway_mark"))
            caddy.replace(f"{route_id}/match", [{"host": [wanted["hostname"]]}])
            caddy.replace(f"{route_id}/handle/0", _mark_handler(mark, wanted))
            caddy.replace(
                f"{route_id}-app/handle",
                _placeholder(mark.environment, wanted),
                unless_changed_from=_is_placeholder,
            )
        return self._state(mark, caddy.find(route_id)) or dict(wanted)

    def look(self, mark: Mark, known: State) -> State | None:  # noqa: ARG002 - the mark names the route
        """The route as Caddy has it; None when it is gone."""
        route_id = f"env-{mark.environment}"
        found = self._caddy().find(route_id)
        if found is not None:
            check_ours(f"ingress route {route_id}", mark, _vars(found).get("slipway_mark"))
        return self._state(mark, found)

    def remove(self, mark: Mark, known: State) -> None:  # noqa: ARG002 - the mark names the route
        """Take the route away, whatever is deployed behind it."""
        caddy, route_id = self._caddy(), f"env-{mark.environment}"
        found = caddy.find(route_id)
        if found is not None:
            check_ours(f"ingress route {route_id}", mark, _vars(found).get("slipway_mark"))
            caddy.remove(route_id)

    def _caddy(self) -> CaddyAdmin:
        if self._access.ingress is None:
            raise ValueError("this machine offers no ingress: set SLIPWAY_PROVISIONER_CADDY_SOCKET")
        return self._access.ingress

    def _state(self, mark: Mark, found: dict[str, Any] | None) -> State | None:
        if found is None:
            return None
        values = _vars(found)
        hosts = [host for match in found.get("match") or [] for host in match.get("host") or []]
        state: State = {
            "hostname": ",".join(hosts),
            "clone_url": unquote(values.get("slipway_clone_url", "")),
            "branch": unquote(values.get("slipway_branch", "")),
        }
        slot = _slot(found)
        if slot is None or slot == []:
            content = _ALTERED
        elif not _is_placeholder(slot):
            content = _DEPLOYED
        else:
            content = _PLACEHOLDER if slot == _placeholder(mark.environment, state) else _ALTERED
        return state | {"content": content}


def _route(route_id: str, mark: Mark, wanted: State) -> dict[str, Any]:
    return {
        "@id": route_id,
        "match": [{"host": [wanted["hostname"]]}],
        "handle": [
            _mark_handler(mark, wanted),
            {
                "handler": "subroute",
                "routes": [{"@id": f"{route_id}-app", "handle": _placeholder(mark.environment, wanted)}],
            },
        ],
        "terminal": True,
    }


def _mark_handler(mark: Mark, wanted: State) -> dict[str, str]:
    """Percent-encoded, because Caddy expands `{...}` in these values at every request (`{env.X}`, `{file.X}`)."""
    return {
        "handler": "vars",
        "slipway_mark": str(mark),
        "slipway_clone_url": quote(wanted["clone_url"], safe=""),
        "slipway_branch": quote(wanted["branch"], safe=""),
    }


def _placeholder(environment: str, wanted: State) -> list[dict[str, Any]]:
    return [
        {
            "handler": "static_response",
            "status_code": 200,
            "headers": {
                "Content-Type": ["text/html; charset=utf-8"],
                "Cache-Control": ["no-store"],
                "Content-Security-Policy": ["default-src 'none'; style-src 'unsafe-inline'"],
                "X-Content-Type-Options": ["nosniff"],
                "X-Slipway": [MARKER],
            },
            "body": page(environment, wanted["clone_url"], wanted["branch"]),
        }
    ]


def _is_placeholder(handle: object) -> bool:
    """Whether the slot still answers with our page, whatever has been done to its text."""
    first = handle[0] if isinstance(handle, list) and handle else None
    if not isinstance(first, dict) or first.get("handler") != "static_response":
        return False
    return (first.get("headers") or {}).get("X-Slipway") == [MARKER]


def _vars(found: dict[str, Any]) -> dict[str, str]:
    for handler in found.get("handle") or []:
        if handler.get("handler") == "vars":
            return {key: str(value) for key, value in handler.items()}
    return {}


def _slot(found: dict[str, Any]) -> Any:
    for handler in found.get("handle") or []:
        for route in handler.get("routes") or []:
            if route.get("@id") == f"{found.get('@id')}-app":
                return route.get("handle")
    return None

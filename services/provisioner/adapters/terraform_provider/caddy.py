"""Caddy's admin API over its unix socket.

Caddy replaces its admin server at every change of its configuration, so a parallel writer's connection is reset
(seen: 10 of 64). Invariant: one writer at a time in this process, and a retry always reads first, so a change
whose answer was lost is found in place instead of being made twice.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from .marks import Busy

_Result = TypeVar("_Result")
_DELAYS_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_PRECONDITION_FAILED: Final = 412


class CaddyAdmin:
    """Routes of one HTTP server of one Caddy, found by their `@id`."""

    def __init__(self, socket: Path, server: str = "slipway", timeout_seconds: float = 5.0) -> None:
        """`server` is the key under `apps.http.servers` whose routes are ours to add to."""
        self._server = server
        self._socket = socket
        self._timeout_seconds = timeout_seconds
        self._one_writer = threading.Lock()

    def find(self, route_id: str) -> dict[str, Any] | None:
        """The configuration object with `route_id`, or None. Raises `Busy` when Caddy cannot be reached."""
        found: dict[str, Any] | None = self._retrying(lambda client: self._get(client, route_id)[0])
        return found

    def put_route(self, route: dict[str, Any]) -> None:
        """Add `route` (it carries an `@id`) ahead of the others, or replace the one with that id."""

        def write(client: httpx.Client) -> None:
            if self._get(client, route["@id"])[0] is None:
                # PUT on an index inserts there: ours come before a catch-all.
                answer = client.put(f"/config/apps/http/servers/{self._server}/routes/0", json=route)
            else:
                answer = client.patch(f"/id/{route['@id']}", json=route)
            _check(answer)

        with self._one_writer:
            self._retrying(write)

    def replace(self, path: str, value: object, unless_changed_from: Callable[[Any], bool] | None = None) -> bool:
        """Replace the part at `/id/<path>`; False when `unless_changed_from` does not accept what is there.

        The look and the write are one step for Caddy (ETag and If-Match), so a change that somebody else makes
        in between is seen and not overwritten.
        """

        def write(client: httpx.Client) -> bool:
            found, etag = self._get(client, path)
            if found is None or (unless_changed_from is not None and not unless_changed_from(found)):
                return False
            if found == value:
                return True
            answer = client.patch(f"/id/{path}", json=value, headers={"If-Match": etag} if etag else {})
            if answer.status_code == _PRECONDITION_FAILED:
                raise httpx.TransportError("the configuration changed between look and write")
            _check(answer)
            return True

        with self._one_writer:
            return self._retrying(write)

    def remove(self, route_id: str) -> None:
        """Take the object with `route_id` away; nothing happens when it is not there."""

        def write(client: httpx.Client) -> None:
            if self._get(client, route_id)[0] is not None:
                _check(client.delete(f"/id/{route_id}"))

        with self._one_writer:
            self._retrying(write)

    def _get(self, client: httpx.Client, route_id: str) -> tuple[Any, str]:
        answer = client.get(f"/id/{route_id}")
        # Caddy answers an unknown id with 404 ("unknown object ID"), one whose parent has gone with 400 or 500.
        if answer.status_code == httpx.codes.NOT_FOUND or "unknown object ID" in answer.text:
            return None, ""
        _check(answer)
        return json.loads(answer.text), answer.headers.get("ETag", "")

    def _retrying(self, attempt: Callable[[httpx.Client], _Result]) -> _Result:
        failure: httpx.TransportError | None = None
        for delay_seconds in (0.0, *_DELAYS_SECONDS):
            time.sleep(delay_seconds)
            try:
                with httpx.Client(
                    # The host is a name only: Caddy's admin checks Origin, the socket is the way.
                    transport=httpx.HTTPTransport(uds=str(self._socket)),
                    base_url="http://127.0.0.1",
                    timeout=self._timeout_seconds,
                ) as client:
                    return attempt(client)
            except httpx.TransportError as reset:
                failure = reset
        raise Busy(f"Caddy's admin API at {self._socket} did not answer: is the ingress running?") from failure


def _check(answer: httpx.Response) -> None:
    """Raise `Busy` for an answer that a later try may better, `ValueError` for a configuration that it refuses."""
    if answer.is_success:
        return
    reason = answer.text[:500]
    if answer.status_code in {408, 423, 425, 429, 502, 503, 504}:
        raise Busy(f"Caddy answered {answer.status_code}: {reason}")
    raise ValueError(f"Caddy refused the route ({answer.status_code}): {reason}")

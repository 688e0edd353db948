"""The few HTTP requests that starting the platform needs, over the standard library.

Invariant: never through a proxy. Everything asked here is on this machine.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

_PATIENCE_SECONDS = 30.0
"""A loaded machine is slow, not broken; nobody here is far away."""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpError(Exception):
    """The server answered with a status that is no success."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:200]}")
        self.status = status


def request_json(
    method: str,
    url: str,
    body: object | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = _PATIENCE_SECONDS,
) -> Any:
    """Send `body` as JSON and answer the decoded answer (None when it is empty or no JSON).

    Raises HttpError for 4xx and 5xx and OSError when nobody listens.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))  # noqa: S310 - http on loopback
    request.add_header("Content-Type", "application/json")
    try:
        with _DIRECT.open(request, timeout=timeout_seconds) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        raise HttpError(error.code, error.read().decode(errors="replace")) from error
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def answers(url: str, *, timeout_seconds: float = 1.0) -> bool:
    """Whether GET `url` succeeds now."""
    try:
        request_json("GET", url, timeout_seconds=timeout_seconds)
    except (HttpError, OSError, http.client.HTTPException):  # the last: it died in the middle of its answer
        return False
    return True

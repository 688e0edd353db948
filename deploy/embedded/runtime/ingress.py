"""The environment's slot at the ingress, and the pointers by which the ingress finds what is live.

A handler names its upstream, or its directory of files, by a *pointer*: a small file that Caddy reads at each request
(`{file.<path>}`). Invariant: to switch is to rename one file. Caddy's configuration stays as it is, so no connection is
closed, and after a restart of Caddy the route leads to whatever is live.
"""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from contracts.runtime import Runtime, StaticFiles

_SAFE_PATH: Final = re.compile(r"[A-Za-z0-9._/-]+")
_DELAYS_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
_SERVER: Final = "slipway"
_MARKER: Final = "X-Slipway"
"""The header of the page that the provisioner puts where nothing is deployed."""
_AWAY = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The application does not answer</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}</style>
<h1>The application does not answer</h1>
<p>It is down or starting again. What it printed last: <code>slipway logs %s</code>. To go back to the version
before: <code>slipway rollback %s</code>.</p></html>
"""


class IngressError(Exception):
    """The ingress did not take the route; trying again may help."""


class Pointers:
    """The pointers of one life of one environment, numbered from 0."""

    def __init__(self, directory: Path, environment: str, incarnation: str) -> None:
        """Raises ValueError where the path would mean something to Caddy."""
        self._directory = directory
        self._prefix = f"{environment}.{incarnation[:8]}"
        if not _SAFE_PATH.fullmatch(str(directory / self._prefix)):
            raise ValueError(f"{directory} cannot hold pointers: its path has unusual characters")

    def path(self, number: int) -> Path:
        """Where pointer `number` is or will be."""
        return self._directory / f"{self._prefix}.{number}"

    def name(self, number: int) -> str:
        """How Caddy names the content of pointer `number`."""
        return f"{{file.{self.path(number)}}}"

    def point(self, targets: Sequence[str]) -> None:
        """Let each pointer name its target; from now on requests go there."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for number, target in enumerate(targets):
            path = self.path(number)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_text(target, encoding="utf-8")
            draft.replace(path)

    def remove(self) -> None:
        """Take every pointer away."""
        for path in self._directory.glob(f"{self._prefix}.*"):
            path.unlink(missing_ok=True)


def handlers(environment: str, runtime: Runtime, pointers: Pointers, copies: int) -> list[dict[str, Any]]:
    """What the ingress does with the environment's requests."""
    if runtime.static is not None:
        return _files(runtime.static, pointers)
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": pointers.name(number)} for number in range(copies)],
        # While a process starts again its requests wait instead of failing: what was not sent may be sent elsewhere.
        "load_balancing": {
            "selection_policy": {"policy": "round_robin"},
            "try_duration": "5s",
            "try_interval": "50ms",
            # But none that arrived is sent again: it may be what ended the process.
            "retry_match": [{"not": [{"path": ["*"]}]}],
        },
        # Other environments come and go, each with a new configuration: what streams goes on.
        "stream_close_delay": "10m",
    }
    away = {
        "handler": "static_response",
        "status_code": "{http.error.status_code}",
        "headers": {
            "Content-Type": ["text/html; charset=utf-8"],
            "Cache-Control": ["no-store"],
            "Retry-After": ["5"],
            "X-Slipway-Ingress": ["application-away"],
        },
        "body": _AWAY % (environment, environment),
    }
    return [{"handler": "subroute", "routes": [{"handle": [proxy]}], "errors": {"routes": [{"handle": [away]}]}}]


def _files(static: StaticFiles, pointers: Pointers) -> list[dict[str, Any]]:
    """A file server as people expect one of a static site: pages without `.html`, smaller forms beside a file."""
    root = pointers.name(0)
    server = {
        "handler": "file_server",
        "root": root,
        "precompressed": {"br": {}, "gzip": {}},
        "precompressed_order": ["br", "gzip"],
        "hide": [".*"],
    }
    headers = {name: [value] for name, value in static.headers.items()}
    routes: list[dict[str, Any]] = [
        {"handle": [{"handler": "headers", "response": {"set": headers | {"Cache-Control": ["no-cache"]}}}]},
        {
            "match": [{"not": [{"method": ["GET", "HEAD"]}]}],
            "handle": [{"handler": "static_response", "status_code": 405, "headers": {"Allow": ["GET, HEAD"]}}],
        },
    ]
    if static.forever is not None:
        forever = {"set": {"Cache-Control": ["public, max-age=31536000, immutable"]}}
        routes.append(
            {"match": [{"path": [f"{static.forever}*"]}], "handle": [{"handler": "headers", "response": forever}]}
        )
    path = "{http.request.uri.path}"
    routes += [
        {
            "match": [{"file": {"root": root, "try_files": [path, f"{path}.html", f"{path}/index.html"]}}],
            "handle": [{"handler": "rewrite", "uri": "{http.matchers.file.relative}"}],
        },
        {"handle": [server]},
    ]
    told = {"set": headers | {"Cache-Control": ["no-store"]}}
    missing: list[dict[str, Any]] = [{"handler": "headers", "response": told}]
    if static.not_found is not None:
        missing += [
            {"handler": "rewrite", "uri": f"/{static.not_found}"},
            {**server, "status_code": "{http.error.status_code}"},
        ]
    return [{"handler": "subroute", "routes": routes, "errors": {"routes": [{"handle": missing}]}}]


class Ingress:
    """Caddy's admin API over its unix socket. Other writers are at work, and Caddy replaces this server at each change,
    so a lost connection is tried again."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._one_writer = asyncio.Lock()

    async def fill(self, environment: str, handle: list[dict[str, Any]]) -> None:
        """Put handlers into the environment's slot where they are not there yet. Raises `IngressError`."""
        path = f"/id/env-{environment}-app/handle"
        async with self._one_writer:
            found = await self._send("GET", path)
            if found is None:
                raise IngressError(f"the ingress has no route for {environment}")
            if found != handle:
                await self._send("PATCH", path, handle)

    async def placeholders(self) -> frozenset[str]:
        """The environments at whose slot the first page stands, although something may be deployed: whoever makes a
        lost route again cannot know what was there. Raises `IngressError`."""
        routes = await self._send("GET", f"/config/apps/http/servers/{_SERVER}/routes") or []
        return frozenset(name for route in routes if (name := _empty(route)) is not None)

    async def _send(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer; None where there is no such thing."""
        failure: httpx.TransportError | None = None
        for delay_seconds in (0.0, *_DELAYS_SECONDS):
            await asyncio.sleep(delay_seconds)
            transport = httpx.AsyncHTTPTransport(uds=str(self._socket))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=5) as client:
                try:
                    answer = await client.request(method, path, json=body)
                except httpx.TransportError as error:
                    failure = error
                    continue
            if answer.status_code == httpx.codes.NOT_FOUND or "unknown object ID" in answer.text:
                return None
            if not answer.is_success:
                raise IngressError(f"the ingress answered {answer.status_code}: {answer.text[:300]}")
            return json.loads(answer.text) if answer.text else None
        raise IngressError("the ingress does not answer") from failure


def _empty(route: dict[str, Any]) -> str | None:
    """The environment of a route that shows the first page."""
    for handler in route.get("handle") or []:
        for inner in handler.get("routes") or []:
            first: dict[str, Any] = next(iter(inner.get("handle") or []), {})
            if (first.get("headers") or {}).get(_MARKER) and str(inner.get("@id", "")).endswith("-app"):
                return str(inner["@id"]).removeprefix("env-").removesuffix("-app")
    return None

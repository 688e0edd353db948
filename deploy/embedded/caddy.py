"""The ingress: Caddy, whose routes the provisioner changes while it runs.

Invariants: the admin API, which has no authentication, listens on a unix socket in a private directory
only; routes survive a restart (Caddy saves each change, `--resume` takes it up); what matches no route
gets a page that says where one is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.embedded.home import write_file
from deploy.embedded.ports import HOST
from deploy.embedded.processes import Launch, binary

SERVER = "slipway"
ROUTE_PREFIX = "env-"
_NOT_FOUND = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>No environment here - Slipway</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}a{color:#8ab4f8}}</style>
<h1>No environment here</h1>
<p>This is the ingress of a Slipway platform. No environment answers at this address:
it may not be ready yet, or it has been deleted.</p>
<p><a href="%s">Open the portal</a> or run <code>slipway ls</code>.</p></html>
"""


@dataclass(frozen=True)
class Ingress:
    """One Caddy: where it listens and where it keeps its files."""

    port: int
    health_port: int
    portal_url: str
    admin_socket: Path
    etc: Path
    data: Path
    host: str = HOST
    """The address it listens on."""

    @property
    def url(self) -> str:
        """The address of the ingress itself; environments are told apart by host name."""
        return f"http://{HOST}:{self.port}"

    @property
    def health_url(self) -> str:
        """Answers 200 while Caddy runs; `/metrics` beside it."""
        return f"http://{HOST}:{self.health_port}/readyz"

    @property
    def _saved(self) -> Path:
        return self.data / "config" / "caddy" / "autosave.json"

    def launch(self) -> Launch:
        """Caddy as a process."""
        argv = (binary("caddy"), "run", "--config", str(self.etc / "caddy.json"), "--resume")
        directories = {"XDG_CONFIG_HOME": str(self.data / "config"), "XDG_DATA_HOME": str(self.data / "data")}
        return Launch(argv, directories)

    def configure(self) -> None:
        """Write the configuration to start from: ours, with the routes that were there at the last stop.

        Only while Caddy does not run. `--resume` prefers the saved file, so both are written.
        """
        text = json.dumps(self._configuration(self._kept_routes()), indent=2) + "\n"
        write_file(self.etc / "caddy.json", text)
        write_file(self._saved, text)
        # A killed Caddy leaves its socket behind and then cannot bind it.
        self.admin_socket.unlink(missing_ok=True)

    def _kept_routes(self) -> list[dict[str, Any]]:
        try:
            saved = json.loads(self._saved.read_text())
            routes = saved["apps"]["http"]["servers"][SERVER]["routes"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []  # a first start, or a save cut short: drift checks put missing routes back
        return [route for route in routes if str(route.get("@id", "")).startswith(ROUTE_PREFIX)]

    def _configuration(self, routes: list[dict[str, Any]]) -> dict[str, Any]:
        # No environment, no route: always the last one, and not to be mistaken for an application's own 404.
        not_found = {
            "@id": "no-environment",
            "handle": [
                {
                    "handler": "static_response",
                    "status_code": 404,
                    "headers": {
                        "Content-Type": ["text/html; charset=utf-8"],
                        "Cache-Control": ["no-store"],
                        "X-Slipway-Ingress": ["no-environment"],
                    },
                    "body": _NOT_FOUND % self.portal_url,
                }
            ],
        }
        health: list[dict[str, Any]] = [
            {"match": [{"path": ["/metrics"]}], "handle": [{"handler": "metrics"}], "terminal": True},
            {"handle": [{"handler": "static_response", "status_code": 200, "body": "ok"}]},
        ]
        return {
            "admin": {"listen": f"unix/{self.admin_socket}"},
            "logging": {"logs": {"default": {"level": "WARN"}}},
            "apps": {
                "http": {
                    "metrics": {},
                    "servers": {
                        SERVER: _server(self.host, self.port, [*routes, not_found]),
                        "health": _server(self.host, self.health_port, health),
                    },
                }
            },
        }


def _server(host: str, port: int, routes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"listen": [f"{host}:{port}"], "automatic_https": {"disable": True}, "routes": routes}

"""What Tab offers beyond flags: names that the platform knows.

Invariant: completion is a favour. It says nothing, changes nothing and gives up within a second.
"""

from pathlib import Path
from typing import Any

import httpx
import typer

from cli.failures import CommandError
from cli.gateway import Gateway, at
from cli.platforms import find_access

_TIMEOUT_SECONDS = 1.0
_MOST = 100


def environments(context: typer.Context, incomplete: str) -> list[str]:
    """Names of environments that begin with what is typed."""
    return _names(context, incomplete, at("environments"), q=incomplete or None, limit=_MOST)


def golden_paths(context: typer.Context, incomplete: str) -> list[str]:
    """Names of golden paths that begin with what is typed."""
    return _names(context, incomplete, at("golden-paths"))


def _names(context: typer.Context, incomplete: str, path: str, **query: object) -> list[str]:
    flags: dict[str, Any] = context.find_root().params
    token_file = flags.get("token_file")
    try:
        access = find_access(flags.get("url"), flags.get("token"), Path(token_file) if token_file else None)
        items = Gateway(access, timeout_seconds=_TIMEOUT_SECONDS).get(path, **query)["items"]
        return [item["name"] for item in items if item["name"].startswith(incomplete)]
    except (CommandError, httpx.HTTPError, KeyError):
        return []  # a message here would be taken for a name

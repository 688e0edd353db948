"""Which platform is meant, and who asks: from flags, the environment, or the platform started in this directory."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.failures import CommandError, Exit

HOME_VARIABLE = "SLIPWAY_HOME"
DEFAULT_HOME = ".slipway"


@dataclass(frozen=True)
class Access:
    """Where the gateway is, and the token to show it."""

    url: str
    token: str


def find_access(url: str | None, token: str | None, token_file: Path | None) -> Access:
    """The access that flags name, completed from the embedded platform's own description.

    Raises CommandError where nothing says which platform is meant, or its token cannot be read.
    """
    if url and token:
        return Access(url.rstrip("/"), token)
    platform = _description()
    found_url = url or str(platform.get("urls", {}).get("gateway", ""))
    if not found_url:
        raise CommandError(
            "No platform is known here.",
            remedy="Start one with `make up`, or name one with --url (SLIPWAY_URL) and --token (SLIPWAY_TOKEN).",
            code=Exit.USAGE,
        )
    path = token_file or (Path(platform["admin_token_file"]) if platform.get("admin_token_file") else None)
    if token is None and path is None:
        raise CommandError("No token is known here.", remedy="Give one with --token (SLIPWAY_TOKEN).", code=Exit.USAGE)
    return Access(found_url.rstrip("/"), token or _read_token(path))


def _read_token(path: Path | None) -> str:
    if path is None:
        raise CommandError("No token is known here.", remedy="Give one with --token.", code=Exit.USAGE)
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CommandError(
            f"The token file {path} cannot be read ({error.strerror}).",
            remedy="Only its owner may read it: run as that user, or give a token of your own with --token.",
            code=Exit.REFUSED,
        ) from error


def home() -> Path:
    """The embedded platform's home: SLIPWAY_HOME, or `.slipway` here or in the nearest directory above."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named)
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / DEFAULT_HOME / "platform.json").is_file():
            return directory / DEFAULT_HOME
    return here / DEFAULT_HOME


def _description() -> dict[str, Any]:
    path = home() / "platform.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read.", remedy="`make up` writes it anew.", code=Exit.FAILED) from error
    return found if isinstance(found, dict) else {}

"""Which platform is meant, and who asks: from flags, the environment, or the platform of this directory.

Invariant: the embedded platform's own token is shown to that platform and to nobody else. A `.slipway` directory may
come with somebody's repository, so what it says is held to what an embedded platform is: an address of this machine, a
token file within the directory itself.
"""

import ipaddress
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cli import logins
from cli.failures import CommandError, Exit

HOME_VARIABLE = "SLIPWAY_HOME"
DEFAULT_HOME = ".slipway"
_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What can stand in a header."""


@dataclass(frozen=True)
class Access:
    """Where the gateway is, and the token to show it. The token is not in the `repr`; pydantic's SecretStr would make
    every start of the command, and every completion, a third slower."""

    url: str
    token: str = field(repr=False)


def find_access(url: str | None, token: str | None, token_file: Path | None) -> Access:
    """The access that flags name, completed from the embedded platform's own description.

    Raises CommandError where nothing says which platform is meant, or its token cannot be read.
    """
    platform = {} if url and (token or token_file) else description()
    found_url = _url(url, platform)
    if token is None and token_file is None:
        token = logins.find(found_url)
    if token is None and token_file is None and found_url == _embedded_url(platform):
        token_file = _admin_token_file(platform, found_url)
    if token is None and token_file is None:
        raise CommandError(
            f"No token is known for {found_url}.",
            remedy="`slipway login` signs in with a browser; or give a token with --token-file (SLIPWAY_TOKEN_FILE) or"
            " SLIPWAY_TOKEN.",
            code=Exit.USAGE,
        )
    return Access(found_url, _checked(token) if token is not None else _read_token(token_file))


def find_url(url: str | None) -> str:
    """The gateway that a flag names, or this directory's platform's. Raises CommandError where nothing says which."""
    return _url(url, {} if url else description())


def _url(url: str | None, platform: dict[str, Any]) -> str:
    found = (url or _embedded_url(platform)).rstrip("/")
    if not found:
        raise CommandError(
            "No platform is known here.",
            remedy="Start one with `slipway up`, or name one with --url (SLIPWAY_URL) and --token-file.",
            code=Exit.USAGE,
        )
    if not found.startswith(("http://", "https://")):
        raise CommandError(
            f"{found} is no address of a gateway.",
            remedy="Write it like https://slipway.example.com.",
            code=Exit.USAGE,
        )
    return found


def _embedded_url(platform: dict[str, Any]) -> str:
    return str(platform.get("urls", {}).get("gateway", "")).rstrip("/")


def _admin_token_file(platform: dict[str, Any], url: str) -> Path | None:
    named = platform.get("admin_token_file")
    if not named:
        return None
    path, root = Path(named), home()
    if not is_loopback(url) or not path.resolve().is_relative_to(root.resolve()):
        raise CommandError(
            f"{root / 'platform.json'} does not describe a platform of this machine.",
            remedy="Do not trust it, or name the platform and your token: --url, --token-file.",
            code=Exit.REFUSED,
        )
    return path


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked(token: str, where: str = "What was given") -> str:
    if not _TOKEN.fullmatch(token):
        raise CommandError(f"{where} is not a token.", remedy="A token is one word: slw_…", code=Exit.USAGE)
    return token


def _read_token(path: Path | None) -> str:
    if path is None:
        raise ValueError("no token and no file of one")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        owner = "Only its owner may read it. " if isinstance(error, PermissionError) else ""
        raise CommandError(
            f"The token file {path} cannot be read: {reason}.",
            remedy=f"{owner}Give a token of your own with --token-file (SLIPWAY_TOKEN_FILE) or SLIPWAY_TOKEN.",
            code=Exit.REFUSED,
        ) from error
    return _checked(text.strip(), f"What the file {path} holds")


def home() -> Path:
    """The embedded platform's home: SLIPWAY_HOME, or `.slipway` here or in the nearest directory above."""
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named)
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / DEFAULT_HOME / "platform.json").is_file():
            return directory / DEFAULT_HOME
    return here / DEFAULT_HOME


def description() -> dict[str, Any]:
    """What the embedded platform says of itself; empty where there is none."""
    path = home() / "platform.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read.", remedy="`slipway up` writes it anew.") from error
    return found if isinstance(found, dict) else {}

"""The tokens that `slipway login` fetched for this machine, by platform.

Invariant: the file and its directory are their owner's alone (0600, 0700), and a token is shown to the address that
gave it and to no other.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from cli.failures import CommandError, Exit

_FILE = "logins.json"


def path() -> Path:
    """Where they are kept (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    # A relative path is invalid there, and is to be ignored.
    base = Path(named) if named.startswith("/") else Path.home() / ".config"
    return base / "slipway" / _FILE


def find(url: str) -> str | None:
    """The token for the platform at this address."""
    known = _read().get(url)
    token = known.get("token") if isinstance(known, dict) else None
    return token if isinstance(token, str) else None


def keep(url: str, token: str) -> None:
    """Keep the token for this address, in place of an earlier one."""
    _write({**_read(), url: {"token": token}})


def forget(url: str) -> None:
    """Keep none for this address."""
    left = {known: login for known, login in _read().items() if known != url}
    if left:
        _write(left)
    else:
        path().unlink(missing_ok=True)


def _read() -> dict[str, Any]:
    try:
        found = json.loads(path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{path()} cannot be read.", remedy="Delete it and run `slipway login` again.", code=Exit.REFUSED
        ) from error
    return found if isinstance(found, dict) else {}


def _write(logins: dict[str, Any]) -> None:
    target = path()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.chmod(0o700)
        # mkstemp makes it 0600 from the start: nobody else can open it in between.
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{_FILE}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(logins, file, indent=2)
        Path(draft).replace(target)
    except OSError as error:
        raise CommandError(
            f"{target} cannot be written: {error.strerror}.",
            remedy="Set XDG_CONFIG_HOME to a directory of yours.",
            code=Exit.FAILED,
        ) from error

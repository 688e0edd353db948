"""The environment of an application: what any program needs, what it was promised, its secrets, and nothing of ours.

Invariant: what the platform says wins over what a secret is called, and no variable of the runtime's own gets through
but those on the list.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from contracts.runtime import Runtime
from deploy.embedded.ports import HOST
from deploy.embedded.processes import MARKER_VARIABLE

SLOT_VARIABLE: Final = "SLIPWAY_SLOT"
"""Names an application's slot, by which a later runtime finds what an earlier one left."""
_SPARE_SECONDS: Final = 2
_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", MARKER_VARIABLE)


def variables(
    runtime: Runtime,
    *,
    slot: Path,
    environment: str,
    commit: str,
    url: str,
    port: int | None,
    heartbeat_file: Path,
    grace_seconds: float,
    secrets: Mapping[str, SecretStr],
) -> dict[str, str]:
    """The variables of one copy."""
    ours = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    ours |= {
        "HOME": str(slot / "home"),
        "TMPDIR": str(slot / "tmp"),
        "NODE_ENV": "production",
        "PYTHONUNBUFFERED": "1",
        "LOG_LEVEL": "info",
        # A little less than it has, so that it ends by itself.
        "SHUTDOWN_GRACE_SECONDS": str(max(1, int(grace_seconds) - _SPARE_SECONDS)),
        "SLIPWAY_ENVIRONMENT": environment,
        "SLIPWAY_COMMIT": commit,
        "SLIPWAY_URL": url,
        SLOT_VARIABLE: str(slot),
    }
    ours.setdefault("LANG", "C.UTF-8")
    if port is not None and runtime.port_variable is not None:
        ours |= {runtime.port_variable: str(port), "HOST": HOST}
    if runtime.heartbeat_variable is not None:
        ours[runtime.heartbeat_variable] = str(heartbeat_file)
    given = {name: value.get_secret_value() for name, value in secrets.items() if _is_a_name(name)}
    return given | ours


def _is_a_name(text: str) -> bool:
    """Whether a secret's name can be that of a variable, too."""
    return text.isidentifier() and text.isascii()

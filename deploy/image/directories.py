"""`python -m deploy.image.directories ROOT`: makes the directories of a container's home at which volumes stand.

A volume that is used for the first time takes its owner and mode from the directory in the image that stands at its
place. So they are in the image, and no container has to run as root to give its volume away.
"""

import sys
from pathlib import Path
from typing import Final

# By the container: what it may know (see `deploy/compose/shares.py`).
_SHARES: Final = (
    *("nats", "postgres", "openbao", "dns", "forge", "inbox", "runtime", "grafana"),
    *("gateway", "provisioner", "secrets", "cicd", "catalog", "notifier"),
)
_DATA: Final = (
    *("nats", "postgres", "dns", "caddy", "forge", "inbox", "runtime", "terraform", "gateway"),
    *("prometheus", "grafana"),
)
DIRECTORIES: Final = (
    "etc",
    "keys",
    "log",
    "sockets",
    *(f"shares/{name}" for name in _SHARES),
    *(f"data/{name}" for name in _DATA),
)
"""Below the home."""


def main() -> int:
    """Make them with mode 0700; the Dockerfile gives them to the user that the image runs as."""
    root = Path(sys.argv[1])
    for name in DIRECTORIES:
        (root / name).mkdir(mode=0o700, parents=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What the image `jobs` runs that is no job: the ingress, and the first environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from deploy.compose.places import Containers

_NAME = "demo-api"
_GOLDEN_PATH = "nodejs-api"
_NOT_FOUND = 4


def ingress(setup: Containers) -> NoReturn:
    """Become Caddy, with the routes that were there at its last stop."""
    setup.ingress.data.mkdir(parents=True, exist_ok=True)
    setup.ingress.configure()
    launch = setup.ingress.launch()
    os.execve(launch.argv[0], launch.argv, os.environ | dict(launch.environment))  # noqa: S606 - no shell is the point


def demo(setup: Containers, token_file: Path) -> int:
    """Make the environment `demo-api` and follow it, or show the one from last time. Answers the exit code."""
    slipway = [
        sys.executable,
        "-m",
        "cli.main",
        "--url",
        setup.ports.url("gateway"),
        "--token-file",
        str(token_file),
    ]
    shown = subprocess.run([*slipway, "show", _NAME], check=False, capture_output=True, text=True)
    if shown.returncode != _NOT_FOUND:
        sys.stdout.write(shown.stdout)
        sys.stderr.write(shown.stderr)
        return shown.returncode
    return subprocess.run([*slipway, "create", _NAME, "--template", _GOLDEN_PATH], check=False).returncode

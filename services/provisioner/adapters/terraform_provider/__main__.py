"""The provider as an ordinary executable, for people who run Terraform by hand.

`python -m services.provisioner.adapters.terraform_provider` is what Terraform starts (through a small script
named `terraform-provider-slipway_v1.0.0` in a filesystem mirror, which `install DIRECTORY` writes). What it may
touch comes from the same SLIPWAY_PROVISIONER_* variables as the provisioner's own settings.
"""

from __future__ import annotations

import platform
import shlex
import sys
from pathlib import Path

from tf.runner import run_provider

from services.provisioner.settings import AccessSettings

from .access import access_from
from .provider import PROVIDER_SOURCE, PROVIDER_VERSION, SlipwayProvider


def install(mirror: Path) -> Path:
    """Write the executable into a Terraform filesystem mirror and return its path.

    Use it with `provider_installation { filesystem_mirror { path = "<mirror>" } }` in the CLI configuration.
    """
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    directory = mirror / PROVIDER_SOURCE / PROVIDER_VERSION / target
    directory.mkdir(parents=True, exist_ok=True)
    script = directory / f"terraform-provider-slipway_v{PROVIDER_VERSION}"
    root = Path(__file__).resolve().parents[4]
    module = __spec__.parent if __spec__ else "services.provisioner.adapters.terraform_provider"
    script.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(sys.executable)} -m {module} "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def main(arguments: list[str]) -> None:
    """`install DIRECTORY` writes the executable; without arguments Terraform talks to it."""
    if arguments[:1] == ["install"] and len(arguments) == 2:
        sys.stdout.write(f"{install(Path(arguments[1]))}\n")
        return
    run_provider(SlipwayProvider(access_from(AccessSettings())), [sys.argv[0], *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])

"""Which container may know which of the platform's secrets, and the copies that they get.

Invariant: a container's `keys/` holds exactly the files named here; the whole set is mounted by the jobs alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from deploy.embedded import openbao_identity
from deploy.embedded.forge_access import CICD_LOGIN, PROVISIONER_LOGIN
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys

NATS_CONFIGURATION = "nats.conf"
NAMED_CONFIGURATION = "named.conf"
LATER = (openbao_identity.client_id_file(Keys(Path())).name, openbao_identity.client_secret_file(Keys(Path())).name)
"""What OpenBao makes: it is shared by the job that runs after OpenBao."""


def _service(name: str, *more: str) -> tuple[str, ...]:
    return (f"nats-{name}.nk", "event-id.key", *more)


SHARES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "nats": (NATS_CONFIGURATION,),
        "postgres": ("pg-postgres.password",),
        "openbao": (
            "openbao.json",
            "openbao.pgpass",
            "bao-seal.key",
            "bao-secrets.role-id",
            "bao-secrets.secret-id",
            "bao-admin.password",
            "pg-slipway_leases.password",
        ),
        "dns": (NAMED_CONFIGURATION,),
        "gateway": _service(
            "gateway",
            "pg-slipway_gateway.password",
            "forge-webhook.secret",
            "runtime.token",
            "runtime-webhook.secret",
            "webhooks.key",
            *LATER,
        ),
        "provisioner": _service(
            "provisioner",
            "pg-slipway_provisioner.password",
            "dns-tsig.key",
            f"forge-{PROVISIONER_LOGIN}.token",
        ),
        "secrets": _service("secrets", "bao-secrets.role-id", "bao-secrets.secret-id"),
        "cicd": _service("cicd", f"forge-{CICD_LOGIN}.token"),
        "catalog": _service("catalog", "pg-slipway_catalog.password"),
        "notifier": _service("notifier", "pg-slipway_notifier.password", "inbox.token", "webhooks.key"),
        "forge": ("forge-tokens.json",),
        "inbox": ("inbox.token",),
        "runtime": ("runtime.token", "runtime-webhook.secret", "bao-runtime.role-id", "bao-runtime.secret-id"),
        "grafana": ("grafana-admin.password",),
    }
)
"""By container: the files of its `keys/`."""


def share(keys: Keys, shares: Path) -> list[str]:
    """Copy to each container what it may know, as far as it is made yet, and take away what it may not know any more.
    Answers the paths that changed, below `shares`."""
    changed = []
    for container, names in SHARES.items():
        directory = shares / container
        for name in names:
            source = keys.path(name)
            if (name not in LATER or source.exists()) and write_file(directory / name, source.read_bytes()):
                changed.append(f"{container}/{name}")
        for found in directory.iterdir():
            if found.name not in names:
                found.unlink()
                changed.append(f"{container}/{found.name}")
    return changed

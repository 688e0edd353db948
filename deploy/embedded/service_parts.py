"""The six services as parts: what each is told, and what must be ready before it starts.

Invariant: a service is told where its own files and its own neighbours are, and nothing of the others'.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from deploy.embedded import nats, openbao_identity, postgres, schemas
from deploy.embedded.forge_access import (
    CICD_LOGIN,
    ENVIRONMENTS_REPOSITORY,
    PROVISIONER_LOGIN,
    TICKETS_REPOSITORY,
    forge_token_file,
    webhook_secret_file,
)
from deploy.embedded.home import Home
from deploy.embedded.local_http import answers
from deploy.embedded.parts import Part, Setup, runtime_token_file, runtime_webhook_file
from deploy.embedded.ports import ZONE
from deploy.embedded.processes import python_module
from deploy.embedded.terraform import embedded_terraform

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "gateway": ("nats", "postgres"),
    "provisioner": ("nats", "postgres", "caddy", "dns", "forge"),
    "secrets": ("nats", "openbao"),
    "cicd": ("nats", "forge"),
    "catalog": ("nats", "postgres"),
    "notifier": ("nats", "postgres", "inbox"),
}
WEBHOOKS_ALLOW_FILE = "webhooks-allow.json"
"""In the home: networks of this machine or company that webhooks may reach, such as `["10.1.0.0/16"]`. Read by `up`."""
PROVISIONER_GRACE_SECONDS = 3
"""How long its work may go on when it is told to stop. Terraform then gets its own time to save its state, and both
must end before the supervisor kills them."""


def services(setup: Setup) -> tuple[Part, ...]:
    """The services, the catalog first: the others' requests end there."""
    return tuple(_service(setup, name) for name in ("catalog", "gateway", "provisioner", "secrets", "cicd", "notifier"))


def _service(setup: Setup, name: str) -> Part:
    health = "gateway-health" if name == "gateway" else name
    ports = {health: setup.ports[health]}
    if name == "gateway":
        ports["gateway"] = setup.ports["gateway"]
    url = setup.ports.url(health)
    return Part(
        name,
        lambda: python_module(f"services.{name}", _common(setup, name, ports[health]) | _own(setup, name)),
        lambda: answers(f"{url}/readyz", timeout_seconds=4.0),
        ports,
        needs=_NEEDS[name],
        prepare=(lambda: schemas.bring_up(setup.cluster, name)) if name in postgres.SERVICE_SCHEMAS else None,
        address=setup.ports.url("gateway") if name == "gateway" else "",
        is_service=True,
    )


def _common(setup: Setup, name: str, health_port: int) -> dict[str, str]:
    environment = {
        "SLIPWAY_NATS_URL": setup.nats_url,
        "SLIPWAY_NATS_NKEY_FILE": str(nats.seed_file(setup.keys, name)),
        "SLIPWAY_EVENT_KEY_FILE": str(setup.keys.path("event-id.key")),
        "SLIPWAY_OTLP_ENDPOINT": setup.ports.url("traces"),
        "SLIPWAY_HEALTH_PORT": str(health_port),
    }
    if name == "provisioner":
        environment["SLIPWAY_SHUTDOWN_GRACE_SECONDS"] = str(PROVISIONER_GRACE_SECONDS)
    if name in postgres.SERVICE_SCHEMAS:
        role = f"slipway_{name}"
        environment["SLIPWAY_DATABASE_URL"] = setup.cluster.url(role, postgres.SERVICES_DATABASE)
        environment["SLIPWAY_DATABASE_PASSWORD_FILE"] = str(postgres.password_file(setup.keys, role))
    return environment


def _own(setup: Setup, name: str) -> dict[str, str]:
    """The variables of one service alone, as its settings.py names them (prefix SLIPWAY_<SERVICE>_)."""
    values: Mapping[str, object] = {
        "gateway": _gateway,
        "provisioner": _provisioner,
        "secrets": _secrets,
        "cicd": _cicd,
        "catalog": _nothing,
        "notifier": _notifier,
    }[name](setup)
    return {f"SLIPWAY_{name.upper()}_{key}": str(value) for key, value in values.items()}


def _nothing(_: Setup) -> dict[str, object]:
    return {}


def _gateway(setup: Setup) -> dict[str, object]:
    return {
        "PORT": setup.ports["gateway"],
        "ADMIN_TOKEN_FILE": setup.keys.path("admin.token"),
        "PUBLIC_URL": setup.ports.url("gateway"),
        "TRACES_URL": setup.ports.url("traces"),
        "FORGE_URL": setup.ports.url("forge"),
        "INBOX_URL": setup.ports.url("inbox"),
        "OPENBAO_URL": setup.vault.url,
        "WEBHOOK_SECRET_FILE": webhook_secret_file(setup.keys),
        "GITHUB_WEBHOOK_SECRET_FILE": webhook_secret_file(setup.keys),
        "WEBHOOKS_KEY_FILE": setup.keys.path("webhooks.key"),
        "ENVIRONMENTS_REPOSITORY": ENVIRONMENTS_REPOSITORY,
        "PLATFORM_LOGIN": PROVISIONER_LOGIN,
        "WORKFLOW_ISSUER": f"{setup.ports.url('forge')}/_services/token",
        "RUNTIME_URL": setup.ports.url("runtime"),
        "RUNTIME_TOKEN_FILE": runtime_token_file(setup.keys),
        "RUNTIME_WEBHOOK_SECRET_FILE": runtime_webhook_file(setup.keys),
        "ISSUER": setup.addresses.issuer,
        "ISSUER_LABEL": "name and password",
        # The same people, wherever the platform's ports are.
        "IDENTITY_NAMESPACE": "embedded",
        "CLIENT_ID_FILE": openbao_identity.client_id_file(setup.keys),
        "CLIENT_SECRET_FILE": openbao_identity.client_secret_file(setup.keys),
        "SCOPES": "openid groups",
        "TEAM_GROUP_PREFIX": openbao_identity.TEAM_PREFIX,
    }


def _provisioner(setup: Setup) -> dict[str, object]:
    data = setup.home.data
    return {
        "POSTGRES_PORT": setup.ports["postgres"],
        "POSTGRES_PASSWORD_FILE": postgres.password_file(setup.keys, postgres.PROVISIONER_ROLE),
        "DNS_PORT": setup.ports["dns"],
        "DNS_ZONE": ZONE,
        "DNS_KEY_FILE": setup.keys.path("dns-tsig.key"),
        "CADDY_SOCKET": setup.ingress.admin_socket,
        "RUNTIME_DIRECTORY": data / "runtime",
        "REPOSITORY_URL": f"{setup.ports.url('forge')}/{ENVIRONMENTS_REPOSITORY}.git",
        "REPOSITORY_USER": PROVISIONER_LOGIN,
        "REPOSITORY_TOKEN_FILE": forge_token_file(setup.keys, PROVISIONER_LOGIN),
        "FORGE_URL": setup.ports.url("forge"),
        "DATA_DIRECTORY": data / "terraform",
        "SOCKETS_DIRECTORY": setup.home.sockets,
        "TERRAFORM": shlex.join(embedded_terraform()),
        "INGRESS_PORT": setup.ports["ingress"],
    }


def _secrets(setup: Setup) -> dict[str, object]:
    return {
        "OPENBAO_URL": setup.vault.url,
        "ROLE_ID_FILE": setup.vault.role_id_file,
        "SECRET_ID_FILE": setup.vault.secret_id_file,
    }


def _cicd(setup: Setup) -> dict[str, object]:
    return {
        "FORGE_URL": setup.ports.url("forge"),
        "FORGE_TOKEN_FILE": forge_token_file(setup.keys, CICD_LOGIN),
        # Pauses are GitHub's wish; this forge has none.
        "FORGE_SECONDS_BETWEEN_REQUESTS": 0,
        "FORGE_SECONDS_BETWEEN_WRITES": 0,
        "PLATFORM_URL": setup.ports.url("gateway"),
        "TICKETS_REPOSITORY": TICKETS_REPOSITORY,
        "TICKETS_LOOK_SECONDS": 5,
    }


def _notifier(setup: Setup) -> dict[str, object]:
    return {
        "SLACK_URL": f"{setup.ports.url('inbox')}/api/",
        "SLACK_TOKEN_FILE": setup.keys.path("inbox.token"),
        "WEBHOOKS_KEY_FILE": setup.keys.path("webhooks.key"),
        "WEBHOOKS_ALLOW": _webhooks_allow(setup.home),
        "PLATFORM_URL": setup.ports.url("gateway"),
        "READERS_FILE": setup.readers.path,
    }


def _webhooks_allow(home: Home) -> str:
    """The networks that webhooks may reach besides the public internet: what the operator wrote down, else none."""
    path = home.root / WEBHOOKS_ALLOW_FILE
    return path.read_text(encoding="utf-8").strip() if path.exists() else "[]"

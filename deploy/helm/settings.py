"""Which settings of a service the chart takes as they are, with the rules that the service itself has for them.

Invariant: what the chart decides, from addresses to files, cannot be set a second time, so no variable stands twice in
a pod; every other setting can be set by its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_settings import BaseSettings, NoDecode

from chassis.settings import ChassisSettings, DatabaseSettings
from services.catalog.settings import CatalogSettings
from services.cicd.settings import CicdSettings
from services.gateway.domain.policy import Policy
from services.gateway.settings import GatewaySettings
from services.notifier.settings import NotifierSettings
from services.provisioner.settings import ProvisionerSettings
from services.secrets.settings import SecretsSettings

SETTINGS: Final[Mapping[str, type[BaseSettings]]] = {
    "gateway": GatewaySettings,
    "catalog": CatalogSettings,
    "provisioner": ProvisionerSettings,
    "secrets": SecretsSettings,
    "cicd": CicdSettings,
    "notifier": NotifierSettings,
}
WITH_DATABASE: Final = ("gateway", "catalog", "notifier")

BY_THE_CHART: Final[Mapping[str, frozenset[str]]] = {
    "gateway": frozenset(
        {
            *("host", "port", "public_url", "traces_url", "forge_url", "organisation", "environments_repository"),
            *("platform_login", "admin_token_file", "webhooks_key_file", "webhook_secret_file"),
            *("github_webhook_secret_file", "issuer", "issuer_label", "client_id", "client_secret_file", "policy_file"),
            *("openbao_url", "openbao_ca_file"),
        }
    ),
    "catalog": frozenset(),
    "provisioner": frozenset(
        {
            *("repository_url", "repository_user", "repository_token_file", "forge_url", "data_directory"),
            *("sockets_directory", "terraform", "target", "state_bucket", "terraform_passes"),
            *("kubernetes_in_cluster", "aws"),
        }
    ),
    "secrets": frozenset(
        {
            *("openbao_url", "role_id_file", "secret_id_file", "openbao_ca_file", "cluster_url", "cluster_ca_file"),
            *("first_logins", "instance_ca_file", "openbao_instance_ca_file"),
        }
    ),
    "cicd": frozenset(
        {
            *("forge_url", "platform_url", "forge_token_file", "github_app_id", "github_app_installation_id"),
            "github_app_private_key_file",
        }
    ),
    "notifier": frozenset({"platform_url", "slack_token_file", "webhooks_key_file", "readers_file"}),
}
"""What the chart itself says."""

_NOT_HERE: Final[Mapping[str, frozenset[str]]] = {
    # The runtime, Caddy, named and the database of environments are parts of the embedded platform, and a client id in
    # a file is what its OpenBao makes. Of a cluster, it is the one that the chart is in.
    "gateway": frozenset({"runtime_url", "runtime_token_file", "runtime_webhook_secret_file", "client_id_file"}),
    "secrets": frozenset({"instance_tls"}),
    "provisioner": frozenset(
        {
            *("postgres_user", "postgres_password_file", "leases_role", "dns_host", "dns_port", "dns_key_file"),
            *("caddy_socket", "caddy_server", "runtime_directory", "kubernetes_kubeconfig", "kubernetes_context"),
        }
    ),
}
_CHASSIS: Final = ("workers", "fetch_batch", "log_level", "shutdown_grace_seconds")
_DATABASE: Final = ("pool_size",)


def schema_of(service: str) -> dict[str, Any]:
    """JSON Schema of what may stand in `<service>.settings`."""
    settings = SETTINGS[service]
    taken = BY_THE_CHART[service] | _NOT_HERE.get(service, frozenset())
    return _schema(settings, [name for name in settings.model_fields if name not in taken])


def chassis_schema() -> dict[str, Any]:
    """JSON Schema of `<service>.chassis`."""
    return _schema(ChassisSettings, _CHASSIS)


def database_schema() -> dict[str, Any]:
    """JSON Schema of `<service>.database`."""
    return _schema(DatabaseSettings, _DATABASE)


def aws_schema() -> dict[str, Any]:
    """JSON Schema of `provisioner.aws`: empty, or all of it."""
    described = _schema(ProvisionerSettings, ("aws",))["properties"]["aws"]
    return {"anyOf": [{"type": "object", "maxProperties": 0}, described]}


def policy_schema() -> dict[str, Any]:
    """JSON Schema of `policy`."""
    return _schema(Policy, tuple(Policy.model_fields))


def targets() -> list[str]:
    """The sets of Terraform modules that a cluster can have: the `local` ones need Caddy and a runtime beside them."""
    found: list[str] = ProvisionerSettings.model_json_schema()["properties"]["target"]["enum"]
    return [target for target in found if target != "local"]


def _schema(settings: type[BaseModel], names: list[str] | tuple[str, ...]) -> dict[str, Any]:
    whole = settings.model_json_schema()
    known = whole.get("$defs", {})
    properties = {name: _plain(whole["properties"][name], known) for name in names}
    for name in names:
        if NoDecode in settings.model_fields[name].metadata:
            # It reads its own form of a list.
            properties[name] = {"type": "string"}
    return {"type": "object", "additionalProperties": False, "properties": properties}


_WORDS: Final = frozenset({"title", "default", "description", "format"})


def _plain(schema: Any, known: Mapping[str, Any]) -> Any:
    """A schema without what is not a rule, and with what it refers to in its place. `format` is none for Helm, and a
    null cannot be said by a variable."""
    if isinstance(schema, list):
        return [_plain(one, known) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain(known[schema["$ref"].rpartition("/")[2]], known)
    # A property may be called like one of the words.
    plain = {
        key: {name: _plain(one, known) for name, one in value.items()} if key == "properties" else _plain(value, known)
        for key, value in schema.items()
        if key not in _WORDS
    }
    if "properties" in plain:
        plain.setdefault("additionalProperties", False)
    if "anyOf" in plain:
        options = [one for one in plain.pop("anyOf") if one != {"type": "null"}]
        plain |= options[0] if len(options) == 1 else {"anyOf": options}
    return plain

"""`values.schema.json`: what each value of the chart may be, so that Helm refuses a typing error before all else.

Invariant: it knows every value of `values.yaml` and no other; the rules of settings are the services' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploy.embedded import nats
from deploy.helm import settings

Json = Mapping[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_FLAG: Final[Json] = {"type": "boolean"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_PORT: Final[Json] = {"type": "integer", "minimum": 1, "maximum": 65535}
_TEXTS: Final[Json] = {"type": "array", "items": _TEXT}
_LABELS: Final[Json] = {"type": "object", "additionalProperties": _TEXT}
_FREE: Final[Json] = {"type": "object"}
_OBJECTS: Final[Json] = {"type": "array", "items": _FREE}
_URL: Final[Json] = {"type": "string", "pattern": r"^(https?://[^\s/]\S*[^\s/])?$"}
_HTTPS: Final[Json] = {"type": "string", "pattern": r"^(https://[^\s/]\S*[^\s/])?$"}
_QUANTITY: Final[Json] = {"type": "string", "pattern": r"^[0-9]+(Mi|Gi|Ti)$"}
_NKEY: Final[Json] = {"type": "string", "pattern": r"^U[A-Z2-7]{55}$"}
_TEAM: Final[Json] = {"type": "string", "pattern": r"^[a-z][a-z0-9-]{0,62}$"}
_DIGEST: Final[Json] = {"type": "string", "pattern": r"^sha256:[0-9a-f]{64}$"}


def _object(properties: Json, required: tuple[str, ...] = ()) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": dict(properties)}
    return described | ({"required": list(required)} if required else {})


def values_schema() -> dict[str, Any]:
    """The whole schema (JSON Schema draft 7, which every Helm knows)."""
    described = _object({**_PLATFORM} | {name: _service(name) for name in settings.SETTINGS})
    # Helm hands these to charts that are part of another one.
    described["properties"]["global"] = _FREE
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Slipway"} | described


def _service(name: str) -> dict[str, Any]:
    replicas = _object({"min": {"type": "integer", "minimum": 1}, "max": {"type": "integer", "minimum": 1}})
    properties: dict[str, Json] = {
        "replicas": replicas,
        "targetCpu": {"type": "integer", "minimum": 1, "maximum": 100},
        "resources": _FREE,
        "settings": settings.schema_of(name),
        "chassis": settings.chassis_schema(),
        "env": _OBJECTS,
        "serviceAccountAnnotations": _LABELS,
    }
    if name in settings.WITH_DATABASE:
        properties["database"] = settings.database_schema()
    if name == "provisioner":
        properties |= {
            "target": {"enum": settings.targets()},
            "stateBucket": _TEXT,
            "aws": settings.aws_schema(),
            "terraformPasses": _TEXTS,
            "storage": _STORAGE,
            "inCluster": _FLAG,
            "clusterRules": _OBJECTS,
        }
    return _object(properties)


_PEERS: Final = (
    *("dns", "ingress", "monitoring", "bus", "postgres", "openbao", "tracing", "kubernetes", "instances", "outside"),
)
_STORAGE: Final = _object({"size": _QUANTITY, "className": _TEXT})
_PLATFORM: Final[Json] = {
    "publicUrl": _HTTPS,
    "logLevel": {"enum": ["DEBUG", "INFO", "WARNING", "ERROR"]},
    "otlpEndpoint": _URL,
    "tracesUrl": _URL,
    "image": _object(
        {
            "registry": {"type": "string", "pattern": r"^(\S*[^\s/])?$"},
            "tag": _TEXT,
            "digests": {"type": "object", "additionalProperties": _DIGEST},
            "pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
            "pullSecrets": _TEXTS,
        }
    ),
    "openbao": _object(
        {
            "address": _URL,
            "provider": {"enum": ["openbao", "vault"]},
            "authPath": _TEXT,
            "audience": _TEXT,
            "mount": _TEXT,
            "path": _TEXT,
            "caConfigMap": _TEXT,
            "generation": _TEXT,
        }
    ),
    "postgres": _object(
        {
            "host": _TEXT,
            "port": _PORT,
            "database": _TEXT,
            "sslMode": {"enum": ["disable", "require", "verify-ca", "verify-full"]},
            "caConfigMap": _TEXT,
        }
    ),
    "github": _object(
        {
            "url": _URL,
            "apiUrl": _URL,
            "organisation": _TEXT,
            "environmentsRepository": {"type": "string", "pattern": r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$"},
            "platformLogin": _TEXT,
            "webhooks": _FLAG,
            "app": _object({"id": _COUNT, "installationId": _COUNT}),
        }
    ),
    "people": _object({"issuer": _URL, "clientId": _TEXT, "publicClient": _FLAG, "label": _TEXT}),
    "ownInstances": _object({"caConfigMap": _TEXT, "openbaoCaFile": _TEXT}),
    "clusterAccess": _object({"url": _HTTPS, "caConfigMap": _TEXT}),
    "policy": settings.policy_schema(),
    "readers": {
        "type": "array",
        "items": _object({"name": _TEAM, "team": _TEAM, "nkey": _NKEY}, required=("name", "team", "nkey")),
    },
    "nats": _object(
        {
            "image": _TEXT,
            "nkeys": _object(dict.fromkeys((*nats.USERS, nats.SYSTEM_USER), _NKEY)),
            "domain": {"type": "string", "pattern": r"^[A-Za-z0-9_-]+$"},
            "resources": _FREE,
            "storage": _STORAGE,
        }
    ),
    "ingress": _object({"enabled": _FLAG, "className": _TEXT, "annotations": _LABELS, "tlsSecret": _TEXT}),
    "networkPolicy": _object(
        {
            "enabled": _FLAG,
            "extraEgress": {"type": "object", "additionalProperties": _OBJECTS},
            **dict.fromkeys(_PEERS, _OBJECTS),
        }
    ),
    "monitoring": _object({"podMonitor": _FLAG, "alerts": _FLAG, "labels": _LABELS}),
    "priorityClassName": _TEXT,
    "nodeSelector": _LABELS,
    "tolerations": _OBJECTS,
    "podLabels": _LABELS,
    "podAnnotations": _LABELS,
}

"""Pure rules: what an environment's directory holds, and what came of applying it.

Invariant: whatever a person typed stands in `manifest.yaml` and in `terraform.tfvars.json`, where Terraform takes every
value literally; `main.tf.json` holds nothing from outside but the environment's name, a DNS label.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import yaml

from chassis.failures import PermanentError
from contracts.values import Database, EnvironmentSpec, Infrastructure
from services.provisioner.ports import Applied, Author, Files

MANIFEST: Final = "manifest.yaml"
ROOT_MODULE: Final = "main.tf.json"
VARIABLES: Final = "terraform.tfvars.json"
MODULES: Final = "modules"
OUTPUTS: Final = ("url", "hostname", "namespace", "database")
"""What every golden path's module puts out; `url`, `hostname` and `database` may be null."""

_META_ARGUMENTS: Final = frozenset({"source", "version", "providers", "count", "for_each", "depends_on", "lifecycle"})
_REPORT_TO_PLATFORM_TEAM: Final = "Tell the team that answers for the golden path."


@dataclass(frozen=True)
class Platform:
    """Where the platform's shared parts are, as environments see them."""

    zone: str
    ingress_address: str
    ingress_port: int
    database_host: str
    database_port: int
    database_name: str
    forge_url: str
    state_bucket: str = ""
    """An S3 bucket for Terraform's state; empty keeps it on the provisioner's disk."""


def render(spec: EnvironmentSpec, incarnation: UUID, modules: Files, platform: Platform) -> Files:
    """The environment's directory. The same arguments give the same bytes.

    Raises PermanentError where a parameter of the golden path has a name that Terraform or the platform needs.
    """
    variables = _variables(spec, incarnation, platform)
    manifest = {
        "apiVersion": "slipway/v1",
        "kind": "Environment",
        "metadata": {"name": spec.name, "incarnation": str(incarnation)},
        "spec": spec.model_dump(mode="json", exclude={"name"}, exclude_none=True),
    }
    files = {
        MANIFEST: yaml.safe_dump(manifest, sort_keys=True, allow_unicode=True).encode(),
        ROOT_MODULE: _json(_root_module(sorted(variables), _backend(spec.name, platform))),
        VARIABLES: _json(variables),
    }
    return files | {f"{MODULES}/{path}": content for path, content in modules.items()}


def _variables(spec: EnvironmentSpec, incarnation: UUID, platform: Platform) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": spec.name,
        "incarnation": str(incarnation),
        "kind": spec.kind,
        "owner": spec.owner.person,
        "team": spec.owner.team,
        "repository": spec.repository,
        "branch": spec.branch,
        "clone_url": f"{platform.forge_url}/{spec.repository}.git",
        "platform": {
            "zone": platform.zone,
            "ingress_address": platform.ingress_address,
            "ingress_port": platform.ingress_port,
            "database_host": platform.database_host,
            "database_port": platform.database_port,
            "database_name": platform.database_name,
        },
    }
    for name in spec.parameters:
        if name in given or name in _META_ARGUMENTS:
            raise PermanentError(
                "bad_golden_path",
                f"the golden path {spec.golden_path} has a parameter called {name}, which is taken",
                next_step=_REPORT_TO_PLATFORM_TEAM,
            )
    return given | dict(spec.parameters)


def _backend(name: str, platform: Platform) -> dict[str, Any]:
    """Where the state is: beside the configuration on the provisioner's disk, or in S3 with a lock file."""
    if not platform.state_bucket:
        return {"local": {"path": "../terraform.tfstate"}}
    key = f"environments/{name}/terraform.tfstate"
    return {"s3": {"bucket": platform.state_bucket, "key": key, "use_lockfile": True, "encrypt": True}}


def _root_module(variables: list[str], backend: dict[str, Any]) -> dict[str, Any]:
    """A root module that hands every variable on to the golden path's module and its outputs back."""
    return {
        "terraform": {
            "required_version": ">= 1.5",
            "backend": backend,
        },
        "variable": {name: {} for name in variables},
        "module": {
            "environment": {"source": f"./{MODULES}/environment"} | {name: f"${{var.{name}}}" for name in variables}
        },
        "output": {name: {"value": f"${{module.environment.{name}}}"} for name in OUTPUTS},
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def incarnation_of(files: Files) -> str | None:
    """Which incarnation a committed directory belongs to; None where its manifest cannot be read."""
    try:
        manifest = yaml.safe_load(files[MANIFEST])
        return str(manifest["metadata"]["incarnation"])
    except (KeyError, TypeError, yaml.YAMLError):
        return None


def infrastructure_of(applied: Applied, commit: str) -> Infrastructure:
    """What InfraReady says. PermanentError where the golden path's outputs are not what they must be."""
    try:
        found = applied.outputs.get("database")
        return Infrastructure(
            url=applied.outputs.get("url"),
            hostname=applied.outputs.get("hostname"),
            namespace=applied.outputs["namespace"],
            database=_database(found) if found is not None else None,
            resources=tuple(sorted(applied.resources, key=lambda resource: (resource.kind, resource.id))),
            commit=commit,
        )
    except (KeyError, TypeError, ValueError) as wrong:
        raise PermanentError(
            "bad_golden_path",
            f"the golden path's Terraform does not put out what it must: {type(wrong).__name__} {wrong}"[:500],
            next_step=_REPORT_TO_PLATFORM_TEAM,
        ) from wrong


def _database(found: Mapping[str, Any]) -> Database:
    return Database(
        host=found["host"],
        port=int(found["port"]),
        database=found["database"],
        schema_name=found["schema"],
        owner_role=found["role"],
    )


def author_of(person: str) -> Author:
    """In whose name a commit is made. `.invalid` (RFC 2606) where all we have is a login."""
    return Author(name=person, email=person if "@" in person else f"{person}@users.slipway.invalid")

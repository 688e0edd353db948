"""What an environment's directory holds.

Invariant: whatever a person typed stands in `manifest.yaml` and in `terraform.tfvars.json`, where Terraform takes every
value literally; `main.tf.json` holds nothing from outside but the environment's name, a DNS label, and names of
parameters, which are plain words.
"""

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from chassis.failures import PermanentError
from contracts.values import EnvironmentSpec
from services.provisioner.domain.manifest import MANIFEST, incarnation_in, read_manifest, write_manifest
from services.provisioner.ports import Files

ROOT_MODULE: Final = "main.tf.json"
VARIABLES: Final = "terraform.tfvars.json"
MODULES: Final = "modules"
OUTPUTS: Final = ("url", "hostname", "namespace", "database")
"""What every golden path's module puts out; `url`, `hostname` and `database` may be null."""

_RENDERED: Final = (MANIFEST, ROOT_MODULE, VARIABLES)
_META_ARGUMENTS: Final = frozenset({"source", "version", "providers", "count", "for_each", "depends_on", "lifecycle"})
_VARIABLE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


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
    files = {
        MANIFEST: write_manifest(spec, incarnation),
        ROOT_MODULE: _root_module(tuple(sorted(variables)), _json(_backend(spec.name, platform))),
        VARIABLES: _json(variables),
    }
    return files | {f"{MODULES}/{path}": content for path, content in modules.items()}


def render_again(spec: EnvironmentSpec, incarnation: UUID, committed: Files, platform: Platform) -> Files | None:
    """The directory for another desired state of the golden path that it was made with: everything that is not rendered
    from the state stays as committed, whatever the golden path says today. None where the golden path, its version or
    the life is another. Raises as `render`."""
    try:
        before = read_manifest(committed, spec.name)
    except PermanentError:
        return None
    of_golden_path = (before.spec.golden_path, before.spec.golden_path_version)
    if before.incarnation != incarnation or of_golden_path != (spec.golden_path, spec.golden_path_version):
        return None
    kept = {path: content for path, content in committed.items() if path not in _RENDERED}
    return kept | dict(render(spec, incarnation, {}, platform))


def incarnation_of(files: Files) -> str | None:
    """Which incarnation a committed directory belongs to; None where its manifest cannot be read, or names another than
    what Terraform is given: the platform writes both, so somebody else has had a hand in it."""
    named = incarnation_in(files)
    try:
        given = json.loads(files[VARIABLES])["incarnation"] if VARIABLES in files else named
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return named if given == named else None


def says_the_same(name: str, one: Files, other: Files) -> bool:
    """Whether two directories of the environment `name` mean the same: equal but for how manifest and JSON are
    written."""
    if one.keys() != other.keys():
        return False
    try:
        if read_manifest(one, name) != read_manifest(other, name):
            return False
    except PermanentError:
        return False
    return all(
        content == other[path] or (path.endswith(".json") and _means(content) == _means(other[path]))
        for path, content in one.items()
        if path != MANIFEST
    )


def _means(content: bytes) -> str:
    """JSON in one spelling (`1`, `1.0` and `true` are three things); anything else as it is."""
    try:
        return json.dumps(json.loads(content), sort_keys=True)
    except (ValueError, RecursionError):
        return content.hex()


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
        if name in given or name in _META_ARGUMENTS or not _VARIABLE_NAME.fullmatch(name):
            raise PermanentError(
                "bad_golden_path",
                f"a parameter of the golden path {spec.golden_path} has a name that is taken or is no plain word: "
                f"{name[:40]!r}",
                next_step="Tell the team that answers for the golden path.",
            )
    return given | dict(spec.parameters)


def _backend(name: str, platform: Platform) -> dict[str, Any]:
    """Where the state is: beside the configuration on the provisioner's disk, or in S3 with a lock file."""
    if not platform.state_bucket:
        return {"local": {"path": "../terraform.tfstate"}}
    key = f"environments/{name}/terraform.tfstate"
    return {"s3": {"bucket": platform.state_bucket, "key": key, "use_lockfile": True, "encrypt": True}}


@lru_cache(maxsize=64)
def _root_module(variables: tuple[str, ...], backend: bytes) -> bytes:
    """A root module that hands every variable on to the golden path's module and its outputs back. Many environments
    have the same."""
    module = {
        "terraform": {
            "required_version": ">= 1.5",
            "backend": json.loads(backend),
        },
        "variable": {name: {} for name in variables},
        "module": {
            "environment": {"source": f"./{MODULES}/environment"} | {name: f"${{var.{name}}}" for name in variables}
        },
        "output": {name: {"value": f"${{module.environment.{name}}}"} for name in OUTPUTS},
    }
    return _json(module)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()

"""What an environment's directory holds.

Invariant: whatever a person typed stands in `manifest.yaml` and in `terraform.tfvars.json`, where Terraform takes every
value literally; `main.tf.json` holds nothing from outside but the environment's name, a DNS label, and names of
parameters, which are plain words.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from chassis.failures import PermanentError
from contracts.values import EnvironmentSpec, Kind
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


_REQUIRED_PROVIDERS: Final = {"aws": {"source": "hashicorp/aws", "version": ">= 6.0, < 7.0"}}


_AWS_TAGS: Final = {
    "slipway:environment": "${var.name}",
    "slipway:incarnation": "${var.incarnation}",
    "slipway:kind": "${var.kind}",
    "slipway:owner": "${var.owner}",
    "slipway:team": "${var.team}",
    "slipway:repository": "${var.repository}",
    "slipway:cost": "${var.team}/${var.name}",
}
"""Whose a thing is and who pays; the bill is split by `slipway:cost` once it is a cost allocation tag."""
_AWS_PROVIDER: Final = {
    "region": "${var.platform.aws.region}",
    "allowed_account_ids": ["${var.platform.aws.account_id}"],
    "default_tags": [{"tags": "${merge(var.platform.aws.tags, local.tags)}"}],
}
"""Credentials come from the process's environment, never from here."""


@dataclass(frozen=True)
class AwsPlatform:
    """The shared parts of a platform on AWS, as environments see them; `deploy/terraform/aws/README.md` says how each
    is used. An empty text means that there is none."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    """A misspelt name of what may be left out would be left out."""

    region: str
    account_id: str
    """The only account that anything is ever made in."""
    vpc_id: str
    vpc_cidr_block: str
    availability_zones: tuple[str, ...]
    cluster_name: str
    cluster_security_group_id: str
    oidc_provider_arn: str
    oidc_issuer: str
    zone_id: str
    load_balancer_zone_id: str
    load_balancer_cidr_blocks: tuple[str, ...]
    certificate_arn: str
    own_database_kinds: tuple[Kind, ...] = ("production",)
    """Which kinds of environments get a database instance of their own; the others get a schema in the shared one."""
    openbao_security_group_id: str = ""
    load_balancer_scheme: Literal["internal", "internet-facing"] = "internal"
    ingress_class: str = "alb"
    ingress_group: str = "slipway"
    subnet_ipam_pool_id: str = ""
    subnet_cidr_block: str = ""
    subnet_route_table_id: str = ""
    database_instance_class: str = "db.t4g.medium"
    database_engine_version: str = "17"
    database_deletion_protection: bool = False
    cache_most_gb: int = 1
    egress_ports: tuple[int, ...] = (443,)
    private_ports: tuple[int, ...] = (5432, 6379, 6380, 8200)
    monitoring_namespace: str = "monitoring"
    service_monitor_labels: Mapping[str, str] = field(default_factory=dict)
    permissions_boundary_arn: str = ""
    alarm_topic_arn: str = ""
    portal_url: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    """On everything that can carry tags, beside those that say whose it is."""


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
    aws: AwsPlatform | None = None
    """None where environments are not made on AWS."""


def render(spec: EnvironmentSpec, incarnation: UUID, modules: Files, platform: Platform) -> Files:
    """The environment's directory. The same arguments give the same bytes.

    Raises PermanentError where a parameter of the golden path has a name that Terraform or the platform needs.
    """
    variables = _variables(spec, incarnation, platform)
    files = {
        MANIFEST: write_manifest(spec, incarnation),
        ROOT_MODULE: _root_module(
            tuple(sorted(variables)), _json(_backend(spec.name, platform)), aws=platform.aws is not None
        ),
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


def on_local_state(files: Files) -> Files:
    """The same directory with its state on disk: a plan against nothing must not find what a bucket knows."""
    root = json.loads(files.get(ROOT_MODULE, b"{}"))
    if "s3" not in root.get("terraform", {}).get("backend", {}):
        return files
    root["terraform"]["backend"] = {"local": {"path": "../terraform.tfstate"}}
    return dict(files) | {ROOT_MODULE: _json(root)}


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
        }
        | ({"aws": asdict(platform.aws)} if platform.aws is not None else {}),
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
    where = {"bucket": platform.state_bucket, "key": key}
    region = {"region": platform.aws.region} if platform.aws is not None else {}
    return {"s3": where | region | {"use_lockfile": True, "encrypt": True}}


@lru_cache(maxsize=64)
def _root_module(variables: tuple[str, ...], backend: bytes, *, aws: bool) -> bytes:
    """A root module that hands every variable on to the golden path's module and its outputs back. Many environments
    have the same."""
    module: dict[str, Any] = {
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
    if aws:
        module["terraform"]["required_providers"] = _REQUIRED_PROVIDERS
        module["provider"] = {"aws": _AWS_PROVIDER}
        module["locals"] = {"tags": _AWS_TAGS}
    return _json(module)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()

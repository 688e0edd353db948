"""The target `aws` against moto: Terraform's state in a bucket with a lock, and an environment by the real provider.

The second needs the AWS provider itself, in the mirror that SLIPWAY_TERRAFORM_PLUGIN_DIR names.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chassis.failures import TransientError
from deploy.embedded.terraform import find_terraform
from services.provisioner.adapters.golden_paths import DirectoryGoldenPaths
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.adapters.terraform_provider.access import Access
from services.provisioner.adapters.terraform_provider.kubernetes_cluster import ClusterAccess
from services.provisioner.adapters.terraform_workspace import TerraformKnobs
from services.provisioner.domain import Platform, infrastructure_of, render
from services.provisioner.ports import Files
from tests.aws_provider import PLUGIN_DIRECTORY, SOURCE, real_mirror
from tests.aws_samples import ACCOUNT, AWS, PLATFORM, SERVICE_MONITORS
from tests.kubernetes_api import KubernetesApi, start_kubernetes
from tests.machines import PROJECT, incarnation, no_report, spec_of
from tests.moto import Moto, moto_server, start_moto

pytestmark = pytest.mark.skipif(
    moto_server() is None, reason="moto_server is not installed: put it on PATH, or name it in SLIPWAY_MOTO_SERVER"
)
BUCKET = "slipway-state"
KEY = "environments/demo-api/terraform.tfstate"
GIVEN = ("name", "incarnation", "kind", "owner", "team", "repository", "branch", "clone_url", "platform")
NAMESPACE_ONLY = """
module "namespace" {
  source      = "../namespace"
  name        = var.name
  incarnation = var.incarnation
  labels      = { owner = var.owner }
}
output "namespace" { value = module.namespace.namespace }
output "url" { value = null }
output "hostname" { value = null }
output "database" { value = null }
"""
"""A golden path's module that needs nothing of AWS but the place for its state."""


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    with start_moto(moto_server() or "", tmp_path_factory.mktemp("moto")) as server:
        server.make_bucket(BUCKET)
        yield server


@pytest.fixture
def knobs(
    moto: Moto, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> TerraformKnobs:
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    sockets = tmp_path_factory.mktemp("s")
    sockets.chmod(0o700)
    return TerraformKnobs(
        argv=tuple(find_terraform()),
        directory=tmp_path / "environments",
        sockets=sockets,
        also_passed_on=tuple(moto.environment),
        provider_mirror=real_mirror(),
        lock_timeout_seconds=1,
    )


@pytest.fixture
async def infrastructure(knobs: TerraformKnobs, tmp_path: Path) -> AsyncIterator[TerraformInfrastructure]:
    found = TerraformInfrastructure(knobs, Access(runtime=tmp_path / "runtime"))
    yield found
    await found.close()


def namespace_files(owner_life: int = 1) -> Files:
    declared = "".join(f'variable "{name}" {{\n  type = any\n}}\n' for name in GIVEN)
    module = PROJECT / "deploy" / "terraform" / "local" / "namespace"
    modules = {f"namespace/{path.name}": path.read_bytes() for path in module.glob("*.tf")}
    modules["environment/main.tf"] = (declared + NAMESPACE_ONLY).encode()
    spec = spec_of("demo-api").model_copy(update={"parameters": {}})
    return render(spec, incarnation(owner_life), modules, replace(PLATFORM, aws=None, state_bucket=BUCKET))


async def test_the_state_is_in_the_bucket_and_a_plan_against_nothing_does_not_see_it(
    moto: Moto, infrastructure: TerraformInfrastructure, knobs: TerraformKnobs
) -> None:
    files = namespace_files()
    await infrastructure.apply("demo-api", files, no_report)
    assert moto.keys(BUCKET) == {KEY}, "the lock is gone"
    assert json.loads(moto.content(BUCKET, KEY))["resources"]
    assert not list(knobs.directory.rglob("*.tfstate.backup"))
    assert not (knobs.directory / "demo-api" / KEY).exists()
    assert await infrastructure.plan("demo-api", files, new=False) == ()
    assert [one.action for one in await infrastructure.plan("demo-api", files, new=True)] == ["create"]
    # Another provisioner, with another disk, goes on from the same state.
    receipt = await infrastructure.destroy("demo-api", files, no_report)
    assert [one.kind for one in receipt.removed] == ["namespace"]
    assert not json.loads(moto.content(BUCKET, KEY))["resources"]
    await infrastructure.forget("demo-api")


async def test_a_state_that_is_locked_is_tried_again_and_nothing_is_changed(
    moto: Moto, infrastructure: TerraformInfrastructure, tmp_path: Path
) -> None:
    lock = {
        "ID": "1",
        "Operation": "OperationTypeApply",
        "Who": "somebody",
        "Version": "1",
        "Created": "2026-01-01T00:00:00Z",
    }
    moto.ask("s3", "PUT", f"/{BUCKET}/{KEY}.tflock", content=json.dumps(lock))
    with pytest.raises(TransientError, match="state lock"):
        await infrastructure.apply("demo-api", namespace_files(), no_report)
    assert not (tmp_path / "runtime" / "demo-api").exists()
    moto.ask("s3", "DELETE", f"/{BUCKET}/{KEY}.tflock")


@pytest.fixture
def prepared(moto: Moto) -> Platform:
    """What has to be there before the first environment."""
    vpc = moto.make_vpc("10.20.0.0/16")
    aws = replace(
        AWS,
        vpc_id=vpc,
        cluster_security_group_id=moto.make_security_group(vpc, "cluster"),
        zone_id=moto.make_zone("apps.example.test"),
    )
    return replace(PLATFORM, aws=aws, state_bucket=BUCKET)


def test_what_an_environment_stands_on_can_be_made(moto: Moto, prepared: Platform) -> None:
    assert prepared.aws is not None
    found = moto.query("ec2", "DescribeSecurityGroups", **{"GroupId.1": prepared.aws.cluster_security_group_id})
    assert prepared.aws.vpc_id in found
    assert moto.records(prepared.aws.zone_id) == {"apps.example.test."}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesApi]:
    """With the operator's custom resource, as on a platform's cluster."""
    with start_kubernetes(tmp_path / "cluster") as api:
        api.make(SERVICE_MONITORS)
        yield api


@pytest.mark.skipif(
    real_mirror() is None, reason=f"{PLUGIN_DIRECTORY} names no filesystem mirror that holds the provider {SOURCE}"
)
async def test_a_production_environment_is_made_and_removed_by_the_real_provider(
    moto: Moto, prepared: Platform, cluster: KubernetesApi, knobs: TerraformKnobs, tmp_path: Path
) -> None:
    """Its role, objects, name, watch, and a database of its own; no cache, which moto does not know."""
    assert prepared.aws is not None
    access = Access(kubernetes=ClusterAccess(cluster.kubeconfig(tmp_path / "kubeconfig")))
    infrastructure = TerraformInfrastructure(knobs, access)
    golden_paths = DirectoryGoldenPaths(PROJECT / "golden_paths", PROJECT / "deploy" / "terraform", "aws")
    spec = spec_of("demo-api").model_copy(update={"kind": "production"})
    files = render(spec, incarnation(1), await golden_paths.modules("nodejs-api"), prepared)
    applied = await asyncio.wait_for(infrastructure.apply("demo-api", files, no_report), 600)
    told = infrastructure_of(applied, "0" * 40)
    assert (told.url, told.namespace) == ("https://demo-api.apps.example.test", "demo-api")
    assert told.database is not None
    assert told.database.schema_name == "env_demo_api"
    assert cluster.has("namespaces", "demo-api")
    assert cluster.has("serviceaccounts", "app", "demo-api")
    assert "demo-api.apps.example.test." in moto.records(prepared.aws.zone_id)
    assert "slipway-env-demo-api" in moto.query("rds", "DescribeDBInstances")
    assert f"arn:aws:iam::{ACCOUNT}:role/slipway/slipway-env-demo-api" in moto.query("iam", "ListRoles")
    assert '"password": "' not in moto.content(BUCKET, KEY)

    receipt = await asyncio.wait_for(infrastructure.destroy("demo-api", files, no_report), 600)
    assert receipt.left_behind == ()
    assert moto.records(prepared.aws.zone_id) == {"apps.example.test."}
    assert "slipway-env-demo-api</DBInstanceIdentifier>" not in moto.query("rds", "DescribeDBInstances")
    assert not cluster.has("namespaces", "demo-api")
    await infrastructure.close()

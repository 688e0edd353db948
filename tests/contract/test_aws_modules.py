"""The modules of the target `aws`: what they take and give is what `local` does, they are valid against the AWS
provider's schema, and what they make is tagged, closed and watched, and holds no secret.

Plans come from Terraform's `mock_provider`, with the real provider's schema or an excerpt of it (`tests.aws_provider`).
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml

from deploy.embedded.terraform import find_terraform
from services.provisioner.adapters.golden_paths import DirectoryGoldenPaths
from services.provisioner.adapters.terraform_provider.access import Access
from services.provisioner.adapters.terraform_provider.kubernetes_cluster import ClusterAccess
from services.provisioner.adapters.terraform_provider.provider import PROVIDER_SOURCE, SlipwayProvider
from services.provisioner.adapters.terraform_provider.server import ProviderServer
from services.provisioner.adapters.terraform_workspace import TerraformKnobs, cli_config, environment_of, lay_out
from services.provisioner.domain import ROOT_MODULE, on_local_state, render
from tests.aws_provider import SOURCE, real_mirror, schema_only
from tests.aws_samples import PLATFORM, SERVICE_MONITORS
from tests.kubernetes_api import start_kubernetes
from tests.machines import PROJECT, incarnation, spec_of

TERRAFORM = PROJECT / "deploy" / "terraform"
ON_AWS = DirectoryGoldenPaths(PROJECT / "golden_paths", TERRAFORM, "aws")
MODULES = sorted(path.name for path in (TERRAFORM / "aws").iterdir() if path.is_dir())
SHARED = sorted(path.name for path in (TERRAFORM / "local").iterdir() if path.is_dir())
GOLDEN_PATHS = sorted(path.parent.name for path in (PROJECT / "golden_paths").glob("*/terraform"))
KUBERNETES = "1.34"


@dataclass(frozen=True)
class Bench:
    """Terraform with both providers at hand."""

    knobs: TerraformKnobs
    environment: Mapping[str, str]

    def run(self, directory: Path, *arguments: str) -> str:
        """What a command says, which has to succeed."""
        done = subprocess.run(
            [*self.knobs.argv, *arguments],
            cwd=directory,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    home, sockets = tmp_path_factory.mktemp("terraform"), tmp_path_factory.mktemp("s")
    sockets.chmod(0o700)
    knobs = TerraformKnobs(tuple(find_terraform()), home, sockets, provider_mirror=real_mirror())
    (home / "terraform.rc").write_text(cli_config(knobs))
    with ProviderServer(SlipwayProvider(Access()), sockets) as ours, schema_only(sockets) as stand_in:
        attached = json.loads(ours.environment["TF_REATTACH_PROVIDERS"])
        if real_mirror() is None:
            attached |= stand_in
        config = {"TF_REATTACH_PROVIDERS": json.dumps(attached), "TF_CLI_CONFIG_FILE": str(home / "terraform.rc")}
        yield Bench(knobs, environment_of(knobs) | config)


def declared(target: str, module: str, block: str) -> set[str]:
    """The names of a module's variables or outputs."""
    text = "\n".join(path.read_text() for path in (TERRAFORM / target / module).glob("*.tf"))
    return set(re.findall(rf'(?m)^{block} "(\w+)"', text))


@pytest.mark.parametrize("module", SHARED)
def test_a_module_takes_and_gives_the_same_on_every_target(module: str) -> None:
    for block in ("variable", "output"):
        assert declared("aws", module, block) == declared("local", module, block)


def test_only_subnets_are_aws_s_own_affair() -> None:
    assert set(MODULES) - set(SHARED) == {"network"}
    assert set(SHARED) <= set(MODULES)


def test_a_snapshot_holds_what_its_modules_use_of_each_other() -> None:
    files = asyncio.run(ON_AWS.modules("nodejs-api"))
    assert {path.split("/")[0] for path in files} == {"environment", *MODULES}
    assert not any("tftest" in path for path in files)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_keeps_what_its_own_tests_claim(bench: Bench, module: str, tmp_path: Path) -> None:
    shutil.copytree(TERRAFORM / "aws", tmp_path / "aws")
    directory = tmp_path / "aws" / module
    bench.run(directory, "init", "-backend=false", "-input=false")
    assert json.loads(bench.run(directory, "validate", "-json"))["valid"] is True
    said = bench.run(directory, "test", "-no-color")
    assert re.search(r"Success! [1-9]\d* passed, 0 failed", said), said


RUNS = """
mock_provider "aws" {{
  mock_resource "aws_elasticache_serverless_cache" {{
    defaults = {{
      arn      = "arn:aws:elasticache:eu-central-1:123456789012:serverlesscache:x"
      endpoint = [{{ address = "cache.example.test", port = 6379 }}]
    }}
  }}
  mock_resource "aws_db_instance" {{
    defaults = {{
      master_user_secret = [{{ secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x" }}]
    }}
  }}
}}
mock_provider "slipway" {{
  mock_resource "slipway_kubernetes_objects" {{
    defaults = {{ namespace = "demo-api" }}
  }}
}}
{runs}
"""


@dataclass(frozen=True)
class Made:
    """What an environment of a golden path consists of, by kind of environment: every resource, by address."""

    root: Mapping[str, Any]
    by_kind: Mapping[str, Mapping[str, Any]]

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """Its Kubernetes objects."""
        lists = [one["values"]["manifests"] for one in self._of("slipway_kubernetes_objects", kind)]
        return [json.loads(text) for texts in lists for text in texts]

    def types(self, kind: str) -> set[str]:
        """The types of its resources."""
        return {one["type"] for one in self.by_kind[kind].values()}

    def _of(self, wanted: str, kind: str) -> list[Any]:
        return [one for one in self.by_kind[kind].values() if one["type"] == wanted]


@pytest.fixture(scope="module", params=GOLDEN_PATHS)
def made(request: pytest.FixtureRequest, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The rendered root module, valid, and carried out against mocks for every kind of environment."""
    name, directory = request.param, tmp_path_factory.mktemp("root")
    manifest = yaml.safe_load((PROJECT / "golden_paths" / name / "golden_path.yaml").read_text())
    parameters = {key: rule["default"] for key, rule in manifest["parameters"]["properties"].items()}
    parameters |= {"cache": True} if "cache" in parameters else {}
    spec = spec_of("demo-api").model_copy(update={"golden_path": name, "parameters": parameters})
    files = render(spec, incarnation(1), asyncio.run(ON_AWS.modules(name)), PLATFORM)
    root = json.loads(on_local_state(files)[ROOT_MODULE])
    # Named here, so that it can be mocked from here.
    root["terraform"]["required_providers"]["slipway"] = {"source": PROVIDER_SOURCE}
    lay_out(directory, dict(files) | {ROOT_MODULE: json.dumps(root).encode()})
    kinds = ("preview", "staging", "production")
    runs = "\n".join(f'run "{kind}" {{\n  variables {{\n    kind = "{kind}"\n  }}\n}}' for kind in kinds)
    (directory / "all.tftest.hcl").write_text(RUNS.format(runs=runs))
    bench.run(directory, "init", "-backend=false", "-input=false")
    assert json.loads(bench.run(directory, "validate", "-json"))["valid"] is True
    by_kind: dict[str, dict[str, Any]] = {}
    for line in bench.run(directory, "test", "-json", "-verbose").splitlines():
        told = json.loads(line)
        if told["type"] == "test_state":
            by_kind[told["@testrun"]] = _resources(told["test_state"]["root_module"])
    assert set(by_kind) == set(kinds)
    return Made(json.loads(files[ROOT_MODULE]), by_kind)


def _resources(module: Mapping[str, Any]) -> dict[str, Any]:
    found = {resource["address"]: resource for resource in module.get("resources", [])}
    for inner in module.get("child_modules", []):
        found |= _resources(inner)
    return found


def test_everything_says_whose_it_is_and_who_pays(made: Made) -> None:
    provider = made.root["provider"]["aws"]
    assert provider["allowed_account_ids"] == ["${var.platform.aws.account_id}"]
    assert "local.tags" in provider["default_tags"][0]["tags"]
    assert {"slipway:owner", "slipway:environment", "slipway:incarnation", "slipway:cost"} <= set(
        made.root["locals"]["tags"]
    )
    assert made.root["terraform"]["required_providers"]["aws"]["source"] == SOURCE


@pytest.mark.parametrize("kind", ["preview", "staging", "production"])
def test_no_secret_is_in_the_state(made: Made, kind: str) -> None:
    for resource in made.by_kind[kind].values():
        for name, value in resource["values"].items():
            if re.search(r"password(?!_(count|required|wo_version)$)|auth_token|secret_string", name):
                assert value in (None, [], True), f"{resource['address']}.{name}"
    assert not [one for one in made.objects(kind) if one["kind"] == "Secret"]


@pytest.mark.parametrize("kind", ["preview", "staging", "production"])
def test_every_kubernetes_object_is_one_that_the_cluster_takes(made: Made, kind: str) -> None:
    kinds = set()
    for one in made.objects(kind):
        kinds.add(one["kind"])
        assert one["metadata"].get("namespace", "demo-api") == "demo-api"
        if one["apiVersion"] == "monitoring.coreos.com/v1":
            _check_service_monitor(one)
        else:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
    assert {"Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "RoleBinding"} <= kinds
    assert "ServiceMonitor" in kinds, "monitoring is on without being asked for"


@pytest.mark.parametrize("made", ["nodejs-api"], indirect=True)
def test_the_objects_are_applied_and_nothing_is_left_of_them(
    made: Made, bench: Bench, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By our own provider, at a stand-in of a cluster that has the operator's custom resource."""
    source = f'terraform {{\n  required_providers {{\n    slipway = {{ source = "{PROVIDER_SOURCE}" }}\n  }}\n}}\n'
    lists = [one["values"] for one in made.by_kind["preview"].values() if one["type"] == "slipway_kubernetes_objects"]
    lists.sort(key=lambda values: '"kind":"Namespace"' not in "".join(values["manifests"]))
    (tmp_path / "main.tf").write_text(source)
    (tmp_path / "objects.tf.json").write_text(
        json.dumps({"resource": {"slipway_kubernetes_objects": _in_order(lists)}})
    )
    sockets = tmp_path_factory.mktemp("s")
    sockets.chmod(0o700)
    with start_kubernetes(tmp_path / "cluster") as cluster:
        cluster.make(SERVICE_MONITORS)
        access = Access(kubernetes=ClusterAccess(cluster.kubeconfig(tmp_path / "kubeconfig")))
        with ProviderServer(SlipwayProvider(access), sockets) as server:
            there = Bench(bench.knobs, dict(bench.environment) | server.environment)
            there.run(tmp_path, "init", "-input=false")
            there.run(tmp_path, "apply", "-auto-approve", "-input=false")
            there.run(tmp_path, "plan", "-detailed-exitcode", "-input=false")
            assert cluster.has("rolebindings", "developer", "demo-api", "rbac.authorization.k8s.io/v1")
            assert cluster.has("servicemonitors", "app", "demo-api", "monitoring.coreos.com/v1")
            there.run(tmp_path, "destroy", "-auto-approve", "-input=false")
            assert not cluster.has("namespaces", "demo-api")


def _in_order(lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each list after the first, which makes the namespace."""
    first = {"depends_on": ["slipway_kubernetes_objects.l0"]}
    return {
        f"l{number}": {key: values[key] for key in ("name", "incarnation", "manifests")} | (first if number else {})
        for number, values in enumerate(lists)
    }


def _check_service_monitor(one: Mapping[str, Any]) -> None:
    """The operator's schema: a selector of labels, and endpoints with the name of a port of the Service."""
    assert one["kind"] == "ServiceMonitor"
    assert set(one["spec"]) == {"selector", "endpoints"}
    assert one["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": "demo-api"}
    assert all(set(end) == {"port", "path", "interval"} for end in one["spec"]["endpoints"])


def test_a_preview_shares_a_database_and_production_has_its_own(made: Made) -> None:
    """Where the golden path has a database at all."""
    if "slipway_database" in made.types("preview"):
        assert "aws_db_instance" not in made.types("preview") | made.types("staging")
        assert "aws_db_instance" in made.types("production")
        assert "slipway_database" not in made.types("production")
    else:
        assert "aws_db_instance" not in made.types("production")


def test_every_environment_is_logged_and_watched(made: Made) -> None:
    watched = {"aws_cloudwatch_log_group", "aws_cloudwatch_metric_alarm", "aws_cloudwatch_dashboard"}
    assert all(watched <= made.types(kind) for kind in made.by_kind)


def test_what_is_reached_has_a_name_and_a_way_in(made: Made) -> None:
    named = "aws_route53_record" in made.types("preview")
    assert named == ("Ingress" in {one["kind"] for one in made.objects("preview")})


@pytest.mark.skipif(real_mirror() is not None, reason="the real provider is used")
def test_the_stand_in_finds_a_misspelt_argument_and_makes_nothing(bench: Bench, tmp_path: Path) -> None:
    source = f'terraform {{\n  required_providers {{\n    aws = {{ source = "{SOURCE}" }}\n  }}\n}}\n'
    configuration = tmp_path / "main.tf"
    configuration.write_text(f'{source}resource "aws_subnet" "x" {{\n  vpc_id = "v"\n  cidr_blok = "10.0.0.0/27"\n}}\n')
    bench.run(tmp_path, "init", "-input=false")
    with pytest.raises(AssertionError, match="Unsupported argument"):
        bench.run(tmp_path, "validate")
    configuration.write_text(f'{source}resource "aws_subnet" "x" {{\n  vpc_id = "v"\n}}\n')
    with pytest.raises(AssertionError, match="knows schemas only"):
        bench.run(tmp_path, "apply", "-auto-approve")
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tfstate"]

"""The chart: what Helm makes of it is valid, complete in itself, and as strict as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped] # it brings none
import pytest
import yaml

from chassis.settings import ChassisSettings
from deploy.compose.images import COMPOSE_FILE
from deploy.helm import generated
from deploy.helm.generated import CHART
from deploy.helm.schema import values_schema
from deploy.image.processes import PROCESSES, PROJECT
from services.provisioner.adapters.terraform_provider.server import check_private
from services.provisioner.adapters.terraform_workspace import TerraformKnobs
from tests.deploy.charts import (
    EXAMPLE_NAMES,
    NAMESPACE,
    PARTS,
    SERVICES,
    Json,
    Rendered,
    containers,
    example,
    examples,
    rendered,
)

KUBERNETES = "1.37"
OTHERS_KINDS = {"SecretProviderClass", "PodMonitor", "PrometheusRule"}
"""Kinds that come with the CSI driver and the Prometheus operator: no schema of Kubernetes has them."""
MODULES = PROJECT / "deploy" / "terraform" / "aws"
_VALID: set[str] = set()
"""What was validated already: examples have much in common."""
OF_THE_CLUSTER = {"ClusterRole", "ClusterRoleBinding"}


@pytest.fixture(params=EXAMPLE_NAMES)
def chart(request: pytest.FixtureRequest) -> Rendered:
    """Each example in turn."""
    found = examples()[request.param]
    assert not found.refusal, found.refusal
    return found


def pods(chart: Rendered) -> Iterator[tuple[str, Json]]:
    for part in chart.workloads:
        yield part, chart.pod(part)


def with_changes(base: Json, **changes: Any) -> Json:
    """`base` with `a__b=1` for `{a: {b: 1}}`."""
    values: Json = yaml.safe_load(yaml.safe_dump(base))
    for path, value in changes.items():
        *above, last = path.split("__")
        place = values
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return values


def test_what_follows_from_the_code_is_current() -> None:
    assert [path.name for path in generated.stale()] == [], "run `python -m deploy.helm write`"


def test_helm_finds_nothing_to_say_against_it() -> None:
    code = (
        "import json, sys, helm_python as h; print(json.dumps(h.lint(sys.argv[1], json.load(sys.stdin), strict=True)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(CHART)],
        input=json.dumps(example("everything")),
        capture_output=True,
        text=True,
        check=True,
    )
    report = yaml.safe_load(done.stdout)
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] > 1] == []


def test_it_says_which_release_it_brings_and_which_server_it_was_tried_with() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert described["appVersion"] == project["version"]
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert values["nats"]["image"] in COMPOSE_FILE.read_text(encoding="utf-8")


def test_the_defaults_and_the_examples_are_valid_values() -> None:
    jsonschema.Draft7Validator.check_schema(values_schema())
    validator = jsonschema.Draft7Validator(values_schema())
    validator.validate(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))
    for name in EXAMPLE_NAMES:
        validator.validate(example(name))


def test_values_that_cannot_work_are_refused_with_the_reason() -> None:
    required = example("required")
    without_keys = with_changes(required, nats__nkeys={})
    cases = {
        "publicUrl is where people": with_changes(required, publicUrl=""),
        "image.registry is where": with_changes(required, image__registry=""),
        "openbao.address is where": with_changes(required, openbao__address=""),
        "postgres.host is where": with_changes(required, postgres__host=""),
        "github.organisation is where": with_changes(required, github__organisation=""),
        "people.clientId is what": with_changes(required, people__issuer="https://id.example.com"),
        "nats.nkeys.gateway is missing": without_keys,
        "replicas.max is less": with_changes(required, gateway__replicas={"min": 3, "max": 2}),
        "needs provisioner.stateBucket": with_changes(required, provisioner__replicas={"min": 1, "max": 2}),
        "publicURL": with_changes(required, publicURL="https://slipway.example.com"),
        "request_per_second": with_changes(required, gateway__settings={"request_per_second": 5}),
        "preview_days": with_changes(required, gateway__settings={"preview_days": 0}),
        "admin_token_file": with_changes(required, gateway__settings={"admin_token_file": "/tmp/x"}),
        "/publicUrl": with_changes(required, publicUrl="http://slipway.example.com"),
        "target": with_changes(required, provisioner__target="local"),
        "networkPolicy.monitoring says where": with_changes(required, monitoring__podMonitor=True),
        "ownInstances.caConfigMap holds": with_changes(required, ownInstances__caConfigMap=""),
        "provisioner.aws says what": with_changes(required, provisioner__aws={}),
        "acount_id": with_changes(required, provisioner__aws__acount_id="1"),
        "nkey": with_changes(required, readers=[{"name": "a", "team": "b", "nkey": "S" * 56}]),
    }
    for reason, found in rendered(cases).items():
        assert reason in found.refusal, f"{reason!r} is not in {found.refusal!r}"


def test_every_object_is_one_that_kubernetes_takes(chart: Rendered) -> None:
    for one in chart.objects:
        assert one["apiVersion"]
        said = json.dumps(one, sort_keys=True)
        if one["kind"] not in OTHERS_KINDS and said not in _VALID:
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
            _VALID.add(said)


def test_no_two_objects_have_a_name_and_all_are_of_this_namespace(chart: Rendered) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in chart.objects]
    assert len(names) == len(set(names))
    for one in chart.objects:
        assert one["metadata"].get("namespace") == (None if one["kind"] in OF_THE_CLUSTER else NAMESPACE)
        assert one["metadata"]["name"].startswith("slipway-")
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "slipway"


def test_there_is_each_service_with_its_budget_and_all_but_those_that_stay_one_can_grow(chart: Rendered) -> None:
    assert set(chart.workloads) == {*SERVICES, "nats", "deploy"}
    scalers = chart.of_kind("HorizontalPodAutoscaler")
    for service in SERVICES:
        deployment = chart.one("Deployment", f"slipway-{service}")
        grows = f"slipway-{service}" in scalers
        assert grows == ("replicas" not in deployment["spec"])
        if grows:
            target = scalers[f"slipway-{service}"]["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) == ("Deployment", f"slipway-{service}")
            assert containers(chart.pod(service))[-1]["resources"]["requests"]["cpu"]
    assert set(chart.of_kind("PodDisruptionBudget")) == {f"slipway-{part}" for part in (*SERVICES, "nats")}


def test_whoever_selects_pods_selects_those_of_one_part(chart: Rendered) -> None:
    labels = {part: one["spec"]["template"]["metadata"]["labels"] for part, one in chart.workloads.items()}

    def selected(selector: Json) -> set[str]:
        return {part for part, has in labels.items() if selector.items() <= has.items()}

    for part, one in chart.workloads.items():
        if one["kind"] != "Job":
            assert selected(one["spec"]["selector"]["matchLabels"]) == {part}
    for name, one in chart.of_kind("PodDisruptionBudget").items():
        assert selected(one["spec"]["selector"]["matchLabels"]) == {name.removeprefix("slipway-")}
    for one in chart.of_kind("Service").values():
        (part,) = selected(one["spec"]["selector"])
        offered = {port["name"] for port in chart.pod(part)["containers"][0]["ports"]}
        assert {port["targetPort"] for port in one["spec"]["ports"]} <= offered
    for one in chart.of_kind("Ingress").values():
        for path in one["spec"]["rules"][0]["http"]["paths"]:
            service = chart.one("Service", path["backend"]["service"]["name"])
            assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}


def test_a_container_is_nobody_in_particular_and_can_change_nothing_but_its_data(chart: Rendered) -> None:
    for part, pod in pods(chart):
        told = pod["securityContext"]
        assert told["runAsNonRoot"] is True
        assert (told["runAsUser"], told["runAsGroup"]) == (10001, 10001)
        assert told["seccompProfile"] == {"type": "RuntimeDefault"}
        in_cluster = chart.values.get("provisioner", {}).get("inCluster", False)
        assert pod["automountServiceAccountToken"] == (part == "provisioner" and in_cluster)
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume or "secret" in volume]
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def test_whatever_a_pod_names_is_there(chart: Rendered) -> None:
    with_ca = ("openbao", "postgres", "ownInstances", "clusterAccess")
    outside = {chart.values.get(part, {}).get("caConfigMap") for part in with_ca}
    for part, pod in pods(chart):
        assert pod["serviceAccountName"] == f"slipway-{part}"
        assert chart.one("ServiceAccount", pod["serviceAccountName"])["automountServiceAccountToken"] is False
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        volumes |= {
            claim["metadata"]["name"]: claim for claim in chart.workloads[part]["spec"].get("volumeClaimTemplates", ())
        }
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == volumes.keys()
        for volume in volumes.values():
            if "csi" in volume:
                found = chart.one("SecretProviderClass", volume["csi"]["volumeAttributes"]["secretProviderClass"])
                assert found["spec"]["parameters"]["roleName"] == f"slipway-{part}"
            elif "configMap" in volume and volume["configMap"]["name"] not in outside:
                assert chart.one("ConfigMap", volume["configMap"]["name"])["data"]
            elif "persistentVolumeClaim" in volume:
                assert chart.one("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        for container in containers(pod):
            ports = {port["name"] for port in container.get("ports", ())}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if "ports" in container:
                    assert container[probe]["httpGet"]["port"] in ports


def test_a_container_runs_what_its_image_is_made_for(chart: Rendered) -> None:
    for part, pod in pods(chart):
        for container in containers(pod):
            if part == "nats":
                continue
            found = re.fullmatch(
                r"(?P<registry>.+)/(?P<name>[a-z]+):[\w.-]+(@sha256:[0-9a-f]{64})?", container["image"]
            )
            assert found
            assert found["registry"] == chart.values["image"]["registry"]
            assert found["name"] in PROCESSES
            if container["name"] in SERVICES:
                assert (found["name"], container.get("command")) == (part, None)
            elif container["command"][:2] == ["python", "-m"]:
                assert found["name"] == "jobs"
                module = container["command"][2].replace(".", "/")
                assert (PROJECT / f"{module}.py").is_file()


def test_a_process_has_the_time_to_end_that_it_takes(chart: Rendered, tmp_path: Path) -> None:
    for service in SERVICES:
        pod = chart.pod(service)
        told = chart.environment(service)
        default = ChassisSettings.model_fields["shutdown_grace_seconds"].default
        grace = float(told.get("SLIPWAY_SHUTDOWN_GRACE_SECONDS", default))
        before = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        # Open requests and open probes have five seconds each (`chassis.health`), and spans are flushed.
        needed = before + grace + 10
        if service == "provisioner":
            needed += TerraformKnobs(argv=(), directory=tmp_path, sockets=tmp_path).stop_grace_seconds
        assert pod["terminationGracePeriodSeconds"] >= needed + 10


def test_the_job_is_another_one_exactly_when_it_has_something_else_to_do() -> None:
    required = example("required")
    reader = {"name": "billing", "team": "payments", "nkey": "U" + "A" * 55}
    cases = rendered(
        {
            "same": required,
            "again": with_changes(required, gateway__replicas={"min": 3, "max": 4}, logLevel="DEBUG"),
            "release": with_changes(required, image__tag="9.9.9"),
            "reader": with_changes(required, readers=[reader]),
        }
    )
    names = {case: next(iter(found.of_kind("Job"))) for case, found in cases.items()}
    assert names["same"] == names["again"]
    assert len(set(names.values())) == 3
    for found in cases.values():
        # A hook would wait, under `--wait`, for services that wait for it.
        assert not any("helm.sh/hook" in one["metadata"].get("annotations", {}) for one in found.objects)


def test_terraforms_sockets_are_private_where_the_volume_hands_its_group_on(tmp_path: Path) -> None:
    (container,) = examples()["required"].pod("provisioner")["initContainers"]
    tmp_path.chmod(0o2777)  # what a volume is that `fsGroup` was applied to
    sockets = tmp_path / "sockets"
    command = [part.replace("/run/slipway/sockets", str(sockets)) for part in container["command"]]
    subprocess.run([sys.executable, *command[1:]], check=True)
    check_private(sockets)


def test_the_provisioner_keeps_its_disk_unless_its_states_are_in_a_bucket() -> None:
    alone, many = examples()["required"], examples()["aws"]
    assert alone.one("Deployment", "slipway-provisioner")["spec"]["strategy"] == {"type": "Recreate"}
    claim = alone.one("PersistentVolumeClaim", "slipway-provisioner")
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert many.environment("provisioner")["SLIPWAY_PROVISIONER_STATE_BUCKET"]
    assert not many.of_kind("PersistentVolumeClaim")


def test_what_kubernetes_has_no_schema_for_is_as_its_makers_describe_it() -> None:
    chart = examples()["everything"]
    for part in PARTS:
        spec = chart.one("SecretProviderClass", f"slipway-{part}")["spec"]
        assert spec["provider"] == "vault"
        assert spec["parameters"].keys() == {"roleName", "vaultAddress", "vaultAuthMountPath", "audience", "objects"}
        assert all(isinstance(value, str) for value in spec["parameters"].values())
        for one in yaml.safe_load(spec["parameters"]["objects"]):
            assert one.keys() == {"objectName", "secretPath", "secretKey"}
            assert one["secretPath"] == f"kv/data/platform/slipway/{part}"
    monitor = chart.one("PodMonitor", "slipway-services")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (component,) = monitor["spec"]["selector"]["matchExpressions"]
    assert set(component["values"]) == set(SERVICES)
    assert monitor["spec"]["podMetricsEndpoints"][0]["port"] == "health"
    alerts = yaml.safe_load((PROJECT / "deploy" / "observability" / "alerts.yml").read_text(encoding="utf-8"))
    assert chart.one("PrometheusRule", "slipway-alerts")["spec"] == alerts


def test_the_provisioner_may_do_in_the_cluster_what_the_values_say_and_read_no_secret() -> None:
    chart = examples()["everything"]
    (role,) = chart.of_kind("ClusterRole").values()
    (binding,) = chart.of_kind("ClusterRoleBinding").values()
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "slipway-provisioner", "namespace": NAMESPACE}]
    denied = {"*", "secrets", "pods/exec", "clusterroles", "clusterrolebindings", "escalate", "bind", "impersonate"}
    for rule in role["rules"]:
        assert not denied & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
    assert not examples()["required"].of_kind("ClusterRole")


def test_the_provisioner_may_make_what_the_modules_make_and_give_what_they_give() -> None:
    (role,) = examples()["everything"].of_kind("ClusterRole").values()
    may = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(MODULES.glob("*/*.tf")))
    made = set(re.findall(r'apiVersion\s*=\s*"([^"]+)"\s*kind\s*=\s*"([^"]+)"', text))
    assert made
    for version, kind in made:
        group = version.rpartition("/")[0]
        plural = re.sub(r"(?<=[^aeiou])y$", "ie", re.sub(r"(?<=s)$", "e", kind.lower())) + "s"
        assert {(group, plural, verb) for verb in ("get", "create", "patch", "delete")} <= may, kind
    given = re.findall(r"apiGroups\s*=\s*(\[.*\])\s*resources\s*=\s*(\[.*\])\s*verbs\s*=\s*(\[.*\])", text)
    assert given
    for groups, resources, verbs in (map(json.loads, rule) for rule in given):
        assert {(group, resource, verb) for group in groups for resource in resources for verb in verbs} <= may

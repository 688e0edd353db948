"""`slipway_kubernetes_objects`: real Terraform applies, plans and destroys Kubernetes objects, server-side.

Against a stand-in for the API server (`tests/kubernetes_api.py`), which validates by Kubernetes' own schemas.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chassis.failures import PermanentError, TransientError
from contracts.plans import PlannedChange
from deploy.embedded.terraform import find_terraform
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.adapters.terraform_provider import kubernetes_objects
from services.provisioner.adapters.terraform_provider.access import Access, access_from
from services.provisioner.adapters.terraform_provider.kubernetes_cluster import ClusterAccess
from services.provisioner.adapters.terraform_provider.kubernetes_manifests import read_manifests
from services.provisioner.adapters.terraform_provider.marks import Busy
from services.provisioner.adapters.terraform_workspace import TerraformKnobs
from services.provisioner.ports import Files
from services.provisioner.settings import AccessSettings
from tests.integration.terraform_trouble import terraform_processes
from tests.kubernetes_api import KubernetesApi, start_kubernetes
from tests.machines import incarnation, no_report
from tests.waiting import until

Json = dict[str, Any]
APPS = "apps/v1"
RBAC = "rbac.authorization.k8s.io/v1"


def namespace(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": "web"}}}


def config(data: dict[str, str], name: str = "settings") -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(*, replicas: int = 2) -> Json:
    container = {"name": "web", "image": "web:1", "ports": [{"containerPort": 8080}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": APPS, "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def role() -> Json:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    return {"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "developer"}, "rules": rules}


def usual(name: str) -> list[Json]:
    return [namespace(name), config({"a": "1"}), role(), deployment()]


def files(name: str, objects: list[Json], *, life: int = 1) -> Files:
    """The root module of an environment that is nothing but these objects."""
    source = {"slipway": {"source": "slipway.localhost/platform/slipway"}}
    this = {
        "name": name,
        "incarnation": str(incarnation(life)),
        "manifests": [json.dumps(one) for one in objects],
    }
    content = {
        "terraform": {"required_providers": source, "backend": {"local": {"path": "../terraform.tfstate"}}},
        "resource": {"slipway_kubernetes_objects": {"this": this}},
        "output": {"namespace": {"value": "${slipway_kubernetes_objects.this.namespace}"}},
    }
    return {"main.tf.json": json.dumps(content).encode()}


@dataclass(frozen=True)
class Platform:
    """A cluster and the Terraform that works on it."""

    api: KubernetesApi
    infrastructure: TerraformInfrastructure
    state: Path

    async def apply(self, name: str, objects: list[Json], *, life: int = 1) -> Any:
        return await self.infrastructure.apply(name, files(name, objects, life=life), no_report)

    async def plan(self, name: str, objects: list[Json]) -> tuple[PlannedChange, ...]:
        return await self.infrastructure.plan(name, files(name, objects), new=False)

    async def destroy(self, name: str, objects: list[Json]) -> Any:
        return await self.infrastructure.destroy(name, files(name, objects), no_report)

    def forget(self, name: str) -> None:
        (self.state / name / "terraform.tfstate").unlink()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    with start_kubernetes(tmp_path_factory.mktemp("cluster")) as api:
        yield api


@pytest.fixture
def api(cluster: KubernetesApi) -> Iterator[KubernetesApi]:
    yield cluster
    cluster.failures.clear()
    cluster.forbidden.clear()
    cluster.store.before_apply = None
    cluster.store.hold_namespaces.clear()


@pytest.fixture(scope="module")
def kubeconfig(cluster: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cluster.kubeconfig(tmp_path_factory.mktemp("credentials") / "kubeconfig")


@pytest.fixture
async def platform(
    api: KubernetesApi, kubeconfig: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    yield_to = platform_on(api, Access(kubernetes=ClusterAccess(kubeconfig)), tmp_path, tmp_path_factory)
    yield yield_to
    await yield_to.infrastructure.close()


def platform_on(api: KubernetesApi, access: Access, directory: Path, short: pytest.TempPathFactory) -> Platform:
    sockets = short.mktemp("s")
    sockets.chmod(0o700)
    knobs = TerraformKnobs(tuple(find_terraform()), directory / "environments", sockets, stop_grace_seconds=10)
    return Platform(api, TerraformInfrastructure(knobs, access), directory / "environments")


async def test_objects_are_made_marked_and_managed_by_slipway_and_then_there_is_nothing_to_do(
    platform: Platform,
) -> None:
    applied = await platform.apply("made", usual("made"))
    assert applied.outputs == {"namespace": "made"}
    assert [(one.kind, one.id) for one in applied.resources] == [("kubernetes_objects", "Namespace/made")]
    for plural, name, within, version in (
        ("namespaces", "made", "", "v1"),
        ("configmaps", "settings", "made", "v1"),
        ("roles", "developer", "made", RBAC),
        ("deployments", "web", "made", APPS),
    ):
        metadata = platform.api.object(plural, name, within, version)["metadata"]
        assert metadata["labels"]["slipway.dev/environment"] == "made"
        assert metadata["labels"]["slipway.dev/incarnation"] == str(incarnation(1))
        assert [(one["manager"], one["operation"]) for one in metadata["managedFields"]] == [("slipway", "Apply")]
    assert await platform.plan("made", usual("made")) == ()
    again = await platform.apply("made", usual("made"))
    assert (again.created, again.changed, again.destroyed) == ((), (), ())


async def test_drift_is_found_and_repaired_and_what_people_set_beside_ours_is_none(platform: Platform) -> None:
    await platform.apply("drift", usual("drift"))
    platform.api.edit("roles", "developer", "drift", {"metadata": {"annotations": {"theirs": "x"}}}, RBAC)
    assert await platform.plan("drift", usual("drift")) == ()
    platform.api.edit("deployments", "web", "drift", {"spec": {"replicas": 7}}, APPS)
    platform.api.lose("configmaps", "settings", "drift")
    (change,) = await platform.plan("drift", usual("drift"))
    assert (change.action, change.resource.id, change.detail) == ("update", "Namespace/drift", "drift")
    await platform.apply("drift", usual("drift"))
    assert platform.api.object("deployments", "web", "drift", APPS)["spec"]["replicas"] == 2
    assert platform.api.object("configmaps", "settings", "drift")["data"] == {"a": "1"}
    assert platform.api.object("roles", "developer", "drift", RBAC)["metadata"]["annotations"] == {"theirs": "x"}


async def test_an_object_or_a_field_that_is_listed_no_more_is_removed_and_the_others_stay(platform: Platform) -> None:
    await platform.apply("prune", [*usual("prune"), config({"a": "1"}, "other")])
    uid = platform.api.object("deployments", "web", "prune", APPS)["metadata"]["uid"]
    fewer = [namespace("prune"), deployment(), config({"b": "1"}, "other")]
    assert [change.action for change in await platform.plan("prune", fewer)] == ["update"]
    await platform.apply("prune", fewer)
    assert platform.api.object("configmaps", "other", "prune")["data"] == {"b": "1"}
    assert not platform.api.has("configmaps", "settings", "prune")
    assert not platform.api.has("roles", "developer", "prune", RBAC)
    assert platform.api.object("deployments", "web", "prune", APPS)["metadata"]["uid"] == uid


async def test_a_destroy_removes_the_last_first_and_waits_for_the_namespace(platform: Platform) -> None:
    await platform.apply("gone", usual("gone"))
    platform.api.requests.clear()
    platform.api.store.hold_namespaces.set()
    destroying = asyncio.create_task(platform.destroy("gone", usual("gone")))
    await until(lambda: "DELETE /api/v1/namespaces/gone" in platform.api.requests)
    assert not destroying.done()
    platform.api.store.hold_namespaces.clear()
    receipt = await destroying
    assert [one.id for one in receipt.removed] == ["Namespace/gone"]
    deleted = [request.split("/")[-1] for request in platform.api.requests if request.startswith("DELETE")]
    assert deleted == ["web", "developer", "settings", "gone"]
    assert not platform.api.has("namespaces", "gone")


async def test_whoever_is_cancelled_while_a_namespace_ends_does_not_wait_for_it(platform: Platform) -> None:
    await platform.apply("held", usual("held"))
    platform.api.store.hold_namespaces.set()
    destroying = asyncio.create_task(platform.destroy("held", usual("held")))
    await until(lambda: "DELETE /api/v1/namespaces/held" in platform.api.requests)
    destroying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await destroying
    assert platform.api.has("namespaces", "held")
    platform.api.store.hold_namespaces.clear()
    await platform.destroy("held", usual("held"))
    assert not platform.api.has("namespaces", "held")


async def test_a_namespace_of_somebody_else_is_refused_and_left_untouched(platform: Platform) -> None:
    platform.api.make(namespace("theirs"))
    before = json.dumps(platform.api.object("namespaces", "theirs"))
    with pytest.raises(PermanentError, match="Namespace theirs exists and carries no Slipway mark") as refused:
        await platform.apply("theirs", usual("theirs"))
    assert refused.value.code == "foreign_resource"
    assert not platform.api.has("configmaps", "settings", "theirs")
    await platform.destroy("theirs", usual("theirs"))
    assert json.dumps(platform.api.object("namespaces", "theirs")) == before


async def test_a_namespace_of_an_earlier_life_is_somebody_elses(platform: Platform) -> None:
    await platform.apply("lives", usual("lives"))
    platform.forget("lives")
    with pytest.raises(PermanentError, match=str(incarnation(1))):
        await platform.apply("lives", usual("lives"), life=2)


async def test_an_object_that_somebody_took_over_stays_and_so_does_the_namespace_around_it(platform: Platform) -> None:
    await platform.apply("taken", usual("taken"))
    platform.api.lose("configmaps", "settings", "taken")
    theirs = config({"theirs": "1"})
    theirs["metadata"]["namespace"] = "taken"
    platform.api.make(theirs)
    assert [change.action for change in await platform.plan("taken", usual("taken"))] == ["update"]
    with pytest.raises(PermanentError, match="ConfigMap taken/settings exists"):
        await platform.apply("taken", usual("taken"))
    receipt = await platform.destroy("taken", usual("taken"))
    assert [left.resource.id for left in receipt.left_behind] == ["Namespace/taken"]
    assert platform.api.object("configmaps", "settings", "taken")["data"] == {"theirs": "1"}
    assert platform.api.has("namespaces", "taken")
    assert not platform.api.has("deployments", "web", "taken", APPS)


async def test_what_somebody_makes_between_the_look_and_the_apply_is_left_as_they_made_it(platform: Platform) -> None:
    theirs = config({"theirs": "1"})
    theirs["metadata"]["namespace"] = "race"

    def sneak(place: tuple[str, str, str, str]) -> None:
        if place[1] == "configmaps":
            platform.api.store.before_apply = None
            platform.api.make(theirs)

    platform.api.store.before_apply = sneak
    with pytest.raises(PermanentError, match="ConfigMap race/settings exists"):
        await platform.apply("race", usual("race"))
    found = platform.api.object("configmaps", "settings", "race")
    assert found["data"] == {"theirs": "1"}
    assert "labels" not in found["metadata"]


async def test_a_terraform_that_is_killed_half_way_is_made_good_by_adoption(platform: Platform) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(place: tuple[str, str, str, str]) -> None:
        if place[1] == "roles":
            reached.set()
            go_on.wait(30)

    platform.api.store.before_apply = hold
    applying = asyncio.create_task(platform.apply("killed", usual("killed")))
    await until(reached.is_set)
    for process in terraform_processes("apply", "killed"):
        process.send_signal(signal.SIGKILL)
    go_on.set()
    with pytest.raises(TransientError):
        await applying
    platform.api.store.before_apply = None
    # The provider has finished what it had begun, and no state knows of it.
    uid = platform.api.object("deployments", "web", "killed", APPS)["metadata"]["uid"]
    await platform.apply("killed", usual("killed"))
    assert platform.api.object("deployments", "web", "killed", APPS)["metadata"]["uid"] == uid
    platform.forget("killed")
    await platform.destroy("killed", usual("killed"))
    assert not platform.api.has("namespaces", "killed")


async def test_a_namespace_that_is_just_being_removed_is_waited_for(platform: Platform) -> None:
    await platform.apply("again", usual("again"))
    uid = platform.api.object("namespaces", "again")["metadata"]["uid"]
    platform.api.store.hold_namespaces.set()
    platform.api.lose("namespaces", "again")
    platform.api.requests.clear()
    applying = asyncio.create_task(platform.apply("again", usual("again")))
    await until(lambda: platform.api.requests.count("GET /api/v1/namespaces/again") > 4)
    platform.api.store.hold_namespaces.clear()
    await applying
    assert platform.api.object("namespaces", "again")["metadata"]["uid"] != uid
    assert platform.api.has("deployments", "web", "again", APPS)


async def test_custom_resources_are_objects_like_others_and_a_missing_kind_is_told(platform: Platform) -> None:
    widget = {"apiVersion": "acme.test/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}
    objects = [namespace("custom"), widget]
    with pytest.raises(PermanentError, match=r"the cluster has no kind Widget in acme\.test/v1"):
        await platform.apply("custom", objects)
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    platform.api.make(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.acme.test"},
            "spec": {"group": "acme.test", "scope": "Namespaced", "names": names, "versions": [version]},
        }
    )
    await platform.apply("custom", objects)
    platform.api.edit("widgets", "w", "custom", {"spec": {"size": 9}}, "acme.test/v1")
    assert len(await platform.plan("custom", objects)) == 1
    await platform.destroy("custom", objects)
    assert not platform.api.has("widgets", "w", "custom", "acme.test/v1")


def test_an_overloaded_cluster_is_worth_another_try(api: KubernetesApi, kubeconfig: Path) -> None:
    (wanted,) = read_manifests([json.dumps(namespace("trouble"))])
    for status in (429, 500, 503):
        api.failures.append(status)
        with ClusterAccess(kubeconfig).connect() as cluster, pytest.raises(Busy, match=str(status)):
            cluster.find(wanted)


async def test_a_cluster_that_is_away_is_worth_another_try(
    api: KubernetesApi, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with start_kubernetes(tmp_path / "away") as away:
        kubeconfig = away.kubeconfig(tmp_path / "kubeconfig")
    platform = platform_on(api, Access(kubernetes=ClusterAccess(kubeconfig)), tmp_path, tmp_path_factory)
    with pytest.raises(TransientError, match="the cluster did not answer"):
        await platform.apply("away", usual("away"))
    await platform.infrastructure.close()


async def test_a_refusal_is_permanent_and_in_the_clusters_words(platform: Platform) -> None:
    platform.api.forbidden.add("roles")
    with pytest.raises(PermanentError, match="roles is forbidden"):
        await platform.apply("refused", usual("refused"))
    platform.api.forbidden.clear()
    wrong = deployment()
    wrong["spec"]["replicaz"] = 3
    with pytest.raises(PermanentError, match="replicaz") as refused:
        await platform.apply("invalid", [namespace("invalid"), wrong])
    assert refused.value.code == "terraform_refused"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}}, "needs a name"),
        ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../x"}}, "needs a name"),
        ({"apiVersion": "v1", "kind": "List", "metadata": {"name": "x"}, "items": []}, "one by one"),
        ({"apiVersion": "../v1", "kind": "ConfigMap", "metadata": {"name": "x"}}, "apiVersion"),
        ({"kind": "ConfigMap"}, "not a Kubernetes object"),
        (
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"a": "hunter2"}},
            "a Secret with values",
        ),
        (
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "x", "labels": {"slipway.dev/environment": "other"}},
            },
            "mark whose it is",
        ),
        (namespace("wrong"), "listed twice"),
    ],
)
def test_what_could_not_be_marked_or_would_leak_is_refused_before_anything_is_done(wrong: Json, told: str) -> None:
    provider = kubernetes_objects.KubernetesObjectsResource.__new__(kubernetes_objects.KubernetesObjectsResource)
    manifests = [json.dumps(namespace("wrong")), json.dumps(wrong)]
    with pytest.raises(ValueError, match=told) as refused:
        provider.check({"name": "wrong", "manifests": manifests})
    assert "hunter2" not in str(refused.value)


async def test_a_platform_without_a_cluster_says_which_setting_is_missing(
    api: KubernetesApi, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    platform = platform_on(api, access_from(AccessSettings()), tmp_path, tmp_path_factory)
    with pytest.raises(PermanentError, match="SLIPWAY_PROVISIONER_KUBERNETES_KUBECONFIG"):
        await platform.apply("nowhere", usual("nowhere"))
    await platform.infrastructure.close()


async def test_no_credential_of_the_cluster_is_in_what_terraform_keeps(platform: Platform) -> None:
    await platform.apply("quiet", usual("quiet"))
    kept = b"".join(path.read_bytes() for path in platform.state.rglob("*") if path.is_file())
    assert platform.api.admin_token.encode() not in kept
    assert b"made" not in kept


async def test_an_object_that_holds_what_is_yet_to_be_made_is_planned_and_applied(platform: Platform) -> None:
    module = json.loads(files("later", usual("later"))["main.tf.json"])
    module["resource"]["terraform_data"] = {"this": {"input": "a"}}
    later = '${jsonencode({apiVersion="v1",kind="ConfigMap",metadata={name="later"},data={id=terraform_data.this.id}})}'
    module["resource"]["slipway_kubernetes_objects"]["this"]["manifests"].append(later)
    written = {"main.tf.json": json.dumps(module).encode()}
    planned = await platform.infrastructure.plan("later", written, new=True)
    assert "Namespace/later" in {change.resource.id for change in planned}
    await platform.infrastructure.apply("later", written, no_report)
    assert platform.api.object("configmaps", "later", "later")["data"]["id"]
    platform.forget("later")
    await platform.infrastructure.destroy("later", written, no_report)
    assert not platform.api.has("namespaces", "later")

"""Who may speak with whom in the cluster: exactly those whom the settings make speak."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from chassis.settings import ChassisSettings
from deploy.helm.generated import CHART
from deploy.helm.settings import SETTINGS, WITH_DATABASE
from tests.deploy.charts import PARTS, SERVICES, Json, Rendered, examples

WITH_POLICIES = ("required", "everything", "aws")
OUTSIDE = {
    "gateway": ("issuer", "workflow_issuer"),
    "provisioner": ("repository_url",),
    "cicd": ("forge_url",),
    "notifier": ("slack_url",),
}
"""Settings whose addresses are dialled, in the world outside. Where links lead is dialled by browsers."""


@pytest.fixture(params=WITH_POLICIES)
def chart(request: pytest.FixtureRequest) -> Rendered:
    """Each example that has policies."""
    return examples()[request.param]


def policy_values(chart: Rendered) -> Json:
    values: Json = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["networkPolicy"]
    given: Json = chart.values.get("networkPolicy", {})
    return values | given


def port_of(url: str) -> int:
    found = urlsplit(url)
    return found.port or {"https": 443, "http": 80}[found.scheme]


def rules(policy: Json, direction: str, whom: str) -> Iterator[tuple[str, Any]]:
    """One (peers, port) for each port of each rule; no peers are anybody."""
    for rule in policy["spec"].get(direction, ()):
        for port in rule["ports"]:
            yield json.dumps(rule.get(whom, []), sort_keys=True), port["port"]


def peers(chart: Rendered, kind: str) -> str:
    return json.dumps(policy_values(chart)[kind], sort_keys=True)


def pods_of(part: str) -> str:
    labels = {"app.kubernetes.io/name": "slipway", "app.kubernetes.io/instance": "slipway"}
    return json.dumps(
        [{"podSelector": {"matchLabels": labels | {"app.kubernetes.io/component": part}}}], sort_keys=True
    )


def dialled(chart: Rendered, service: str, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, Any]]:
    """Where a service connects to, by what it is told."""
    told = chart.environment(service)
    with monkeypatch.context() as patch:
        for name in tuple(os.environ):
            patch.delenv(name)
        for name, value in told.items():
            patch.setenv(name, value)
        own: Any = SETTINGS[service]()
        common = ChassisSettings()
    found: set[tuple[str, Any]] = {(peers(chart, "dns"), 53), (pods_of("nats"), "client")}
    found |= {
        (peers(chart, "outside"), port_of(url)) for name in OUTSIDE.get(service, ()) if (url := getattr(own, name))
    }
    if service in WITH_DATABASE:
        found.add((peers(chart, "postgres"), chart.values["postgres"].get("port", 5432)))
    if service == "secrets":
        found.add((peers(chart, "openbao"), port_of(own.openbao_url)))
        if own.first_logins:
            port = chart.values["provisioner"].get("settings", {}).get("postgres_port", 5432)
            found |= {(peers(chart, "instances"), port), (peers(chart, "outside"), 443)}
    if service == "gateway" and "SLIPWAY_GATEWAY_OPENBAO_URL" in told:
        found.add((peers(chart, "openbao"), port_of(own.openbao_url)))
    if common.otlp_endpoint:
        found.add((peers(chart, "tracing"), port_of(common.otlp_endpoint)))
    if service == "gateway" and own.traces_url:
        found.add((peers(chart, "tracing"), port_of(own.traces_url)))
    if service == "provisioner" and own.kubernetes_in_cluster:
        found |= {(peers(chart, "kubernetes"), port) for port in (443, 6443)}
    extra = policy_values(chart)["extraEgress"].get(service, ())
    return found | {(json.dumps(rule["to"], sort_keys=True), port["port"]) for rule in extra for port in rule["ports"]}


def test_everything_is_denied_that_is_not_allowed(chart: Rendered) -> None:
    denied = chart.one("NetworkPolicy", "slipway-default-deny")["spec"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & denied.keys()
    for part, workload in chart.workloads.items():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert denied["podSelector"]["matchLabels"].items() <= labels.items()
        own = chart.one("NetworkPolicy", f"slipway-{part}")["spec"]
        assert own["policyTypes"] == ["Ingress", "Egress"]
        assert own["podSelector"]["matchLabels"].items() <= labels.items()
    assert set(chart.of_kind("NetworkPolicy")) == {"slipway-default-deny", *(f"slipway-{part}" for part in PARTS)}


def test_a_service_reaches_what_it_dials_and_nothing_else(chart: Rendered, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in SERVICES:
        allowed = set(rules(chart.one("NetworkPolicy", f"slipway-{service}"), "egress", "to"))
        assert allowed == dialled(chart, service, monkeypatch), service
    job = set(rules(chart.one("NetworkPolicy", "slipway-deploy"), "egress", "to"))
    assert job == {(peers(chart, "dns"), 53), (pods_of("nats"), "client")}


def test_nobody_is_asked_but_the_gateway_and_by_whoever_reads_metrics(chart: Rendered) -> None:
    monitoring = policy_values(chart)["monitoring"]
    for service in SERVICES:
        heard = set(rules(chart.one("NetworkPolicy", f"slipway-{service}"), "ingress", "from"))
        wanted: set[tuple[str, Any]] = {(peers(chart, "monitoring"), "health")} if monitoring else set()
        if service == "gateway":
            wanted.add((peers(chart, "ingress"), "http"))
        assert heard == wanted
    assert not list(rules(chart.one("NetworkPolicy", "slipway-deploy"), "ingress", "from"))


def test_the_bus_is_asked_by_its_users_and_its_servers_meet_each_other_alone(chart: Rendered) -> None:
    policy = chart.one("NetworkPolicy", "slipway-nats")
    clients, cluster = policy["spec"]["ingress"]
    selector = clients["from"][0]["podSelector"]
    assert set(selector["matchExpressions"][0]["values"]) == {*SERVICES, "deploy"}
    assert clients["from"][1:] == policy_values(chart)["bus"]
    assert [port["port"] for port in clients["ports"]] == ["client"]
    assert [port["port"] for port in cluster["ports"]] == ["cluster"]
    assert json.dumps(cluster["from"], sort_keys=True) == pods_of("nats")
    assert set(rules(policy, "egress", "to")) == {(peers(chart, "dns"), 53), (pods_of("nats"), "cluster")}


def test_what_is_outside_is_nothing_private() -> None:
    policy = policy_values(examples()["required"])
    denied = {network for peer in policy["outside"] for network in peer["ipBlock"]["except"]}
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"} <= denied


def test_where_policies_are_turned_off_there_are_none() -> None:
    assert not examples()["minimal"].of_kind("NetworkPolicy")

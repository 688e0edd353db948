"""Dashboards, alert rules, scrape targets and collector: each speaks of what there is."""

from __future__ import annotations

import re
from typing import Any

import httpx
import prometheus_client
import pytest
import yaml

from chassis import folding, health, metrics
from deploy.embedded.processes import PROJECT
from tests.deploy import metrics_in_use as in_use
from tests.deploy.composition import containers

CONTAINERS = containers()
_ALWAYS = {"job", "instance", "process", "le"}
_LABELS_OF_SPANS = {"span_name", "span_kind", "service_name", "status_code", "slipway_outcome"}


async def test_a_process_that_cannot_use_what_it_needs_says_so_to_prometheus() -> None:
    async def away() -> None:
        raise LookupError("away")

    served = httpx.ASGITransport(health.app("probe", {"database": away}))
    async with httpx.AsyncClient(transport=served, base_url="http://probe") as client:
        assert (await client.get("/readyz")).status_code == 503
        assert 'slipway_ready{service="probe"} 0.0' in (await client.get("/metrics")).text


def _settings(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((in_use.OBSERVABILITY / name).read_text(encoding="utf-8"))
    return found


def _ours() -> dict[str, set[str]]:
    """By the name of a metric of the chassis: its labels."""
    found: dict[str, set[str]] = {}
    for module in (metrics, folding):
        for one in vars(module).values():
            if isinstance(one, prometheus_client.metrics.MetricWrapperBase):
                parts = in_use.PARTS[str(one._type)]
                found |= {f"{one._name}{part}": set(one._labelnames) for part in parts}
    return found


@pytest.mark.parametrize("use", in_use.uses(), ids=lambda use: f"{use.where} {use.metric}")
def test_a_dashboard_or_rule_speaks_of_a_metric_that_is_counted_and_of_labels_that_it_has(use: in_use.Use) -> None:
    ours = _ours()
    if use.metric in ours:
        assert use.labels <= ours[use.metric] | _ALWAYS
    elif use.metric in in_use.of_spans():
        assert use.labels <= _LABELS_OF_SPANS | _ALWAYS
    else:
        of_every_process = {"process_resident_memory_bytes", "process_cpu_seconds_total"}
        assert use.metric in in_use.recorded() | in_use.BY_PROMETHEUS | of_every_process
        assert use.labels <= _ALWAYS


@pytest.mark.parametrize("rule", [rule for rule in in_use.rules() if "alert" in rule], ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_and_leads_to_a_runbook_that_names_it(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    text = (PROJECT / rule["annotations"]["runbook"]).read_text(encoding="utf-8")
    assert rule["alert"] in text
    assert rule["annotations"]["summary"]


def test_prometheus_asks_each_service_at_the_port_where_it_answers() -> None:
    (job,) = (one for one in _settings("prometheus.yml")["scrape_configs"] if one["job_name"] == "slipway")
    asked = {one["labels"]["process"]: one["targets"] for one in job["static_configs"]}
    services = [name for name, one in CONTAINERS.items() if "SLIPWAY_HEALTH_HOST" in one.environment]
    assert asked == {name: [f"{name}:{CONTAINERS[name].environment['SLIPWAY_HEALTH_PORT']}"] for name in services}
    assert len(asked) == 6


def test_spans_go_from_the_services_through_the_collector_to_jaeger_and_are_counted_with_exemplars() -> None:
    collector, jaeger = _settings("otel-collector.yaml"), _settings("jaeger.yaml")
    listens = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    told = {
        one.environment["SLIPWAY_OTLP_ENDPOINT"]
        for one in CONTAINERS.values()
        if "SLIPWAY_OTLP_ENDPOINT" in one.environment
    }
    assert told == {f"http://otel-collector:{listens.rpartition(':')[2]}"}
    sends = collector["exporters"]["otlphttp/jaeger"]["endpoint"]
    assert sends == f"http://jaeger:{jaeger['receivers']['otlp']['protocols']['http']['endpoint'].rpartition(':')[2]}"
    assert collector["connectors"]["spanmetrics"]["exemplars"]["enabled"] is True
    assert collector["exporters"]["prometheus"]["enable_open_metrics"] is True
    assert "--enable-feature=exemplar-storage" in CONTAINERS["prometheus"].argv
    for settings in (collector, jaeger):
        _requires_each_component(settings)


def _requires_each_component(settings: dict[str, Any]) -> None:
    """What a pipeline names is defined, and what is defined is in a pipeline."""
    pipelines = settings["service"]["pipelines"].values()
    connectors = set(settings.get("connectors", {}))
    for kind in ("receivers", "processors", "exporters"):
        named = {name for pipeline in pipelines for name in pipeline.get(kind, [])}
        assert named - connectors == set(settings.get(kind, {}))
    assert set(settings["service"].get("extensions", [])) == set(settings.get("extensions", {}))


def test_a_point_with_a_trace_id_leads_to_jaeger() -> None:
    sources = {one["uid"]: one for one in _settings("grafana/provisioning/datasources/slipway.yaml")["datasources"]}
    (link,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert sources[link["datasourceUid"]]["type"] == "jaeger"
    port = CONTAINERS["jaeger"].told["ports"][0].rpartition(":")[2]
    assert sources["jaeger"]["url"] == f"http://jaeger:{port}"
    shown = [
        target
        for path in in_use.DASHBOARDS
        for panel in in_use.dashboard(path)["panels"]
        for target in panel["targets"]
    ]
    with_exemplars = [target["expr"] for target in shown if target.get("exemplar")]
    assert with_exemplars
    assert all(any(name in expression for name in in_use.of_spans()) for expression in with_exemplars)


@pytest.mark.parametrize("path", in_use.DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_fits_together(path: Any) -> None:
    document = in_use.dashboard(path)
    panels = document["panels"]
    assert re.fullmatch(r"[a-z-]{1,40}", document["uid"])
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = {one["uid"] for one in _settings("grafana/provisioning/datasources/slipway.yaml")["datasources"]}
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["description"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} <= sources
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & covered
        covered |= cells

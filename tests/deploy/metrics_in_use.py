"""Which metrics the dashboards and the alert rules speak of, and which there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.embedded.processes import PROJECT

OBSERVABILITY = PROJECT / "deploy" / "observability"
DASHBOARDS = sorted((OBSERVABILITY / "grafana" / "dashboards").glob("*.json"))
BY_PROMETHEUS = {"up"}
PARTS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


@dataclass(frozen=True)
class Use:
    """One metric within one expression, with the labels that the expression names of it."""

    where: str
    metric: str
    labels: frozenset[str]


def rules() -> list[dict[str, Any]]:
    """Every rule, recorded and alerting."""
    found = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard's document."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression with where it stands."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "1m")


def uses() -> list[Use]:
    """Every metric in every expression. Raises ValueError for one that Prometheus would not take."""
    return [use for where, expression in expressions() for use in _walk(where, promql_parser.parse(expression), set())]


def recorded() -> set[str]:
    """The names of metrics that rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def of_spans() -> set[str]:
    """The names of metrics that the collector makes of spans."""
    settings = yaml.safe_load((OBSERVABILITY / "otel-collector.yaml").read_text(encoding="utf-8"))
    connector = settings["connectors"]["spanmetrics"]
    assert connector["histogram"]["unit"] == "s"
    name = connector["namespace"].replace(".", "_")
    return {f"{name}_calls_total", *(f"{name}_duration_seconds{part}" for part in PARTS["histogram"])}


def exported(text: str) -> set[str]:
    """The names of metrics in what a process answers to Prometheus, those without a value yet among them."""
    return {
        f"{family.name}{part}" for family in text_string_to_metric_families(text) for part in PARTS.get(family.type, ())
    }


def _walk(where: str, node: Any, labels: set[str]) -> Iterator[Use]:
    match node:
        case promql_parser.VectorSelector():
            matched = {matcher.name for matcher in node.matchers.matchers}
            yield Use(where, str(node.name), frozenset(labels | matched))
        case promql_parser.MatrixSelector():
            yield from _walk(where, node.vector_selector, labels)
        case promql_parser.AggregateExpr():
            kept = set(node.modifier.labels) if node.modifier is not None else set()
            yield from _walk(where, node.expr, labels | kept)
        case promql_parser.Call():
            for argument in node.args:
                yield from _walk(where, argument, labels)
        case promql_parser.BinaryExpr():
            yield from _walk(where, node.lhs, labels)
            yield from _walk(where, node.rhs, labels)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _walk(where, node.expr, labels)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise AssertionError(f"an expression of {where} has a {type(node).__name__}")

"""A trace in the terminal."""

from typing import Any

import pytest

from cli.screens.waterfall import Span, ordered, parse, render
from tests.unit.cli.conftest import Slipway
from tests.unit.cli.samples import NAME, run, tell
from tests.unit.cli.scripted import TRACE_ID, Answer, ScriptedGateway, Stream

SPANS = [
    Span("a", None, "gateway", "POST /api/v1/environments", 0, 9_000, False),
    Span("b", "a", "provisioner", "provisioner provision", 10_000, 800_000, False),
    Span("c", "b", "provisioner", "terraform apply", 20_000, 500_000, True),
    Span("d", "c", "provisioner", "x" * 200, 30_000, 0, False),
    Span("e", "gone", "notifier", "slack chat.postMessage", 1_000_000, 12_345_678, False),
]


def lines(columns: int | None) -> list[str]:
    """The waterfall without styles."""
    return [line.plain for line in render(SPANS, columns)]


@pytest.mark.parametrize("columns", range(60, 200, 7))
def test_the_waterfall_fits_and_keeps_every_duration(columns: int) -> None:
    found = lines(columns)
    assert max(map(len, found)) <= columns
    for duration in ("9.0", "800.0", "500.0", "0.0", "12,345.7"):
        assert any(f" {duration} " in line for line in found)


def test_what_nothing_narrows_has_one_width() -> None:
    assert max(map(len, lines(None))) <= 120


def test_children_stand_below_their_parents_and_orphans_at_the_top() -> None:
    assert [(depth, span.id) for depth, span in ordered(SPANS)] == [(0, "a"), (1, "b"), (2, "c"), (3, "d"), (0, "e")]


def test_a_failed_span_has_a_sign_and_a_colour() -> None:
    failed = next(line for line in render(SPANS, 120) if "terraform apply" in line.plain)
    assert "✗ terraform apply" in failed.plain
    assert {str(span.style) for span in failed.spans} >= {"red"}
    assert sum("✗" in line for line in lines(120)) == 1


def test_every_span_has_a_bar_within_the_picture() -> None:
    for line in lines(100)[1:]:
        assert "━" in line


@pytest.mark.parametrize(
    ("tag", "failed"),
    [({"key": "error", "value": True}, True), ({"key": "otel.status_code", "value": "ERROR"}, True),
     ({"key": "error", "value": False}, False), ({"key": "http.status", "value": 500}, False)],
)  # fmt: skip
def test_jaeger_says_in_two_ways_that_a_span_failed(tag: dict[str, Any], failed: bool) -> None:
    raw = {"spanID": "a", "operationName": "x", "startTime": 1, "duration": 2, "processID": "p1", "tags": [tag]}
    (span,) = parse({"processes": {"p1": {"serviceName": "cicd"}}, "spans": [raw]})
    assert (span.service, span.failed) == ("cicd", failed)


def trace(*names: str) -> dict[str, Any]:
    """An answer of Jaeger's query API."""
    spans = [
        {"spanID": name, "operationName": name, "startTime": 1, "duration": 2, "processID": "p1", "tags": []}
        for name in names
    ]
    return {"data": [{"processes": {"p1": {"serviceName": "cicd"}}, "spans": spans}]}


def test_trace_ends_on_the_address_of_the_whole_picture(slipway: Slipway, gateway: ScriptedGateway) -> None:
    tell(gateway, Stream())
    gateway.on("GET", "/api/v1/platform", {"urls": {"traces": gateway.url}})
    gateway.on("GET", f"/api/traces/{TRACE_ID}", trace("one", "two"))
    by_name, by_id = slipway("trace", NAME), slipway("trace", TRACE_ID)
    assert by_name.out == by_id.out
    assert by_name.last_line == f"{gateway.url}/trace/{TRACE_ID}"
    assert "2 spans, 1 services" in by_name.out


@pytest.mark.parametrize(
    ("answer", "code"),
    [(Answer({"data": []}), 4), (trace(), 4), (Answer({"errors": []}, 404), 4), (Answer("<html>"), 1), (Answer([]), 1)],
    ids=["none", "empty", "not found", "a page", "a list"],
)
def test_a_trace_that_is_not_there_is_said_so(
    slipway: Slipway, gateway: ScriptedGateway, answer: Answer, code: int
) -> None:
    gateway.on("GET", "/api/v1/platform", {"urls": {"traces": gateway.url}})
    gateway.on("GET", f"/api/traces/{TRACE_ID}", answer)
    assert slipway("trace", TRACE_ID).code == code


def test_a_run_without_a_trace_and_a_platform_without_a_store_are_said_so(
    slipway: Slipway, gateway: ScriptedGateway
) -> None:
    tell(gateway, Stream())
    gateway.on("GET", f"/api/v1/runs/{run()['id']}", run(trace_id=None))
    assert slipway("trace", NAME).code == 4
    gateway.on("GET", "/api/v1/platform", {"urls": {"traces": None}})
    said = slipway("trace", TRACE_ID)
    assert said.code == 1
    assert TRACE_ID in said.err

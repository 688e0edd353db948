"""One trace from the request to the message: one root, no orphan, every service in it."""

from typing import Any

import httpx
import pytest

from contracts.topology import SERVICES
from tests.saga.driver import Driver
from tests.waiting import until


async def spans_of(platform: Driver, trace_id: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=platform.traces_url, trust_env=False) as store:
        found = await store.get(f"/api/traces/{trace_id}")
    if found.status_code == 404:
        return {"spans": [], "processes": {}}
    trace: dict[str, Any] = found.json()["data"][0]
    return trace


def services_in(trace: dict[str, Any]) -> set[str]:
    return {trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"]}


def parents_of(trace: dict[str, Any]) -> list[str | None]:
    return [
        next((one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"), None)
        for span in trace["spans"]
    ]


@pytest.mark.parametrize("words", [(), ("busy-secrets",), ("fail-pipeline",)])
async def test_a_run_is_one_trace_with_one_root_and_no_orphan(platform: Driver, words: tuple[str, ...]) -> None:
    name = platform.name(*words)
    run_id = await platform.create(name)
    verdict = await platform.verdict(run_id)
    events = await platform.events(name)
    said = {event.traceparent.split("-")[2] for event in events if event.traceparent}
    trace_ids = {event.traceparent.split("-")[1] for event in events if event.traceparent}
    assert all(event.traceparent for event in events)
    (trace_id,) = trace_ids
    run = await platform.get(f"/runs/{run_id}")
    assert run["trace_id"] == trace_id

    async def complete() -> dict[str, Any] | None:
        """The trace once it has the span that each event was said in, the fold of the verdict, and the notifier's last
        word."""
        trace = await spans_of(platform, trace_id)
        folded = {
            tag["value"]
            for span in trace["spans"]
            if span["operationName"] == "catalog fold"
            for tag in span["tags"]
            if tag["key"] == "slipway.event"
        }
        known = {span["spanID"] for span in trace["spans"]}
        whole = all(parent is None or parent in known for parent in parents_of(trace))
        heard = said <= known and verdict.kind in folded
        return trace if heard and services_in(trace) == set(SERVICES) and whole else None

    trace = await until(complete, what=f"a whole trace of {name}")
    assert {span["traceID"] for span in trace["spans"]} == {trace_id}
    assert parents_of(trace).count(None) == 1
    root = trace["spans"][parents_of(trace).index(None)]
    assert trace["processes"][root["processID"]]["serviceName"] == "gateway"


async def test_two_runs_of_one_environment_are_two_traces(platform: Driver) -> None:
    name = platform.name()
    created = await platform.verdict(await platform.create(name))
    await platform.settled(f"/environments/{name}", "ready")
    deleted = await platform.verdict(await platform.delete(name))
    assert created.traceparent
    assert deleted.traceparent
    assert created.traceparent.split("-")[1] != deleted.traceparent.split("-")[1]

"""A rollout on a real bus, a real Postgres and the real catalog, driven by two gateways, of which one is killed."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.bus import Bus
from chassis.questions import answer_all
from contracts.events import EnvironmentUpdateRequested
from contracts.plans import Plan, PlanEnvironment, PlannedChange
from contracts.values import Resource
from deploy.embedded.ports import free_port
from tests.gateways import (
    GOLDEN_PATHS,
    Platform,
    admin_client,
    created,
    events_of,
    everybody_on,
    gateway_platform,
    told_to_its_end,
)
from tests.waiting import until

ROLLOUTS = "/api/v1/rollouts"


@pytest.fixture(scope="module")
def golden_paths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden paths, where a newer version can be published."""
    directory = tmp_path_factory.mktemp("paths") / "golden_paths"
    shutil.copytree(GOLDEN_PATHS, directory)
    return directory


def settings(golden_paths: Path) -> dict[str, str]:
    """Of both gateways."""
    return {"SLIPWAY_GATEWAY_GOLDEN_PATHS": str(golden_paths), "SLIPWAY_GATEWAY_ROLLOUT_LEASE_SECONDS": "2"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, golden_paths: Path) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("rollouts")
    with gateway_platform(directory, **settings(golden_paths)) as found:
        yield found


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_client(platform) as client:
        yield client


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    async with everybody_on(platform) as connected:
        yield connected


def publish(golden_paths: Path, version: str) -> None:
    """Put another version on offer."""
    manifest = golden_paths / "nodejs-api" / "golden_path.yaml"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(f"version: {version}\n" if line.startswith("version:") else line for line in lines))


async def updates_of(bus: Bus, environment: str) -> list[EnvironmentUpdateRequested]:
    return [event for event in await events_of(bus, environment) if isinstance(event, EnvironmentUpdateRequested)]


async def work(buses: dict[str, Bus], names: list[str], order: list[str]) -> None:
    """Everybody else's part: each update that was begun is carried out. `order` is how they came."""
    while True:
        for name in names:
            updates = await updates_of(buses["gateway"], name)
            if updates and name not in order:
                order.append(name)
                await told_to_its_end(buses, updates[0])
        await asyncio.sleep(0.05)


async def test_two_gateways_bring_a_new_version_everywhere_once_and_one_may_die(
    api: httpx.AsyncClient, buses: dict[str, Bus], platform: Platform, golden_paths: Path
) -> None:
    async def plan(question: PlanEnvironment) -> Plan:
        resource = Resource(kind="database", id=f"apps/{question.spec.name}")
        action: Any = "replace" if question.spec.name == names[-1] else "update"
        return Plan(changes=(PlannedChange(action=action, resource=resource),), hash="a" * 64)

    names = sorted([(await created(api, buses)).subject for _ in range(5)])
    await answer_all(buses["provisioner"], "provisioner", {PlanEnvironment: plan})
    other = replace(platform, port=free_port(), health_port=free_port())
    replica = other.start_gateway(**settings(golden_paths))
    await other.ready()
    publish(golden_paths, "9.0.0")

    async def is_on_offer() -> bool:
        shown = (await api.get(f"/api/v1/environments/{names[0]}")).json()
        return bool(shown["update_available"] == "9.0.0")

    await until(is_on_offer, what="the new version")
    body = {"golden_path": "nodejs-api", "canaries": 1, "batch_size": 2}
    answer = await api.post(ROLLOUTS, json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202, answer.text
    assert (await api.post(ROLLOUTS, json=body, headers={"Idempotency-Key": "k"})).json()["id"] == answer.json()["id"]
    assert (await api.post(ROLLOUTS, json=body)).status_code == 409
    address, order = answer.headers["Location"], list[str]()

    async with asyncio.TaskGroup() as group:
        working = group.create_task(work(buses, names, order))

        async def canary_is_through() -> bool:
            return bool((await api.get(address)).json()["counts"]["upgraded"] >= 1)

        await until(canary_is_through, what="the canary")
        replica.kill()

        async def is_over() -> bool:
            return (await api.get(address)).json()["ended_at"] is not None

        await until(is_over, what="the rollout")
        working.cancel()

    told = (await api.get(address)).json()
    assert told["status"] == "done", told
    assert {member["environment"]: member["state"] for member in told["members"]} == {
        **dict.fromkeys(names[:-1], "upgraded"),
        names[-1]: "held",
    }
    assert order[0] == names[0]
    updates = [await updates_of(buses["gateway"], name) for name in names]
    assert [len(found) for found in updates] == [1, 1, 1, 1, 0]
    begun = [found[0] for found in updates[:-1]]
    assert {event.data.spec.golden_path_version for event in begun} == {"9.0.0"}
    assert len({str(event.traceparent).split("-")[1] for event in begun}) == 4
    assert [member["run_id"] for member in told["members"][:4]] == [str(event.id) for event in begun]
    listed = (await api.get(ROLLOUTS)).json()["items"]
    assert [one["counts"]["upgraded"] for one in listed] == [4]

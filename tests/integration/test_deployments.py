"""From the gateway's door to a running application and back into the catalogue: the real gateway, catalog and runtime,
on a real bus, a real Postgres and a real ingress."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.bus import Bus
from deploy.embedded.home import write_file
from tests.gateways import Platform, admin_client, asked, events_of, everybody_on, gateway_platform, told_to_its_end
from tests.runtimes import (
    TOKEN,
    Client,
    RuntimeUnderTest,
    archive,
    client_of,
    ending,
    order,
    program,
    runtime_beside_caddy,
)
from tests.waiting import until

SECRET = "between-runtime-and-gateway"


@dataclass
class Together:
    """Everything, running."""

    platform: Platform
    runtime: RuntimeUnderTest


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    directory: Path = tmp_path_factory.mktemp("deployments")
    secret, token = directory / "webhook.secret", directory / "runtime.token"
    write_file(secret, SECRET)
    write_file(token, TOKEN)
    with runtime_beside_caddy(directory / "runtime") as runtime:
        settings = {
            "SLIPWAY_GATEWAY_RUNTIME_URL": runtime.url,
            "SLIPWAY_GATEWAY_RUNTIME_TOKEN_FILE": str(token),
            "SLIPWAY_GATEWAY_RUNTIME_WEBHOOK_SECRET_FILE": str(secret),
        }
        with gateway_platform(directory / "platform", **settings) as platform:
            # The two know each other's address only now.
            runtime.stop()
            runtime.settings |= {"GATEWAY_URL": platform.url, "WEBHOOK_SECRET_FILE": str(secret)}
            runtime.start()
            yield Together(platform, runtime)


@pytest.fixture
async def api(together: Together) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_client(together.platform) as client:
        yield client


@pytest.fixture
async def visitor(together: Together) -> AsyncIterator[Client]:
    async with client_of(together.runtime) as client:
        yield client


@pytest.fixture
async def buses(together: Together) -> AsyncIterator[dict[str, Bus]]:
    async with everybody_on(together.platform) as connected:
        yield connected


async def created(together: Together, api: httpx.AsyncClient, buses: dict[str, Bus], name: str) -> None:
    """An environment that is ready, with its slot; what else its golden path says is in the tests' own words."""
    answer = await api.post("/api/v1/environments", json=asked(name, golden_path="frontend"))
    assert answer.status_code == 202, answer.text
    [request] = await events_of(buses["gateway"], name)
    together.runtime.make_slot(name, incarnation=str(request.id))
    await told_to_its_end(buses, request)  # type: ignore[arg-type]

    async def is_ready() -> bool:
        return bool((await api.get(f"/api/v1/environments/{name}")).json()["state"] == "ready")

    await until(is_ready, what="the environment")


async def deploy(api: httpx.AsyncClient, name: str, deployment_id: str, files: dict[str, Any]) -> httpx.Response:
    note = {"deployment_id": deployment_id, "commit": f"{abs(hash(deployment_id)):040x}"[-40:], "branch": "main"}
    parts = [
        ("deployment", (None, json.dumps(note | {"author": "ada"}).encode(), "application/json")),
        ("release", ("release.tgz", archive(files), "application/gzip")),
    ]
    return await api.post(f"/api/v1/environments/{name}/deployments", files=parts, timeout=60)


async def shown(api: httpx.AsyncClient, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/api/v1/environments/{name}")).json()
    return found


async def test_what_is_deployed_answers_and_the_catalogue_knows_of_it(
    together: Together, api: httpx.AsyncClient, buses: dict[str, Bus], visitor: Client
) -> None:
    await created(together, api, buses, "shop")
    answer = await deploy(api, "shop", "d1", {"dist/index.html": "one"})
    assert answer.status_code == 200, answer.text
    assert (await visitor.browse("shop")).text == "one"

    async def is_known() -> bool:
        view = await shown(api, "shop")
        return bool(view["running"] == "healthy" and view["deployment"] == "deployed")

    await until(is_known, what="the catalogue's word")
    failed = await deploy(api, "shop", "d2", {"nothing": "was built"})
    assert failed.status_code == 422
    assert failed.json()["type"] == "urn:slipway:problem:deployment_failed"
    assert (await visitor.browse("shop")).text == "one"

    async def failure_is_known() -> bool:
        return bool((await shown(api, "shop"))["deployment"] == "failed")

    await until(failure_is_known, what="the failed deployment")
    assert (await deploy(api, "shop", "d3", {"dist/index.html": "three"})).status_code == 200
    rolled = await api.post("/api/v1/environments/shop:rollback", headers={"Idempotency-Key": "back"})
    assert rolled.status_code == 200, rolled.text
    assert (await visitor.browse("shop")).text == "one"
    listed = (await api.get("/api/v1/environments/shop/deployments")).json()
    assert [(one["deployment_id"][:8], one["state"]) for one in listed["items"]] == [
        ("rollback", "succeeded"),
        ("d3", "succeeded"),
        ("d2", "failed"),
        ("d1", "succeeded"),
    ]


async def test_an_applications_output_can_be_followed_through_the_gateway(
    together: Together, api: httpx.AsyncClient, buses: dict[str, Bus], visitor: Client
) -> None:
    await created(together, api, buses, "talk")
    answer = await deploy(api, "talk", "t1", {"dist/index.html": "one"})
    assert answer.status_code == 200, answer.text
    # A site prints nothing, so the runtime's own words about another kind of application have to do.
    slot = await visitor.view("talk")
    assert slot.state == "healthy"
    assert (await api.get("/api/v1/environments/talk/logs")).json() == {"items": []}
    await visitor.deploy("talk", order("t2"), program("talk"))
    items = (await api.get("/api/v1/environments/talk/logs?lines=20")).json()["items"]
    assert "serving talk" in [item["text"] for item in items]
    address = "/api/v1/environments/talk/logs?lines=0&follow=true"
    async with api.stream("GET", address) as following, ending(visitor, "talk"):
        async for line in following.aiter_lines():
            if line.startswith("data:") and "exit code 3" in line:
                break

"""What the platform knows of its environments, asked over HTTP of a real gateway and a real catalog."""

import csv
import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from chassis.bus import Bus
from contracts.events import EnvironmentExtended, EnvironmentRequested
from tests.gateways import (
    KEY,
    Platform,
    admin_client,
    asked,
    created,
    events_of,
    everybody_on,
    gateway_platform,
    name,
    say,
)
from tests.waiting import until

API = "/api/v1"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with gateway_platform(tmp_path_factory.mktemp("catalogue")) as found:
        yield found


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_client(platform) as client:
        yield client


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    async with everybody_on(platform) as connected:
        yield connected


async def tell(api: httpx.AsyncClient, environment: str, **fact: Any) -> dict[str, Any]:
    answer = await api.post(f"{API}/environments/{environment}/facts", json=fact)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def see(api: httpx.AsyncClient, environment: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"{API}/environments/{environment}")).json()
    return found


async def shows(api: httpx.AsyncClient, environment: str, **expected: Any) -> dict[str, Any]:
    """The environment once it shows these values."""

    async def there() -> dict[str, Any] | None:
        found = await see(api, environment)
        return found if all(found[field] == value for field, value in expected.items()) else None

    return await until(there, what=f"{expected} of {environment}")


def deployment(state: str = "succeeded", number: str = "41") -> dict[str, Any]:
    return {"deployment_id": number, "state": state, "commit": "0123456789abcdef", "branch": "main", "author": "ada"}


async def test_facts_of_other_systems_show_and_the_same_one_counts_once(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    request = await created(api, buses)
    environment = request.subject
    first = await tell(api, environment, deployment=deployment("started"), source="argo-cd")
    again = await tell(api, environment, deployment=deployment("started"), source="argo-cd")
    assert first["id"] == again["id"]
    await tell(api, environment, deployment=deployment())
    await tell(api, environment, health={"state": "degraded", "reason": "slow"})

    view = await shows(api, environment, deployment="deployed", running="degraded", running_reason="slow")
    assert view["state"] == "ready"
    assert view["last_successful_deployment"]["deployment_id"] == "41"
    assert view["cost"]["currency"] == "USD"
    now = datetime.now(UTC)
    cost = {"amount": 2.5, "currency": "USD", "period_start": str(now - timedelta(hours=1)), "period_end": str(now)}
    await tell(api, environment, cost=cost)

    async def counted() -> bool:
        return bool((await see(api, environment))["cost"]["recorded"] == "2.50")

    await until(counted, what="the recorded cost")


async def test_a_deployment_renews_a_preview(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    request = await created(api, buses)
    environment = request.subject
    end = datetime.fromisoformat((await see(api, environment))["expires_at"])
    # As if it had been asked for two days ago: a renewal that gains less than an hour is not said.
    events = await events_of(buses["gateway"], environment)
    assert isinstance(events[0], EnvironmentRequested)
    short = {"spec": request.data.spec, "expires_at": end - timedelta(days=2), "requested_by": "ada"}
    cause = request.id
    extended = EnvironmentExtended.model_validate(
        {
            "id": KEY.derive(cause, EnvironmentExtended.kind),
            "source": "gateway",
            "type": "slipway.EnvironmentExtended.v1",
            "subject": environment,
            "time": datetime.now(UTC),
            "incarnation": request.id,
            "runid": request.id,
            "correlationid": request.id,
            "causationid": cause,
            "data": short,
        }
    )
    await say(buses, extended)

    async def shortened() -> bool:
        return datetime.fromisoformat((await see(api, environment))["expires_at"]) < end - timedelta(days=1)

    await until(shortened, what="the earlier end")
    await tell(api, environment, deployment=deployment())

    async def renewed() -> bool:
        return abs(datetime.fromisoformat((await see(api, environment))["expires_at"]) - end) < timedelta(minutes=5)

    await until(renewed, what="the renewal")
    (said,) = [
        event
        for event in await events_of(buses["gateway"], environment)
        if isinstance(event, EnvironmentExtended) and event.source == "catalog"
    ]
    assert said.data.requested_by is None


async def test_alerts_say_how_an_environment_is(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environment = (await created(api, buses)).subject

    def alert(status: str, labels: dict[str, str], **times: str) -> dict[str, Any]:
        return {
            "status": status,
            "labels": {"alertname": "HighErrors", **labels},
            "annotations": {"summary": "5% of requests fail"},
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "f".join(labels.values())[:16],
            **times,
        }

    async def send(*alerts: dict[str, Any]) -> list[str]:
        answer = await api.post(f"{API}/webhooks/alertmanager", json={"version": "4", "alerts": alerts})
        assert answer.status_code == 200, answer.text
        return [item["outcome"] for item in answer.json()["items"]]

    ours = {"environment": environment, "severity": "critical"}
    began = datetime.now(UTC).isoformat()
    firing = alert("firing", ours, startsAt=began)
    assert await send(firing, alert("firing", {"environment": name()}), alert("firing", {})) == [
        "told",
        "ignored",
        "ignored",
    ]
    assert await send(firing) == ["told"]
    await shows(api, environment, running="down", running_reason="5% of requests fail")
    assert await send(alert("resolved", ours, startsAt=began, endsAt=datetime.now(UTC).isoformat())) == ["told"]
    await shows(api, environment, running="healthy")


async def test_filters_facets_and_pages(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environments = sorted([(await created(api, buses)).subject for _ in range(3)])
    await tell(api, environments[0], health={"state": "down"})
    await shows(api, environments[0], running="down")

    async def listed(**asked: Any) -> dict[str, Any]:
        answer = await api.get(f"{API}/environments", params=asked)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    down = await listed(running="down", facets="true", q=environments[0][:20])
    assert [item["name"] for item in down["items"]] == [environments[0]]
    assert (down["total"], down["total_is_exact"]) == (1, True)
    assert down["facets"]["running"] == [{"value": "down", "count": 1}]
    everything = await listed(facets="true", sort="created_at", descending="true", limit=2)
    assert sum(one["count"] for one in everything["facets"]["state"]) == everything["total"]
    following = await listed(sort="created_at", descending="true", limit=2, cursor=everything["next_cursor"])
    assert not {item["name"] for item in following["items"]} & {item["name"] for item in everything["items"]}
    other = await api.get(f"{API}/environments", params={"cursor": everything["next_cursor"]})
    assert other.status_code == 422


async def test_the_graph_tells_who_is_affected_and_why_something_is_not_well(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    below = (await created(api, buses)).subject
    above = name()
    answer = await api.post(f"{API}/environments", json=asked(above, depends_on=[below]))
    assert answer.status_code == 202, answer.text
    assert (await see(api, above))["depends_on"] == [below]
    await tell(api, below, health={"state": "down", "reason": "no answer"})
    await shows(api, below, running="down")

    graph = (await api.get(f"{API}/environments/{below}/graph")).json()
    assert (graph["affected"], graph["affected_unseen"], graph["complete"]) == ([above], 0, True)
    edge = {"source": f"environment:{above}", "target": f"environment:{below}", "kind": "depends_on"}
    assert edge in graph["edges"]
    (node,) = [node for node in graph["nodes"] if node["name"] == above]
    assert (node["running"], node["health"]["state"], node["health"]["because_of"]) == ("unknown", "down", below)
    assert {node["kind"] for node in graph["nodes"]} == {"environment", "database", "route", "repository"}
    same = (await api.get(f"{API}/graph", params={"environment": above})).json()
    assert same["affected"] == []
    assert (await api.get(f"{API}/graph", params={"environment": "nobody"})).status_code == 404


async def test_exports_hold_what_the_list_holds(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environment = (await created(api, buses)).subject
    found = await api.get(f"{API}/environments/export", params={"format": "csv", "q": environment})
    assert found.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(found.text))
    assert (row["name"], row["state"], row["team"]) == (environment, "ready", "platform")
    (item,) = (await api.get(f"{API}/environments/export", params={"format": "json", "q": environment})).json()
    assert item == {**await see(api, environment), "cost": item["cost"]}

    one = await api.get(f"{API}/environments/{environment}/catalog-info.yaml")
    assert one.headers["content-type"] == "application/yaml"
    component, *resources = yaml.safe_load_all(one.text)
    assert (component["kind"], component["metadata"]["name"]) == ("Component", environment)
    assert component["spec"]["owner"] == "group:default/platform"
    assert {one["spec"]["type"] for one in resources} == {"database", "route"}
    assert {f"resource:default/{one['metadata']['name']}" for one in resources} <= set(component["spec"]["dependsOn"])
    everything = list(yaml.safe_load_all((await api.get(f"{API}/catalog-info.yaml")).text))
    assert component in everything


async def test_facts_are_told_by_developers_of_the_environment_only(
    api: httpx.AsyncClient, buses: dict[str, Bus], platform: Platform
) -> None:
    environment = (await created(api, buses)).subject
    codes = {}
    for role, team in (("viewer", "platform"), ("developer", "search"), ("developer", "platform")):
        token = await api.post(f"{API}/tokens", json={"name": "t", "role": role, "teams": [team], "person": "bob"})
        headers = {"Authorization": f"Bearer {token.json()['token']}"}
        fact = {"health": {"state": "healthy"}}
        answer = await api.post(f"{platform.url}{API}/environments/{environment}/facts", json=fact, headers=headers)
        codes[role, team] = answer.status_code
    assert codes == {("viewer", "platform"): 403, ("developer", "search"): 404, ("developer", "platform"): 202}
    future = {"health": {"state": "down"}, "time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    refused = await api.post(f"{API}/environments/{environment}/facts", json=future)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "time")
    nothing = await api.post(f"{API}/environments/{environment}/facts", json={})
    assert nothing.status_code == 422

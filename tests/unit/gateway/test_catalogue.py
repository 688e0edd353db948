"""What the gateway tells of environments besides their runs: filters, the graph, facts, exports."""

from datetime import timedelta
from typing import Any

import pytest
import yaml

from contracts import signals
from contracts.events import EnvironmentUpdateRequested
from services.gateway.domain.entities import entities
from services.gateway.domain.graphs import draw
from tests import samples
from tests.unit.gateway.rig import Rig, ask, end, path, principal

ADDRESS = "/api/v1/environments"
HEALTH = {"health": {"state": "down", "reason": "no answer"}}


async def ready(rig: Rig, name: str, *, team: str = "payments", **more: Any) -> None:
    answered = await rig.asking.create(principal("developer", team), ask(name, **more), None)
    end(rig, answered, "ready")


async def graph(rig: Rig, name: str, *, team: str = "payments") -> dict[str, Any]:
    async with rig.client(await rig.token("developer", team)) as client:
        answer = await client.get(f"{ADDRESS}/{name}/graph")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def test_a_graph_names_nobody_whom_the_asker_does_not_see() -> None:
    rig = Rig()
    await ready(rig, "users")
    await ready(rig, "shop", depends_on=["users", "missing"])
    await ready(rig, "report", team="search", depends_on=["shop"])
    ours, theirs = await graph(rig, "users"), await graph(rig, "report", team="search")

    assert (ours["affected"], ours["affected_unseen"]) == (["shop"], 1)
    assert "report" not in str(ours)
    assert [node["kind"] for node in ours["nodes"] if node["name"] == "missing"] == ["missing"]
    assert {node["name"] for node in theirs["nodes"] if node["kind"] == "environment"} == {"report"}
    assert [node["name"] for node in theirs["nodes"] if node["kind"] == "missing"] == ["shop"]
    assert "users" not in str(theirs)


async def test_why_something_is_not_well_names_only_what_is_seen() -> None:
    rig = Rig()
    await ready(rig, "users")
    await ready(rig, "report", depends_on=["users"])
    every = [(await rig.log.environment(name)) for name in ("users", "report")]
    users, report = [one for one in every if one is not None]
    users = users.model_copy(
        update={"running": "down", "running_since": samples.AT, "running_reason": "the disk is full"}
    )

    whole = draw("report", [report, users], frozenset({"report", "users"}), complete=True)
    part = draw("report", [report, users], frozenset({"report"}), complete=True)
    assert (whole.health["report"].state, whole.health["report"].because_of) == ("down", "users")
    assert whole.health["report"].reason == "the disk is full"
    assert (part.health["report"].state, part.health["report"].because_of) == ("down", None)
    assert "disk" not in (part.health["report"].reason or "")


async def test_what_an_environment_depends_on_is_kept_changed_and_taken_away() -> None:
    rig = Rig()
    await ready(rig, "shop", depends_on=["users", "stock"])
    async with rig.client(await rig.token()) as client:
        assert (await client.get(f"{ADDRESS}/shop")).json()["depends_on"] == ["stock", "users"]
        answer = await client.patch(f"{ADDRESS}/shop", json={"branch": "next"})
        assert answer.status_code == 202
        said = rig.log.events_said[-1]
        assert isinstance(said, EnvironmentUpdateRequested)
        assert said.data.spec.depends_on == ("stock", "users")
    other = Rig()
    await ready(other, "shop", depends_on=["users"])
    async with other.client(await other.token()) as client:
        assert (await client.patch(f"{ADDRESS}/shop", json={"depends_on": ["users"]})).status_code == 200
        assert (await client.patch(f"{ADDRESS}/shop", json={"depends_on": []})).status_code == 202
        said = other.log.events_said[-1]
        assert isinstance(said, EnvironmentUpdateRequested)
        assert said.data.spec.depends_on is None


@pytest.mark.parametrize("named", [["demo-api"], ["users", "users"], ["Not A Name"], "users"])
async def test_what_cannot_be_depended_on_is_refused(named: Any) -> None:
    rig = Rig()
    body = {"name": "demo-api", "golden_path": "nodejs-api", "depends_on": named}
    async with rig.client(await rig.token()) as client:
        answer = await client.post(ADDRESS, json=body)

    assert answer.status_code == 422
    assert rig.log.events_said == []


async def test_a_name_that_stands_in_addresses_is_refused() -> None:
    rig = Rig()
    async with rig.client(await rig.token()) as client:
        answer = await client.post(ADDRESS, json={"name": "export", "golden_path": "nodejs-api"})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")


async def test_a_price_travels_with_every_request() -> None:
    rig = Rig()
    await ready(rig, "shop")
    asked = rig.log.events_said[0].data  # type: ignore[attr-defined]  # a request

    assert asked.price.per_hour == path().cost_per_hour(asked.spec.parameters)


async def test_filters_keep_what_they_say_and_facets_count() -> None:
    rig = Rig()
    await ready(rig, "shop")
    await ready(rig, "stock", branch="next")
    await ready(rig, "hidden", team="search")
    async with rig.client(await rig.token()) as client:
        for params, names in (
            ({}, ["shop", "stock"]),
            ({"branch": "next"}, ["stock"]),
            ({"owner": "ada", "sort": "created_at"}, ["shop", "stock"]),
            ({"owner": "bob"}, []),
            ({"team": "search"}, []),
            ({"forgotten_days": "1"}, []),
            ({"duplicates": "true"}, []),
            ({"descending": "true"}, ["stock", "shop"]),
        ):
            found = (await client.get(ADDRESS, params=params)).json()
            assert [item["name"] for item in found["items"]] == names, params
            assert found["facets"] is None
        counted = (await client.get(ADDRESS, params={"facets": "true", "state": "failed"})).json()
        assert counted["total"] == 0
        assert counted["facets"]["state"] == [{"value": "ready", "count": 2}]
        assert counted["facets"]["team"] == []
        assert (await client.get(ADDRESS, params={"running": "sick"})).status_code == 422


# -- facts -------------------------------------------------------------------------------------------------------------


async def test_a_fact_told_again_is_the_same_fact() -> None:
    rig = Rig()
    await ready(rig, "shop")
    deployment = {"deployment_id": "1", "state": "queued", "commit": "0123456", "branch": "main", "author": "ada"}
    cost = {
        "amount": 1.5,
        "currency": "EUR",
        "period_start": "2026-11-01T00:00:00Z",
        "period_end": "2026-11-02T00:00:00Z",
    }
    at = (samples.AT - timedelta(minutes=1)).isoformat()
    facts: list[dict[str, Any]] = [{"deployment": deployment}, {"cost": cost}, {**HEALTH, "time": at}]
    async with rig.client(await rig.token()) as client:
        for fact in facts:
            ids = {(await client.post(f"{ADDRESS}/shop/facts", json=fact)).json()["id"] for _ in range(2)}
            assert len(ids) == 1
        other = {**deployment, "state": "started"}
        assert (await client.post(f"{ADDRESS}/shop/facts", json={"deployment": other})).status_code == 202
    assert [type(one) for one in rig.signals.said.values()] == [
        signals.DeploymentRecorded,
        signals.CostRecorded,
        signals.HealthChanged,
        signals.DeploymentRecorded,
    ]


@pytest.mark.parametrize(
    "fact",
    [
        {},
        {**HEALTH, "cost": {"amount": 1, "currency": "EUR", "period_start": "x", "period_end": "y"}},
        {"health": {"state": "fine"}},
        {"health": {"state": "down", "unknown": 1}},
        {**HEALTH, "time": (samples.AT + timedelta(minutes=2)).isoformat()},
        {**HEALTH, "time": "2026-01-01T00:00:00"},
        {**HEALTH, "source": "Not A Source"},
        {
            "cost": {
                "amount": 1,
                "currency": "EUR",
                "period_start": "2026-11-02T00:00:00Z",
                "period_end": "2026-11-01T00:00:00Z",
            }
        },
    ],
)
async def test_a_fact_that_breaks_a_rule_is_refused_and_not_said(fact: dict[str, Any]) -> None:
    rig = Rig()
    await ready(rig, "shop")
    async with rig.client(await rig.token()) as client:
        answer = await client.post(f"{ADDRESS}/shop/facts", json=fact)

    assert answer.status_code == 422, answer.text
    assert rig.signals.said == {}


async def test_a_fact_is_not_accepted_while_it_cannot_be_stored() -> None:
    rig = Rig()
    await ready(rig, "shop")
    rig.signals.away = True
    async with rig.client(await rig.token()) as client:
        assert (await client.post(f"{ADDRESS}/shop/facts", json=HEALTH)).status_code == 503


def alerts(*statuses: str, environment: str = "shop") -> dict[str, Any]:
    """A notification of Alertmanager, as it sends it."""
    return {
        "version": "4",
        "groupKey": "{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "slipway",
        "alerts": [
            {
                "status": status,
                "labels": {"alertname": "Slow", "environment": environment, "severity": "warning"},
                "annotations": {"summary": "p95 is 3 s"},
                "startsAt": "2026-11-23T08:00:00.123456789Z",
                "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-23T08:30:00Z",
                "generatorURL": "http://prometheus.test",
                "fingerprint": f"fingerprint{number}",
            }
            for number, status in enumerate(statuses)
        ],
    }


async def test_alerts_are_told_each_as_a_check_of_its_own() -> None:
    rig = Rig()
    await ready(rig, "shop")
    async with rig.client(await rig.token()) as client:
        for _ in range(2):
            answer = await client.post("/api/v1/webhooks/alertmanager", json=alerts("firing", "resolved"))
            assert [item["outcome"] for item in answer.json()["items"]] == ["told", "told"]
    said = [one.data for one in rig.signals.said.values() if isinstance(one, signals.HealthChanged)]
    assert [(one.state, one.check, one.reason) for one in said] == [
        ("degraded", "fingerprint0", "p95 is 3 s"),
        ("healthy", "fingerprint1", ""),
    ]


async def test_alerts_say_nothing_of_what_the_asker_may_not_change() -> None:
    rig = Rig()
    await ready(rig, "shop")
    await ready(rig, "theirs", team="search")
    webhook = "/api/v1/webhooks/alertmanager"
    async with rig.client(await rig.token()) as client:
        answer = await client.post(webhook, json=alerts("firing", environment="theirs"))
        assert [item["outcome"] for item in answer.json()["items"]] == ["ignored"]
        for body in ({"version": "3", "alerts": []}, {"version": "4"}, {"version": "4", "alerts": [{"status": "x"}]}):
            assert (await client.post(webhook, json=body)).status_code == 422
    async with rig.client(await rig.token("viewer")) as client:
        assert (await client.post(webhook, json=alerts("firing"))).status_code == 403
    async with rig.client() as nobody:
        assert (await nobody.post(webhook, json=alerts("firing"))).status_code == 401
    assert rig.signals.said == {}


# -- exports -----------------------------------------------------------------------------------------------------------


async def test_an_environment_is_a_component_with_its_resources() -> None:
    rig = Rig()
    await ready(rig, "shop", depends_on=["users"])
    view = await rig.log.environment("shop")
    assert view is not None
    component, *resources = entities(view, "http://slipway.test/environments/shop")

    assert component["spec"]["dependsOn"][0] == "component:default/users"
    assert [one["metadata"]["name"] for one in resources] == ["shop-database", "shop-route"]
    assert all(one["spec"]["dependencyOf"] == ["component:default/shop"] for one in resources)


async def test_exports_show_what_the_asker_sees_in_pages() -> None:
    rig = Rig()
    for number in range(3):
        await ready(rig, f"shop-{number}")
    await ready(rig, "theirs", team="search")
    async with rig.client(await rig.token()) as client:
        rows = (await client.get(f"{ADDRESS}/export")).text.splitlines()
        items = (await client.get(f"{ADDRESS}/export", params={"format": "json"})).json()
        nothing = (await client.get(f"{ADDRESS}/export", params={"format": "json", "q": "zzz"})).json()
        documents = list(yaml.safe_load_all((await client.get("/api/v1/catalog-info.yaml")).text))
        assert (await client.get(f"{ADDRESS}/export", params={"format": "xml"})).status_code == 422
        assert (await client.get(f"{ADDRESS}/theirs/catalog-info.yaml")).status_code == 404
    assert [row.partition(",")[0] for row in rows] == ["name", "shop-0", "shop-1", "shop-2"]
    assert [item["name"] for item in items] == ["shop-0", "shop-1", "shop-2"]
    assert nothing == []
    names = [one["metadata"]["name"] for one in documents if one["kind"] == "Component"]
    assert names == ["shop-0", "shop-1", "shop-2"]

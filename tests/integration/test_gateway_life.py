"""The rest of an environment's life at the gateway, on a real bus, a real Postgres and the real catalog: change, call
off, plan, extend, share; and quotas that nobody gets past."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from chassis import tracing
from chassis.bus import Bus
from chassis.questions import answer_all
from contracts.events import (
    AccessRequested,
    EnvironmentExtended,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    RunCancelRequested,
)
from contracts.plans import Plan, PlanEnvironment, PlannedChange
from contracts.values import Resource
from tests.gateways import (
    Platform,
    admin_client,
    ask_bus,
    asked,
    created,
    events_of,
    everybody_on,
    gateway_platform,
    name,
    told_to_its_end,
)
from tests.waiting import until

POLICY = """
defaults: {previews_per_repository: 5}
teams:
  crowd: {environments: 10}
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("life")
    policy = directory / "policy.yaml"
    policy.write_text(POLICY)
    settings = {"SLIPWAY_GATEWAY_POLICY_FILE": str(policy), "SLIPWAY_GATEWAY_REQUESTS_AT_ONCE": "100000"}
    with gateway_platform(directory, **settings) as found:
        yield found


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    async with admin_client(platform) as client:
        yield client


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    async with everybody_on(platform) as connected:
        yield connected


async def state_of(api: httpx.AsyncClient, environment: str) -> str:
    return str((await api.get(f"/api/v1/environments/{environment}")).json()["state"])


async def test_an_environment_is_changed_while_it_lives(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    request = await created(api, buses)
    address = f"/api/v1/environments/{request.subject}"
    same = await api.patch(address, json={"parameters": request.data.spec.parameters, "branch": "main"})
    assert (same.status_code, same.json()["state"]) == (200, "ready")
    answers = await asyncio.gather(*(api.patch(address, json={"parameters": {"instances": 2}}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 19
    [accepted] = [answer.json() for answer in answers if answer.status_code == 202]
    assert await state_of(api, request.subject) == "updating"
    update = (await events_of(buses["gateway"], request.subject))[-1]
    assert isinstance(update, EnvironmentUpdateRequested)
    assert update.data.previous is not None
    assert update.data.previous.parameters["instances"] == 1
    assert (update.incarnation, str(update.run_id)) == (request.incarnation, accepted["run"]["id"])
    await told_to_its_end(buses, update)

    async def is_changed() -> bool:
        shown = (await api.get(address)).json()
        return bool(shown["state"] == "ready" and shown["parameters"]["instances"] == 2)

    await until(is_changed, what="the change")
    run = (await api.get(accepted["links"]["run"])).json()
    assert (run["kind"], run["state"]) == ("update", "succeeded")


async def test_the_same_over_the_bus(api: httpx.AsyncClient, buses: dict[str, Bus], platform: Platform) -> None:
    request = await created(api, buses)
    token, key = platform.admin_token, {"Idempotency-Key": str(uuid4())}
    body = {"name": request.subject, "branch": "main"}
    status, shown, _ = await ask_bus(buses["client"], "update_environment", body, token, **key)
    assert (status, shown["state"]) == (200, "ready")
    body["branch"] = "dev"
    status, accepted, _ = await ask_bus(buses["client"], "update_environment", body, token, **key)
    assert (status, accepted["environment"]["branch"]) == (202, "dev")
    again = await api.patch(f"/api/v1/environments/{request.subject}", json={"branch": "dev"}, headers=key)
    assert (again.status_code, again.json()) == (202, accepted)
    status, run, _ = await ask_bus(buses["client"], "cancel_run", {"id": accepted["run"]["id"]}, token)
    assert (status, run["id"]) == (202, accepted["run"]["id"])
    for wrong in ({"name": request.subject, "state": "ready"}, {"name": "a.>"}, {"branch": "dev"}):
        status, _, _ = await ask_bus(buses["client"], "update_environment", wrong, token)
        assert status == 422


async def test_a_run_is_called_off_while_it_makes_progress(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environment = name()
    accepted = (await api.post("/api/v1/environments", json=asked(environment))).json()
    address = f"/api/v1/runs/{accepted['run']['id']}:cancel"
    answers = await asyncio.gather(*(api.post(address, headers={"Idempotency-Key": "one"}) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    cancels = [e for e in await events_of(buses["gateway"], environment) if isinstance(e, RunCancelRequested)]
    assert [str(cancel.run_id) for cancel in cancels] == [accepted["run"]["id"]]
    over = await created(api, buses)
    late = await api.post(f"/api/v1/runs/{over.run_id}:cancel")
    assert (late.status_code, late.json()["type"]) == (409, "urn:slipway:problem:run_ended")


async def test_an_end_is_moved_on_the_log(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    request = await created(api, buses)
    address = f"/api/v1/environments/{request.subject}"
    answers = await asyncio.gather(
        *(
            api.post(f"{address}:extend", json={"ttl": "9d"}, headers={"Idempotency-Key": request.subject})
            for _ in range(9)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    [said] = [e for e in await events_of(buses["gateway"], request.subject) if isinstance(e, EnvironmentExtended)]
    assert said.data.expires_at is not None
    assert answers[0].json()["expires_at"] == said.data.expires_at.isoformat(timespec="microseconds").replace(
        "+00:00", "Z"
    )
    kept = await api.post(f"{address}:keep", json={"reason": "the demo"})
    assert (kept.status_code, kept.json()["expires_at"], kept.json()["kept_because"]) == (200, None, "the demo")
    free = await api.post(f"{address}:unkeep")
    assert free.json()["expires_at"] is not None
    await api.delete(address)
    assert (await api.post(f"{address}:extend", json={"ttl": "9d"})).status_code == 409


async def test_access_is_asked_for_on_the_log(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    request = await created(api, buses)
    address = f"/api/v1/environments/{request.subject}/access"
    answer = await api.post(address, json={"role": "viewer", "team": "search"})
    assert (answer.status_code, answer.json()["change"]) == (202, "granted")
    last = (await events_of(buses["gateway"], request.subject))[-1]
    assert isinstance(last, AccessRequested)
    assert (last.data.team, last.data.role, last.incarnation) == ("search", "viewer", request.incarnation)


async def test_a_plan_is_made_by_the_provisioner_within_the_trace(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    heard: list[tuple[PlanEnvironment, str | None]] = []
    change = PlannedChange(action="create", resource=Resource(kind="database", id="apps/env_x"))

    async def plan(question: PlanEnvironment) -> Plan:
        heard.append((question, tracing.trace_id()))
        return Plan(changes=(change,), hash="a" * 64 if question.spec.branch == "main" else "b" * 64)

    environment = name()
    nobody = await api.post("/api/v1/environments:plan", json=asked(environment))
    assert nobody.status_code == 503
    await answer_all(buses["provisioner"], "provisioner", {PlanEnvironment: plan})
    answer = await api.post("/api/v1/environments:plan", json=asked(environment))
    assert answer.status_code == 200, answer.text
    assert answer.json()["counts"]["create"] == 1
    assert heard[0][0].incarnation is None
    for agreed, branch, status in (("b" * 64, "main", 409), ("a" * 64, "main", 202)):
        body = asked(environment, branch=branch, plan=agreed)
        assert (await api.post("/api/v1/environments", json=body)).status_code == status
    assert len(await events_of(buses["gateway"], environment)) == 1


# -- quotas


async def member(api: httpx.AsyncClient, team: str) -> str:
    body = {"name": "crowd", "role": "developer", "teams": [team], "person": f"{team}-person"}
    return str((await api.post("/api/v1/tokens", json=body)).json()["token"])


async def test_a_thousand_creates_at_once_on_a_quota_of_ten_make_exactly_ten(
    api: httpx.AsyncClient, buses: dict[str, Bus], platform: Platform
) -> None:
    token = await member(api, "crowd")
    names = [name() for _ in range(1000)]

    async def create(one: str) -> tuple[int, dict[str, Any]]:
        """The answer, asked for again with the same key as long as the platform is too busy."""
        while True:
            key = {"Idempotency-Key": one}
            status, answer, _ = await ask_bus(buses["client"], "create_environment", asked(one), token, **key)
            if status != 503:
                return status, answer

    answers = dict(zip(names, await asyncio.gather(*(create(one) for one in names)), strict=True))
    made = sorted(one for one, (status, _) in answers.items() if status == 202)
    refused = [answer for status, answer in answers.values() if status == 403]
    assert (len(made), len(refused)) == (10, 990)
    assert {(answer["quota"]["used"], answer["quota"]["limit"]) for answer in refused} == {("10", "10")}
    async with httpx.AsyncClient(base_url=platform.url, headers={"Authorization": f"Bearer {token}"}) as crowd:
        listed = (await crowd.get("/api/v1/environments", params={"limit": 200})).json()
        assert [item["name"] for item in listed["items"]] == made
        [request] = await events_of(buses["gateway"], made[0])
        assert isinstance(request, EnvironmentRequested)
        await told_to_its_end(buses, request)

        async def is_named() -> bool:
            """Which one could be deleted, once it is there."""
            more = await crowd.post("/api/v1/environments", json=asked(name()))
            return more.status_code == 403 and bool(more.json()["quota"]["delete_one_of"] == [made[0]])

        await until(is_named, what="the one that could be deleted")
    with platform.postgres.connect() as connection:
        kept = connection.execute(
            "SELECT count(*) FROM gateway.requests WHERE idempotency_key = ANY(%s)", (names,)
        ).fetchone()
    assert kept == (10,)


async def test_previews_of_one_repository_are_limited_over_the_bus_as_well(
    api: httpx.AsyncClient, buses: dict[str, Bus], platform: Platform
) -> None:
    token = await member(api, "shop")
    body = [asked(name(), repository="acme/shop") for _ in range(30)]
    answers = await asyncio.gather(*(ask_bus(buses["client"], "create_environment", one, token) for one in body))
    assert sorted(status for status, _, _ in answers) == [202] * 5 + [403] * 25
    problem = next(problem for status, problem, _ in answers if status == 403)
    assert problem["quota"]["what"] == "previews_of_repository"
    assert json.dumps(problem).count("acme/shop") >= 1

"""The gateway as a process of its own, between real clients, a real bus, a real Postgres and the real catalog."""

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from chassis import dead_letters
from chassis.bus import Bus
from contracts import subjects
from contracts.events import EnvironmentDeletionRequested, EnvironmentRequested
from contracts.step_log import StepLine
from tests import samples
from tests.gateways import (
    KEY,
    Platform,
    admin_client,
    ask_bus,
    asked,
    created,
    events_of,
    everybody_on,
    gateway_platform,
    name,
    say,
    told_to_its_end,
)
from tests.stories import Story
from tests.waiting import until


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with gateway_platform(tmp_path_factory.mktemp("gateway")) as found:
        yield found


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The admin's client."""
    async with admin_client(platform) as client:
        yield client


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    """Everybody else on the bus."""
    async with everybody_on(platform) as connected:
        yield connected


async def test_an_accepted_environment_is_there_at_once(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environment = name()
    answer = await api.post("/api/v1/environments", json=asked(environment))
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    shown = await api.get(accepted["links"]["self"])
    run = await api.get(accepted["links"]["run"])
    assert (shown.status_code, run.status_code) == (200, 200)
    assert shown.json()["state"] == "creating"
    assert run.json()["trace_id"] == accepted["trace_id"] == answer.headers["Slipway-Trace-Id"]
    assert accepted["links"]["trace"] == f"http://traces.test/trace/{accepted['trace_id']}"
    [event] = await events_of(buses["gateway"], environment)
    assert isinstance(event, EnvironmentRequested)
    assert event.data.spec.parameters == {"cache": False, "database": True, "instances": 1, "memory_mib": 256}
    assert str(event.id) == accepted["run"]["id"] == run.json()["id"]


async def test_fifty_identical_requests_make_one_environment(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environment, key = name(), {"Idempotency-Key": str(uuid4())}
    answers = await asyncio.gather(
        *(api.post("/api/v1/environments", json=asked(environment), headers=key) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert len(await events_of(buses["gateway"], environment)) == 1


async def test_fifty_different_requests_for_one_name_make_one_environment(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    environment = name()
    answers = await asyncio.gather(*(api.post("/api/v1/environments", json=asked(environment)) for _ in range(50)))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(202), codes.count(409)) == (1, 49)
    for refused in (answer for answer in answers if answer.status_code == 409):
        assert refused.json()["environment"]["state"] == "creating"
    assert len(await events_of(buses["gateway"], environment)) == 1


async def test_many_keys_fifty_times_each_make_one_environment_each(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    environments = [name() for _ in range(6)]
    answers = await asyncio.gather(
        *(
            api.post("/api/v1/environments", json=asked(one), headers={"Idempotency-Key": one})
            for one in environments * 20
        )
    )
    assert {answer.status_code for answer in answers} == {202}
    for one in environments:
        assert len(await events_of(buses["gateway"], one)) == 1


async def test_a_key_for_another_request_is_refused_and_changes_nothing(api: httpx.AsyncClient) -> None:
    environment, key = name(), {"Idempotency-Key": str(uuid4())}
    await api.post("/api/v1/environments", json=asked(environment), headers=key)
    other = await api.post("/api/v1/environments", json=asked(environment, branch="dev"), headers=key)
    assert other.status_code == 422
    assert other.json()["type"] == "urn:slipway:problem:idempotency_key_reused"
    shown = await api.get(f"/api/v1/environments/{environment}")
    assert shown.json()["branch"] == "main"


async def test_an_environment_lives_and_is_deleted_and_its_name_is_free_again(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    request = await created(api, buses)
    address = f"/api/v1/environments/{request.subject}"
    shown = (await api.get(address)).json()
    assert shown["url"] == samples.infrastructure(request.subject).url
    assert [event["kind"] for event in (await api.get(f"{address}/events")).json()["items"]] == [
        "environment_requested",
        "infra_ready",
        "secrets_stored",
        "pipeline_created",
        "environment_ready",
    ]
    gone = await api.delete(address)
    assert gone.status_code == 202
    assert (gone.json()["environment"]["state"], gone.json()["run"]["kind"]) == ("deleting", "delete")
    assert (await api.get(address)).json()["state"] == "deleting"
    again = await api.delete(address)
    assert (again.status_code, again.json()["environment"]["state"]) == (409, "deleting")
    [deletion] = (await events_of(buses["gateway"], request.subject))[5:]
    assert isinstance(deletion, EnvironmentDeletionRequested)
    for event in Story.after(KEY, deletion).undo("pipeline").events[1:]:
        source = {"pipeline_removed": "cicd", "secrets_revoked": "secrets", "infra_destroyed": "provisioner"}[
            event.kind
        ]
        await say(buses, event.model_copy(update={"source": source}))

    async def is_deleted() -> bool:
        return bool((await api.get(address)).json()["state"] == "deleted")

    await until(is_deleted, what="the deletion")
    assert (await api.delete(address)).status_code == 404
    runs = (await api.get(f"{address}/runs")).json()["items"]
    assert [(run["kind"], run["state"]) for run in runs] == [("delete", "succeeded"), ("create", "succeeded")]
    assert (await api.post("/api/v1/environments", json=asked(request.subject))).status_code == 202


# -- live


@dataclass
class Told:
    """One message of a stream."""

    id: str = ""
    event: str = ""
    data: dict[str, Any] = field(default_factory=dict)


async def messages(response: httpx.Response) -> AsyncIterator[Told]:
    """The messages of a stream; a comment has no event."""
    found = Told()
    async for text in response.aiter_lines():
        name_of, _, value = text.partition(": ")
        if not text:
            yield found
            found = Told()
        elif text.startswith(":"):
            found.event = "comment"
        elif name_of == "data":
            found.data = json.loads(value)
        elif name_of in {"id", "event"}:
            setattr(found, name_of, value)


async def test_a_run_is_followed_live_to_its_verdict_and_resumed_anywhere(
    api: httpx.AsyncClient, buses: dict[str, Bus]
) -> None:
    environment = name()
    accepted = (await api.post("/api/v1/environments", json=asked(environment))).json()
    [request] = await events_of(buses["gateway"], environment)
    assert isinstance(request, EnvironmentRequested)
    address = accepted["links"]["stream"]
    heard: list[Told] = []
    async with asyncio.timeout(60), api.stream("GET", address) as response:
        assert response.status_code == 200
        async for told in messages(response):
            if told.event in {"", "comment"}:
                continue
            heard.append(told)
            if len(heard) == 1:
                line = StepLine(
                    run_id=request.run_id,
                    environment=environment,
                    step="infrastructure",
                    time=request.time,
                    text='a "line" with\u2028 everything <b>in</b> it 😀',
                )
                await buses["provisioner"].hint(
                    subjects.step_log(request.run_id, "infrastructure"), line.model_dump_json().encode()
                )
            if len(heard) == 2:
                await told_to_its_end(buses, request)
    assert [told.event for told in heard] == ["step", "log", "step", "step", "step", "verdict"]
    assert heard[1].data["text"].startswith('a "line" with')
    assert heard[2].data["steps"] == [
        {"step": "infrastructure", "state": "succeeded"},
        {"step": "secrets", "state": "running"},
    ]
    verdict = heard[-1].data
    assert (verdict["event"], verdict["state"]) == ("environment_ready", "succeeded")
    assert verdict["url"] == samples.infrastructure(environment).url
    assert verdict["trace_id"] == accepted["trace_id"]
    for number in range(len(heard) - 1):
        async with asyncio.timeout(60):
            rest = await api.get(address, headers={"Last-Event-ID": heard[number].id})
        assert [line for line in rest.text.splitlines() if line.startswith("id: ")] == [
            f"id: {told.id}" for told in heard[number + 1 :]
        ]
    over = await api.get(address, headers={"Last-Event-ID": heard[-1].id})
    assert over.status_code == 204


async def test_a_silent_stream_shows_that_it_is_alive(api: httpx.AsyncClient) -> None:
    accepted = (await api.post("/api/v1/environments", json=asked(name()))).json()
    async with asyncio.timeout(60), api.stream("GET", accepted["links"]["stream"]) as response:
        async for told in messages(response):
            if told.event == "comment":
                return


# -- people


async def test_a_team_works_by_itself(api: httpx.AsyncClient, platform: Platform) -> None:
    made = await api.post(
        "/api/v1/tokens", json={"name": "ci", "role": "developer", "teams": ["payments"], "person": "ada"}
    )
    theirs = await api.post("/api/v1/environments", json=asked(name()))
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as ada:
        mine = await ada.post("/api/v1/environments", json=asked(name()))
        assert mine.json()["environment"]["owner"] == {"person": "ada", "team": "payments"}
        listed = (await ada.get("/api/v1/environments")).json()["items"]
        assert [item["name"] for item in listed] == [mine.json()["environment"]["name"]]
        for link in ("self", "run", "stream", "events"):
            assert (await ada.get(theirs.json()["links"][link])).status_code == 404
            if link != "stream":
                assert (await ada.get(mine.json()["links"][link])).status_code == 200
        assert (await ada.get("/api/v1/admin/dead-letters")).status_code == 403
    await api.delete(f"/api/v1/tokens/{made.json()['id']}")
    async with httpx.AsyncClient(base_url=platform.url, headers=headers) as ada:
        assert (await ada.get("/api/v1/me")).status_code == 401


async def test_the_admin_token_is_readable_by_its_owner_only_and_never_in_the_database_or_the_log(
    api: httpx.AsyncClient, platform: Platform
) -> None:
    assert (await api.get("/api/v1/me")).json()["role"] == "admin"
    assert platform.admin_token_file.stat().st_mode & 0o777 == 0o600
    secret = platform.admin_token.split("_")[2]
    with platform.postgres.connect() as connection:
        kept = connection.execute("SELECT tokens::text FROM gateway.tokens").fetchall()
    assert kept
    assert secret not in str(kept)
    assert secret not in platform.logs()


# -- other systems


async def test_the_same_requests_come_over_the_bus(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    client, environment = buses["client"], name()
    key = {"Idempotency-Key": str(uuid4())}
    status, accepted, headers = await ask_bus(
        client, "create_environment", asked(environment), platform.admin_token, **key
    )
    assert (status, headers["Content-Type"]) == (202, "application/json")
    assert headers["Slipway-Trace-Id"] == accepted["trace_id"]
    over_http = await api.post("/api/v1/environments", json=asked(environment), headers=key)
    assert (over_http.status_code, over_http.json()) == (202, accepted)
    status, run, _ = await ask_bus(client, "get_run", {"id": accepted["run"]["id"]}, platform.admin_token)
    assert (status, run) == (200, (await api.get(accepted["links"]["run"])).json())
    status, problem, headers = await ask_bus(client, "delete_environment", {"name": environment}, platform.admin_token)
    assert (status, problem["type"]) == (409, "urn:slipway:problem:run_under_way")
    assert headers["Content-Type"] == "application/problem+json"


async def test_the_bus_is_no_way_around_any_check(platform: Platform, buses: dict[str, Bus]) -> None:
    client, token = buses["client"], platform.admin_token
    environment = name()
    tries: list[tuple[str, Any, str | None, dict[str, str], int]] = [
        ("create_environment", asked(environment), None, {}, 401),
        ("create_environment", asked(environment), token[:-1] + "!", {}, 401),
        ("create_environment", b"[" * 60_000, token, {}, 400),
        ("create_environment", b'{"name":"a","name":"b"}', token, {}, 400),
        ("create_environment", b" " * 70_000, token, {}, 413),
        ("create_environment", asked(environment), token, {"Content-Encoding": "gzip"}, 415),
        ("create_environment", asked(environment), token, {"Idempotency-Key": "a b"}, 422),
        ("create_environment", asked("kube-system"), token, {}, 422),
        ("create_environment", asked(environment, admin=True), token, {}, 422),
        ("create_environment", [], token, {}, 422),
        ("get_run", {"id": "*"}, token, {}, 404),
        ("delete_environment", {"name": "nobodys"}, token, {}, 404),
        ("delete_environment", {"name": "a.>"}, token, {}, 422),
    ]
    for request, body, presented, headers, expected in tries:
        status, problem, told = await ask_bus(client, request, body, presented, **headers)
        assert (status, told["Content-Type"]) == (expected, "application/problem+json"), problem
        assert problem["status"] == expected
    assert await events_of(buses["gateway"], environment) == []


# -- dead letters


async def test_a_dead_letter_is_read_and_sent_back_byte_for_byte(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    body = b'{"half": \xff'
    original = f"environment.{name()}.infra_ready"
    await dead_letters.lay_aside(
        buses["secrets"],
        service="secrets",
        subject=original,
        stream=subjects.ENVIRONMENTS,
        sequence=4711,
        body=body,
        reason="malformed",
        error="not an event\r\nX-Injected: yes",
    )
    page = (await api.get("/api/v1/admin/dead-letters")).json()
    found = page["items"][0]
    assert (found["service"], found["subject"], found["reason"]) == ("secrets", original, "malformed")
    assert (found["original_sequence"], found["size_bytes"], found["replayable"]) == (4711, len(body), True)
    whole = (await api.get(f"/api/v1/admin/dead-letters/{found['sequence']}")).json()
    assert base64.b64decode(whole["body_base64"]) == body
    sent = await api.post(f"/api/v1/admin/dead-letters/{found['sequence']}/replay")
    assert sent.status_code == 202, sent.text
    fetched = await fetch_replay(buses["secrets"])
    assert fetched == (subjects.replay("secrets", original), body)


async def fetch_replay(bus: Bus) -> tuple[str, bytes]:
    """The next message of the secrets service's replays, as that service would fetch it."""
    arrived: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()

    async def receive(message: Any) -> None:
        if not arrived.done() and not message.subject.startswith(inbox):
            arrived.set_result((message.subject, message.data))
            await message.ack()

    inbox = f"{bus.inbox_prefix}.{uuid4().hex}"
    await bus.listen(inbox, receive)
    await bus.client.publish("$JS.API.CONSUMER.MSG.NEXT.REPLAYS.secrets", b'{"batch":1}', reply=inbox)
    return await asyncio.wait_for(arrived, 60)


# -- crashes


async def test_a_gateway_that_is_killed_while_it_accepts_loses_nothing_and_doubles_nothing(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    environments = [name() for _ in range(30)]

    async def ask(one: str) -> int | None:
        try:
            answer = await api.post("/api/v1/environments", json=asked(one), headers={"Idempotency-Key": one})
        except httpx.TransportError:
            return None
        return answer.status_code

    gateway = platform.children[-1]
    asking = [asyncio.create_task(ask(one)) for one in environments]

    async def rows() -> int:
        def count() -> int:
            with platform.postgres.connect() as connection:
                found = connection.execute(
                    "SELECT count(*) FROM gateway.requests WHERE idempotency_key = ANY(%s)", (environments,)
                ).fetchone()
                return int(found[0]) if found else 0

        return await asyncio.to_thread(count)

    await until(rows, what="the first row")
    gateway.kill()
    await asyncio.gather(*asking)
    platform.start_gateway()
    await platform.ready()
    kept = await rows()

    async def confirmed() -> bool:
        def count() -> bool:
            with platform.postgres.connect() as connection:
                found = connection.execute(
                    "SELECT count(*) FROM gateway.requests"
                    " WHERE idempotency_key = ANY(%s) AND confirmed_at IS NOT NULL",
                    (environments,),
                ).fetchone()
                return bool(found and found[0] >= kept)

        return await asyncio.to_thread(count)

    await until(confirmed, what="every row that was written")
    assert set(await asyncio.gather(*(ask(one) for one in environments))) == {202}
    for one in environments:
        assert len(await events_of(buses["gateway"], one)) == 1
        assert (await api.get(f"/api/v1/environments/{one}")).status_code == 200


async def test_an_accepted_request_whose_event_the_stream_never_got_is_carried_out(
    api: httpx.AsyncClient, platform: Platform, buses: dict[str, Bus]
) -> None:
    """As after a crash between the row and the publish: a row, and no event."""
    donor = name()
    await api.post("/api/v1/environments", json=asked(donor), headers={"Idempotency-Key": donor})
    environment, cause = name(), uuid4()
    event_id = KEY.derive(cause, EnvironmentRequested.kind)
    with platform.postgres.connect() as connection:
        connection.execute(
            "INSERT INTO gateway.requests (id, principal, idempotency_key, fingerprint, operation, event_id,"
            " incarnation, environment, visible_teams, asked, requested_at)"
            " SELECT %(cause)s, principal, %(name)s, fingerprint, operation, %(event)s, %(event)s, %(name)s,"
            " visible_teams, replace(asked::text, %(donor)s, %(name)s)::jsonb, now() - interval '1 minute'"
            " FROM gateway.requests WHERE idempotency_key = %(donor)s",
            {"cause": cause, "name": environment, "event": event_id, "donor": donor},
        )

    async def is_there() -> bool:
        return (await api.get(f"/api/v1/environments/{environment}")).status_code == 200

    await until(is_there, what="the environment")
    assert [event.id for event in await events_of(buses["gateway"], environment)] == [event_id]


async def test_while_the_bus_is_away_nothing_hangs_and_what_was_recorded_is_carried_out(
    api: httpx.AsyncClient, platform: Platform
) -> None:
    environment = name()
    key = {"Idempotency-Key": environment}
    platform.nats.part.stop()
    try:
        refused = await api.post("/api/v1/environments", json=asked(environment), headers=key)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert (await api.get("/api/v1/golden-paths")).status_code == 200
    finally:
        platform.nats.part.start()

    async def accepted() -> bool:
        answer = await api.post("/api/v1/environments", json=asked(environment), headers=key)
        return answer.status_code == 202

    async def is_there() -> bool:
        # The catalog may find its way back to the bus a moment after the gateway has.
        return (await api.get(f"/api/v1/environments/{environment}")).status_code == 200

    await until(accepted, what="the request")
    await until(is_there, what="the environment")


async def drain(stream: AsyncIterator[Told]) -> None:
    async for told in stream:
        assert told.event != "verdict"


async def test_it_stops_within_seconds_also_while_somebody_listens(api: httpx.AsyncClient, platform: Platform) -> None:
    await platform.ready()
    accepted = (await api.post("/api/v1/environments", json=asked(name()))).json()
    gateway = platform.children[-1]
    async with asyncio.timeout(20), api.stream("GET", accepted["links"]["stream"]) as response:
        stream = messages(response)
        await anext(stream)
        os.kill(gateway.process.pid, signal.SIGTERM)
        # It is cut off without a verdict: the reader comes back with its last id.
        with pytest.raises(httpx.RemoteProtocolError):
            await drain(stream)
    assert await asyncio.to_thread(gateway.process.wait, 20) == 0
    platform.start_gateway()
    await platform.ready()

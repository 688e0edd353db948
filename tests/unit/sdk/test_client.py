"""The client of the API in both kinds, on the gateway's twins."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

import httpx
import pytest

from chassis.identity import EventKey
from slipway.client import (
    Accepted,
    AsyncClient,
    Client,
    EnvironmentAnswer,
    Me,
    Message,
    RunFailedError,
    SlipwayError,
)
from tests.stories import Story
from tests.unit.gateway.rig import Rig
from tests.unit.sdk.both import Which, calling

KEY = EventKey(b"s" * 32)
both = pytest.mark.parametrize("which", ["sync", "async"])


def _busy(status: int) -> httpx.Response:
    return httpx.Response(status, headers={"Retry-After": "0"}, json={"type": "urn:slipway:problem:unavailable"})


@both
async def test_what_is_asked_is_begun_and_shown(which: Which) -> None:
    async with calling(which, Rig()) as slipway:
        begun = await slipway("create_environment", name="demo-api", golden_path="nodejs-api", parameters={})
        assert isinstance(begun, Accepted)
        assert begun.environment.state == "creating"
        shown = await slipway("get_environment", "demo-api")
        assert isinstance(shown, EnvironmentAnswer)
        assert shown.run_id == begun.run.id
        assert (await slipway("get_run", begun.run.id)).state == "running"


@both
async def test_a_request_that_is_repeated_keeps_its_key_and_happens_once(which: Which) -> None:
    rig = Rig()
    troubles: dict[int, Any] = {1: _busy(503), 2: httpx.ReadError("lost on the way back"), 3: _busy(429)}
    async with calling(which, rig, trouble=troubles) as slipway:
        begun = await slipway("create_environment", name="demo-api", golden_path="nodejs-api")
    assert len({request.headers["Idempotency-Key"] for request in slipway.wire.requests}) == 1
    assert len(slipway.wire.requests) == 4
    assert [row.event_id for row in rig.requests.rows.values()] == [begun.run.id]


@both
async def test_what_has_no_key_is_not_repeated_where_it_may_have_happened(which: Which) -> None:
    lost = httpx.ReadError("lost on the way back")
    async with calling(which, Rig(), trouble={0: lost}) as slipway:
        with pytest.raises(SlipwayError, match="does not answer: lost") as raised:
            await slipway("create_token", name="ci", role="developer")
    assert (raised.value.status, raised.value.code) == (0, "unreachable")
    assert len(slipway.wire.requests) == 1


@both
async def test_a_problem_is_raised_with_everything_it_says(which: Which) -> None:
    async with calling(which, Rig()) as slipway:
        with pytest.raises(SlipwayError, match="name must be a DNS label") as broken:
            await slipway("create_environment", name="Not A Label", golden_path="nodejs-api")
        with pytest.raises(SlipwayError) as missing:
            await slipway("get_environment", "nobody")
    assert (broken.value.status, broken.value.code) == (422, "invalid_request")
    assert [error.field for error in broken.value.errors] == ["name"]
    assert (missing.value.status, missing.value.code, missing.value.errors) == (404, "not_found", [])


@both
async def test_who_answers_as_slipway_never_would_is_named(which: Which) -> None:
    proxy = httpx.Response(418, text="<html>I am a proxy")
    async with calling(which, Rig(), trouble={0: proxy}) as slipway:
        with pytest.raises(SlipwayError, match="HTTP 418, and not as Slipway does"):
            await slipway("get_me")


@both
async def test_every_page_of_a_list_is_fetched(which: Which) -> None:
    async with calling(which, Rig()) as slipway:
        for number in range(5):
            await slipway("create_environment", name=f"demo-{number}", golden_path="nodejs-api")
        names = [found.name for found in await slipway.all("each_environment", limit=2, kind="preview")]
        events = await slipway.all("each_environment_event", "demo-0", limit=1)
    assert names == [f"demo-{number}" for number in range(5)]
    assert [event.kind for event in events] == ["environment_requested"]


@both
async def test_a_run_is_waited_for_over_connections_that_break_without_gap_or_repetition(which: Which) -> None:
    rig, story = Rig(), Story(KEY).create().ready()
    rig.log.events_said += story.events
    token = await rig.token("admin", story.request.data.spec.owner.team)
    told: list[Message] = []
    async with calling(which, rig, token, breaks_after=[40, 300, 700]) as slipway:
        verdict = await slipway("wait", story.request.run_id, told=told.append)
    assert verdict.environment == story.request.subject
    assert verdict.url
    assert [message.data["event"] for message in told] == [event.kind for event in story.events]
    resumed = [request.headers.get("Last-Event-ID") for request in slipway.wire.requests][:4]
    assert resumed[0] is None
    assert resumed[-1] is not None
    assert [request.url.path.endswith("/stream") for request in slipway.wire.requests] == [True] * 4 + [False]


@both
async def test_a_run_that_failed_is_raised_with_its_verdict(which: Which) -> None:
    rig, story = Rig(), Story(KEY).create("secrets").fail("pipeline").failed("pipeline")
    rig.log.events_said += story.events
    token = await rig.token("admin", story.request.data.spec.owner.team)
    async with calling(which, rig, token) as slipway:
        run = await slipway("get_run", story.request.run_id)
        with pytest.raises(RunFailedError, match="in the step pipeline") as raised:
            await slipway("wait", run)
    assert raised.value.verdict.failure is not None


@both
async def test_a_stream_that_stays_away_is_given_up(which: Which) -> None:
    away = httpx.ConnectError("refused")
    async with calling(which, Rig(), trouble={0: away}) as slipway:
        with pytest.raises(SlipwayError, match="does not answer: refused"):
            await slipway("wait", "00000000-0000-0000-0000-000000000001", patience_seconds=0)


@both
async def test_a_stream_of_nothing_is_a_problem_at_once(which: Which) -> None:
    async with calling(which, Rig()) as slipway:
        with pytest.raises(SlipwayError) as raised:
            await slipway("wait", "00000000-0000-0000-0000-000000000001")
    assert raised.value.code == "not_found"
    assert len(slipway.wire.requests) == 1


@both
async def test_a_fact_is_told_with_times_and_nested_values(which: Which) -> None:
    rig = Rig()
    async with calling(which, rig) as slipway:
        await slipway("create_environment", name="demo-api", golden_path="nodejs-api")
        told = await slipway(
            "tell_fact",
            "demo-api",
            deployment={
                "deployment_id": "build-7",
                "state": "succeeded",
                "commit": "0123abc",
                "branch": "main",
                "author": "ada",
            },
            time=rig.clock.now() - timedelta(minutes=1),
        )
    assert told.kind == "deployment_recorded"
    assert [signal.subject for signal in rig.signals.said.values()] == ["demo-api"]


def test_where_and_who_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("slw_from_file\n")
    shown: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        shown.append(f"{request.url.host} {request.headers['Authorization']}")
        return httpx.Response(204)

    monkeypatch.setenv("SLIPWAY_URL", "http://from-environment/")
    monkeypatch.setenv("SLIPWAY_TOKEN_FILE", str(file))
    with Client(transport=httpx.MockTransport(answer)) as client:
        client.end_my_token()
    monkeypatch.setenv("SLIPWAY_TOKEN", "slw_from_environment")
    for token, token_file in ((None, None), ("slw_given", None), (None, file)):
        with Client("http://given", token, token_file=token_file, transport=httpx.MockTransport(answer)) as client:
            client.end_my_token()
    monkeypatch.delenv("SLIPWAY_URL")
    with pytest.raises(ValueError, match="SLIPWAY_URL"):
        Client()
    assert shown == [
        "from-environment Bearer slw_from_file",
        "given Bearer slw_from_environment",
        "given Bearer slw_given",
        "given Bearer slw_from_file",
    ]


def typed(one: Client, other: AsyncClient) -> None:
    """Read by mypy: both kinds know what each method takes and gives."""
    assert_type(one.get_me(), Me)
    assert_type(one.create_environment(name="a", golden_path="b", parameters={"x": None}), Accepted)
    assert_type(one.update_environment("a", branch="main"), Accepted | EnvironmentAnswer)
    assert_type(one.each_environment(state="ready"), Iterator[EnvironmentAnswer])
    assert_type(other.each_environment(state="ready"), AsyncIterator[EnvironmentAnswer])
    one.create_environment(golden_path="b")  # type: ignore[call-arg]
    one.each_environment(state="unheard of")  # type: ignore[arg-type]


async def typed_awaited(other: AsyncClient) -> None:
    """Read by mypy."""
    assert_type(await other.get_me(), Me)

"""Following a run: order, positions, resuming, and the end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from chassis.identity import EventKey
from contracts.envelope import Event
from contracts.events import RunStalled, Stalled
from contracts.queries import RunView
from contracts.step_log import StepLine, Waiting
from services.gateway.api.stream import message
from services.gateway.domain.progress import Steps
from services.gateway.handlers.following import Following, News, Position
from tests.stories import Story
from tests.unit.gateway.rig import Rig

KEY = EventKey(b"k" * 32)


def line(story: Story, second: float, text: str, **more: Any) -> StepLine:
    return StepLine(
        run_id=story.request.run_id,
        environment=story.request.subject,
        step="infrastructure",
        time=story.request.time + timedelta(seconds=second),
        text=text,
        **more,
    )


async def told(rig: Rig, *stories: Story) -> RunView:
    """Put stories on the log; the run of the first one."""
    for story in stories:
        rig.log.events_said += story.events
    run = await rig.log.run(stories[0].request.run_id)
    assert run is not None
    return run


async def heard(rig: Rig, run: RunView, after: Position = Position()) -> list[News]:  # noqa: B008 - frozen
    async with asyncio.timeout(5):
        return [news async for news in Following(rig.log).follow(run, after)]


def words(news: list[News]) -> list[str]:
    return [found.line.text if found.line else found.event.kind if found.event else "" for found in news]


async def test_everything_is_told_in_order_and_ends_with_the_verdict() -> None:
    rig, story = Rig(), Story(KEY).create().ready()
    rig.log.lines = [line(story, 0.5, "planning"), line(story, 0.7, "applying"), line(story, 9, "late words")]
    news = await heard(rig, await told(rig, story))
    assert words(news) == [
        "environment_requested",
        "planning",
        "applying",
        "infra_ready",
        "secrets_stored",
        "pipeline_created",
        "late words",
        "environment_ready",
    ]
    assert news[-1].is_last
    assert [found.is_last for found in news].count(True) == 1


async def test_a_reader_resumes_at_any_position_without_a_gap_or_a_repetition() -> None:
    rig, story = Rig(), Story(KEY).create("secrets").fail("pipeline").failed("pipeline")
    rig.log.lines = [line(story, number / 2, f"line {number}") for number in range(12)]
    run = await told(rig, story)
    whole = await heard(rig, run)
    for number, found in enumerate(whole[:-1]):
        parsed = Position.parse(str(found.position))
        assert parsed == found.position
        rest = await heard(rig, run, found.position)
        assert words(rest) == words(whole[number + 1 :])
        assert [one.changes for one in rest] == [one.changes for one in whole[number + 1 :]]


async def test_a_run_is_over_only_for_whoever_heard_its_end() -> None:
    rig = Rig()
    run = await told(rig, Story(KEY).create().ready())
    whole = await heard(rig, run)
    following = Following(rig.log)
    assert following.is_over(run, whole[-1].position)
    assert not following.is_over(run, whole[-2].position)


async def test_what_happens_while_one_listens_is_told_at_once() -> None:
    rig, story = Rig(), Story(KEY)
    run = await told(rig, story)
    story.create().ready()
    listening: AsyncIterator[News] = Following(rig.log).follow(run, Position())
    assert words([await anext(listening)]) == ["environment_requested"]
    waiting = asyncio.ensure_future(anext(listening))
    await asyncio.sleep(0)
    rig.log.write(line(story, 0.5, "planning"))
    assert words([await asyncio.wait_for(waiting, 5)]) == ["planning"]
    rig.log.events_said += story.events[1:]
    rest = [news async for news in listening]
    assert words(rest)[-1] == "environment_ready"


async def test_a_bus_that_is_away_for_a_moment_does_not_end_the_stream() -> None:
    rig, story = Rig(), Story(KEY).create().ready()
    run = await told(rig, story)
    rig.log.away = True
    waiting = asyncio.ensure_future(heard(rig, run))
    await asyncio.sleep(0)
    rig.log.away = False
    rig.log.write(line(story, 1, "back"))
    assert words(await waiting)[-1] == "environment_ready"


async def test_another_lifes_events_are_not_told() -> None:
    rig = Rig()
    first, second = Story(KEY).create().ready().delete().deleted(), Story(KEY).create().ready()
    run = await told(rig, second)
    rig.log.events_said = [*first.events, *second.events]
    assert {found.event.run_id for found in await heard(rig, run) if found.event} == {second.request.run_id}


async def test_a_run_that_another_one_overtook_ends_without_a_verdict() -> None:
    rig = Rig()
    story = Story(KEY).create("infrastructure")
    run = await told(rig, story, Story(KEY))
    news = await heard(rig, run)
    assert news[-1].superseded
    name, data = message(news[-1], run)
    assert (name, data["event"], data["state"]) == ("verdict", "superseded", "failed")


async def test_a_retry_is_told_with_its_time() -> None:
    rig, story = Rig(), Story(KEY).create().ready()
    again = story.request.time + timedelta(seconds=60)
    rig.log.lines = [line(story, 0.5, "busy", waiting=Waiting(attempt=1, attempts=5, retry_at=again))]
    run = await told(rig, story)
    told_lines = [message(found, run)[1] for found in await heard(rig, run) if found.line]
    assert told_lines[0]["waiting"] == {"attempt": 1, "attempts": 5, "retry_at": "2026-11-23T09:01:00.000000Z"}


async def test_a_stall_is_told() -> None:
    rig, story = Rig(), Story(KEY)
    story.add(RunStalled, Stalled(spec=story.request.data.spec, step="secrets", waiting_seconds=300), source="catalog")
    story.create().ready()
    run = await told(rig, story)
    names = [message(found, run)[0] for found in await heard(rig, run)]
    assert names == ["step", "stalled", "step", "step", "step", "verdict"]


def states(events: list[Event]) -> list[list[tuple[str, str]]]:
    steps = Steps()
    return [[*steps.tell(event)] for event in events]


def test_the_failed_step_stays_failed_while_the_others_are_undone() -> None:
    story = Story(KEY).create("infrastructure").fail("secrets")
    assert states(story.events) == [
        [("infrastructure", "running")],
        [("infrastructure", "succeeded"), ("secrets", "running")],
        [("secrets", "failed")],
        [("infrastructure", "undoing")],
        [("infrastructure", "undone")],
    ]


def test_a_deletion_undoes_the_steps_backwards() -> None:
    story = Story(KEY).create().ready().delete()
    assert states(story.events[5:]) == [
        [("pipeline", "undoing")],
        [("pipeline", "undone"), ("secrets", "undoing")],
        [("secrets", "undone"), ("infrastructure", "undoing")],
        [("infrastructure", "undone")],
    ]


@pytest.mark.parametrize("text", ["", "1", "-", "1-", "-1", "1-2-3", "a-b", "1--2", "+1-2", "٣-٤", "1-" + "9" * 60])
def test_nothing_else_is_a_position(text: str) -> None:
    assert Position.parse(text) is None


async def test_the_stream_of_a_finished_run_is_whole_and_resumable_over_http() -> None:
    rig, story = Rig(), Story(KEY).create().ready()
    rig.log.lines = [line(story, 0.5, "a\nb")]
    await told(rig, story)
    address = f"/api/v1/runs/{story.request.run_id}/stream"
    async with rig.client(await rig.token("viewer")) as client:
        whole = await client.get(address)
        assert whole.headers["Content-Type"].startswith("text/event-stream")
        messages = whole.text.strip().split("\n\n")
        assert messages[0] == "retry: 1000"
        ids = [found.split("\n")[0].removeprefix("id: ") for found in messages[1:]]
        rest = await client.get(address, headers={"Last-Event-ID": ids[2]})
        assert rest.text.strip().split("\n\n")[1:] == messages[4:]
        over = await client.get(address, headers={"Last-Event-ID": ids[-1]})
        assert over.status_code == 204
        assert "event: verdict" in messages[-1]


async def test_nobody_follows_more_runs_at_once_than_allowed() -> None:
    rig, story = Rig(streams_at_once=1), Story(KEY)
    run = await told(rig, story)
    with rig.gateway.streams.hold("slipway/ada"):
        async with rig.client(await rig.token()) as client:
            refused = await client.get(f"/api/v1/runs/{run.id}/stream")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    rig.gateway.streams.check("slipway/ada")

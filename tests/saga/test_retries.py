"""Failures that go away: tried again, shown as waiting, and given up only after the last attempt."""

import pytest

from chassis.failures import ATTEMPTS
from contracts.events import EnvironmentFailed, EnvironmentReady
from tests.saga.driver import CREATED, Driver, failed_at
from tests.saga.world import REFUSALS

STEPS = [("infra", "infrastructure"), ("secrets", "secrets"), ("pipeline", "pipeline")]


@pytest.mark.parametrize(("word", "step"), STEPS)
async def test_a_step_that_is_refused_for_a_while_is_tried_again_and_the_run_ends_ready(
    platform: Driver, word: str, step: str
) -> None:
    name = platform.name(f"busy-{word}")
    run_id = await platform.create(name)
    assert isinstance(await platform.verdict(run_id), EnvironmentReady)
    platform.check_chain(await platform.events(name), CREATED)
    lines = [data for kind, data in await platform.messages_of(run_id) if kind == "log" and data["waiting"]]
    assert [(line["step"], line["text"]) for line in lines] == [(step, f"the {word} side is busy")] * REFUSALS
    assert [line["waiting"]["attempt"] for line in lines] == [*range(1, REFUSALS + 1)]
    assert {line["waiting"]["attempts"] for line in lines} == {ATTEMPTS}
    assert all(line["waiting"]["retry_at"] >= line["time"] for line in lines)
    await platform.check_once([name])


@pytest.mark.parametrize(("word", "step"), STEPS)
async def test_a_step_that_is_refused_every_time_is_given_up_and_undone(platform: Driver, word: str, step: str) -> None:
    name = platform.name(f"away-{word}")
    failed = await platform.verdict(await platform.create(name))
    assert isinstance(failed, EnvironmentFailed)
    platform.check_chain(await platform.events(name), failed_at(word))
    assert (failed.data.failure.step, failed.data.failure.code) == (step, "gave_up")
    assert failed.data.failure.attempts == ATTEMPTS
    await platform.check_once([name])


async def test_a_run_that_waits_does_not_hold_up_its_neighbours(platform: Driver) -> None:
    waiting, neighbour = platform.name(), platform.name()
    with platform.world.held(waiting):
        held = await platform.create(waiting)
        assert isinstance(await platform.verdict(await platform.create(neighbour)), EnvironmentReady)
        assert [event.kind for event in await platform.events(waiting)] == [CREATED[0]]
    assert isinstance(await platform.verdict(held), EnvironmentReady)
    await platform.check_once([waiting, neighbour])


async def test_the_live_stream_tells_every_step_and_ends_with_the_verdict(platform: Driver) -> None:
    name = platform.name("fail-pipeline")
    run_id = await platform.create(name)
    told = await platform.messages_of(run_id)
    kinds = [data["event"] for kind, data in told if kind in {"step", "verdict"}]
    assert kinds == list(failed_at("pipeline"))
    kind, verdict = told[-1]
    assert (kind, verdict["state"], verdict["failure"]["code"]) == ("verdict", "failed", "pipeline_refused")

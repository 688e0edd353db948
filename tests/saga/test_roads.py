"""The roads a run can take when nothing crashes: to the end, back from each step, and away again."""

import asyncio
from uuid import uuid4

import pytest

from contracts.events import EnvironmentDeleted, EnvironmentFailed, EnvironmentReady
from tests.saga.driver import API, CREATED, DELETED, EVERYTHING, Driver, failed_at
from tests.waiting import until


async def test_a_creation_ends_ready_in_one_chain_of_events(platform: Driver) -> None:
    name = platform.name()
    run_id = await platform.create(name)
    ready = await platform.verdict(run_id)
    assert isinstance(ready, EnvironmentReady)
    events = await platform.events(name)
    platform.check_chain(events, CREATED)
    assert run_id == ready.incarnation == events[0].id
    assert platform.world.holdings(name) == EVERYTHING
    await platform.check_once([name])


async def test_the_api_shows_what_the_log_contains(platform: Driver) -> None:
    name = platform.name()
    run_id = await platform.create(name)
    asked = await platform.get(f"/environments/{name}")
    assert asked["run_id"] == str(run_id)
    ready = await platform.verdict(run_id)
    assert isinstance(ready, EnvironmentReady)
    shown = await platform.settled(f"/environments/{name}", "ready")
    assert shown["url"] == ready.data.infrastructure.url
    assert shown["secrets"]["path"] == ready.data.secrets.kv_path
    assert shown["pipeline"]["commit"] == ready.data.pipeline.commit
    run = await platform.get(f"/runs/{run_id}")
    assert run["state"] == "succeeded"
    assert [step["state"] for step in run["steps"]] == ["succeeded"] * 3
    history = (await platform.get(f"/environments/{name}/events"))["items"]
    assert [(one["kind"], one["run_id"]) for one in history] == [(kind, str(run_id)) for kind in CREATED]
    said = {event.kind: event.model_dump(mode="json")["data"] for event in await platform.events(name)}
    assert history[-1]["data"]["infrastructure"] == said["environment_ready"]["infrastructure"]


@pytest.mark.parametrize("step", ["infra", "secrets", "pipeline"])
async def test_a_failure_is_undone_step_by_step_and_says_what_became_of_everything(platform: Driver, step: str) -> None:
    name = platform.name(f"fail-{step}")
    run_id = await platform.create(name)
    failed = await platform.verdict(run_id)
    assert isinstance(failed, EnvironmentFailed)
    platform.check_chain(await platform.events(name), failed_at(step))
    assert failed.data.failure.code == f"{step}_refused"
    assert failed.data.failure.next_step == "Make some room."
    assert failed.data.created
    assert set(failed.data.created) >= set(failed.data.undone)
    assert failed.data.left_behind == ()
    assert {"namespace", "dns_record", "route", "database"} <= {one.kind for one in failed.data.undone}
    if step != "infra":
        assert {"secret", "policy", "workload_role"} <= {one.kind for one in failed.data.undone}
    assert ("repository" in {one.kind for one in failed.data.undone}) == (step == "pipeline")
    await platform.check_once([name])
    assert (await platform.settled(f"/environments/{name}", "failed"))["failure"]["code"] == f"{step}_refused"
    assert (await platform.get(f"/runs/{run_id}"))["state"] == "failed"


@pytest.mark.parametrize("step", ["infra", "secrets", "pipeline"])
async def test_a_name_whose_creation_failed_can_be_used_again(platform: Driver, step: str) -> None:
    name = platform.name(f"fail-{step}")
    first = await platform.verdict(await platform.create(name))
    assert isinstance(first, EnvironmentFailed)
    platform.world.mend(name)
    await platform.settled(f"/environments/{name}", "failed")
    second = await platform.verdict(await platform.create(name))
    assert isinstance(second, EnvironmentReady)
    assert second.incarnation != first.incarnation
    events = await platform.events(name)
    platform.check_chain(events[len(failed_at(step)) :], CREATED)
    await platform.check_once([name])
    shown = await platform.settled(f"/environments/{name}", "ready")
    assert shown["incarnation"] == str(second.incarnation)


@pytest.mark.parametrize(
    ("step", "left", "kind"),
    [("secrets", "infra", "route"), ("pipeline", "secrets", "workload_role"), ("pipeline", "pipeline", "repository")],
)
async def test_what_an_undo_cannot_remove_is_left_behind_and_the_road_goes_on(
    platform: Driver, step: str, left: str, kind: str
) -> None:
    name = platform.name(f"fail-{step}", f"left-{left}")
    failed = await platform.verdict(await platform.create(name))
    assert isinstance(failed, EnvironmentFailed)
    platform.check_chain(await platform.events(name), failed_at(step))
    assert [one.resource.kind for one in failed.data.left_behind] == [kind]
    assert failed.data.left_behind[0].reason
    assert not {one.resource for one in failed.data.left_behind} & set(failed.data.undone)
    shown = await platform.settled(f"/environments/{name}", "failed")
    assert [one["kind"] for one in shown["left_behind"]] == [kind]


async def test_a_deletion_takes_everything_away_and_frees_the_name(platform: Driver) -> None:
    name = platform.name()
    first = await platform.verdict(await platform.create(name))
    await platform.settled(f"/environments/{name}", "ready")
    deleted = await platform.verdict(run_id := await platform.delete(name))
    assert isinstance(deleted, EnvironmentDeleted)
    events = await platform.events(name)
    platform.check_chain(events[len(CREATED) :], DELETED)
    assert deleted.incarnation == first.incarnation
    assert {one.kind for one in deleted.data.removed} >= {"repository", "secret", "database", "route"}
    assert deleted.data.left_behind == ()
    assert (await platform.settled(f"/environments/{name}", "deleted"))["left_behind"] == []
    assert (await platform.get(f"/runs/{run_id}"))["state"] == "succeeded"
    again = await platform.verdict(await platform.create(name))
    assert isinstance(again, EnvironmentReady)
    assert again.incarnation != first.incarnation
    await platform.check_once([name])


async def test_a_deletion_says_what_it_had_to_leave_behind(platform: Driver) -> None:
    name = platform.name("left-infra")
    await platform.verdict(await platform.create(name))
    await platform.settled(f"/environments/{name}", "ready")
    deleted = await platform.verdict(await platform.delete(name))
    assert isinstance(deleted, EnvironmentDeleted)
    assert [one.resource.kind for one in deleted.data.left_behind] == ["route"]


async def test_fifty_identical_requests_with_one_key_begin_one_run(platform: Driver) -> None:
    name, key = platform.name(), uuid4().hex
    runs = await asyncio.gather(*(platform.create(name, key=key) for _ in range(50)))
    assert len(set(runs)) == 1
    await platform.verdict(runs[0])
    platform.check_chain(await platform.events(name), CREATED)
    await platform.check_once([name])


async def test_of_fifty_requests_for_one_name_with_keys_of_their_own_one_begins_a_run(platform: Driver) -> None:
    name = platform.name()
    body = {"name": name, "golden_path": "nodejs-api"}

    async def ask() -> int:
        headers = {"Idempotency-Key": uuid4().hex}
        return (await platform.http.post(f"{API}/environments", json=body, headers=headers)).status_code

    with platform.world.held(name):
        statuses = await asyncio.gather(*(ask() for _ in range(50)))
    assert sorted(statuses) == [202, *[409] * 49]
    await until(lambda: platform.events(name))
    (requested,) = [event for event in await platform.events(name) if event.kind == CREATED[0]]
    await platform.verdict(requested.run_id)
    platform.check_chain(await platform.events(name), CREATED)

"""What a store of rollouts promises, held against the twin and against Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from chassis.clock import FixedClock
from chassis.database import Database
from chassis.settings import DatabaseSettings
from contracts.values import Resource
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.gateway.adapters.memory_rollouts import MemoryRollouts
from services.gateway.adapters.postgres_rollouts import PostgresRollouts
from services.gateway.domain.rollouts import Member, Rehearsal, Rollout
from services.gateway.ports import PathBusyError, RolloutStore
from tests import samples


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("rollouts")) as running:
        yield running


@pytest.fixture(params=["twin", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[RolloutStore]:
    if request.param == "twin":
        yield MemoryRollouts(FixedClock(samples.AT))
        return
    postgres: RunningPostgres = request.getfixturevalue("postgres")
    settings = DatabaseSettings(
        url=postgres.cluster.url("slipway_gateway", "slipway"),
        password_file=postgres.password_file("slipway_gateway"),
    )
    database = Database(settings, application_name="test")
    await database.open()
    async with database.pool.connection() as connection:
        await connection.execute("TRUNCATE rollouts, rollout_members")
    yield PostgresRollouts(database)
    await database.close()


REHEARSAL = Rehearsal(
    "loses_data",
    "c" * 64,
    {"create": 0, "update": 0, "replace": 1, "destroy": 0},
    (Resource(kind="database", id="apps/env_demo_api"),),
    'a"\n\u2028😀',
)


def member(name: str = "demo-api", **changes: Any) -> Member:
    return Member(name, uuid4(), "payments", "preview", "1.0.0", **changes)


def rollout(**changes: Any) -> Rollout:
    values: dict[str, Any] = {
        "id": uuid4(),
        "fingerprint": b"\x00\xff" * 16,
        "golden_path": "nodejs-api",
        "version": "1.1.0",
        "requested_by": "pat",
        "requested_at": samples.AT,
        "members": (member("a"), member("b")),
        **changes,
    }
    return Rollout(**values)


async def test_what_is_added_is_found_whole(store: RolloutStore) -> None:
    full = member(
        "a", state="failed", rehearsal=REHEARSAL, batch=3, attempt=2, rehearsals=1, run_id=uuid4(), reason="It broke.",
        waiting_since=samples.AT, begun_at=samples.AT, ended_at=samples.AT,
    )  # fmt: skip
    wanted = rollout(
        kinds=("preview", "staging"), canaries=2, batch_size=7, include_replacing=True, pause_after_rehearsal=True,
        rehearse_only=True, status="stopped", phase="batches", reason="It broke.", ended_at=samples.AT,
        members=(full, member("b")),
    )  # fmt: skip
    assert await store.add(wanted) == wanted
    assert await store.find(wanted.id) == wanted
    assert await store.find(uuid4()) is None


async def test_adding_again_changes_nothing(store: RolloutStore) -> None:
    first = await store.add(rollout())
    assert await store.add(replace(first, version="9.9.9", members=())) == first


async def test_one_of_a_golden_path_is_under_way_at_a_time(store: RolloutStore) -> None:
    outcomes = await asyncio.gather(*(store.add(rollout()) for _ in range(8)), return_exceptions=True)
    [kept] = [one for one in outcomes if isinstance(one, Rollout)]
    refused = [one for one in outcomes if isinstance(one, PathBusyError)]
    assert [one.rollout_id for one in refused] == [kept.id] * 7
    await store.add(rollout(golden_path="worker"))
    assert await store.save(replace(kept, status="done", ended_at=samples.AT), kept)
    await store.add(rollout())
    assert len(await store.under_way()) == 2


async def test_they_are_listed_newest_first_and_those_under_way_oldest_first(store: RolloutStore) -> None:
    kept = [
        await store.add(rollout(golden_path=f"path-{hours}", requested_at=samples.AT + timedelta(hours=hours)))
        for hours in range(3)
    ]
    assert await store.newest(2) == [kept[2], kept[1]]
    await store.save(replace(kept[1], ended_at=samples.AT), kept[1])
    assert await store.under_way() == [kept[0].id, kept[2].id]


async def test_a_change_is_kept_only_over_what_it_was_made_from(store: RolloutStore) -> None:
    first = await store.add(rollout())
    a, b = first.members
    changed = replace(first, phase="canaries", members=(replace(a, state="begun", rehearsal=REHEARSAL), b))
    assert await store.save(changed, first)
    assert await store.find(first.id) == replace(changed, revision=1)
    late = replace(first, status="done", members=(replace(a, state="failed"), replace(b, state="failed")))
    assert not await store.save(late, first)
    assert await store.find(first.id) == replace(changed, revision=1)


async def test_of_many_changes_at_once_one_is_kept(store: RolloutStore) -> None:
    first = await store.add(rollout())
    kept = await asyncio.gather(*(store.save(replace(first, reason=f"{n}"), first) for n in range(10)))
    assert sorted(kept) == [False] * 9 + [True]


async def test_one_drives_at_a_time_and_lets_go(store: RolloutStore) -> None:
    first = await store.add(rollout())
    mine, other = uuid4(), uuid4()
    assert await store.take(first.id, mine, 60) == first
    assert await store.take(first.id, mine, 60) == first
    assert await store.take(first.id, other, 60) is None
    await store.let_go(first.id, other)
    assert await store.take(first.id, other, 60) is None
    await store.let_go(first.id, mine)
    await store.let_go(first.id, mine)
    assert await store.take(first.id, other, 60) == first


async def test_who_drove_for_too_long_is_followed_by_another_one(store: RolloutStore) -> None:
    first = await store.add(rollout())
    await store.take(first.id, uuid4(), -1)
    assert await store.take(first.id, uuid4(), 60) == first


async def test_what_is_over_is_driven_by_nobody(store: RolloutStore) -> None:
    first = await store.add(rollout(ended_at=samples.AT))
    assert await store.take(first.id, uuid4(), 60) is None
    assert await store.take(uuid4(), uuid4(), 60) is None
    assert await store.under_way() == []

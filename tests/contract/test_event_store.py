"""What the catalog relies on in its event store, asked of the twin in memory and of a real Postgres."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from chassis.failures import TransientError
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.queries import (
    FindEnvironments,
    FindRuns,
    GetDurations,
    GetEnvironment,
    GetEvents,
    GetRun,
    WhichAreKnown,
)
from services.catalog.adapters.postgres import PostgresEventStore
from services.catalog.adapters.postgres_views import PAGE_BYTES
from services.catalog.domain.records import EMPTY
from services.catalog.ports import AlreadyRecordedError
from tests.contract.catalogs import KEY, NOW, Real, World, built, by, decision, messages, stored
from tests.stories import Story
from tests.waiting import until


async def test_a_new_store_is_empty(world: World) -> None:
    assert await world.store.head() == EMPTY
    assert await world.store.load(["demo-api"]) == (EMPTY, {})
    assert await world.store.unsaid(0) == []
    assert await world.store.oldest_unsaid_seconds() == 0
    assert await world.store.rejected() == []
    assert await world.store.stalling(0) == []


async def test_what_was_appended_is_known_to_every_replica(world: World) -> None:
    found = messages(Story(KEY).create().ready().events)
    batch = await built(world.store, found)
    assert await world.store.append(batch, [])

    for store in (world.store, world.replica()):
        head, known = await store.load(["demo-api", "other"])
        assert head == batch.head == await store.head(fresh=True)
        assert known == {"demo-api": batch.known["demo-api"]}
        for one in found:
            kept = await store.message(one.sequence)
            assert kept is not None
            assert (kept.sequence, kept.subject, kept.body) == (one.sequence, one.subject, one.body)
    assert await world.store.message(99) is None


async def test_what_is_ready_is_found_a_page_at_a_time_by_every_replica(world: World) -> None:
    ready = [Story(KEY, name).create().ready() for name in ("b", "d", "a")]
    await stored(world, *ready, Story(KEY, "c").create(), Story(KEY, "e").create().ready().delete())

    store = world.replica()
    first = await store.ready("", 2)
    assert [view.name for view in first] == ["a", "b"]
    assert [view.name for view in await store.ready("b", 2)] == ["d"]
    known = await store.known("a")
    assert known is not None
    assert (known.environment, known.run.id) == (first[0], ready[2].request.id)
    assert await store.known("nobody") is None


async def test_appending_twice_is_refused_and_changes_nothing(world: World) -> None:
    batch = await built(world.store, messages(Story(KEY).create().events))
    first = decision(Story(KEY).request, 4)

    assert await world.store.append(batch, [first])
    assert not await world.store.append(batch, [decision(Story(KEY).request, 4)])
    assert [one for one, _ in await world.store.unsaid(0)] == [first]
    assert await world.store.head(fresh=True) == batch.head


async def test_a_replica_that_is_late_is_refused_and_then_up_to_date(world: World) -> None:
    story = Story(KEY).create()
    found = messages(story.events)
    one, other = world.store, world.replica()
    of_one, of_other = await built(one, found[:2]), await built(other, found[:3])
    assert await one.append(of_one, [])

    assert not await other.append(of_other, [])
    head, known = await other.load(["demo-api"])
    assert (head, known["demo-api"]) == (of_one.head, of_one.known["demo-api"])
    assert await other.append(await built(other, found[2:]), [])
    assert await one.head(fresh=True) == await other.head()


async def test_of_many_who_append_at_once_one_succeeds(world: World) -> None:
    found = messages(Story(KEY).create().events)
    replicas = [world.replica() for _ in range(8)]
    batches = [await built(store, found) for store in replicas]
    results = await asyncio.gather(*(store.append(batch, []) for store, batch in zip(replicas, batches, strict=True)))

    assert sorted(results) == [False] * 7 + [True]


async def test_a_duplicate_of_before_is_refused_until_it_is_flagged(world: World) -> None:
    story = Story(KEY).create()
    await stored(world, story)
    again = messages(story.events[:2], 5)
    with pytest.raises(AlreadyRecordedError):
        await world.store.append(await built(world.store, again), [decision(story.request, 5)])
    assert (await world.store.head(fresh=True)).sequence == 4
    assert await world.store.unsaid(0) == []

    ids = await world.store.recorded([event.id for event in story.events[:2]] + [uuid4()])
    assert ids == {event.id for event in story.events[:2]}
    batch = await built(world.store, again, list(ids))
    assert await world.store.append(batch, [])
    assert await world.store.rejected() == []
    environment = (await world.views.environment(GetEnvironment(environment="demo-api"))).environment
    assert environment is not None
    assert (environment.version, environment.last_sequence) == (4, 6)


@pytest.mark.parametrize(
    "subject", [b"environment.demo-api.infra_ready", b"environment.a\0b.x", "environment.é.x".encode(), b"\xff.\xfe.x"]
)
async def test_any_bytes_are_kept_as_they_came(world: World, subject: bytes) -> None:
    body = bytes(range(256))
    assert await world.store.append(await built(world.store, [LogMessage(1, subject, body)]), [])

    kept = await world.store.message(1)
    assert kept is not None
    assert (kept.subject, kept.body) == (subject, body)
    (rejected,) = await world.store.rejected()
    assert (rejected.message.sequence, rejected.message.subject, rejected.rejection) == (1, subject, "malformed")
    for _ in range(2):
        await world.store.laid_aside(1)
    assert await world.store.rejected() == []


async def test_a_decision_is_unsaid_until_its_event_is_in_the_store(world: World) -> None:
    story = Story(KEY).create()
    found = messages(story.events)
    ready = Story(KEY, cause=story.request.causation_id).create().ready().last
    made = decision(story.request, 4, ready.id)
    assert await world.store.append(await built(world.store, found), [made])

    ((unsaid, cause),) = await world.store.unsaid(0)
    assert unsaid == made
    assert (cause.sequence, cause.body) == (4, found[3].body)
    assert await world.store.unsaid(10) == []
    world.age(20)
    assert len(await world.store.unsaid(10)) == 1
    assert 20 <= await world.store.oldest_unsaid_seconds() < 40

    assert await world.store.append(await built(world.store, messages([ready], 5)), [])
    assert await world.store.unsaid(0) == []
    assert await world.store.oldest_unsaid_seconds() == 0


async def test_a_decision_by_itself_is_made_once_and_can_be_forgotten(world: World) -> None:
    story = Story(KEY)
    await stored(world, story)
    made = decision(story.request, 1)

    assert [await world.store.decide(made), await world.store.decide(made)] == [True, False]
    for _ in range(2):
        await world.store.forget(made.event_id)
    assert await world.store.unsaid(0) == []


async def test_an_open_run_without_progress_is_stalling(world: World) -> None:
    slow, done = Story(KEY, "slow").create("secrets"), Story(KEY, "done").create().ready()
    await stored(world, slow, done)
    assert await world.store.stalling(300) == []
    world.age(301)

    (stalling,) = await world.store.stalling(300)
    assert stalling.known.environment.name == "slow"
    assert stalling.last.body == slow.last.to_json()
    assert 301 <= stalling.waiting_seconds < 320
    await world.store.decide(decision(slow.request, 3))
    assert await world.store.stalling(300) == []


async def test_a_run_that_another_one_replaced_does_not_stall(world: World) -> None:
    await stored(world, Story(KEY).create("infrastructure"), Story(KEY).create().ready())
    world.age(1000)

    assert await world.store.stalling(300) == []


async def test_environments_are_found_by_what_is_asked_for(world: World) -> None:
    await stored(
        world,
        Story(KEY, "alpha", owner=by("payments")).create().ready(),
        Story(KEY, "beta", owner=by("search")),
        Story(KEY, "gamma", owner=by("search"), golden_path="worker").create().ready(),
        Story(KEY, "gone", owner=by("search")).create().ready().delete().deleted(),
    )

    async def names(**asked: object) -> list[str]:
        found = await world.views.environments(FindEnvironments.model_validate(asked))
        assert found.total == len(found.items)
        return [view.name for view in found.items]

    assert await names() == ["alpha", "beta", "gamma"]
    assert await names(include_deleted=True) == ["alpha", "beta", "gamma", "gone"]
    assert await names(state="deleted") == ["gone"]
    assert await names(state="ready") == ["alpha", "gamma"]
    assert await names(teams=["search"]) == ["beta", "gamma"]
    assert await names(teams=[]) == []
    assert await names(golden_path="worker") == ["gamma"]
    assert await names(name_contains="a", teams=["payments"]) == ["alpha"]
    assert await names(name_contains="%") == []


async def test_environments_come_a_page_at_a_time(world: World) -> None:
    await stored(world, *(Story(KEY, f"env-{number}") for number in range(5)))
    seen: list[str] = []
    after: str | None = None
    for _ in range(3):
        page = await world.views.environments(FindEnvironments(limit=2, after=after))
        assert page.total == 5
        seen += [view.name for view in page.items]
        after = page.next_cursor

    assert seen == [f"env-{number}" for number in range(5)]
    assert after is None


async def test_runs_come_with_the_newest_event_first_a_page_at_a_time(world: World) -> None:
    first, second = Story(KEY, "one", owner=by("a-team")), Story(KEY, "two", owner=by("b-team"))
    await stored(world, first.create().ready().delete().deleted(), second.create())
    runs = (await world.views.runs(FindRuns())).items

    assert [(run.environment, run.kind) for run in runs] == [("two", "create"), ("one", "delete"), ("one", "create")]
    page = await world.views.runs(FindRuns(before_sequence=runs[0].last_sequence, limit=1))
    assert page.items == runs[1:2]
    assert (await world.views.runs(FindRuns(environment="one"))).items == runs[1:]
    assert (await world.views.runs(FindRuns(teams=("b-team",)))).items == runs[:1]
    assert (await world.views.run(GetRun(run_id=second.request.id))).run == runs[0]
    assert (await world.views.run(GetRun(run_id=uuid4()))).run is None
    assert (await world.views.environment(GetEnvironment(environment="nobody"))).environment is None


async def test_the_history_is_what_was_recorded(world: World) -> None:
    story = Story(KEY).create().ready()
    await stored(world, story)
    await world.store.append(await built(world.store, [LogMessage(6, b"environment.demo-api.x", b"junk")]), [])
    history = (await world.views.events(GetEvents(environment="demo-api"))).items

    assert [one.sequence for one in history] == [one.version for one in history] == [1, 2, 3, 4, 5]
    assert [one.subject for one in history] == [subjects.of(event) for event in story.events]
    assert [one.event["id"] for one in history] == [str(event.id) for event in story.events]
    page = (await world.views.events(GetEvents(environment="demo-api", after_sequence=2, limit=2))).items
    assert page == history[2:4]


async def test_only_events_count_as_known(world: World) -> None:
    story = Story(KEY)
    forged = story.request.model_copy(update={"id": uuid4()})
    await world.store.append(await built(world.store, messages([story.request, forged])), [])
    asked = WhichAreKnown(ids=(uuid4(), story.request.id, forged.id))

    assert (await world.views.which_are_known(asked)).ids == (story.request.id,)


async def test_durations_are_of_recent_successful_creations_of_one_golden_path(world: World) -> None:
    assert (await world.views.durations(GetDurations(golden_path="nodejs-api"))).items == ()
    recent = NOW - timedelta(hours=1)
    await stored(
        world,
        *(Story(KEY, f"good-{number}", time=recent).create().ready() for number in range(3)),
        Story(KEY, "old", time=NOW - timedelta(days=31)).create().ready(),
        Story(KEY, "bad", time=recent).fail("infrastructure").failed("infrastructure"),
        Story(KEY, "other", time=recent, golden_path="worker").create().ready(),
    )
    found = (await world.views.durations(GetDurations(golden_path="nodejs-api"))).items

    assert [(one.step, one.count, one.p50_seconds, one.p90_seconds) for one in found] == [
        ("infrastructure", 3, 1, 1),
        ("secrets", 3, 1, 1),
        ("pipeline", 3, 1, 1),
        ("total", 3, 3, 3),
    ]


# -- Postgres only -----------------------------------------------------------------------------------------------------


async def test_the_event_store_cannot_be_changed(real: Real) -> None:
    await stored(real, Story(KEY))
    for role in ("slipway_catalog", "postgres"):
        for statement in ("UPDATE events SET body = ''", "DELETE FROM events", "TRUNCATE events"):
            with real.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


async def test_replicas_take_turns_and_nobody_waits_for_ever(real: Real) -> None:
    one, other = real.store, PostgresEventStore(real.database)
    order: list[str] = []

    async def second() -> None:
        async with other.turn():
            order.append("second")

    async with one.turn():
        waiting = asyncio.create_task(second())
        await until(lambda: real.sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)], what="a waiter")
        order.append("first")
    await waiting
    assert order == ["first", "second"]

    async with one.turn():  # frozen, say
        await second()
    assert order == ["first", "second", "second"]


async def test_what_is_remembered_has_a_limit_and_changes_no_answer(real: Real) -> None:
    forgetful = PostgresEventStore(real.database, remembered_environments=1)
    for number in range(3):
        found = messages([Story(KEY, f"env-{number}").request], number + 1)
        assert await forgetful.append(await built(forgetful, found), [])

    head, known = await forgetful.load([f"env-{number}" for number in range(3)])
    assert (head.sequence, sorted(known)) == (3, ["env-0", "env-1", "env-2"])


async def test_a_lost_connection_is_transient_and_leaves_the_store_usable(real: Real) -> None:
    await stored(real, Story(KEY))
    with real.connect("postgres") as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'slipway_catalog'")
    with pytest.raises(TransientError):
        await real.store.head(fresh=True)

    async def sequence() -> int:
        try:
            return (await real.store.head(fresh=True)).sequence
        except TransientError:  # the pool has several connections that do not know yet
            return 0

    assert await until(sequence) == 1


async def test_a_page_fits_into_one_message(real: Real) -> None:
    parameters = {"text": "x" * 50_000}
    stories = [Story(KEY, f"env-{number:02}", parameters=parameters) for number in range(30)]
    await stored(real, *stories, Story(KEY, "long", parameters=parameters).create().ready())
    await stored(real, *(Story(KEY, "long", parameters=parameters).create("secrets") for _ in range(6)))

    page = await real.views.environments(FindEnvironments(limit=500))
    assert page.next_cursor == page.items[-1].name
    history = await real.views.events(GetEvents(environment="long"))
    for answer, total in ((page, 31), (history, 23)):
        assert 1 < len(answer.items) < total
        assert len(answer.model_dump_json()) < PAGE_BYTES + 100_000

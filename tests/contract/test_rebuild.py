"""Views folded anew from the copy of the log equal the live ones, whatever happened. Where they do not, it shows."""

import contextlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, LiteralString
from uuid import uuid4

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.pulling import LogMessage
from contracts.maintenance import Rebuild, Rebuilt
from deploy.embedded.testing_postgres import RunningPostgres
from services.catalog.adapters.postgres_rebuild import PostgresRebuild
from services.catalog.adapters.rebuild_workers import Workers
from services.catalog.domain.records import EMPTY, examine, name_in, project
from tests.contract.catalogs import KEY, NOW, Real, messages, stored
from tests.stories import Story
from tests.waiting import until

DEEDS = ("create", "ready", "fail", "update", "delete", "deleted", "again", "noise", "duplicate")


async def _all(real: Real, *, limit: int = 3, replace: bool = False, workers: Workers | None = None) -> Rebuilt:
    """Every page, added up."""
    names = events = 0
    differing: tuple[str, ...] = ()
    after: str | None = ""
    while after is not None:
        page = await PostgresRebuild(real.database, workers).rebuild(Rebuild(after=after, limit=limit, replace=replace))
        names, events, differing, after = (
            names + page.names,
            events + page.events,
            differing + page.differing,
            page.next_after,
        )
    return Rebuilt(names=names, events=events, differing=differing, next_after=None)


def _lived(name: str, deeds: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """What a name's life comes to, as messages; deeds that make no sense just then are events out of place, which the
    fold has to bear."""
    story = Story(KEY, name, time=NOW - timedelta(days=1))
    found: list[tuple[bytes, bytes]] = []
    told = 0
    for deed in deeds:
        match deed:
            case "fail":
                story.fail("secrets").failed("secrets")
            case "update":
                story.update(parameters={"instances": len(deeds)})
            case "create" | "ready" | "delete" | "deleted":
                getattr(story, deed)()
            case "again":
                later = Story(KEY, name, time=story.last.time + timedelta(minutes=1))
                found += _said(story, told)
                story, told = later, 0
            case "noise":
                found += [*_said(story, told), (f"environment.{name}.noise".encode(), b"{")]
                told = len(story.events)
            case _:
                found += [*_said(story, told), _message(story.events[-1])]
                told = len(story.events)
    return [*found, *_said(story, told)]


def _said(story: Story, told: int) -> list[tuple[bytes, bytes]]:
    return [_message(event) for event in story.events[told:]]


def _message(event: Any) -> tuple[bytes, bytes]:
    [message] = messages([event])
    return message.subject, message.body


def _no_errors(event: object, error: Exception) -> None:
    raise AssertionError(event) from error


async def _fold(real: Real, found: Sequence[tuple[bytes, bytes]], size: int) -> None:
    """Fold as the catalog does, so many messages at a time."""
    for at in range(0, len(found), size):
        head, _ = await real.store.load(())
        batch = [
            LogMessage(head.sequence + number, subject, body)
            for number, (subject, body) in enumerate(found[at : at + size], 1)
        ]
        head, known = await real.store.load({name_in(one.subject) for one in batch})
        examined = [examine(one, KEY.derive) for one in batch]
        ids = await real.store.recorded([one.event.id for one in examined if one.event is not None])
        assert await real.store.append(project(head, known, examined, ids, on_error=_no_errors), [])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(st.lists(st.sampled_from(DEEDS), min_size=1, max_size=7), min_size=1, max_size=3),
    size=st.integers(1, 9),
)
async def test_after_any_history_the_views_folded_anew_equal_the_live_ones(
    real: Real, lives: list[list[str]], size: int
) -> None:
    names = [f"x{uuid4().hex[:12]}" for _ in lives]
    told = [_lived(name, deeds) for name, deeds in zip(names, lives, strict=True)]
    interleaved = [one[at] for at in range(max(map(len, told))) for one in told if at < len(one)]

    await _fold(real, interleaved, size)

    for name in names:
        page = await PostgresRebuild(real.database).rebuild(Rebuild(after=name[:-1], limit=1))
        assert (page.names, page.differing) == (1, ())


async def test_nothing_is_to_do_on_an_empty_log(real: Real) -> None:
    assert await _all(real) == Rebuilt(names=0, events=0, differing=(), next_after=None)
    assert (await real.store.head()) == EMPTY


@pytest.mark.parametrize(
    "spoiled",
    [
        "UPDATE environments SET document = replace(document::text, '\"ready\"', '\"failed\"')::json WHERE name = 'b'",
        "UPDATE environments SET state = 'failed' WHERE name = 'b'",
        "DELETE FROM environments WHERE name = 'b'",
        "UPDATE runs SET total_seconds = 1e6 WHERE environment = 'b'",
        "DELETE FROM runs WHERE environment = 'b'",
        "UPDATE directory SET team = 'nobody' WHERE name = 'b'",
    ],
)
async def test_what_is_not_what_the_log_says_is_found_and_replaced(real: Real, spoiled: LiteralString) -> None:
    await stored(real, *(Story(KEY, name).create().ready() for name in ("a", "b", "c", "d")))
    with real.connect() as connection:
        connection.execute(spoiled)

    assert (await _all(real)).differing == ("b",)
    assert (await _all(real)).differing == ("b",), "looking changes nothing"
    assert (await _all(real, replace=True)).differing == ("b",)
    assert (await _all(real)).differing == ()


async def test_what_the_log_knows_nothing_of_is_taken_away(real: Real) -> None:
    await stored(real, Story(KEY, "a").create().ready())
    with real.connect() as connection:
        connection.execute(
            "INSERT INTO environments"
            " SELECT 'ghost', team, state, golden_path, run_id, requested_at, sequence, document FROM environments"
        )

    assert (await _all(real, replace=True)).differing == ("ghost",)
    assert (await _all(real)).names == 1


async def test_a_replica_that_remembers_what_was_replaced_folds_on_top_of_the_new(real: Real) -> None:
    story = Story(KEY, "a").create()
    await stored(real, story)
    with real.connect() as connection:
        connection.execute("UPDATE runs SET state = 'failed' WHERE environment = 'a'")
    assert (await _all(real, replace=True)).differing == ("a",)

    told = [_message(event) for event in story.ready().events[-1:]]
    head, known = await real.store.load({"a"})
    found = [LogMessage(head.sequence + 1, *told[0])]
    batch = project(head, known, [examine(one, KEY.derive) for one in found], on_error=_no_errors)
    assert not await real.store.append(batch, []), "it was built on what was remembered from before"

    await _fold(real, told, 1)
    assert (await _all(real)).differing == ()


async def test_workers_share_a_page_and_what_a_dead_one_had_in_hand_is_done_without_it(
    real: Real, postgres: RunningPostgres
) -> None:
    names = [f"n{number:02}" for number in range(45)]
    await stored(real, *(Story(KEY, name).create().ready() for name in names))
    with real.connect() as connection:
        connection.execute("UPDATE environments SET state = 'failed' WHERE name IN ('n03', 'n41')")
    workers = Workers(postgres.cluster.settings("catalog"), 2)
    try:
        alone = await _all(real, limit=100, workers=workers)
        await until(lambda: workers.are_ready, what="two workers")
        assert await _all(real, limit=100, workers=workers) == alone
        assert (alone.names, alone.events, alone.differing) == (45, 45 * 5, ("n03", "n41"))
        assert (await _all(real, limit=100, workers=workers, replace=True)).differing == ("n03", "n41")

        for process in psutil.Process().children():
            # Others come and go; one that has ended and was not waited for yet has no command line.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(process.cmdline()):
                    process.kill()
        assert await _all(real, limit=100, workers=workers) == alone.model_copy(update={"differing": ()})
    finally:
        await workers.close()

"""What the clock brings about, with the catalog as a process between a real bus, whose schedules fire, and a real
Postgres."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from chassis.bus import Bus
from chassis.questions import answer_all
from contracts import subjects
from contracts.envelope import Event
from contracts.events import (
    DriftDetected,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentExtended,
    EnvironmentReady,
    EnvironmentUpdateRequested,
    Expiry,
    parse,
)
from contracts.plans import Plan, PlanEnvironment, PlannedChange
from contracts.topology import inbox_prefix
from contracts.values import Resource
from deploy.embedded.testing import start_nats
from deploy.embedded.testing_postgres import start_postgres
from tests.integration.test_catalog_service import KEY, Log, Platform, Replica, log
from tests.stories import Story
from tests.waiting import until

__all__ = ["log"]  # the fixture

DATABASE = Resource(kind="database", id="apps/env_demo_api")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("clock")
    with ExitStack() as stack:
        nats = stack.enter_context(start_nats(directory / "nats"))
        yield Platform(nats, stack.enter_context(start_postgres(directory / "postgres")), directory)


@pytest.fixture
def platform(ground: Platform) -> Iterator[Platform]:
    yield ground
    for replica in ground.replicas:
        replica.child.kill()


def _story(prefix: str, **changes: Any) -> Story:
    return Story(KEY, f"{prefix}-{uuid4().hex[:8]}", time=datetime.now(UTC), **changes)


def _start(platform: Platform, drift_check_seconds: float = 3600) -> Replica:
    return platform.start(sweep_seconds=0.2, warn_before_seconds="[3]", drift_check_seconds=drift_check_seconds)


def _soon(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _extension(story: Story, expires_at: datetime | None) -> Event:
    cause = uuid4()
    identity: dict[str, Any] = {
        "causationid": cause,
        "id": KEY.derive(cause, EnvironmentExtended.kind),
        "source": "gateway",
    }
    data = Expiry(spec=story.request.data.spec, expires_at=expires_at, requested_by="ada")
    return story.add(EnvironmentExtended, data, time=datetime.now(UTC), **identity)


async def _said(log: Log, kind: type[Event], story: Story) -> list[Event]:
    """What the log has of one kind; the last of them, where there is any."""
    found = await log.deploy.last(subjects.ENVIRONMENTS, subjects.one_kind_of(story.request.subject, kind.kind))
    return [] if found is None else [parse(found.data or b"")]


def _deleting(platform: Platform, *stories: Story) -> Callable[[], bool]:
    return lambda: all(platform.state(story.request.subject) == "deleting" for story in stories)


def _count(platform: Platform, story: Story) -> dict[str, int]:
    rows = platform.sql(
        "SELECT kind, count(*) FROM events WHERE environment = %s AND version IS NOT NULL GROUP BY kind",
        story.request.subject,
    )
    return {str(kind): int(count) for kind, count in rows}


async def test_an_environment_is_warned_of_and_deleted_and_an_extended_one_lives(platform: Platform, log: Log) -> None:
    await until(_start(platform).is_ready, what="readiness")
    ends, extended, kept = stories = [_story(name) for name in ("ends", "extended", "kept")]
    for story in stories:
        await log.tell(*story.create().events)
    await until(lambda: all(platform.state(s.request.subject) == "ready" for s in stories), what="ready")
    # Their end is near from here on only: how long they took to be ready is not what this is about.
    end = _soon(4)
    await log.tell(*(_extension(story, end) for story in stories))
    await log.tell(_extension(extended, _soon(3600)), _extension(kept, None))
    await until(_deleting(platform, ends), what="the deletion")

    counts = _count(platform, ends)
    assert {kind: counts[kind] for kind in ("environment_expiring", "environment_expired")} == {
        "environment_expiring": 1,
        "environment_expired": 1,
    }
    (expiring,), (expired,), (asked,) = [
        await _said(log, kind, ends) for kind in (EnvironmentExpiring, EnvironmentExpired, EnvironmentDeletionRequested)
    ]
    assert expiring.time < end <= expired.time <= asked.time
    assert isinstance(asked, EnvironmentDeletionRequested)
    assert (asked.data.cause, asked.data.requested_by, asked.causation_id) == ("expiry", "slipway", expired.id)
    for story in (extended, kept):
        assert await _said(log, EnvironmentExpired, story) == []
        assert platform.state(story.request.subject) == "ready"


def _has_more(platform: Platform, stories: list[Story], done: int) -> bool:
    return sum(_deleting(platform, story)() for story in stories) > min(done, len(stories) - 1)


async def test_everything_ends_in_time_although_the_catalog_and_the_bus_are_killed(
    platform: Platform, log: Log
) -> None:
    replica = _start(platform)
    await until(replica.is_ready, what="readiness")
    stories = [_story(f"killed-{number}", expires_at=_soon(3 + number / 10)) for number in range(20)]
    extended = _story("killed-and-extended")
    for story in (*stories, extended):
        await log.tell(*story.create().events)
    begun = {"ready", "deleting"}  # where this machine is slow, the first have ended by now
    await until(lambda: all(platform.state(s.request.subject) in begun for s in (*stories, extended)), what="ready")
    await log.tell(_extension(extended, _soon(3)), _extension(extended, _soon(3600)))
    for _ in range(3):
        done = sum(_deleting(platform, story)() for story in stories)
        replica.child.kill()
        platform.nats.part.kill()
        platform.nats.part.start()  # here: it dies with the thread that starts it
        replica = _start(platform)
        await until(partial(_has_more, platform, stories, done), what="progress")
    await until(_deleting(platform, *stories), what="every deletion")

    for story in stories:
        counts = _count(platform, story)
        assert (counts["environment_expired"], counts["environment_deletion_requested"]) == (1, 1)
    assert await _said(log, EnvironmentExpired, extended) == []
    assert platform.sql("SELECT count(*) FROM events WHERE rejection = 'duplicate' AND environment ~ '^killed'") == [
        (0,)
    ]


async def test_timers_that_are_lost_with_their_stream_are_set_again(platform: Platform, log: Log) -> None:
    replica = _start(platform)
    await until(replica.is_ready, what="readiness")
    story = _story("lost")
    await log.tell(*story.create().events)
    await until(lambda: platform.state(story.request.subject) == "ready", what="ready")
    last = await log.tell(_extension(story, _soon(3)))
    await until(lambda: platform.position() >= last, what="the end in the copy")
    replica.child.kill()
    await log.deploy.jetstream.purge_stream(subjects.TIMERS)

    _start(platform)
    await until(_deleting(platform, story), what="the deletion")


@asynccontextmanager
async def _provisioner(platform: Platform, differing: dict[str, Resource]) -> AsyncIterator[list[PlanEnvironment]]:
    """Somebody who answers the catalog's question from a script; yields what was asked."""
    asked: list[PlanEnvironment] = []

    async def plan(question: PlanEnvironment) -> Plan:
        asked.append(question)
        found = differing.get(question.spec.name)
        changes = () if found is None else (PlannedChange(action="update", resource=found),)
        return Plan(changes=changes, hash="0" * 64)

    bus = Bus(
        platform.nats.url,
        name="provisioner",
        nkey_file=platform.nats.nkey_file("provisioner"),
        inbox_prefix=inbox_prefix("provisioner"),
    )
    await bus.connect()
    try:
        await answer_all(bus, "provisioner", {PlanEnvironment: plan})
        yield asked
    finally:
        await bus.close()


async def test_drift_of_a_preview_is_repaired_and_of_production_only_shown(platform: Platform, log: Log) -> None:
    preview, production, fine = (
        _story(kind, kind=kind if kind != "fine" else "preview") for kind in ("preview", "production", "fine")
    )
    differing = {story.request.subject: DATABASE for story in (preview, production)}
    async with _provisioner(platform, differing) as asked:
        await until(_start(platform, drift_check_seconds=1).is_ready, what="readiness")
        for story in (preview, production, fine):
            await log.tell(*story.create().events)

        async def repairing() -> bool:
            return platform.state(preview.request.subject) == "updating"

        await until(repairing, what="the repair")
        await until(
            lambda: sum(one.spec.name == production.request.subject for one in asked) >= 3, what="several checks"
        )
        await until(lambda: any(one.spec.name == fine.request.subject for one in asked), what="a check")
        question = next(one for one in asked if one.spec.name == production.request.subject)
        assert (question.incarnation, question.spec) == (production.request.id, production.request.data.spec)

    (repair,) = await _said(log, EnvironmentUpdateRequested, preview)
    assert isinstance(repair, EnvironmentUpdateRequested)
    assert (repair.data.cause, repair.data.requested_by) == ("drift", "slipway")
    assert repair.data.spec == repair.data.previous == preview.request.data.spec
    shown = await log.environment(production.request.subject)
    assert (shown.state, shown.drift) == ("ready", (DATABASE,))
    assert await _said(log, EnvironmentUpdateRequested, production) == []
    assert _count(platform, production)["drift_detected"] == 1
    assert await _said(log, DriftDetected, fine) == []
    assert await _said(log, EnvironmentReady, fine) != []


async def test_a_provisioner_that_does_not_answer_holds_nothing_up(platform: Platform, log: Log) -> None:
    await until(_start(platform, drift_check_seconds=0.5).is_ready, what="readiness")
    silent = Bus(
        platform.nats.url,
        name="provisioner",
        nkey_file=platform.nats.nkey_file("provisioner"),
        inbox_prefix=inbox_prefix("provisioner"),
    )
    await silent.connect()
    heard: asyncio.Queue[object] = asyncio.Queue()
    await silent.listen(subjects.query("plan", "provisioner"), heard.put)
    stories = [_story(f"quiet-{number}", expires_at=_soon(3)) for number in range(5)]
    for story in stories:
        await log.tell(*story.create().events)
    await heard.get()
    await until(_deleting(platform, *stories), what="every deletion")
    assert heard.qsize() < 2, "two at once, and these wait"
    await silent.close()

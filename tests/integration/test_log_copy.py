"""The catalog's copy of the log: what was tampered with shows, and a lost log is put back from it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import psycopg
import pytest

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts import subjects
from contracts.events import EnvironmentReady
from contracts.signals import Health, HealthChanged
from contracts.topology import inbox_prefix
from deploy import log_copy
from deploy.embedded.home import write_file
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, start_nats
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from tests.stand_ins import Child, start_module
from tests.stories import Story
from tests.waiting import until

KEY = EventKey(b"s" * 32)


@dataclass
class World:
    """A bus, a database, a catalog, and the log as the provisioning job may use it."""

    nats: RunningNats
    postgres: RunningPostgres
    catalog: Child
    health_url: str
    bus: Bus

    async def tell(self, story: Story) -> None:
        for event in story.events:
            await self.bus.publish(
                subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id)
            )

    async def messages(self) -> list[tuple[str, bytes]]:
        """All messages of the log."""
        last = (await self.bus.jetstream.stream_info(subjects.ENVIRONMENTS)).state.last_seq
        found = [await self.bus.jetstream.get_msg(subjects.ENVIRONMENTS, seq=number + 1) for number in range(last)]
        return [(message.subject or "", message.data or b"") for message in found]

    async def caught_up(self, story: Story) -> None:
        """Wait until the story's verdict is in the log and in the copy."""
        name = story.request.subject

        def folded() -> bool:
            with self.postgres.connect() as connection:
                row = connection.execute("SELECT state FROM catalog.environments WHERE name = %s", (name,)).fetchone()
            return row == ("ready",)

        await until(folded, what=f"{name} in the copy")

        async def told() -> bool:
            verdict = subjects.one_kind_of(name, EnvironmentReady.kind)
            position = self.position()
            return any(subject == verdict for subject, _ in await self.messages()) and position == len(
                await self.messages()
            )

        await until(told, what=f"the verdict on {name}")

    def position(self) -> int:
        with self.postgres.connect() as connection:
            row = connection.execute("SELECT sequence FROM catalog.log_position").fetchone()
        assert row is not None
        return int(row[0])

    def copy(self) -> psycopg.Connection:
        """As the catalog's own role: no more is needed to look and to restore."""
        return self.postgres.connect("slipway_catalog")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.health_url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    async def lose_the_log(self) -> None:
        self.nats.part.kill()
        shutil.rmtree(self.nats.store)
        self.nats.part.start()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNats, RunningPostgres, Child, str]]:
    directory = tmp_path_factory.mktemp("log-copy")
    key, port = directory / "event-id.key", free_port()
    write_file(key, (b"s" * 32).hex())
    with ExitStack() as stack:
        nats = stack.enter_context(start_nats(directory / "nats"))
        postgres = stack.enter_context(start_postgres(directory / "postgres"))
        environment = {
            "SLIPWAY_NATS_URL": nats.url,
            "SLIPWAY_NATS_NKEY_FILE": str(nats.nkey_file("catalog")),
            "SLIPWAY_EVENT_KEY_FILE": str(key),
            "SLIPWAY_HEALTH_PORT": str(port),
            "SLIPWAY_DATABASE_URL": postgres.cluster.url("slipway_catalog", "slipway"),
            "SLIPWAY_DATABASE_PASSWORD_FILE": str(postgres.password_file("slipway_catalog")),
        }
        (directory / "catalog").mkdir()
        catalog = start_module("services.catalog", environment, directory / "catalog")
        stack.callback(catalog.kill)
        yield nats, postgres, catalog, f"http://127.0.0.1:{port}"


@pytest.fixture
async def world(ground: tuple[RunningNats, RunningPostgres, Child, str]) -> AsyncIterator[World]:
    nats = ground[0]
    bus = Bus(nats.url, name="deploy", nkey_file=nats.nkey_file("deploy"), inbox_prefix=inbox_prefix("deploy"))
    await bus.connect()
    world = World(*ground, bus)
    await until(world.is_ready, what="a catalog that is ready")
    yield world
    await bus.close()


def _story() -> Story:
    return Story(KEY, f"copy-{uuid4().hex[:8]}", time=datetime.now(UTC)).create()


async def test_a_lost_log_is_put_back_as_it_was_and_goes_on(world: World) -> None:
    stories = [_story() for _ in range(5)]
    for story in stories:
        await world.tell(story)
    await world.bus.publish("environment.odd.thing", b"not an event", stream=subjects.ENVIRONMENTS, message_id="odd")
    await world.caught_up(stories[-1])
    before = await world.messages()

    await world.lose_the_log()
    reached: list[int] = []
    with world.copy() as copy:
        restored = await log_copy.restore(world.nats.access, copy, reached.append)
        again = await log_copy.restore(world.nats.access, copy, reached.append)

    assert restored == log_copy.Restored(already_there=0, put_back=len(before))
    assert again == log_copy.Restored(already_there=len(before), put_back=0)
    assert reached[-1] == len(before)
    assert await world.messages() == before
    await until(world.is_ready, what="a catalog that trusts its log again")
    after = _story()
    await world.tell(after)
    await world.caught_up(after)


async def test_a_restore_that_was_interrupted_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = _story()
    await world.tell(story)
    await world.caught_up(story)
    before = await world.messages()
    monkeypatch.setattr(log_copy, "_BATCH_MESSAGES", 4)

    class InterruptedRestoreError(Exception):
        pass

    def interrupt(sequence: int) -> None:
        if sequence >= 8:
            raise InterruptedRestoreError

    await world.lose_the_log()
    with world.copy() as copy:
        with pytest.raises(InterruptedRestoreError):
            await log_copy.restore(world.nats.access, copy, interrupt)
        restored = await log_copy.restore(world.nats.access, copy, lambda _: None)

    assert restored.already_there >= 8
    assert restored.already_there + restored.put_back == len(before)
    assert await world.messages() == before


async def test_a_log_that_went_on_without_its_history_is_given_up_only_when_told(world: World) -> None:
    story = _story()
    await world.tell(story)
    await world.caught_up(story)
    before = await world.messages()

    await world.lose_the_log()
    await asyncio.to_thread(_provision, world)
    newcomer = _story()
    await world.bus.publish(
        subjects.of(newcomer.request),
        newcomer.request.to_json(),
        stream=subjects.ENVIRONMENTS,
        message_id=str(newcomer.request.id),
    )
    with world.copy() as copy:
        with pytest.raises(log_copy.LogCopyError, match="--discard"):
            await log_copy.restore(world.nats.access, copy, lambda _: None)
        assert len(await world.messages()) == 1, "nothing was changed"
        assert await log_copy.discard_log(world.nats.access) == 1
        await log_copy.restore(world.nats.access, copy, lambda _: None)

    assert await world.messages() == before


def _provision(world: World) -> None:
    world.nats.provision_streams()


async def test_a_copy_that_nobody_touched_is_intact(world: World) -> None:
    story = _story()
    await world.tell(story)
    await world.caught_up(story)

    with world.copy() as copy:
        verdict = log_copy.verify(copy)

    assert verdict.is_intact
    assert verdict.messages == world.position()


@pytest.mark.parametrize(
    ("tampering", "reason"),
    [
        ("UPDATE catalog.events SET body = body || ' '::bytea WHERE sequence = 2", "was changed"),
        ("UPDATE catalog.events SET subject = 'environment.other.infra_ready' WHERE sequence = 2", "was changed"),
        ("UPDATE catalog.events SET environment = 'other', version = 900 WHERE sequence = 2", "columns"),
        ("UPDATE catalog.events SET version = 77 WHERE sequence = 2", "version 77"),
        ("DELETE FROM catalog.events WHERE sequence = 2", "missing"),
        ("DELETE FROM catalog.events WHERE sequence = (SELECT max(sequence) FROM catalog.events)", "cut off"),
    ],
)
async def test_a_copy_that_was_tampered_with_shows(world: World, tampering: str, reason: str) -> None:
    story = _story()
    await world.tell(story)
    await world.caught_up(story)

    with world.postgres.connect() as superuser, superuser.transaction(force_rollback=True):
        superuser.execute("ALTER TABLE catalog.events DISABLE TRIGGER append_only")
        superuser.execute(tampering.encode())
        verdict = log_copy.verify(superuser)

    assert not verdict.is_intact
    assert reason in verdict.reason
    assert verdict.broken_at is not None


async def test_the_catalogs_own_role_cannot_change_the_copy(world: World) -> None:
    story = _story()
    await world.tell(story)
    await world.caught_up(story)

    with world.copy() as copy, pytest.raises(psycopg.errors.InsufficientPrivilege):
        copy.execute("DELETE FROM catalog.events")


async def test_facts_from_outside_are_put_back_beside_the_log(world: World) -> None:
    story = _story()
    await world.tell(story)
    await world.caught_up(story)
    facts = [_fact(story) for _ in range(3)]
    for fact in (*facts, facts[0].model_copy(update={"id": uuid4(), "subject": "nobody"})):
        await world.bus.publish(
            subjects.of_signal(fact), fact.to_json(), stream=subjects.SIGNALS, message_id=str(fact.id)
        )
    junk = await world.bus.publish("signal.odd.thing", b"no fact", stream=subjects.SIGNALS, message_id="odd")

    def heard() -> bool:
        with world.postgres.connect() as connection:
            return connection.execute("SELECT sequence FROM catalog.signal_position").fetchone() == (junk.sequence,)

    await until(heard, what="the copy of the facts")
    with world.copy() as copy:
        assert log_copy.verify(copy, log_copy.FACTS).messages == junk.sequence
        assert log_copy.verify(copy, log_copy.FACTS).is_intact

    await world.lose_the_log()
    with world.copy() as copy:
        await log_copy.restore(world.nats.access, copy, lambda _: None)
    last = await world.bus.jetstream.get_msg(subjects.SIGNALS, seq=junk.sequence - 2)
    assert last.data == facts[2].to_json()
    await until(world.is_ready, what="a catalog that trusts its streams again")
    with world.postgres.connect() as connection:
        connection.execute("SET session_replication_role = replica")  # past the trigger
        connection.execute("UPDATE catalog.signals SET environment = 'other' WHERE sequence = %s", (junk.sequence - 2,))
        broken = log_copy.verify(connection, log_copy.FACTS)
        connection.rollback()
    assert (broken.broken_at, "columns" in broken.reason) == (junk.sequence - 2, True)


def _fact(story: Story) -> HealthChanged:
    return HealthChanged(
        id=uuid4(),
        source="monitoring",
        subject=story.request.subject,
        time=datetime.now(UTC),
        data=Health(state="degraded", reason="slow"),
    )

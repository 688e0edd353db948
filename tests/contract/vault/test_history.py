"""The last word on an environment's secrets: the twin's memory and the real log tell the same."""

from collections.abc import AsyncIterator, Iterator
from typing import Protocol
from uuid import UUID, uuid4

import pytest

from chassis.bus import Bus
from contracts import subjects
from contracts.envelope import Event
from contracts.events import SecretsRevoked, SecretsStored, SecretsStoredData, Undone
from contracts.topology import inbox_prefix
from contracts.values import Receipt
from deploy.embedded.testing import RunningNats, start_nats
from services.secrets.adapters.log import LogHistory
from services.secrets.adapters.memory import MemoryHistory
from services.secrets.domain import Names, leasing_role
from services.secrets.ports import History
from tests import samples
from tests.unit.secrets.events import event


class Log(Protocol):
    """A history, and a way to make some."""

    @property
    def history(self) -> History: ...

    async def say_stored(self, name: str, incarnation: UUID) -> None: ...

    async def say_revoked(self, name: str, incarnation: UUID) -> None: ...

    async def say_restored(self, name: str, incarnation: UUID, receipt: Receipt) -> None: ...


class TwinLog:
    def __init__(self) -> None:
        self.history = MemoryHistory()

    async def say_stored(self, name: str, incarnation: UUID) -> None:
        self.history.note_stored(name, incarnation, samples.secrets(name))

    async def say_revoked(self, name: str, incarnation: UUID) -> None:
        self.history.note_revoked(name, incarnation)

    async def say_restored(self, name: str, incarnation: UUID, receipt: Receipt) -> None:
        self.history.note_restored(name, incarnation, receipt)


class RealLog:
    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.history = LogHistory(bus)

    async def say_stored(self, name: str, incarnation: UUID) -> None:
        data = SecretsStoredData(
            spec=samples.spec(name), infrastructure=samples.infrastructure(name), secrets=samples.secrets(name)
        )
        await self._store(event(SecretsStored, "secrets", name, incarnation, data))

    async def say_revoked(self, name: str, incarnation: UUID) -> None:
        undone = Undone(spec=samples.spec(name), receipt=Receipt())
        await self._store(event(SecretsRevoked, "secrets", name, incarnation, undone))

    async def say_restored(self, name: str, incarnation: UUID, receipt: Receipt) -> None:
        undone = Undone(spec=samples.spec(name), previous=samples.spec(name), receipt=receipt)
        await self._store(event(SecretsRevoked, "secrets", name, incarnation, undone))

    async def _store(self, said: Event) -> None:
        await self.bus.publish(subjects.of(said), said.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(said.id))


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    with start_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture(params=["twin", "real"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param == "twin":
        yield TwinLog()
        return
    running: RunningNats = request.getfixturevalue("nats")
    # With the service's own credential: what it reads it must be allowed to read.
    bus = Bus(running.url, name="secrets", nkey_file=running.nkey_file("secrets"), inbox_prefix=inbox_prefix("secrets"))
    await bus.connect()
    yield RealLog(bus)
    await bus.close()


async def test_the_last_word_counts(log: Log, name: str) -> None:
    life = uuid4()
    assert await log.history.stored(name, life) is None
    assert not await log.history.is_undone(name, life)

    await log.say_stored(name, life)
    assert await log.history.stored(name, life) == samples.secrets(name)
    assert not await log.history.is_undone(name, life)

    await log.say_revoked(name, life)
    assert await log.history.stored(name, life) is None
    assert await log.history.is_undone(name, life)

    await log.say_stored(name, life)
    assert await log.history.stored(name, life) == samples.secrets(name)
    assert not await log.history.is_undone(name, life)


async def test_another_life_has_a_history_of_its_own(log: Log, name: str) -> None:
    earlier, later = uuid4(), uuid4()
    await log.say_stored(name, earlier)
    await log.say_revoked(name, earlier)

    assert await log.history.stored(name, later) is None
    assert not await log.history.is_undone(name, later)

    await log.say_stored(name, later)
    assert await log.history.is_undone(name, earlier)
    assert await log.history.stored(name, later) == samples.secrets(name)


async def test_an_update_that_was_taken_back_has_revoked_nothing(log: Log, name: str) -> None:
    life = uuid4()
    await log.say_stored(name, life)
    await log.say_restored(name, life, Receipt(restored=(leasing_role(Names(name)),)))
    assert await log.history.stored(name, life) == samples.secrets(name)
    assert not await log.history.is_undone(name, life)


async def test_what_the_road_back_of_an_update_took_away_is_not_there(log: Log, name: str) -> None:
    life = uuid4()
    await log.say_stored(name, life)
    await log.say_restored(name, life, Receipt(removed=(leasing_role(Names(name)),)))
    there = await log.history.stored(name, life)
    assert there is not None
    assert there.database_role is None
    assert there.kv_path == samples.secrets(name).kv_path

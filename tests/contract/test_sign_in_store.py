"""What the stores of a sign-in promise, held against the twins and against Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from chassis.database import Database
from chassis.settings import DatabaseSettings
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.gateway.adapters.memory_sessions import (
    MemoryMachineCodes,
    MemoryPeople,
    MemorySessions,
    MemorySignIns,
)
from services.gateway.adapters.postgres_sessions import (
    PostgresMachineCodes,
    PostgresPeople,
    PostgresSessions,
    PostgresSignIns,
)
from services.gateway.domain.machines import MachineCode, code_digest, new_code
from services.gateway.domain.sessions import Session, digest, new_id, new_secret
from services.gateway.domain.sign_ins import SignIn
from services.gateway.ports import MachineCodes, People, SessionStore, SignInStore
from tests import samples

NOW = samples.AT
LATER = timedelta(hours=1)


@dataclass(frozen=True)
class Stores:
    """One of each."""

    sessions: SessionStore
    sign_ins: SignInStore
    people: People
    codes: MachineCodes


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("sign-ins")) as running:
        yield running


@pytest.fixture(params=["twin", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "twin":
        yield Stores(MemorySessions(), MemorySignIns(), MemoryPeople(), MemoryMachineCodes())
        return
    running: RunningPostgres = request.getfixturevalue("postgres")
    settings = DatabaseSettings(
        url=running.cluster.url("slipway_gateway", "slipway"), password_file=running.password_file("slipway_gateway")
    )
    database = Database(settings, application_name="test")
    await database.open()
    with running.connect() as connection:
        connection.execute("TRUNCATE gateway.sessions, gateway.sign_ins, gateway.people, gateway.machine_codes")
    yield Stores(
        PostgresSessions(database), PostgresSignIns(database), PostgresPeople(database), PostgresMachineCodes(database)
    )
    await database.close()


def session(person: str = "ann") -> Session:
    return Session(
        id=new_id(),
        digest=digest(new_secret()),
        issuer="http://issuer.test",
        subject=person,
        person=person,
        role="developer",
        teams=("payments", "search"),
        created_at=NOW,
        used_at=NOW,
        expires_at=NOW + LATER,
    )


def sign_in() -> SignIn:
    return SignIn(digest(new_secret()), digest(new_secret()), "/runs", NOW + LATER)


def code() -> MachineCode:
    return MachineCode(code_digest(new_code()), "c" * 43, "laptop", "ann", "developer", ("payments",), NOW + LATER)


async def test_a_session_is_found_as_it_was_kept(stores: Stores) -> None:
    kept = session()
    await stores.sessions.add(kept)
    assert await stores.sessions.find(kept.digest) == kept
    assert await stores.sessions.find(digest(new_secret())) is None


async def test_a_session_is_used_forwards_only_and_ends_once(stores: Stores) -> None:
    kept = session()
    await stores.sessions.add(kept)
    await stores.sessions.touch(kept.digest, NOW + timedelta(minutes=5))
    await stores.sessions.touch(kept.digest, NOW + timedelta(minutes=1))
    assert await stores.sessions.find(kept.digest) == replace(kept, used_at=NOW + timedelta(minutes=5))
    for _ in range(2):
        await stores.sessions.end(kept.digest)
        assert await stores.sessions.find(kept.digest) is None
    await stores.sessions.touch(kept.digest, NOW)
    assert await stores.sessions.find(kept.digest) is None


async def test_a_persons_sessions_end_together_and_nobody_elses(stores: Stores) -> None:
    mine, other = [session(), session()], session("bob")
    for one in (*mine, other):
        await stores.sessions.add(one)
    assert await stores.sessions.end_all("ann") == 2
    assert await stores.sessions.end_all("ann") == 0
    assert await stores.sessions.find(other.digest) == other


async def test_what_is_over_is_forgotten_when_something_new_comes(stores: Stores) -> None:
    old, new = session(), replace(session(), created_at=NOW + LATER, expires_at=NOW + 2 * LATER)
    await stores.sessions.add(old)
    await stores.sessions.add(new)
    assert await stores.sessions.find(old.digest) is None
    assert await stores.sessions.find(new.digest) == new
    begun, given = sign_in(), code()
    await stores.sign_ins.add(begun, NOW)
    await stores.sign_ins.add(replace(sign_in(), expires_at=NOW + 2 * LATER), NOW + LATER)
    assert await stores.sign_ins.take(begun.state) is None
    await stores.codes.add(given, NOW)
    await stores.codes.add(replace(code(), expires_at=NOW + 2 * LATER), NOW + LATER)
    assert await stores.codes.take(given.digest) is None


async def test_a_sign_in_and_a_code_are_taken_once_however_many_ask_at_once(stores: Stores) -> None:
    begun, given = sign_in(), code()
    await stores.sign_ins.add(begun, NOW)
    await stores.codes.add(given, NOW)
    sign_ins = await asyncio.gather(*(stores.sign_ins.take(begun.state) for _ in range(5)))
    codes = await asyncio.gather(*(stores.codes.take(given.digest) for _ in range(5)))
    assert [found for found in sign_ins if found] == [begun]
    assert [found for found in codes if found] == [given]


async def test_a_name_is_the_first_identitys_for_good(stores: Stores) -> None:
    people = stores.people
    assert await people.claim("i", "1", ("ann", "ann-1"), NOW) == "ann"
    assert await people.claim("i", "1", ("married", "ann-1"), NOW) == "ann"
    assert await people.claim("i", "2", ("ann", "ann-2"), NOW) == "ann-2"
    assert await people.claim("other", "1", ("ann", "ann-2", "ann-3"), NOW) == "ann-3"
    with pytest.raises(LookupError):
        await people.claim("i", "9", ("ann",), NOW)


async def test_one_identity_that_comes_twice_at_once_has_one_name(stores: Stores) -> None:
    claims = (stores.people.claim("i", "7", ("zoe", "zoe-7"), NOW) for _ in range(5))
    assert set(await asyncio.gather(*claims)) == {"zoe"}


async def test_two_identities_that_want_one_name_at_once_get_two(stores: Stores) -> None:
    claims = (stores.people.claim("i", str(number), ("kim", f"kim-{number}"), NOW) for number in range(5))
    names = await asyncio.gather(*claims)
    assert len(set(names)) == 5
    assert "kim" in names

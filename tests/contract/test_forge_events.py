"""What the store of GitHub's events and the list of members promise, held against the twins and against Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from chassis.database import Database
from chassis.settings import DatabaseSettings
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.gateway.adapters.memory import MemoryTokens
from services.gateway.adapters.memory_forge_events import MemoryForgeEvents, MemoryMembers
from services.gateway.adapters.memory_sessions import MemorySessions
from services.gateway.adapters.postgres import PostgresTokens
from services.gateway.adapters.postgres_forge_events import PostgresForgeEvents, PostgresMembers
from services.gateway.adapters.postgres_sessions import PostgresSessions
from services.gateway.domain.forge_events import KnownPull, PullAsk
from services.gateway.domain.people import Role
from services.gateway.domain.sessions import Session
from services.gateway.domain.tokens import ApiToken, digest, mint
from services.gateway.ports import ForgeEvents, Members, SessionStore, TokenStore

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@dataclass
class Stores:
    """The twins, or the real ones."""

    events: ForgeEvents
    members: Members
    tokens: TokenStore
    sessions: SessionStore


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("forge_events")) as running:
        yield running


@pytest.fixture(params=["twin", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "twin":
        tokens, sessions = MemoryTokens(), MemorySessions()

        def now() -> datetime:
            return datetime.now(UTC)

        yield Stores(MemoryForgeEvents(now), MemoryMembers(tokens, sessions, now), tokens, sessions)
        return
    running: RunningPostgres = request.getfixturevalue("postgres")
    settings = DatabaseSettings(
        url=running.cluster.url("slipway_gateway", "slipway"), password_file=running.password_file("slipway_gateway")
    )
    database = Database(settings, application_name="test")
    await database.open()
    async with database.pool.connection() as connection:
        await connection.execute("TRUNCATE forge_events, pull_requests, tokens, sessions")
    yield Stores(
        PostgresForgeEvents(database), PostgresMembers(database), PostgresTokens(database), PostgresSessions(database)
    )
    await database.close()


def pull(number: int = 7, *, commit: str = "a" * 40, at: datetime = NOON, is_open: bool = True) -> KnownPull:
    return KnownPull(
        repository="acme/Demo-API",
        number=number,
        base="main",
        branch="colours",
        commit=commit,
        from_fork=False,
        is_open=is_open,
        changed_at=at,
    )


def ask(number: int = 7) -> PullAsk:
    return PullAsk(want="preview", repository="acme/demo-api", number=number, login="ada", pull=pull(number))


async def test_a_delivery_is_kept_once_however_many_bring_it(stores: Stores) -> None:
    kept = await asyncio.gather(*(stores.events.keep("d-1", ask()) for _ in range(10)))
    assert sorted(kept) == [False] * 9 + [True]
    found = await stores.events.take(60)
    assert found is not None
    assert (found.delivery, found.told) == ("d-1", ask())
    await stores.events.done(found.position)
    await stores.events.done(found.position)
    assert await stores.events.take(60) is None
    assert not await stores.events.keep("d-1", ask())
    assert await stores.events.take(60) is None


async def test_of_one_thing_the_oldest_is_done_first_and_nothing_waits_for_another(stores: Stores) -> None:
    for delivery, number in (("first", 7), ("second", 7), ("other", 8)):
        await stores.events.keep(delivery, ask(number))
    first, other = await stores.events.take(60), await stores.events.take(60)
    assert first is not None
    assert other is not None
    assert [first.delivery, other.delivery] == ["first", "other"]
    assert await stores.events.take(60) is None
    await stores.events.done(first.position)
    second = await stores.events.take(60)
    assert second is not None
    assert second.delivery == "second"


async def test_one_of_many_does_it_and_another_one_when_that_one_is_silent(stores: Stores) -> None:
    await stores.events.keep("d-1", ask())
    taken = [one for one in await asyncio.gather(*(stores.events.take(60) for _ in range(8))) if one is not None]
    assert [one.delivery for one in taken] == ["d-1"]
    await stores.events.later(taken[0].position, 0)
    again = await stores.events.take(60)
    assert again is not None
    assert again.position == taken[0].position


async def test_a_pull_request_is_known_as_it_was_told_of_last(stores: Stores) -> None:
    assert await stores.events.pull("acme/demo-api", 7) is None
    newer = pull(commit="b" * 40, at=NOON + timedelta(minutes=1))
    await stores.events.know(newer)
    await stores.events.know(pull())
    assert await stores.events.pull("ACME/demo-api", 7) == newer
    closed = pull(commit="b" * 40, at=NOON + timedelta(minutes=2), is_open=False)
    await stores.events.know(closed)
    assert await stores.events.pull("acme/demo-api", 7) == closed
    assert await stores.events.pull("acme/demo-api", 8) is None


async def test_a_member_has_what_their_open_tokens_and_sessions_give(stores: Stores) -> None:
    async def token(role: Role, *teams: str, **changes: datetime | None) -> None:
        identity, text = mint()
        values = {"expires_at": None, "revoked_at": None} | changes
        await stores.tokens.add(
            ApiToken(
                identity, digest(text), "t", "ada", role, teams, NOON, "ada", values["expires_at"], values["revoked_at"]
            )
        )

    assert await stores.members.find("ada") is None
    await token("developer", "gone", expires_at=NOON - timedelta(days=400))
    assert await stores.members.find("ada") is None
    await token("viewer", "search")
    found = await stores.members.find("ada")
    assert found is not None
    assert (found.role, found.teams) == ("viewer", ("search",))
    now = datetime.now(UTC)
    ends = now + timedelta(hours=1)
    session = Session("s", b"d" * 32, "http://issuer", "sub", "ada", "admin", ("payments",), now, now, ends)
    await stores.sessions.add(session)
    found = await stores.members.find("ada")
    assert found is not None
    assert (found.person, found.role, found.teams) == ("ada", "developer", ("payments", "search"))
    assert await stores.members.find("bob") is None

"""What a request store and a token store promise, held against the twins and against Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from importlib import resources
from typing import Any
from uuid import uuid4

import pytest

from chassis.database import Database
from chassis.failures import TransientError
from chassis.settings import DatabaseSettings
from contracts.events import Asked
from deploy.embedded.testing import RunningPostgres, start_postgres
from services.gateway.adapters import schema
from services.gateway.adapters.memory import MemoryRequests, MemoryTokens
from services.gateway.adapters.postgres import PostgresRequests, PostgresTokens
from services.gateway.domain.refusals import RecordedRefusal, Standing
from services.gateway.domain.requests import AcceptedRequest
from services.gateway.domain.tokens import ApiToken, digest, mint
from services.gateway.ports import RequestStore, TokenStore, Unconfirmed
from tests import samples

REFUSAL = RecordedRefusal(code="name_taken", standing=Standing(name="demo-api", state="ready", run_id=uuid4()))


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("requests")) as running:
        yield running


async def opened(postgres: RunningPostgres) -> Database:
    settings = DatabaseSettings(
        url=postgres.cluster.url("slipway_gateway", "slipway"),
        password_file=postgres.password_file("slipway_gateway"),
    )
    database = Database(settings, application_name="test")
    await database.open()
    await database.migrate(resources.files(schema))
    return database


@pytest.fixture(params=["twin", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RequestStore, TokenStore]]:
    if request.param == "twin":
        yield MemoryRequests(), MemoryTokens()
        return
    database = await opened(request.getfixturevalue("postgres"))
    async with database.pool.connection() as connection:
        await connection.execute("TRUNCATE requests, tokens")
    yield PostgresRequests(database), PostgresTokens(database)
    await database.close()


@pytest.fixture
def store(stores: tuple[RequestStore, TokenStore]) -> RequestStore:
    return stores[0]


@pytest.fixture
def tokens(stores: tuple[RequestStore, TokenStore]) -> TokenStore:
    return stores[1]


def request(**changes: Any) -> AcceptedRequest:
    """A new request, complete."""
    event_id = uuid4()
    values: dict[str, Any] = {
        "id": uuid4(),
        "principal": "slipway/ada",
        "key": str(uuid4()),
        "fingerprint": b"\x00\xff" * 16,
        "operation": "create",
        "event_id": event_id,
        "incarnation": event_id,
        "environment": "demo-api",
        "visible_teams": ("payments",),
        "asked": Asked(
            spec=samples.spec(parameters={"text": 'a"\n\u2028😀', "number": 0.1}, expires_at=samples.AT),
            requested_by="ada",
        ),
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "requested_at": samples.AT,
        **changes,
    }
    return AcceptedRequest(**values)


def token(**changes: Any) -> ApiToken:
    """A new token."""
    identity, text = mint()
    values: dict[str, Any] = {
        "id": identity,
        "digest": digest(text),
        "name": "ci",
        "person": "ada",
        "role": "developer",
        "teams": ("payments", "search"),
        "created_at": samples.AT,
        "created_by": "ada",
        **changes,
    }
    return ApiToken(**values)


async def test_what_is_claimed_is_kept_as_it_was(store: RequestStore) -> None:
    asked = request()
    assert await store.claim(asked) == asked
    assert await store.find(asked.principal, asked.key) == asked
    everybody = request(visible_teams=None, traceparent=None, operation="delete")
    assert await store.claim(everybody) == everybody


async def test_one_of_fifty_who_claim_a_key_at_once_gets_it(store: RequestStore) -> None:
    rivals = [request(key="one") for _ in range(50)]
    kept = await asyncio.gather(*(store.claim(rival) for rival in rivals))
    assert len({found.id for found in kept}) == 1
    assert sum(found == rival for found, rival in zip(kept, rivals, strict=True)) == 1


async def test_a_key_is_one_principals(store: RequestStore) -> None:
    mine, yours = request(key="one"), request(key="one", principal="slipway/eve")
    await store.claim(mine)
    assert await store.claim(yours) == yours
    assert await store.find("slipway/bob", "one") is None


async def test_accepting_twice_is_accepting_once(store: RequestStore) -> None:
    asked = await store.claim(request())
    first = await store.accept(asked, 7)
    assert (first.state, first.sequence, first.refusal) == ("accepted", 7, None)
    assert await store.accept(asked, 7) == first
    assert await store.find(asked.principal, asked.key) == first


async def test_a_refusal_is_kept_with_its_reason(store: RequestStore) -> None:
    asked = await store.claim(request())
    refused = await store.refuse(asked, REFUSAL)
    assert (refused.state, refused.refusal) == ("refused", REFUSAL)
    assert await store.find(asked.principal, asked.key) == refused


async def test_what_is_confirmed_is_not_refused_any_more(store: RequestStore) -> None:
    asked = await store.claim(request())
    await store.accept(asked, 7)
    await store.confirm([asked.event_id])
    assert (await store.refuse(asked, REFUSAL)).state == "accepted"


async def test_nothing_is_known_of_a_request_that_nobody_made(store: RequestStore) -> None:
    assert await store.find("slipway/ada", "none") is None
    with pytest.raises(LookupError):
        await store.accept(request(), 1)
    with pytest.raises(LookupError):
        await store.refuse(request(), REFUSAL)
    await store.confirm([uuid4()])


async def test_what_needs_care_is_neither_refused_nor_confirmed_and_the_oldest_comes_first(
    store: RequestStore,
) -> None:
    rows = [await store.claim(request(requested_at=samples.AT + timedelta(seconds=n))) for n in range(5)]
    await store.accept(rows[0], 1)
    await store.refuse(rows[1], REFUSAL)
    await store.accept(rows[2], 2)
    await store.confirm([rows[2].event_id])
    found = await store.unconfirmed(10)
    assert found == [
        Unconfirmed(rows[0].event_id, False, rows[0].requested_at),
        Unconfirmed(rows[3].event_id, True, rows[3].requested_at),
        Unconfirmed(rows[4].event_id, True, rows[4].requested_at),
    ]
    assert await store.unconfirmed(1) == found[:1]
    assert await store.with_events([rows[4].event_id, rows[3].event_id, uuid4()]) == rows[3:]


async def test_a_floor_is_the_newest_accepted_and_unconfirmed_sequence_that_matches(store: RequestStore) -> None:
    assert await store.floor(environment="demo-api") == 0
    one, two = await store.claim(request()), await store.claim(request(environment="other", principal="slipway/eve"))
    await store.claim(request())  # pending: it has no place in the log
    await store.accept(one, 7)
    await store.accept(two, 9)
    assert await store.floor() == 9
    assert await store.floor(environment="demo-api") == 7
    assert await store.floor(event_id=two.event_id) == 9
    assert await store.floor(principal="slipway/ada") == 7
    assert await store.floor(environment="demo-api", principal="slipway/eve") == 0
    await store.confirm([two.event_id])
    assert await store.floor() == 7


async def test_an_accepted_request_that_was_lost_may_be_accepted_elsewhere(store: RequestStore) -> None:
    asked = await store.claim(request())
    await store.accept(asked, 7)
    assert (await store.accept(asked, 12)).sequence == 12


async def test_a_token_is_kept_as_it_was_and_added_once(tokens: TokenStore) -> None:
    made = token(expires_at=samples.AT + timedelta(days=1))
    assert await tokens.add(made)
    assert await tokens.find(made.id) == made
    assert not await tokens.add(token(id=made.id, role="admin"))
    assert await tokens.find(made.id) == made
    assert await tokens.find("000000000000") is None


async def test_a_revoked_token_stays_revoked_since_the_first_time(tokens: TokenStore) -> None:
    made = token()
    await tokens.add(made)
    for hours in (1, 2):
        await tokens.revoke(made.id, samples.AT + timedelta(hours=hours))
    found = await tokens.find(made.id)
    assert found is not None
    assert found.revoked_at == samples.AT + timedelta(hours=1)
    await tokens.revoke("000000000000", samples.AT)


async def test_tokens_are_listed_by_person_and_newest_first(tokens: TokenStore) -> None:
    mine = [token(created_at=samples.AT + timedelta(hours=hours)) for hours in range(3)]
    theirs = token(person="eve", created_at=samples.AT + timedelta(hours=9))
    for made in (*mine, theirs):
        await tokens.add(made)
    assert [found.id for found in await tokens.all("ada")] == [made.id for made in reversed(mine)]
    assert [found.id for found in await tokens.all(None)] == [theirs.id, *(made.id for made in reversed(mine))]


async def test_a_database_that_is_away_is_a_transient_failure(postgres: RunningPostgres) -> None:
    database = await opened(postgres)
    await PostgresRequests(database).floor()
    postgres.part.stop()
    try:
        with pytest.raises(TransientError):
            await PostgresRequests(database).find("slipway/ada", "key")
        with pytest.raises(TransientError):
            await PostgresTokens(database).all(None)
    finally:
        postgres.part.start()
        await database.close()


async def test_two_replicas_that_migrate_at_once_do_it_once(postgres: RunningPostgres) -> None:
    first, second = await asyncio.gather(opened(postgres), opened(postgres))
    await first.close()
    await second.close()

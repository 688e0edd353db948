"""What a request store and a token store promise, held against the twins and against Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from chassis.database import Database
from chassis.failures import TransientError
from chassis.settings import DatabaseSettings
from contracts.events import AccessChange, Asked, Expiry, RunCommand
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.gateway.adapters.memory import MemoryDeliveries, MemoryRequests, MemoryTokens
from services.gateway.adapters.postgres import PostgresRequests, PostgresTokens
from services.gateway.adapters.postgres_deliveries import PostgresDeliveries
from services.gateway.adapters.postgres_places import PostgresPlaces
from services.gateway.domain.policy import Place, Room, Usage
from services.gateway.domain.refusals import RecordedRefusal, Standing
from services.gateway.domain.requests import AcceptedRequest, Operation, Said
from services.gateway.domain.tokens import ApiToken, digest, mint
from services.gateway.ports import Deliveries, FullError, PlaceStore, RequestStore, TakenPlace, TokenStore, Unconfirmed
from tests import samples

RequestOrUsage = AcceptedRequest | Usage
REFUSAL = RecordedRefusal(code="name_taken", standing=Standing(name="demo-api", state="ready", run_id=uuid4()))


Stores = tuple[RequestStore, TokenStore, PlaceStore, Deliveries]


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
    return database


@pytest.fixture(params=["twin", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "twin":
        requests = MemoryRequests()
        yield requests, MemoryTokens(), requests.places, MemoryDeliveries()
        return
    database = await opened(request.getfixturevalue("postgres"))
    async with database.pool.connection() as connection:
        await connection.execute("TRUNCATE requests, tokens, places, deliveries")
    yield (
        PostgresRequests(database),
        PostgresTokens(database),
        PostgresPlaces(database),
        PostgresDeliveries(database),
    )
    await database.close()


@pytest.fixture
def store(stores: Stores) -> RequestStore:
    return stores[0]


@pytest.fixture
def places(stores: Stores) -> PlaceStore:
    return stores[2]


@pytest.fixture
def deliveries(stores: Stores) -> Deliveries:
    return stores[3]


@pytest.fixture
def tokens(stores: Stores) -> TokenStore:
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


async def test_every_kind_of_request_is_kept_as_it_was(store: RequestStore) -> None:
    spec = samples.spec()
    kinds: list[tuple[Operation, Said]] = [
        ("update", Asked(spec=spec, previous=spec, requested_by="ada", cause="upgrade")),
        ("cancel", RunCommand(requested_by="ada")),
        ("extend", Expiry(spec=spec, expires_at=samples.AT, requested_by="ada")),
        ("grant", AccessChange(requested_by="ada", role="viewer", team="search")),
        ("revoke", AccessChange(requested_by="ada", role="viewer", person="eve")),
    ]
    for operation, said in kinds:
        asked = request(operation=operation, asked=said, run_id=uuid4() if operation == "cancel" else None)
        assert await store.claim(asked) == asked
        assert await store.find(asked.principal, asked.key) == asked


# -- places


def room(environment_limit: int | None = None, *, cost: str = "1.00", **changes: Any) -> Room:
    place = Place("payments", "acme/shop", "preview", Decimal(cost))
    limits: dict[str, Any] = {"previews_per_repository": None, "cost_per_month": None, **changes}
    return Room(limits.pop("place", place), environment_limit, **limits)


async def taken_by(store: RequestStore, name: str, wanted: Room, **changes: Any) -> RequestOrUsage:
    """The request that took a place, or the usage that left none."""
    try:
        return await store.claim(request(environment=name, **changes), wanted)
    except FullError as error:
        return error.usage


async def test_no_limit_is_exceeded_however_many_ask_at_once(store: RequestStore, places: PlaceStore) -> None:
    cost: dict[str, Any] = {"cost_per_month": Decimal("3.50")}
    for wanted, what, most in (
        (room(4), "environments", 4),
        (
            room(previews_per_repository=3, place=Place("ops", "acme/x", "preview", Decimal(0))),
            "previews_of_repository",
            3,
        ),
        (room(place=Place("search", "acme/y", "staging", Decimal(1)), **cost), "cost_per_month", 3),
    ):
        found = await asyncio.gather(*(taken_by(store, f"{what[:4]}-{n}", wanted) for n in range(40)))
        usages = [usage for usage in found if isinstance(usage, Usage)]
        assert len(found) - len(usages) == most
        assert {(usage.what, usage.used) for usage in usages} == {(what, Decimal(most))}
    assert len(await places.taken()) == 10


async def test_where_there_is_no_room_nothing_is_kept(store: RequestStore, places: PlaceStore) -> None:
    with pytest.raises(FullError):
        await store.claim(request(key="one"), room(0))
    assert await store.find("slipway/ada", "one") is None
    assert await places.taken() == []
    asked = request(key="one")
    assert await store.claim(asked, room(1)) == asked


async def test_a_key_that_was_used_is_answered_also_where_there_is_no_room(store: RequestStore) -> None:
    asked = await store.claim(request(key="one"), room(1))
    assert await store.claim(request(key="one", environment="other"), room(0)) == asked


async def test_one_of_many_with_one_key_takes_one_place(store: RequestStore, places: PlaceStore) -> None:
    rivals = [request(key="one", environment=f"env-{n}") for n in range(30)]
    kept = await asyncio.gather(*(store.claim(rival, room(1)) for rival in rivals))
    assert len({found.id for found in kept}) == 1
    assert len(await places.taken()) == 1


async def test_a_name_takes_one_place_however_often_it_is_asked_for(store: RequestStore) -> None:
    for _ in range(3):
        assert isinstance(await taken_by(store, "demo-api", room(1)), AcceptedRequest)
    assert isinstance(await taken_by(store, "other", room(1)), Usage)


async def test_a_place_is_given_back_by_a_refusal_of_its_own_request_only(
    store: RequestStore, places: PlaceStore
) -> None:
    first, second = request(), request()
    for asked in (first, second):
        await store.claim(asked, room(1))
    change = request(operation="update", incarnation=first.incarnation)
    await store.claim(change, room())
    await store.refuse(second, REFUSAL)
    await store.refuse(change, REFUSAL)
    assert [taken.incarnation for taken in await places.taken()] == [first.incarnation]


async def test_a_place_tells_where_the_log_has_its_beginning(store: RequestStore, places: PlaceStore) -> None:
    pending, accepted, found = request(), request(environment="b"), uuid4()
    for asked in (pending, accepted):
        await store.claim(asked, room())
    await store.accept(accepted, 7)
    place = Place("search", "acme/z", "staging", Decimal("2.50"))
    await places.note([TakenPlace(found, "c", place, 3)])
    sequences = {taken.incarnation: taken.sequence for taken in await places.taken()}
    assert sequences == {pending.incarnation: None, accepted.incarnation: 7, found: 0}
    assert [taken.place for taken in await places.taken(team="search")] == [place]
    assert await places.taken(repository="acme/z") == []
    assert len(await places.taken(repository="acme/shop")) == 2


async def test_a_change_pays_the_difference_and_less_is_never_too_much(store: RequestStore) -> None:
    limit: dict[str, Any] = {"cost_per_month": Decimal(10)}
    first, other = request(), request(environment="other")
    await store.claim(first, room(cost="6", **limit))
    await store.claim(other, room(cost="3", **limit))
    dearer: dict[str, Any] = {"operation": "update", "incarnation": first.incarnation}
    full = await taken_by(store, "demo-api", room(cost="8", **limit), **dearer)
    assert isinstance(full, Usage)
    assert (full.used, full.limit) == (Decimal(3), Decimal(10))
    assert isinstance(await taken_by(store, "demo-api", room(cost="7", **limit), **dearer), AcceptedRequest)
    strict: dict[str, Any] = {"cost_per_month": Decimal(1)}
    assert isinstance(await taken_by(store, "demo-api", room(cost="5", **strict), **dearer), AcceptedRequest)


async def test_usage_is_that_of_others(store: RequestStore, places: PlaceStore) -> None:
    limits: dict[str, Any] = {"previews_per_repository": 5, "cost_per_month": Decimal(9)}
    for name in ("a", "b", "b"):
        await store.claim(request(environment=name), room(10, cost="1.25", **limits))
    found = await places.usage(room(10, **limits), "a")
    assert [(usage.what, usage.scope, usage.used, usage.left) for usage in found] == [
        ("environments", "payments", 1, 9),
        ("previews_of_repository", "acme/shop", 1, 4),
        ("cost_per_month", "payments", Decimal("1.25"), Decimal("7.75")),
    ]


async def test_what_is_released_is_free_and_what_is_noted_is_as_it_was_noted_last(
    store: RequestStore, places: PlaceStore
) -> None:
    asked = await store.claim(request(), room(1))
    place = Place("payments", "acme/shop", "preview", Decimal("9.99"))
    for _ in range(2):
        await places.note([TakenPlace(asked.incarnation, "demo-api", place, 1)])
    assert [taken.place for taken in await places.taken()] == [place]
    for _ in range(2):
        await places.release([asked.incarnation, uuid4()])
    assert await places.taken() == []
    assert isinstance(await taken_by(store, "other", room(1)), AcceptedRequest)


async def test_a_delivery_is_known_once_it_was_noted(deliveries: Deliveries) -> None:
    assert not await deliveries.is_known("d-1")
    for _ in range(2):
        await deliveries.note("d-1")
    assert await deliveries.is_known("d-1")
    assert not await deliveries.is_known("d-2")


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

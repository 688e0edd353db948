"""What the store of webhooks promises, on the twin in memory and on Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from chassis.clock import FixedClock
from chassis.database import Database
from chassis.settings import DatabaseSettings
from contracts.envelope import Event
from contracts.webhooks import Attempt, Delivery, FindNotifications, SentNotification, Webhook
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.notifier.adapters.memory import MemoryLedger
from services.notifier.adapters.memory_webhooks import MemoryWebhooks
from services.notifier.adapters.postgres import PostgresLedger
from services.notifier.adapters.postgres_webhooks import PostgresWebhooks
from services.notifier.domain.webhooks import Consequence
from services.notifier.ports import Due, Ledger, NewDelivery, Notification, TooManyError, WebhookStore
from tests import samples
from tests.unit.notifier import events
from tests.unit.notifier.hooks import hook, news

NOW = samples.AT


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("webhooks")) as running:
        yield running


Stores = tuple[WebhookStore, Ledger]


@pytest.fixture(params=["twin", "postgres"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "twin":
        ledger = MemoryLedger(FixedClock(NOW))
        yield MemoryWebhooks(ledger), ledger
        return
    running: RunningPostgres = request.getfixturevalue("postgres")
    settings = DatabaseSettings(
        url=running.url("slipway_notifier", "slipway"), password_file=running.password_file("slipway_notifier")
    )
    database = Database(settings, application_name="test")
    await database.open()
    async with database.pool.connection() as connection:
        await connection.execute("TRUNCATE webhooks, webhook_deliveries, sent")
    try:
        yield PostgresWebhooks(database), PostgresLedger(database)
    finally:
        await database.close()


@pytest.fixture
def store(stores: Stores) -> WebhookStore:
    return stores[0]


async def added(store: WebhookStore, **changes: Any) -> Webhook:
    return await store.add(hook(**changes), 50)


async def noted(store: WebhookStore, *hooks: Webhook, event: Event | None = None, now: datetime = NOW) -> int:
    one = news(event or events.ready())
    return await store.record([NewDelivery(uuid4(), each, one) for each in hooks], now)


async def claimed(store: WebhookStore, now: datetime = NOW, *, most: int = 10, of_each: int = 10) -> list[Due]:
    return await store.claim(now, most=most, of_each=of_each, lease_seconds=60)


def arrived(at: datetime = NOW) -> Consequence:
    return Consequence(Attempt(at=at, duration_seconds=0.1, status_code=204), "delivered")


def failed(at: datetime = NOW, *, again_after: float | None = 5, disable: str | None = None) -> Consequence:
    attempt = Attempt(at=at, duration_seconds=0.1, status_code=500, answer="bo\u2028om", error="It answered 500.")
    if again_after is None:
        return Consequence(attempt, "failed", disable=disable)
    return Consequence(attempt, "waiting", at + timedelta(seconds=again_after))


async def only(store: WebhookStore, of: Webhook) -> Delivery:
    [found], more = await store.deliveries(of.id, None, 10)
    assert more is None
    return found


async def test_a_webhook_is_found_as_it_was_made_by_its_own_team_alone(store: WebhookStore) -> None:
    made = hook(kinds=("environment_ready", "drift_detected"), environment="demo-api", description="the pager")
    assert await store.add(made, 50) == made
    other = await added(store, team="search", created_at=NOW)

    assert await store.find(made.id) == made
    assert await store.find(made.id, ["payments", "ops"]) == made
    assert await store.find(made.id, ["search"]) is None
    assert await store.find(made.id, []) is None
    assert await store.all() == [other, made]
    assert await store.all(["payments"]) == [made]
    assert await store.all([]) == []
    assert await store.change(made.id, ["search"], {"description": "ours"}, NOW) is None
    assert await store.rotate(made.id, ["search"], 1, NOW) is None
    assert await store.remove(made.id, ["search"]) is None
    assert await store.find(made.id) == made


async def test_the_same_id_is_the_same_webhook(store: WebhookStore) -> None:
    made = await added(store)

    assert await store.add(hook(id=made.id, url="https://elsewhere.test/"), 1) == made
    assert await store.all() == [made]


async def test_a_team_has_no_more_than_it_may_have_however_many_are_asked_for_at_once(store: WebhookStore) -> None:
    found = await asyncio.gather(*(store.add(hook(), 3) for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(one, TooManyError) for one in found) == 5
    assert len(await store.all(["payments"])) == 3
    assert await store.add(hook(team="search"), 3)


async def test_a_change_changes_what_it_names(store: WebhookStore) -> None:
    made = await added(store, environment="demo-api", kinds=("environment_ready",))
    later = NOW + timedelta(minutes=1)

    changed = await store.change(made.id, None, {"environment": None, "kinds": (), "state": "paused"}, later)

    expected = {"environment": None, "kinds": (), "state": "paused", "updated_at": later}
    assert changed == made.model_copy(update=expected)
    assert await store.find(made.id) == changed
    assert await store.change(uuid4(), None, {"state": "paused"}, later) is None


async def test_a_rotation_happens_once_for_each_generation(store: WebhookStore) -> None:
    made = await added(store)
    for _ in range(2):
        rotated = await store.rotate(made.id, None, 1, NOW)
        assert rotated is not None
        assert (rotated.generation, rotated.rotated_at) == (2, NOW)


async def test_an_event_is_one_delivery_for_each_webhook_however_often_it_is_heard(store: WebhookStore) -> None:
    one, other, event = await added(store), await added(store), events.ready()

    assert await noted(store, one, other, event=event) == 2
    assert await noted(store, one, other, event=event) == 0
    assert await noted(store, one) == 1

    found, _ = await store.deliveries(other.id, None, 10)
    assert [(each.event_id, each.kind, each.environment) for each in found] == [
        (event.id, "environment_ready", "demo-api")
    ]
    assert (found[0].state, found[0].created_at, found[0].next_attempt_at) == ("waiting", NOW, NOW)


async def test_what_is_claimed_is_nobody_elses_until_its_lease_is_over(store: WebhookStore) -> None:
    event = events.ready().model_copy(update={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    made = await added(store)
    await noted(store, made, event=event)

    both = await asyncio.gather(claimed(store), claimed(store))

    [due] = [*both[0], *both[1]]
    assert (due.delivery.event_id, due.hook, due.tries, due.body) == (event.id, made, 0, event.to_json())
    assert due.traceparent == event.traceparent
    assert await claimed(store, NOW + timedelta(seconds=59)) == []
    assert len(await claimed(store, NOW + timedelta(seconds=61))) == 1


async def test_nobody_is_sent_more_at_once_than_a_few_and_the_longest_due_goes_first(store: WebhookStore) -> None:
    slow, quick = await added(store), await added(store)
    for minute in range(4):
        await noted(store, slow, now=NOW - timedelta(minutes=10 - minute))
    await noted(store, quick, now=NOW - timedelta(minutes=1))

    first = await claimed(store, of_each=2)

    assert [due.hook.id for due in first] == [slow.id, slow.id, quick.id]
    assert [due.delivery.created_at for due in first[:2]] == [NOW - timedelta(minutes=10), NOW - timedelta(minutes=9)]
    assert await claimed(store, of_each=2) == []
    await store.settle(first[0], arrived(), NOW)
    assert [due.hook.id for due in await claimed(store, of_each=2)] == [slow.id]
    assert len(await claimed(store, of_each=10, most=1)) == 1


async def test_nothing_is_due_for_a_webhook_that_is_paused_until_it_is_resumed(store: WebhookStore) -> None:
    made = await added(store)
    await noted(store, made)
    await store.change(made.id, None, {"state": "paused"}, NOW)
    assert await claimed(store) == []

    await store.change(made.id, None, {"state": "active"}, NOW)
    assert len(await claimed(store)) == 1


async def test_what_came_of_an_attempt_is_kept(store: WebhookStore) -> None:
    made = await added(store)
    await noted(store, made)
    [due] = await claimed(store)
    await store.settle(due, failed(), NOW)

    waiting, since = await only(store, made), await store.find(made.id)
    assert (waiting.state, waiting.attempts, waiting.attempt_count) == ("waiting", (failed().attempt,), 1)
    assert waiting.next_attempt_at == NOW + timedelta(seconds=5)
    assert since is not None
    assert (since.failing_since, since.delivered_at) == (NOW, None)
    assert await claimed(store, NOW + timedelta(seconds=4)) == []

    later = NOW + timedelta(seconds=5)
    [due] = await claimed(store, later)
    assert due.tries == 1
    await store.settle(due, arrived(later), later)

    over, since = await only(store, made), await store.find(made.id)
    assert (over.state, over.next_attempt_at, over.attempt_count) == ("delivered", None, 2)
    assert since is not None
    assert (since.failing_since, since.delivered_at) == (None, later)


async def test_an_attempt_that_somebody_else_has_settled_is_settled_no_more(store: WebhookStore) -> None:
    made = await added(store)
    await noted(store, made)
    [late] = await claimed(store)
    [due] = await claimed(store, NOW + timedelta(seconds=61))
    await store.settle(due, arrived(), NOW)

    await store.settle(late, failed(), NOW)

    assert (await only(store, made)).state == "delivered"
    assert (await only(store, made)).attempt_count == 1


async def test_only_the_last_twenty_attempts_are_kept(store: WebhookStore) -> None:
    made = await added(store)
    await noted(store, made)
    for number in range(23):
        at = NOW + timedelta(seconds=number)
        [due] = await claimed(store, at)
        await store.settle(due, failed(at, again_after=1), at)

    found = await only(store, made)
    assert (found.attempt_count, len(found.attempts)) == (23, 20)
    assert found.attempts[-1].at == NOW + timedelta(seconds=22)


async def test_the_end_of_a_webhook_ends_what_waits_and_is_told_once(store: WebhookStore) -> None:
    made = await added(store)
    await noted(store, made)
    await noted(store, made)
    first, second = await claimed(store)
    await store.settle(first, failed(again_after=None, disable="It is gone."), NOW)
    await store.settle(second, failed(again_after=None, disable="It is gone, too."), NOW)

    found, _ = await store.deliveries(made.id, None, 10)
    assert {each.state for each in found} == {"failed"}
    [disabled] = await store.disabled()
    assert (disabled.hook.state, disabled.hook.state_reason, disabled.at) == ("disabled", "It is gone.", NOW)
    assert [disabled.notice_id] == [each.notice_id for each in await store.disabled()]
    await store.told(disabled)
    assert await store.disabled() == []

    again = await store.change(made.id, None, {"state": "active"}, NOW)
    assert again is not None
    assert (again.state, again.state_reason, again.failing_since) == ("active", "", None)
    assert await store.disabled() == []


async def test_a_delivery_that_is_over_can_be_asked_for_again_with_all_its_tries(store: WebhookStore) -> None:
    made, other = await added(store), await added(store)
    await noted(store, made)
    [due] = await claimed(store)
    await store.settle(due, failed(again_after=None), NOW)
    assert await store.ask_again(other.id, due.delivery.id, NOW) is None

    again = await store.ask_again(made.id, due.delivery.id, NOW)

    assert again is not None
    assert (again.state, again.next_attempt_at, again.attempt_count) == ("waiting", NOW, 1)
    [due] = await claimed(store)
    assert due.tries == 0


async def test_deliveries_are_paged_from_the_newest_and_go_with_their_webhook(store: WebhookStore) -> None:
    made, other = await added(store), await added(store)
    for minute in range(5):
        await noted(store, made, now=NOW + timedelta(minutes=minute))
    await noted(store, other)
    read, after = await store.deliveries(made.id, None, 2)
    while after is not None:
        page, after = await store.deliveries(made.id, after, 2)
        read += page

    assert [one.created_at for one in read] == [NOW + timedelta(minutes=minute) for minute in (4, 3, 2, 1, 0)]
    assert await store.remove(made.id, ["payments"]) == made
    assert await store.deliveries(made.id, None, 10) == ([], None)
    assert await store.find(made.id) is None
    assert await noted(store, made) == 0
    assert len(await claimed(store)) == 1


async def test_what_is_over_is_forgotten_after_a_while_and_what_waits_is_not(store: WebhookStore) -> None:
    made = await added(store)
    await noted(store, made, now=NOW)
    await noted(store, made, now=NOW - timedelta(seconds=1))
    [due] = await claimed(store, most=1)
    await store.settle(due, arrived(), NOW)

    assert await store.prune(NOW - timedelta(minutes=1)) == 0
    assert await store.prune(NOW + timedelta(minutes=1)) == 1
    assert (await only(store, made)).state == "waiting"


async def test_a_test_is_kept_beside_the_others(store: WebhookStore) -> None:
    made = await added(store)
    tested = Delivery(
        id=uuid4(),
        webhook_id=made.id,
        event_id=uuid4(),
        kind="webhook_test",
        state="delivered",
        created_at=NOW,
        attempts=(arrived().attempt,),
        attempt_count=1,
    )

    await store.keep_test(tested, b"{}")

    assert await only(store, made) == tested
    await store.keep_test(tested.model_copy(update={"id": uuid4(), "webhook_id": uuid4()}), b"{}")


async def test_what_was_told_is_listed_for_its_team_wherever_it_was_told(stores: Stores) -> None:
    store, ledger = stores
    made = await added(store, url="https://hooks.test:8443/secret")
    await noted(store, made, now=NOW - timedelta(days=1))
    [due] = await claimed(store)
    await store.settle(due, arrived(), NOW)
    for team, environment in (("payments", "demo-api"), ("search", "other")):
        notification = Notification(uuid4(), "environment_failed", environment, "deployments", team)
        async with ledger.hold(notification, begin=True) as entry:
            await entry.settle("sent", f"1.{team}")

    everything = (await store.notifications(FindNotifications())).items
    theirs = (await store.notifications(FindNotifications(teams=("payments",)))).items

    assert {(one.way, one.team) for one in everything} == {
        ("slack", "payments"),
        ("slack", "search"),
        ("webhook", "payments"),
    }
    assert [(one.way, one.target, one.kind, one.environment, one.state, one.attempts) for one in theirs] == [
        ("slack", "deployments", "environment_failed", "demo-api", "sent", 1),
        ("webhook", "hooks.test:8443", "environment_ready", "demo-api", "sent", 1),
    ]
    assert theirs[1].webhook_id == made.id
    assert (await store.notifications(FindNotifications(teams=()))).items == ()
    assert [one.way for one in (await store.notifications(FindNotifications(way="webhook"))).items] == ["webhook"]
    [other] = (await store.notifications(FindNotifications(environment="other"))).items
    assert other.team == "search"
    read: list[SentNotification] = []
    after: str | None = None
    for _ in range(3):
        page = await store.notifications(FindNotifications(after=after, limit=1))
        read += page.items
        after = page.next_after
    assert (tuple(read), after) == (everything, None)

"""What the catalog relies on in its store of facts, asked of the twin in memory and of a real Postgres."""

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from chassis.pulling import LogMessage
from contracts.queries import EnvironmentView, GetEnvironment
from contracts.signals import CostRecorded, DeploymentRecorded, FeedbackGiven, HealthChanged
from contracts.values import HourlyPrice
from services.catalog.domain.records import EMPTY
from services.catalog.ports import AlreadyRecordedError
from tests.contract.catalogs import KEY, NOW, Real, World, facts_of, heard, listened, stored, told
from tests.stories import Story


def deployment(state: str = "succeeded", number: str = "1") -> dict[str, Any]:
    return {
        "deployment_id": number,
        "state": state,
        "commit": "0123456789abcdef",
        "branch": "main",
        "author": "ada",
        "duration_seconds": 3.5,
        "log_url": "https://example.com/log",
    }


async def seen(world: World, name: str = "demo-api") -> EnvironmentView:
    found = (await world.views.environment(GetEnvironment(environment=name))).environment
    assert found is not None
    return found


async def test_a_new_store_has_heard_nothing(world: World) -> None:
    assert await world.signals.head() == EMPTY
    assert await world.signals.load(["demo-api"]) == (EMPTY, {}, {})
    assert await world.signals.message(1) is None


async def test_what_was_told_shows_beside_what_the_log_says(world: World) -> None:
    await stored(world, Story(KEY).create().ready())
    await told(
        world,
        heard(DeploymentRecorded, "demo-api", deployment()),
        heard(HealthChanged, "demo-api", {"state": "degraded", "reason": "one of two is down"}),
    )
    view = await seen(world)

    assert (view.state, view.deployment, view.running) == ("ready", "deployed", "degraded")
    assert (view.running_since, view.running_reason) == (NOW, "one of two is down")
    assert view.last_deployment == view.last_successful_deployment
    assert view.last_deployment is not None
    assert (view.last_deployment.deployment_id, view.last_deployment.log_url) == ("1", "https://example.com/log")
    assert view.last_activity_at == NOW


async def test_a_fold_that_another_replica_was_before_changes_nothing(world: World) -> None:
    await stored(world, Story(KEY))
    one, other = (heard(HealthChanged, "demo-api", {"state": state}) for state in ("healthy", "down"))
    late = await listened(world.signals, facts_of([other]))
    await told(world, one)

    assert not await world.signals.append(late)
    assert (await seen(world)).running == "healthy"
    assert (await world.signals.head()).sequence == 1


async def test_a_fact_told_again_is_kept_and_changes_nothing(world: World) -> None:
    await stored(world, Story(KEY))
    first = heard(HealthChanged, "demo-api", {"state": "down"})
    again = heard(HealthChanged, "demo-api", {"state": "healthy"}, id=first.id)
    await told(world, first)
    found = facts_of([again], 2)
    with pytest.raises(AlreadyRecordedError):
        await world.signals.append(await listened(world.signals, found))
    assert await world.signals.recorded([first.id, uuid4()]) == {first.id}

    batch = await listened(world.signals, found, [first.id])
    assert [one.rejection for one in batch.records] == ["duplicate"]
    assert await world.signals.append(batch)
    assert (await seen(world)).running == "down"
    kept = await world.signals.message(2)
    assert kept is not None
    assert kept.body == again.to_json()


async def test_what_is_not_believed_is_kept_with_its_reason(world: World) -> None:
    await stored(world, Story(KEY))
    early = heard(HealthChanged, "demo-api", {"state": "down"}, time=NOW - timedelta(days=9000))
    messages = [
        *facts_of([heard(HealthChanged, "nobody", {"state": "down"}), early]),
        LogMessage(3, b"signal.demo-api.health_changed", b"junk"),
        LogMessage(4, b"signal.other.health_changed", heard(HealthChanged, "demo-api", {"state": "down"}).to_json()),
        LogMessage(5, b"signal.platform.feedback_given", _feedback().to_json()),
    ]
    batch = await listened(world.signals, messages)

    assert [one.rejection for one in batch.records] == ["orphaned", "late", "malformed", "misplaced", None]
    assert await world.signals.append(batch)
    assert (await seen(world)).running == "unknown"
    before = b""
    for record, message in zip(batch.records, messages, strict=True):
        chain = before + message.sequence.to_bytes(8, "big") + message.subject + b"\0" + message.body
        before = hashlib.sha256(chain).digest()
        assert record.hash == before
    assert (await world.signals.head()).hash == before


def _feedback() -> Any:
    return heard(FeedbackGiven, None, {"person": "ada", "text": "nice"})


async def test_facts_are_of_one_life(world: World) -> None:
    await stored(world, Story(KEY).create().ready())
    await told(world, heard(DeploymentRecorded, "demo-api", deployment()))
    again = Story(KEY, time=NOW + timedelta(days=1))
    await stored(world, again)
    assert (await seen(world)).deployment == "none"
    await told(world, heard(HealthChanged, "demo-api", {"state": "down"}))  # of the life before
    assert (await seen(world)).running == "unknown"

    later = {"time": NOW + timedelta(days=2)}
    await told(world, heard(HealthChanged, "demo-api", {"state": "healthy"}, **later))
    view = await seen(world)
    assert (view.running, view.deployment) == ("healthy", "none")


@pytest.mark.parametrize("facts_first", [False, True])
async def test_the_order_of_the_two_streams_does_not_matter(world: World, facts_first: bool) -> None:
    story = Story(KEY, time=NOW - timedelta(hours=1)).create().ready()
    rest = Story(KEY)
    rest.events = story.events[1:]
    story.events = story.events[:1]
    facts = [
        heard(DeploymentRecorded, "demo-api", deployment()),
        heard(HealthChanged, "demo-api", {"state": "healthy"}),
        heard(CostRecorded, "demo-api", _cost(2, NOW - timedelta(minutes=30), NOW)),
    ]
    await stored(world, story)
    if facts_first:
        await told(world, *facts)
        await stored(world, rest)
    else:
        await stored(world, rest)
        await told(world, *facts)
    view = await seen(world)

    assert (view.state, view.deployment, view.running, view.last_activity_at) == ("ready", "deployed", "healthy", NOW)
    assert view.cost is not None
    assert view.cost.recorded == 2


def _cost(amount: float, start: Any, end: Any) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR", "period_start": start, "period_end": end}


async def test_cost_accrues_by_price_and_what_is_recorded_takes_its_place(world: World) -> None:
    began = NOW - timedelta(hours=10, seconds=4)  # ready four seconds after the request
    story = Story(KEY, time=began)
    price = HourlyPrice(currency="EUR", per_hour=Decimal("0.50"))
    asked = story.request.data.model_copy(update={"price": price})
    story.events = [story.request.model_copy(update={"data": asked})]
    await stored(world, story.create().ready())
    view = await seen(world)
    assert view.cost is not None
    assert (view.cost.per_hour, view.cost.per_month, view.cost.so_far) == (Decimal("0.50"), Decimal(365), Decimal(5))
    assert view.alive_seconds == 36_000

    day = heard(CostRecorded, "demo-api", _cost(10, NOW - timedelta(hours=4), NOW - timedelta(hours=2)))
    await told(world, day)
    assert (await _so_far(world)) == 14  # eight hours by price, and two that were recorded
    await told(world, heard(CostRecorded, "demo-api", _cost(6, NOW - timedelta(hours=3), NOW - timedelta(hours=1))))
    assert (await _so_far(world)) == Decimal("14.50")  # of the first one an hour is left


async def _so_far(world: World) -> Decimal | None:
    view = await seen(world)
    return view.cost.so_far if view.cost is not None else None


# -- Postgres only -----------------------------------------------------------------------------------------------------


async def test_the_copy_of_the_facts_cannot_be_changed(real: Real) -> None:
    await stored(real, Story(KEY))
    await told(real, heard(HealthChanged, "demo-api", {"state": "down"}))
    for role in ("slipway_catalog", "postgres"):
        for statement in ("UPDATE signals SET body = ''", "DELETE FROM signals", "TRUNCATE signals"):
            with real.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)

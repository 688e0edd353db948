"""Facts from outside: what each means, and the end that a deployment renews."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.pulling import LogMessage
from contracts import subjects
from contracts.events import EnvironmentDeletionRequested, EnvironmentExtended
from contracts.signals import CostRecorded, DeploymentRecorded, HealthChanged, Signal
from services.catalog.domain.costs import MOST_PERIODS, RecordedCost, with_recorded
from services.catalog.domain.signals import MOST_CHECKS, Facts, fold_fact
from services.catalog.handlers import Hearing
from tests import samples
from tests.unit.catalog.test_timekeeping import END, Days

HOUR = timedelta(hours=1)


def fact(kind: type[Signal], at: datetime = samples.AT, **data: Any) -> Signal:
    return kind.model_validate(
        {
            "id": uuid4(),
            "source": "ci",
            "type": kind.model_fields["type"].default,
            "subject": "demo-api",
            "time": at,
            "data": data,
        }
    )


def deployed(state: str, at: datetime = samples.AT, number: str = "1") -> Signal:
    return fact(
        DeploymentRecorded, at, deployment_id=number, state=state, commit="0123456", branch="main", author="ada"
    )


def health(state: str, at: datetime = samples.AT, check: str = "", reason: str = "") -> Signal:
    return fact(HealthChanged, at, state=state, check=check, reason=reason)


def after(*signals: Signal) -> Facts:
    facts = Facts(name="demo-api", incarnation=uuid4())
    for number, signal in enumerate(signals, 1):
        facts = fold_fact(facts, signal, number)
    return facts


def test_a_deployment_never_goes_back() -> None:
    facts = after(deployed("queued"), deployed("succeeded", samples.AT + HOUR), deployed("started", samples.AT))

    assert facts.deployment == "deployed"
    assert facts.last_activity_at == samples.AT + HOUR


def test_a_failed_deployment_leaves_the_last_good_one_known() -> None:
    facts = after(deployed("succeeded"), deployed("failed", samples.AT + HOUR, "2"))

    assert facts.deployment == "failed"
    assert facts.last_successful_deployment is not None
    assert facts.last_successful_deployment.deployment_id == "1"


def test_an_older_deployment_told_late_changes_nothing_that_shows() -> None:
    newer, older = deployed("succeeded", samples.AT + HOUR, "2"), deployed("failed", samples.AT, "1")

    assert after(newer, older).last_deployment == after(newer).last_deployment


def test_health_is_the_worst_of_all_checks_and_tells_since_when() -> None:
    first, second, third = (samples.AT + n * HOUR for n in range(3))
    facts = after(
        health("healthy", first),
        health("degraded", second, "slow", "p95 is 3 s"),
        health("down", second, "probe", "no answer"),
        health("down", third, "other", "no answer either"),
    )
    assert (facts.running, facts.running_since, facts.running_reason) == ("down", second, "no answer")
    facts = fold_fact(fold_fact(facts, health("healthy", third, "probe"), 5), health("healthy", third, "other"), 6)
    assert (facts.running, facts.running_since, facts.running_reason) == ("degraded", third, "p95 is 3 s")
    assert fold_fact(facts, health("healthy", third, "slow"), 7).running == "healthy"


def test_health_told_late_changes_nothing() -> None:
    facts = after(health("down", samples.AT + HOUR), health("healthy", samples.AT))

    assert facts.running == "down"


def test_checks_are_bounded_and_what_is_wrong_is_kept() -> None:
    every = [health("healthy", check=f"ok {n}") for n in range(MOST_CHECKS)]
    facts = after(health("down", check="probe"), *every, health("degraded", check="new"))

    assert len(facts.checks) == MOST_CHECKS
    assert {"probe", "new"} <= {one.name for one in facts.checks}


hours = st.integers(min_value=0, max_value=400)


@given(st.lists(st.tuples(hours, hours, st.integers(0, 100)), max_size=12))
def test_recorded_periods_never_overlap(periods: list[tuple[int, int, int]]) -> None:
    known: tuple[RecordedCost, ...] = ()
    for start, length, amount in periods:
        began = samples.AT + start * HOUR
        said = fact(
            CostRecorded, amount=amount, currency="EUR", period_start=began, period_end=began + (length + 1) * HOUR
        )
        assert isinstance(said, CostRecorded)
        known = with_recorded(known, said.data)

    assert all(one.end <= other.start for one, other in pairwise(known))
    assert all(one.amount >= 0 for one in known)


def test_old_periods_are_added_up() -> None:
    known: tuple[RecordedCost, ...] = ()
    for number in range(MOST_PERIODS + 20):
        began = samples.AT + number * HOUR
        said = fact(CostRecorded, amount=1, currency="EUR", period_start=began, period_end=began + HOUR)
        assert isinstance(said, CostRecorded)
        known = with_recorded(known, said.data)

    assert len(known) == MOST_PERIODS
    assert sum(one.amount for one in known) == MOST_PERIODS + 20


class Deployments(Days):
    """Days on which somebody deploys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.waited = 0
        self.hearing = Hearing(self.store.signals, self.timekeeper, self._log_is_folded)

    async def _log_is_folded(self) -> None:
        self.waited += 1

    async def deploy(self, at: datetime, state: str = "succeeded") -> None:
        """It is now: somebody deploys, and everything follows from it."""
        self.clock.at = at
        await self.told(deployed(state, at, str(uuid4())))
        await self.settle()

    async def told(self, *signals: Signal, is_noticed: bool = True) -> None:
        first = await self.hearing.position() + 1
        found = [
            LogMessage(number, subjects.of_signal(signal).encode(), signal.to_json())
            for number, signal in enumerate(signals, first)
        ]
        assert await self.hearing.fold(first - 1, found)
        if is_noticed:
            await self.timekeeper._set_noticed()
        self.timekeeper._to_set.clear()


@pytest.fixture
def world() -> Deployments:
    return Deployments()


async def test_a_deployment_renews_a_preview_for_a_week(world: Deployments) -> None:
    await world.begin()
    await world.deploy(samples.AT + timedelta(days=3))

    (said,) = world.said(EnvironmentExtended)
    assert isinstance(said, EnvironmentExtended)
    assert (said.source, said.data.requested_by, said.data.expires_at) == ("catalog", None, END + timedelta(days=3))
    assert (await world.view()).expires_at == END + timedelta(days=3)
    await world.at(END + timedelta(days=2))
    assert world.said(EnvironmentDeletionRequested) == []
    await world.at(END + timedelta(days=3))
    assert len(world.said(EnvironmentDeletionRequested)) == 1


async def test_no_deployment_lets_a_preview_live_longer_than_thirty_days(world: Deployments) -> None:
    await world.begin()
    for day in range(6, 30, 6):
        await world.deploy(samples.AT + timedelta(days=day))

    assert (await world.view()).expires_at == samples.AT + timedelta(days=30)


async def test_a_busy_day_says_no_more_than_it_must(world: Deployments) -> None:
    await world.begin()
    for minute in range(0, 50, 10):
        await world.deploy(samples.AT + timedelta(days=1, minutes=minute))

    assert len(world.said(EnvironmentExtended)) == 1


async def test_what_is_kept_or_no_preview_is_not_renewed(world: Deployments) -> None:
    story = await world.begin()
    await world.extend(story, None)
    await world.settle()
    await world.deploy(samples.AT + timedelta(days=3))
    assert len(world.said(EnvironmentExtended)) == 1
    assert (await world.view()).expires_at is None

    staging = Deployments()
    await staging.begin(kind="staging")
    await staging.deploy(samples.AT + timedelta(days=3))
    assert staging.said(EnvironmentExtended) == []


async def test_a_renewal_that_a_crash_forgot_is_said_when_the_end_comes(world: Deployments) -> None:
    await world.begin()
    world.clock.at = samples.AT + timedelta(days=6)
    await world.told(deployed("succeeded", world.clock.at), is_noticed=False)
    assert world.said(EnvironmentExtended) == []

    await world.at(END)
    assert len(world.said(EnvironmentExtended)) == 1
    assert world.said(EnvironmentDeletionRequested) == []


async def test_a_renewal_that_could_not_be_said_is_said_by_the_sweep(world: Deployments) -> None:
    await world.begin()
    world.clock.at = samples.AT + timedelta(days=6)
    world.log.is_away = True
    await world.told(deployed("succeeded", world.clock.at))
    assert world.said(EnvironmentExtended) == []
    world.log.is_away = False

    await world.catalog.sweep(grace_seconds=0)
    assert len(world.said(EnvironmentExtended)) == 1


async def test_facts_wait_for_the_log(world: Deployments) -> None:
    await world.told(health("down"))

    assert world.waited == 1
    assert (await world.store.signals.facts(["demo-api"])) == {}

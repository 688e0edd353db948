"""How the platform does, month by month, from plain facts; and what an event says of who did what."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from chassis.clock import FixedClock
from contracts.insights import AuditAction, AuditEntry, FindAudit, GetInsights, Period
from services.catalog.adapters.memory_chronicle import MemoryChronicle
from services.catalog.domain.audit import entry
from services.catalog.domain.insights import DeploymentFact, Occurrence, RunFact, measured, months, spread
from services.catalog.handlers.reviewing import Reviewing

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def created(at: datetime, seconds: float) -> RunFact:
    steps = {"infrastructure": seconds * 0.8, "secrets": seconds * 0.1, "pipeline": seconds * 0.1}
    return RunFact(at, "succeeded", "create", "person", seconds, steps)


def this_month(*occurred: RunFact | DeploymentFact | Occurrence) -> Period:
    runs = [one for one in occurred if isinstance(one, RunFact)]
    deployments = [one for one in occurred if isinstance(one, DeploymentFact)]
    rest = [one for one in occurred if isinstance(one, Occurrence)]
    return measured([(NOVEMBER, NOW)], runs, deployments, rest)[0]


def test_months_are_calendar_months_and_the_last_one_ends_now() -> None:
    spans = months(datetime(2026, 2, 10, tzinfo=UTC), 3)

    assert [start for start, _ in spans] == [
        datetime(y, m, 1, tzinfo=UTC) for y, m in ((2025, 12), (2026, 1), (2026, 2))
    ]
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert spans[-1][1] == datetime(2026, 2, 10, tzinfo=UTC)


def test_where_nothing_was_nothing_is_claimed() -> None:
    period = this_month()

    assert (period.creation, period.steps, period.delivery, period.satisfaction, period.first_deployment) == (
        None, (), None, None, None,
    )  # fmt: skip
    assert period.runs_succeeded == period.expired == period.tickets == 0


def test_percentiles_lie_between_the_two_nearest() -> None:
    found = spread([1, 2, 3, 10])

    assert found is not None
    assert (found.count, found.mean_seconds, found.p50_seconds) == (4, 4, 2.5)
    assert found.p90_seconds == pytest.approx(7.9)
    assert spread([5.0]) == spread([5.0, 5.0]).model_copy(update={"count": 1})  # type: ignore[union-attr]


def test_creations_are_counted_in_the_month_they_were_asked_for_with_their_steps() -> None:
    before = created(NOVEMBER - HOUR, 100)
    period = this_month(
        before, created(NOVEMBER, 10), created(NOW - HOUR, 30), RunFact(NOW - HOUR, "failed", "create", "retry")
    )

    assert period.creation is not None
    assert (period.creation.count, period.creation.mean_seconds) == (2, 20)
    assert [(one.step, one.mean_seconds) for one in period.steps] == [
        ("infrastructure", 16),
        ("secrets", 2),
        ("pipeline", 2),
    ]
    assert (period.runs_succeeded, period.runs_failed, period.runs_retried) == (2, 1, 1)


def deployment(number: int, state: Any, at: datetime, environment: str = "shop") -> DeploymentFact:
    return DeploymentFact(at, environment, f"d{number}", state)


def test_deployments_give_the_four_keys() -> None:
    period = this_month(
        deployment(1, "queued", NOW - 10 * HOUR),
        deployment(1, "started", NOW - 9.5 * HOUR),
        deployment(1, "succeeded", NOW - 9 * HOUR),
        deployment(2, "started", NOW - 8 * HOUR),
        deployment(2, "failed", NOW - 7 * HOUR),
        deployment(3, "failed", NOW - 6 * HOUR),
        deployment(4, "succeeded", NOW - 4 * HOUR),
        deployment(5, "succeeded", NOW - 3 * HOUR, "other"),
    )

    delivery = period.delivery
    assert delivery is not None
    assert (delivery.succeeded, delivery.failed, delivery.failure_rate) == (3, 2, 0.4)
    assert delivery.per_day == pytest.approx(3 / 22.5)
    assert delivery.lead_time is not None
    assert delivery.time_to_restore is not None
    assert (delivery.lead_time.count, delivery.lead_time.p50_seconds) == (1, 3600)
    assert (delivery.time_to_restore.count, delivery.time_to_restore.p50_seconds) == (1, 3 * 3600)


def test_what_began_before_the_month_counts_for_what_ended_in_it() -> None:
    period = this_month(
        deployment(1, "failed", NOVEMBER - 2 * HOUR),
        deployment(2, "queued", NOVEMBER - HOUR),
        deployment(2, "succeeded", NOVEMBER + HOUR),
    )

    assert period.delivery is not None
    assert period.delivery.lead_time is not None
    assert period.delivery.time_to_restore is not None
    assert (period.delivery.failed, period.delivery.lead_time.p50_seconds) == (0, 7200)
    assert period.delivery.time_to_restore.p50_seconds == 3 * 3600


def test_money_saved_tickets_answers_and_newcomers_are_added_up() -> None:
    period = this_month(
        Occurrence(NOW - HOUR, "expired", 11.5),
        Occurrence(NOW - HOUR, "expired", 20),
        Occurrence(NOVEMBER - HOUR, "expired", 99),
        Occurrence(NOW - HOUR, "stalled"),
        Occurrence(NOW - HOUR, "ticket"),
        Occurrence(NOW - HOUR, "answer", 5),
        Occurrence(NOW - HOUR, "answer", 4),
        Occurrence(NOW - HOUR, "first_deployment", 600),
    )

    assert (period.expired, period.saved_per_month, period.runs_stalled, period.tickets) == (2, 31.5, 1, 1)
    assert (period.satisfaction, period.answers) == (4.5, 2)
    assert period.first_deployment is not None
    assert period.first_deployment.p50_seconds == 600


async def test_insights_ask_for_as_many_months_as_wanted() -> None:
    chronicle = MemoryChronicle(run_facts=[created(NOVEMBER, 10), created(datetime(2026, 8, 5, tzinfo=UTC), 10)])
    reviewing = Reviewing(chronicle, FixedClock(NOW))

    periods = (await reviewing.insights(GetInsights(months=3))).periods

    assert [period.start.month for period in periods] == [9, 10, 11]
    assert [period.creation is not None for period in periods] == [False, False, True]


def audited(action: AuditAction, **data: Any) -> AuditEntry:
    event = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "data": data}
    return entry(event, sequence=7, time=NOW, action=action, environment="shop", run_id=uuid4(), team="payments")


def test_an_entry_says_who_what_and_why() -> None:
    spec = {"owner": {"team": "search"}, "branch": "main", "parameters": {"instances": 1}}
    asked = audited("environment_deletion_requested", spec=spec, requested_by="ada", cause="person", reason="too dear")
    assert (asked.person, asked.team, asked.cause, asked.reason) == ("ada", "search", "person", "too dear")
    assert asked.trace_id == "a" * 32

    wanted = {**spec, "branch": "next", "parameters": {"instances": 2}}
    changed = audited("environment_update_requested", spec=wanted, previous=spec, requested_by="ada")
    assert changed.detail == "branch: main → next, parameters.instances: 1 → 2"

    granted = audited("access_requested", requested_by="ada", role="viewer", team="search")
    assert (granted.detail, granted.team) == ("viewer for team search", "payments")
    assert audited("environment_expired", spec=spec).person is None
    assert audited("environment_extended", spec=spec).detail == "kept without an end"
    assert audited("drift_detected", spec=spec, differing=[{"kind": "dns", "id": "x"}]).detail == "dns x"


async def test_the_audit_is_read_a_page_at_a_time_newest_first() -> None:
    entries = [audited("environment_expired").model_copy(update={"sequence": number}) for number in range(1, 6)]
    reviewing = Reviewing(MemoryChronicle(entries=entries), FixedClock(NOW))

    first = await reviewing.audit(FindAudit(limit=3))
    rest = await reviewing.audit(FindAudit(limit=3, before_sequence=first.next_before))

    assert [one.sequence for one in (*first.items, *rest.items)] == [5, 4, 3, 2, 1]
    assert (first.next_before, rest.next_before) == (3, None)

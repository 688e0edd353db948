"""What insights and the audit read, asked of a real Postgres that has folded whole stories and facts."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from chassis.clock import FixedClock
from contracts.events import (
    Drift,
    DriftDetected,
    EnvironmentExpired,
    EnvironmentExtended,
    Expiry,
    RunStalled,
    Stalled,
)
from contracts.insights import FindAudit, GetInsights
from contracts.signals import DeploymentRecorded, SurveyAnswered, TicketOpened
from services.catalog.adapters.postgres_insights import PostgresInsights
from services.catalog.handlers import Reviewing
from tests.contract.catalogs import KEY, Real, by, heard, stored, told
from tests.stories import Story

HOUR = timedelta(hours=1)
AT = datetime(2026, 10, 15, 12, 0, tzinfo=UTC)
"""In the middle of a month, so that everything here is of one."""


@pytest.fixture
def reviewing(real: Real) -> Reviewing:
    return Reviewing(PostgresInsights(real.database), FixedClock(AT))


def _story(name: str = "shop", team: str = "payments", *, ago: timedelta = HOUR) -> Story:
    return Story(KEY, name, time=AT - ago, owner=by(team))


def _deployment(number: int, state: str, *, ago: timedelta, environment: str = "shop") -> Any:
    data = {"deployment_id": f'd"{number}\0', "state": state, "commit": "a" * 40, "branch": "main", "author": "ada"}
    return heard(DeploymentRecorded, environment, data, time=AT - ago)


async def test_an_empty_platform_has_nothing_to_show(reviewing: Reviewing) -> None:
    [period] = (await reviewing.insights(GetInsights(months=1))).periods

    assert (period.creation, period.delivery, period.runs_succeeded) == (None, None, 0)
    assert (await reviewing.audit(FindAudit())).items == ()


async def test_runs_deployments_and_what_happened_are_counted(real: Real, reviewing: Reviewing) -> None:
    shop, other = (
        _story().create().ready(),
        _story("other", "search").create("secrets").fail("pipeline").failed("pipeline"),
    )
    shop.add(RunStalled, Stalled(spec=shop.request.data.spec, step="pipeline", waiting_seconds=300), source="catalog")
    shop.add(EnvironmentExpired, Expiry(spec=shop.request.data.spec), source="catalog")
    await stored(real, shop, other)
    await told(
        real,
        _deployment(1, "queued", ago=timedelta(minutes=30)),
        _deployment(1, "succeeded", ago=timedelta(minutes=20)),
        _deployment(2, "failed", ago=timedelta(minutes=10)),
        heard(SurveyAnswered, None, {"person": "ada", "score": 4, "text": 'a\0"score":5'}, time=AT - HOUR / 4),
        heard(TicketOpened, None, {"ticket": "1", "title": "x\0", "url": "https://tickets.test/1"}, time=AT - HOUR / 4),
    )

    [period] = (await reviewing.insights(GetInsights(months=1))).periods

    assert period.creation is not None
    assert period.creation.count == 1
    assert [one.step for one in period.steps] == ["infrastructure", "secrets", "pipeline"]
    assert (period.runs_succeeded, period.runs_failed, period.runs_stalled, period.expired) == (1, 1, 1, 1)
    assert (period.tickets, period.answers, period.satisfaction) == (1, 1, 4)
    assert period.delivery is not None
    assert period.delivery.lead_time is not None
    assert (period.delivery.succeeded, period.delivery.failed) == (1, 1)
    assert period.delivery.lead_time.p50_seconds == 600
    assert period.first_deployment is not None
    assert period.first_deployment.p50_seconds == 40 * 60


async def test_only_what_is_the_teams_is_counted_for_it(real: Real, reviewing: Reviewing) -> None:
    await stored(real, _story().create().ready(), _story("other", "search").create().ready())
    await told(
        real, _deployment(1, "succeeded", ago=HOUR / 2), _deployment(2, "failed", ago=HOUR / 2, environment="other")
    )

    [period] = (await reviewing.insights(GetInsights(months=1, teams=("search",)))).periods

    assert period.runs_succeeded == 1
    assert period.delivery is not None
    assert (period.delivery.succeeded, period.delivery.failed) == (0, 1)


async def test_the_audit_names_who_did_what_newest_first(real: Real, reviewing: Reviewing) -> None:
    story = _story().create().ready().update(parameters={"instances": 3}).create().ready()
    spec = story.request.data.spec
    story.add(EnvironmentExtended, Expiry(spec=spec, requested_by="bob", reason="demo on Friday\0"), source="gateway")
    story.add(DriftDetected, Drift(spec=spec, differing=()), source="catalog")
    await stored(real, story, _story("other", "search"))

    entries = (await reviewing.audit(FindAudit())).items

    assert [(one.environment, one.action, one.person) for one in entries] == [
        ("other", "environment_requested", "ada"),
        ("shop", "drift_detected", None),
        ("shop", "environment_extended", "bob"),
        ("shop", "environment_update_requested", "ada"),
        ("shop", "environment_requested", "ada"),
    ]
    assert entries[2].reason == "demo on Friday\0"
    assert "parameters.instances" in entries[3].detail
    assert [one.team for one in entries] == ["search", *["payments"] * 4]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"teams": ("search",)}, ["other"]),
        ({"teams": ()}, []),
        ({"person": "bob"}, ["shop"]),
        ({"environment": "other"}, ["other"]),
        ({"action": "environment_extended"}, ["shop"]),
        ({"person": str(uuid4())[:8]}, []),
    ],
)
async def test_the_audit_is_narrowed(
    real: Real, reviewing: Reviewing, conditions: dict[str, Any], found: list[str]
) -> None:
    story = _story()
    extended = Expiry(spec=story.request.data.spec, requested_by="bob", reason='\0"requested_by":"eve"')
    story.create().ready().add(EnvironmentExtended, extended, source="gateway")
    await stored(real, story, _story("other", "search"))

    page = await reviewing.audit(FindAudit.model_validate(conditions))

    assert [one.environment for one in page.items] == found


async def test_the_audit_goes_on_where_a_page_ended(real: Real, reviewing: Reviewing) -> None:
    await stored(real, *(_story(f"e{number}") for number in range(5)))

    first = await reviewing.audit(FindAudit(limit=2))
    second = await reviewing.audit(FindAudit(limit=3, before_sequence=first.next_before))

    assert [one.environment for one in (*first.items, *second.items)] == ["e4", "e3", "e2", "e1", "e0"]
    assert second.next_before is None

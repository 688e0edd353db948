"""`/insights`: how the platform does, month by month; `/audit`: who did what. As JSON or CSV."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Query, Response

from contracts.insights import AuditAction, AuditEntry, AuditPage, FindAudit, GetInsights, Insights, Period
from contracts.names import EnvironmentName, GoldenPathName, PersonName, TeamName
from services.gateway.api.answers import API
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.api.spreadsheets import file_of

Form = Annotated[Literal["json", "csv"], Query(description="What the answer is written in")]
Team = Annotated[TeamName | None, Query(description="Only this team's")]

_MEASURES: Final[Mapping[str, Callable[[Period], Any]]] = {
    "month": lambda period: f"{period.start:%Y-%m}",
    "creations": lambda period: period.creation and period.creation.count,
    "creation_mean_seconds": lambda period: period.creation and period.creation.mean_seconds,
    "creation_p50_seconds": lambda period: period.creation and period.creation.p50_seconds,
    "creation_p90_seconds": lambda period: period.creation and period.creation.p90_seconds,
    "runs_succeeded": lambda period: period.runs_succeeded,
    "runs_failed": lambda period: period.runs_failed,
    "runs_retried": lambda period: period.runs_retried,
    "runs_stalled": lambda period: period.runs_stalled,
    "expired": lambda period: period.expired,
    "saved_per_month": lambda period: period.saved_per_month,
    "first_deployment_p50_seconds": lambda period: period.first_deployment and period.first_deployment.p50_seconds,
    "deployments_succeeded": lambda period: period.delivery and period.delivery.succeeded,
    "deployments_failed": lambda period: period.delivery and period.delivery.failed,
    "deployments_per_day": lambda period: period.delivery and period.delivery.per_day,
    "lead_time_p50_seconds": lambda period: (
        period.delivery and period.delivery.lead_time and period.delivery.lead_time.p50_seconds
    ),
    "change_failure_rate": lambda period: period.delivery and period.delivery.failure_rate,
    "time_to_restore_p50_seconds": lambda period: (
        period.delivery and period.delivery.time_to_restore and period.delivery.time_to_restore.p50_seconds
    ),
    "tickets": lambda period: period.tickets,
    "satisfaction": lambda period: period.satisfaction,
    "answers": lambda period: period.answers,
}
"""The columns of the CSV, and what stands in them; empty where there was nothing to measure."""


async def get_insights(
    *,
    asker: Asker,
    gateway: Deeds,
    months: Annotated[int, Query(ge=1, le=36)] = 6,
    team: Team = None,
    golden_path: Annotated[GoldenPathName | None, Query()] = None,
    format: Form = "json",  # noqa: A002 - the name of the parameter
) -> Insights | Response:
    """How the platform has done, month by month, as far as it is your teams'."""
    query = GetInsights(months=months, golden_path=golden_path)
    found = await gateway.reviewing.insights(asker, query, team)
    return file_of(measures(found.periods), "insights.csv") if format == "csv" else found


async def get_audit(
    *,
    asker: Asker,
    gateway: Deeds,
    team: Team = None,
    person: Annotated[PersonName | None, Query()] = None,
    environment: Annotated[EnvironmentName | None, Query()] = None,
    action: Annotated[AuditAction | None, Query()] = None,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    format: Form = "json",  # noqa: A002 - the name of the parameter
) -> AuditPage | Response:
    """Who did what in the environments of your teams, the newest first; go on with `before` = `next_before`."""
    query = FindAudit(person=person, environment=environment, action=action, before_sequence=before, limit=limit)
    found = await gateway.reviewing.audit(asker, query, team)
    return file_of(entries(found.items), "audit.csv") if format == "csv" else found


def measures(periods: Iterable[Period]) -> list[list[Any]]:
    """A table of months: a row of names, and a row for each."""
    return [[*_MEASURES], *([column(period) for column in _MEASURES.values()] for period in periods)]


def entries(found: Iterable[AuditEntry]) -> list[list[Any]]:
    """The audit as a table."""
    fields = [*AuditEntry.model_fields]
    rows = (entry.model_dump(mode="json") for entry in found)
    return [fields, *([row[field] for field in fields] for row in rows)]


_CSV: Final = {"responses": {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}}
ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/insights", get_insights, VIEWER, 200, Insights, "insights", options=_CSV),
    Endpoint("GET", f"{API}/audit", get_audit, VIEWER, 200, AuditPage, "insights", options=_CSV),
)

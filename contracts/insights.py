"""Questions about the platform as a whole: how it does, month by month, and who did what. All of it follows from the
log and the facts, so it reaches back to the first day.
"""

from typing import Literal
from uuid import UUID

from pydantic import Field

from contracts.envelope import Timestamp, Value
from contracts.names import EnvironmentName, GoldenPathName, PersonName, TeamName
from contracts.queries import Query
from contracts.values import Step


class Spread(Value):
    """How long something took."""

    count: int
    mean_seconds: float
    p50_seconds: float
    p90_seconds: float


class StepSpread(Spread):
    """The same of one step."""

    step: Step


class Delivery(Value):
    """The four keys of DORA, from deployment facts: how often, how long, how often in vain, how long until mended."""

    succeeded: int
    failed: int
    per_day: float
    """Deployments that succeeded, a day of the period so far."""
    lead_time: Spread | None = None
    """From queued (or, where nobody said so, started) to live."""
    failure_rate: float | None = None
    """Failed ones among all that ended; 0 to 1."""
    time_to_restore: Spread | None = None
    """From the first failure of an environment to its next success."""


class Period(Value):
    """A calendar month in UTC, as far as it has come."""

    start: Timestamp
    end: Timestamp
    creation: Spread | None = None
    """Of creations that succeeded, by the month in which they were asked for."""
    steps: tuple[StepSpread, ...] = ()
    runs_succeeded: int = 0
    runs_failed: int = 0
    runs_retried: int = 0
    runs_stalled: int = 0
    expired: int = 0
    """Environments whose time was up."""
    saved_per_month: float = 0.0
    """What those would cost each month, had they stayed; in the currency of the price lists."""
    first_deployment: Spread | None = None
    """Of people who deployed for the first time: from their first request to that."""
    delivery: Delivery | None = None
    tickets: int = 0
    satisfaction: float | None = None
    """Mean of the survey's answers, 1 to 5."""
    answers: int = 0


class Insights(Value):
    """Months, the oldest first."""

    periods: tuple[Period, ...]


class GetInsights(Query[Insights]):
    """How the platform has done in this month and those before it."""

    name = "insights"
    months: int = Field(default=6, ge=1, le=36)
    teams: tuple[TeamName, ...] | None = None
    """Only what these teams did; None means all. Tickets and the survey are the platform's and are counted whole."""
    golden_path: GoldenPathName | None = None
    """Only runs of this golden path."""


AuditAction = Literal[
    "environment_requested",
    "environment_update_requested",
    "environment_deletion_requested",
    "run_cancel_requested",
    "access_requested",
    "access_revocation_requested",
    "environment_extended",
    "environment_expired",
    "drift_detected",
]


class AuditEntry(Value):
    """One thing that somebody did, or that the platform did by itself."""

    sequence: int
    time: Timestamp
    action: AuditAction
    environment: EnvironmentName
    team: TeamName
    """The team that owned the environment then."""
    person: PersonName | None
    """None: the platform by itself."""
    cause: str | None = None
    """Of what begins a run: person, expiry, drift, upgrade, git or retry."""
    reason: str = ""
    detail: str = ""
    """What of: `developer for team search`, `until 2026-12-01T00:00:00Z`."""
    run_id: UUID
    trace_id: str | None = None


class AuditPage(Value):
    items: tuple[AuditEntry, ...]
    next_before: int | None = None


class FindAudit(Query[AuditPage]):
    """Who did what, the newest first."""

    name = "audit"
    teams: tuple[TeamName, ...] | None = None
    """Only in environments of these teams; None means all."""
    person: PersonName | None = None
    environment: EnvironmentName | None = None
    action: AuditAction | None = None
    before_sequence: int | None = None
    limit: int = Field(default=50, ge=1, le=500)

"""How the platform does, from plain facts about runs, deployments and lives. Pure.

Invariant: every figure says of how many it is one; where there was nothing, it is absent and not zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import fmean, quantiles
from typing import Literal

from contracts.insights import Delivery, Period, Spread, StepSpread
from contracts.values import Step
from services.catalog.domain.steps import STEPS


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run, as far as it counts. Durations are those of successful creations."""

    requested_at: datetime
    state: str
    kind: str
    cause: str
    total_seconds: float | None = None
    step_seconds: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeploymentFact:
    """A deployment changed its state."""

    time: datetime
    environment: str
    deployment_id: str
    state: Literal["queued", "started", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened; `amount` is what it weighs."""

    time: datetime
    kind: Literal["expired", "stalled", "ticket", "answer", "first_deployment"]
    amount: float = 0.0
    """Expired: its cost per month. An answer: its score. A first deployment: the seconds since the first request."""


def months(now: datetime, count: int) -> list[tuple[datetime, datetime]]:
    """This month and those before it, `count` in all, the oldest first; UTC; the last one ends now."""
    start = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = [(start, now)]
    while len(found) < count:
        before = (start - timedelta(days=1)).replace(day=1)
        found.append((before, start))
        start = before
    return found[::-1]


def measured(
    spans: Sequence[tuple[datetime, datetime]],
    runs: Iterable[RunFact],
    deployments: Iterable[DeploymentFact],
    occurrences: Iterable[Occurrence],
) -> tuple[Period, ...]:
    """A period for each span."""
    runs, deployments, occurrences = list(runs), sorted(deployments, key=lambda one: one.time), list(occurrences)
    return tuple(_period(start, end, runs, deployments, occurrences) for start, end in spans)


def spread(seconds: Sequence[float]) -> Spread | None:
    """Of these durations, percentiles as `percentile_cont` of SQL has them; None where there is none."""
    if not seconds:
        return None
    tenths = quantiles(seconds if len(seconds) > 1 else [*seconds, *seconds], n=10, method="inclusive")
    return Spread(count=len(seconds), mean_seconds=fmean(seconds), p50_seconds=tenths[4], p90_seconds=tenths[8])


def _period(
    start: datetime,
    end: datetime,
    runs: Sequence[RunFact],
    deployments: Sequence[DeploymentFact],
    occurrences: Sequence[Occurrence],
) -> Period:
    begun = [run for run in runs if start <= run.requested_at < end]
    amounts: dict[str, list[float]] = {}
    for one in occurrences:
        if start <= one.time < end:
            amounts.setdefault(one.kind, []).append(one.amount)
    answers = amounts.get("answer", [])
    return Period(
        start=start,
        end=end,
        creation=spread([run.total_seconds for run in begun if run.total_seconds is not None]),
        steps=tuple(found for step in STEPS if (found := _step(step, begun)) is not None),
        runs_succeeded=sum(run.state == "succeeded" for run in begun),
        runs_failed=sum(run.state == "failed" for run in begun),
        runs_retried=sum(run.cause == "retry" for run in begun),
        runs_stalled=len(amounts.get("stalled", [])),
        expired=len(amounts.get("expired", [])),
        saved_per_month=round(sum(amounts.get("expired", [])), 4),
        first_deployment=spread(amounts.get("first_deployment", [])),
        delivery=_delivery(start, end, deployments),
        tickets=len(amounts.get("ticket", [])),
        satisfaction=fmean(answers) if answers else None,
        answers=len(answers),
    )


def _step(step: Step, runs: Iterable[RunFact]) -> StepSpread | None:
    found = spread([seconds for run in runs if (seconds := run.step_seconds.get(step)) is not None])
    return StepSpread(step=step, **found.model_dump()) if found else None


def _delivery(start: datetime, end: datetime, deployments: Sequence[DeploymentFact]) -> Delivery | None:
    """What ended in the span, with the beginnings of it from before."""
    begun: dict[tuple[str, str], datetime] = {}
    broken: dict[str, datetime] = {}
    leads: list[float] = []
    restores: list[float] = []
    succeeded = failed = 0
    for one in deployments:
        if one.time >= end:
            break
        counts = one.time >= start
        deployment = (one.environment, one.deployment_id)
        if one.state == "failed":
            failed += counts
            broken.setdefault(one.environment, one.time)
        elif one.state == "succeeded":
            succeeded += counts
            since, down = begun.get(deployment), broken.pop(one.environment, None)
            if counts and since is not None:
                leads.append((one.time - since).total_seconds())
            if counts and down is not None:
                restores.append((one.time - down).total_seconds())
        else:
            begun.setdefault(deployment, one.time)
    if not succeeded + failed:
        return None
    days = max((end - start).total_seconds() / 86_400, 1.0)
    return Delivery(
        succeeded=succeeded,
        failed=failed,
        per_day=succeeded / days,
        lead_time=spread(leads),
        failure_rate=failed / (succeeded + failed),
        time_to_restore=spread(restores),
    )

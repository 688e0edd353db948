"""The matrix of points and outcomes, for people and for programs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, get_args

from rich.console import Console
from rich.table import Table

from chassis.faults import Point
from tests.faults.cases import Outcome
from tests.faults.matrix import Report

POINTS: Final[tuple[Point, ...]] = get_args(Point)


def show(report: Report, console: Console) -> None:
    """One table a story, one for the parts, and the sum."""
    by_story: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in report.outcomes:
        by_story["deaths of parts" if outcome.part else str(outcome.story)].append(outcome)
    for title, outcomes in by_story.items():
        console.print(_parts(title, outcomes) if outcomes[0].part else _points(title, outcomes))
    for outcome in report.outcomes:
        for violation in outcome.violations:
            console.print(f"FAIL {outcome.environment}: {violation.claim}: {violation.what}  ({outcome.what})")
        if outcome.trouble:
            console.print(f"FAIL {outcome.environment}: {outcome.trouble}  ({outcome.what})")
    for violation in report.violations:
        console.print(f"FAIL {violation.environment or 'the platform'}: {violation.claim}: {violation.what}")
    console.print(summary(report))


def summary(report: Report) -> str:
    """One line."""
    recoveries = sorted(one.recovery_seconds for one in report.outcomes if one.recovery_seconds is not None)
    bad = sum(not outcome.is_well for outcome in report.outcomes)
    slowest = f"; the slowest ended {recoveries[-1]:.1f} s after the restart" if recoveries else ""
    median = f", the median {recoveries[len(recoveries) // 2]:.1f} s" if recoveries else ""
    verdict = "all well" if report.is_well else f"{bad} bad, and {len(report.violations)} of the platform itself"
    return f"{len(report.outcomes)} deaths in {report.seconds:.0f} s: {verdict}{slowest}{median}."


def document(report: Report) -> dict[str, Any]:
    """The same for a program."""
    return {
        "well": report.is_well,
        "seconds": round(report.seconds, 1),
        "cases": [
            {
                "story": str(outcome.story),
                "service": outcome.place.service if outcome.place else None,
                "hears": outcome.place.hears if outcome.place else None,
                "point": outcome.place.point if outcome.place else None,
                "part": outcome.part or None,
                "what": outcome.what,
                "environment": outcome.environment,
                "ended": outcome.ended or None,
                "restart_seconds": outcome.restart_seconds,
                "recovery_seconds": outcome.recovery_seconds,
                "deaths": outcome.deaths,
                "trouble": outcome.trouble or None,
                "violations": [asdict(violation) for violation in outcome.violations],
            }
            for outcome in report.outcomes
        ],
        "violations": [asdict(violation) for violation in report.violations],
    }


def _points(title: str, outcomes: Sequence[Outcome]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("service", "handles", *(point.replace("_", " ") for point in POINTS)):
        table.add_column(column)
    rows: dict[tuple[str, str], dict[str, Outcome]] = defaultdict(dict)
    for outcome in outcomes:
        if outcome.place is not None:
            rows[outcome.place.service, outcome.place.hears][outcome.place.point] = outcome
    for (service, hears), found in rows.items():
        table.add_row(service, hears, *(_cell(found.get(point)) for point in POINTS))
    return table


def _parts(title: str, outcomes: Sequence[Outcome]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("what", "restart", "outcome"):
        table.add_column(column)
    for outcome in outcomes:
        restart = f"{outcome.restart_seconds:.1f} s" if outcome.restart_seconds is not None else ""
        table.add_row(outcome.what, restart, _cell(outcome))
    return table


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    took = f" {outcome.recovery_seconds:.1f} s" if outcome.recovery_seconds is not None else ""
    more = f" ({outcome.deaths} deaths)" if outcome.deaths > 1 else ""
    return f"{'ok' if outcome.is_well else 'FAIL'}{took}{more}"

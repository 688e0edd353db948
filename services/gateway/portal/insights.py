"""Insights: how the platform does, month by month; all of it from the log, so it reaches back to day one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from fastapi import Request, Response

from contracts.insights import GetInsights, Period, Spread
from contracts.values import Step
from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.portal import words
from services.gateway.portal.forms import understood
from services.gateway.portal.rendering import page

MONTHS: Final = (("3", "3 months"), ("6", "6 months"), ("12", "a year"), ("36", "3 years"))
_DEFAULT: Final = "6"
_WIDTH, _HEIGHT, _GAP = 320, 96, 4
_STEPS: Final[tuple[Step, ...]] = get_args(Step)


@dataclass(frozen=True)
class Bar:
    """One month of a chart, in pixels."""

    x: float
    y: float
    width: float
    height: float
    month: str
    text: str


@dataclass(frozen=True)
class Chart:
    """One measure over the months."""

    title: str
    now: str
    """Its value in the last month."""
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Line:
    """One row of the table: a measure, and its value in each month."""

    title: str
    values: tuple[str, ...]


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """Charts of what matters most, and everything as a table."""
    asked = request.query_params
    months = asked.get("months", _DEFAULT)
    values: dict[str, Any] = {"months": int(months) if months in dict(MONTHS) else int(_DEFAULT)}
    if path := asked.get("golden_path"):
        values["golden_path"] = path
    query = understood(GetInsights, values)
    found = await gateway.reviewing.insights(visitor.principal, query, asked.get("team") or None)
    names = [f"{period.start:%b %Y}" for period in found.periods]
    return page(
        request,
        visitor,
        gateway,
        "insights.html",
        here="insights",
        title="Insights",
        months=names,
        charts=[chart(title, found.periods, value, text) for title, value, text in _CHARTS],
        lines=[Line(title, tuple(measure(period) for period in found.periods)) for title, measure in _TABLE],
        any_runs=any(_has_something(period) for period in found.periods),
        periods=MONTHS,
        chosen={"months": str(values["months"]), "golden_path": path or "", "team": asked.get("team", "")},
        paths=[path.name for path in await gateway.golden_paths.all()],
        teams=visitor.principal.teams,
        size=(_WIDTH, _HEIGHT),
    )


def _has_something(period: Period) -> bool:
    ended = period.runs_succeeded + period.runs_failed + period.expired + period.tickets + period.answers
    return bool(ended or period.delivery)


def chart(
    title: str, periods: Sequence[Period], value: Callable[[Period], float | None], text: Callable[[float], str]
) -> Chart:
    """Bars of one measure, scaled to its greatest value."""
    values = [value(period) for period in periods]
    most = max((one for one in values if one is not None), default=0) or 1
    width = (_WIDTH - _GAP * (len(values) - 1)) / max(1, len(values))
    bars = []
    for number, (period, one) in enumerate(zip(periods, values, strict=True)):
        height = round((_HEIGHT - 4) * one / most, 1) if one else 0
        said = text(one) if one is not None else words.UNKNOWN
        at = round(number * (width + _GAP), 1)
        bars.append(Bar(at, round(_HEIGHT - height, 1), round(width, 1), height, f"{period.start:%b %Y}", said))
    last = values[-1] if values else None
    return Chart(title, text(last) if last is not None else words.UNKNOWN, tuple(bars))


def _p50(spread: Spread | None) -> float | None:
    return spread.p50_seconds if spread is not None else None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _success(period: Period) -> float | None:
    ended = period.runs_succeeded + period.runs_failed
    return period.runs_succeeded / ended if ended else None


def _retries(period: Period) -> str:
    ended = period.runs_succeeded + period.runs_failed
    return _percent(period.runs_retried / ended) if ended else words.UNKNOWN


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return words.UNKNOWN
    return f"{words.took(spread.mean_seconds)} / {words.took(spread.p90_seconds)}"


def _step(step: Step) -> Callable[[Period], str]:
    return lambda period: _spread(next((one for one in period.steps if one.step == step), None))


def _a_day(number: float) -> str:
    """One digit after the point, or two that say something where it is less than one: 1 in a month is not 0.0 a day."""
    return f"{number:,.1f}" if number >= 1 else f"{number:.2g}"


def _of_delivery(value: Callable[[Any], str]) -> Callable[[Period], str]:
    return lambda period: value(period.delivery) if period.delivery is not None else words.UNKNOWN


_CHARTS: Final[tuple[tuple[str, Callable[[Period], float | None], Callable[[float], str]], ...]] = (
    ("Time to create", lambda period: _p50(period.creation), words.took),
    ("Runs that succeeded", _success, _percent),
    ("Time to first deployment", lambda period: _p50(period.first_deployment), words.took),
    ("Deployments a day", lambda period: period.delivery.per_day if period.delivery else None, _a_day),
    ("Satisfaction, 1 to 5", lambda period: period.satisfaction, "{:.1f}".format),
    ("Infrastructure tickets", lambda period: float(period.tickets), "{:.0f}".format),
)
_TABLE: Final[tuple[tuple[str, Callable[[Period], str]], ...]] = (
    ("Time to create, mean / p90", lambda period: _spread(period.creation)),
    ("Creations", lambda period: f"{period.creation.count:,}" if period.creation else "0"),
    *((f"{words.STEP_NAMES[step]}, mean / p90", _step(step)) for step in _STEPS),
    ("Time to a first deployment, mean / p90", lambda period: _spread(period.first_deployment)),
    ("Runs that succeeded", lambda period: f"{period.runs_succeeded:,}"),
    ("Runs that failed", lambda period: f"{period.runs_failed:,}"),
    ("Tried again", _retries),
    ("Stalled", lambda period: f"{period.runs_stalled:,}"),
    ("Environments whose time was up", lambda period: f"{period.expired:,}"),
    ("Saved by that, a month", lambda period: f"{period.saved_per_month:,.2f}"),
    ("Deployments a day", _of_delivery(lambda one: _a_day(one.per_day))),
    ("Lead time for a change, mean / p90", _of_delivery(lambda one: _spread(one.lead_time))),
    (
        "Deployments that failed",
        _of_delivery(lambda one: words.UNKNOWN if one.failure_rate is None else _percent(one.failure_rate)),
    ),
    ("Time to restore, mean / p90", _of_delivery(lambda one: _spread(one.time_to_restore))),
    ("Infrastructure tickets", lambda period: f"{period.tickets:,}"),
    (
        "Satisfaction",
        lambda period: (
            words.UNKNOWN if period.satisfaction is None else f"{period.satisfaction:.1f} ({period.answers})"
        ),
    ),
)

PAGES: Final = (Page("GET", "/insights", show),)

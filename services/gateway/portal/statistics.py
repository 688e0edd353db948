"""How golden paths do on this platform: how long their creations take, and how often runs with them succeed."""

from dataclasses import dataclass
from typing import Final

from contracts.golden_path import GoldenPath
from contracts.insights import GetInsights
from contracts.queries import StepDuration
from services.gateway.api.browser import Visitor
from services.gateway.api.context import Gateway
from services.gateway.portal.words import counted

_MONTHS: Final = 3


@dataclass(frozen=True)
class Statistics:
    """What is known of one golden path."""

    steps: tuple[StepDuration, ...]
    """How long creations took in the last 30 days."""
    usual_seconds: float
    """The median, or what the golden path says where nothing is measured yet."""
    measured: int
    """How many creations that is the median of."""
    ended: int
    """How many runs of one's teams ended in this month and the two before."""
    succeeded: int
    """How many of these ended well."""

    @property
    def success(self) -> str:
        """The share of runs that ended well, in words; empty where none has ended."""
        return f"{100 * self.succeeded / self.ended:.0f} % of {counted(self.ended, 'run')}" if self.ended else ""


async def statistics_of(visitor: Visitor, gateway: Gateway, path: GoldenPath) -> Statistics:
    """What is known of a golden path, as far as it is one's teams'."""
    steps = await gateway.reading.durations(path.name)
    query = GetInsights(months=_MONTHS, golden_path=path.name)
    periods = (await gateway.reviewing.insights(visitor.principal, query, None)).periods
    succeeded = sum(period.runs_succeeded for period in periods)
    ended = succeeded + sum(period.runs_failed for period in periods)
    total = next((step for step in steps if step.step == "total"), None)
    if total is None:
        return Statistics((), float(path.usual_duration_seconds), 0, ended, succeeded)
    return Statistics(steps, total.p50_seconds, total.count, ended, succeeded)

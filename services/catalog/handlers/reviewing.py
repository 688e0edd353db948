"""Telling how the platform does, and who did what."""

from dataclasses import dataclass

from chassis.clock import Clock
from contracts.insights import AuditPage, FindAudit, GetInsights, Insights
from services.catalog.domain.insights import measured, months
from services.catalog.ports import Chronicle


@dataclass(frozen=True)
class Reviewing:
    """Answers from what happened; nothing is counted beforehand, so it reaches back to the first day."""

    chronicle: Chronicle
    clock: Clock

    async def insights(self, query: GetInsights) -> Insights:
        """Month by month."""
        spans = months(self.clock.now(), query.months)
        since = spans[0][0]
        return Insights(
            periods=measured(
                spans,
                await self.chronicle.runs(since, query.teams, query.golden_path),
                await self.chronicle.deployments(since, query.teams),
                await self.chronicle.occurrences(since, query.teams),
            )
        )

    async def audit(self, query: FindAudit) -> AuditPage:
        """The newest first."""
        return await self.chronicle.audit(query)

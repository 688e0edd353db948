"""How the platform does, and who did what, for whoever may see it.

Invariant: one who does not see every team is told only of what is their own teams'.
"""

from dataclasses import dataclass

from contracts.insights import AuditPage, FindAudit, GetInsights, Insights
from services.gateway.domain.people import Principal
from services.gateway.ports import Chronicle


@dataclass(frozen=True)
class Reviewing:
    """Answers from the catalog."""

    chronicle: Chronicle

    async def insights(self, principal: Principal, query: GetInsights, team: str | None) -> Insights:
        """Month by month; with `team`, only what is its own."""
        return await self.chronicle.insights(query.model_copy(update={"teams": _teams(principal, team)}))

    async def audit(self, principal: Principal, query: FindAudit, team: str | None) -> AuditPage:
        """The newest first; with `team`, only in its environments."""
        return await self.chronicle.audit(query.model_copy(update={"teams": _teams(principal, team)}))


def _teams(principal: Principal, team: str | None) -> tuple[str, ...] | None:
    """Whose things are looked at: nobody's, where a team is named that this one does not see."""
    if team is None:
        return principal.visible_teams
    return (team,) if principal.sees(team) else ()

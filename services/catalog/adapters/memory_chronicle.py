"""The twin of the chronicle: lists of what happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.insights import AuditEntry, AuditPage, FindAudit
from services.catalog.domain.insights import DeploymentFact, Occurrence, RunFact


@dataclass
class MemoryChronicle:
    """See `ports.Chronicle`. Of runs, deployments and occurrences it knows no team: all are everybody's."""

    run_facts: list[RunFact] = field(default_factory=list)
    deployment_facts: list[DeploymentFact] = field(default_factory=list)
    occurred: list[Occurrence] = field(default_factory=list)
    entries: list[AuditEntry] = field(default_factory=list)
    """The oldest first."""

    async def runs(
        self,
        since: datetime,
        teams: Sequence[str] | None,  # noqa: ARG002
        golden_path: str | None = None,  # noqa: ARG002
    ) -> Sequence[RunFact]:
        return [one for one in self.run_facts if one.requested_at >= since]

    async def deployments(self, since: datetime, teams: Sequence[str] | None) -> Sequence[DeploymentFact]:  # noqa: ARG002
        return [one for one in self.deployment_facts if one.time >= since]

    async def occurrences(self, since: datetime, teams: Sequence[str] | None) -> Sequence[Occurrence]:  # noqa: ARG002
        return [one for one in self.occurred if one.time >= since]

    async def audit(self, query: FindAudit) -> AuditPage:
        found = [
            one
            for one in reversed(self.entries)
            if query.before_sequence is None or one.sequence < query.before_sequence
            if query.teams is None or one.team in query.teams
            if query.person in {None, one.person}
            if query.environment in {None, one.environment}
            if query.action in {None, one.action}
        ]
        page = tuple(found[: query.limit])
        return AuditPage(items=page, next_before=page[-1].sequence if len(found) > len(page) else None)

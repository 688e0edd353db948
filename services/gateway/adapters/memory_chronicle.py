"""The twins of what else is asked of the catalog: they answer what they were given, and keep what they were asked."""

from dataclasses import dataclass, field

from contracts.insights import AuditPage, FindAudit, GetInsights, Insights
from contracts.maintenance import Rebuild, Rebuilt


@dataclass
class MemoryChronicle:
    """Twin of `ports.Chronicle`."""

    found: Insights = field(default_factory=lambda: Insights(periods=()))
    entries: AuditPage = field(default_factory=lambda: AuditPage(items=()))
    asked: list[GetInsights | FindAudit] = field(default_factory=list)

    async def insights(self, query: GetInsights) -> Insights:
        """See the port."""
        self.asked.append(query)
        return self.found

    async def audit(self, query: FindAudit) -> AuditPage:
        """See the port."""
        self.asked.append(query)
        shown = [entry for entry in self.entries.items if query.teams is None or entry.team in query.teams]
        return self.entries.model_copy(update={"items": tuple(shown)})


@dataclass
class MemoryWorkshop:
    """Twin of `ports.Workshop`: names, and which of them differ until they are replaced."""

    names: list[str] = field(default_factory=list)
    differing: set[str] = field(default_factory=set)

    async def rebuild(self, question: Rebuild) -> Rebuilt:
        """See the port."""
        page = sorted(name for name in self.names if name > question.after)[: question.limit]
        wrong = tuple(name for name in page if name in self.differing)
        if question.replace:
            self.differing -= set(wrong)
        last = page[-1] if len(page) == question.limit else None
        return Rebuilt(names=len(page), events=5 * len(page), differing=wrong, next_after=last)

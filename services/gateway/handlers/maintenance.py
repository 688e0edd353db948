"""What the platform team has the catalog do."""

from dataclasses import dataclass

from contracts.maintenance import Rebuild, Rebuilt
from services.gateway.domain.people import Principal
from services.gateway.ports import Workshop


@dataclass(frozen=True)
class Maintenance:
    """For administrators."""

    workshop: Workshop

    async def rebuild(self, principal: Principal, question: Rebuild) -> Rebuilt:
        """Compare a page of views with what the log says, and replace those that differ where that is asked for."""
        principal.require("admin")
        return await self.workshop.rebuild(question)

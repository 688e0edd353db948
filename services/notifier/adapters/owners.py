"""Whose environments are, asked of the catalog over the bus."""

from uuid import UUID

from chassis import questions
from chassis.bus import Bus
from contracts.queries import GetEnvironment, OneEnvironment
from services.notifier.domain.news import Ownership


class BusOwners:
    """Fulfils `ports.Owners`. Every answer is asked for anew: a name can change hands."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def of(self, environment: str, *, incarnation: UUID | None = None, min_sequence: int = 0) -> Ownership | None:
        """See the port."""
        question = GetEnvironment(environment=environment, min_sequence=min_sequence)
        view = (await questions.ask(self._bus, question, OneEnvironment)).environment
        if view is None or (incarnation is not None and view.incarnation != incarnation):
            return None
        return Ownership(view.spec.owner.team, view.spec.golden_path)

"""The catalog, asked over the bus."""

from collections.abc import Sequence
from uuid import UUID

from chassis import questions
from chassis.bus import Bus
from contracts.queries import (
    Durations,
    Environments,
    EnvironmentView,
    Events,
    FindEnvironments,
    FindRuns,
    GetDurations,
    GetEnvironment,
    GetEvents,
    GetRun,
    Known,
    OneEnvironment,
    OneRun,
    RecordedEvent,
    Runs,
    RunView,
    StepDuration,
    WhichAreKnown,
)


class BusCatalog:
    """Fulfils `ports.Catalog`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def environment(self, name: str, min_sequence: int = 0) -> EnvironmentView | None:
        """See the port."""
        question = GetEnvironment(environment=name, min_sequence=min_sequence)
        return (await questions.ask(self._bus, question, OneEnvironment)).environment

    async def environments(self, question: FindEnvironments) -> Environments:
        """See the port."""
        return await questions.ask(self._bus, question, Environments)

    async def events(self, environment: str, after: int, limit: int) -> tuple[RecordedEvent, ...]:
        """See the port."""
        question = GetEvents(environment=environment, after_sequence=after, limit=limit)
        return (await questions.ask(self._bus, question, Events)).items

    async def run(self, run_id: UUID, min_sequence: int = 0) -> RunView | None:
        """See the port."""
        return (await questions.ask(self._bus, GetRun(run_id=run_id, min_sequence=min_sequence), OneRun)).run

    async def runs(self, question: FindRuns) -> tuple[RunView, ...]:
        """See the port."""
        return (await questions.ask(self._bus, question, Runs)).items

    async def known(self, event_ids: Sequence[UUID]) -> frozenset[UUID]:
        """See the port."""
        return frozenset((await questions.ask(self._bus, WhichAreKnown(ids=tuple(event_ids)), Known)).ids)

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]:
        """See the port."""
        return (await questions.ask(self._bus, GetDurations(golden_path=golden_path), Durations)).items

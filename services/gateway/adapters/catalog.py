"""The catalog, asked over the bus."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chassis import questions
from chassis.bus import Bus
from contracts.feedback import FeedbackPage, FindFeedback, GetSurvey, Survey
from contracts.history import Compare, Difference, GetMoment, Moment
from contracts.insights import AuditPage, FindAudit, GetInsights, Insights
from contracts.maintenance import Rebuild, Rebuilt
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
    GetGraph,
    GetRun,
    Graph,
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
    """Fulfils `ports.Catalog`, `ports.Past`, `ports.Chronicle`, `ports.Voices` and `ports.Workshop`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def environment(self, name: str, min_sequence: int = 0) -> EnvironmentView | None:
        """See the port."""
        question = GetEnvironment(environment=name, min_sequence=min_sequence)
        return (await questions.ask(self._bus, question, OneEnvironment)).environment

    async def environments(self, question: FindEnvironments) -> Environments:
        """See the port."""
        return await questions.ask(self._bus, question, Environments)

    async def graph(self, environment: str) -> Graph:
        """See the port."""
        return await questions.ask(self._bus, GetGraph(environment=environment), Graph)

    async def events(self, environment: str, after: int, limit: int) -> tuple[RecordedEvent, ...]:
        """See the port."""
        question = GetEvents(environment=environment, after_sequence=after, limit=limit)
        return (await questions.ask(self._bus, question, Events)).items

    async def run(self, run_id: UUID, min_sequence: int = 0) -> RunView | None:
        """See the port."""
        return (await questions.ask(self._bus, GetRun(run_id=run_id, min_sequence=min_sequence), OneRun)).run

    async def runs(self, question: FindRuns) -> Runs:
        """See the port."""
        return await questions.ask(self._bus, question, Runs)

    async def known(self, event_ids: Sequence[UUID]) -> frozenset[UUID]:
        """See the port."""
        return frozenset((await questions.ask(self._bus, WhichAreKnown(ids=tuple(event_ids)), Known)).ids)

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]:
        """See the port."""
        return (await questions.ask(self._bus, GetDurations(golden_path=golden_path), Durations)).items

    async def moment(self, name: str, at: datetime) -> Moment:
        """See the port."""
        return await questions.ask(self._bus, GetMoment(environment=name, at=at), Moment)

    async def difference(
        self, name: str, since: datetime, until: datetime, incarnation: UUID | None = None
    ) -> Difference:
        """See the port."""
        question = Compare(environment=name, since=since, until=until, incarnation=incarnation)
        return await questions.ask(self._bus, question, Difference)

    async def insights(self, query: GetInsights) -> Insights:
        """See the port."""
        return await questions.ask(self._bus, query, Insights)

    async def audit(self, query: FindAudit) -> AuditPage:
        """See the port."""
        return await questions.ask(self._bus, query, AuditPage)

    async def feedback(self, query: FindFeedback) -> FeedbackPage:
        """See the port."""
        return await questions.ask(self._bus, query, FeedbackPage)

    async def survey(self, query: GetSurvey) -> Survey:
        """See the port."""
        return await questions.ask(self._bus, query, Survey)

    async def rebuild(self, question: Rebuild) -> Rebuilt:
        """See the port."""
        return await questions.ask(self._bus, question, Rebuilt, timeout_seconds=30)

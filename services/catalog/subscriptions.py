"""What the catalog listens to: every event of the log, folded in order (`chassis.folding`), and these questions."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from chassis.folding import Folder
from contracts import subjects
from contracts.envelope import Value
from contracts.feedback import FindFeedback, GetSurvey
from contracts.history import Compare, GetMoment
from contracts.insights import FindAudit, GetInsights
from contracts.maintenance import Rebuild
from contracts.queries import (
    FindEnvironments,
    FindRuns,
    GetDurations,
    GetEnvironment,
    GetEvents,
    GetGraph,
    GetPosition,
    GetRun,
    Position,
    Query,
    WhichAreKnown,
)
from contracts.topology import CONSUMERS
from services.catalog.handlers import Remembering, Reviewing
from services.catalog.ports import Views, Voices, Workshop

DURABLE: Final = next(spec for spec in CONSUMERS if (spec.service, spec.stream) == ("catalog", subjects.ENVIRONMENTS))
"""The catalog hears everything: its durable has no filter of kinds."""
SIGNALS: Final = next(spec for spec in CONSUMERS if (spec.service, spec.stream) == ("catalog", subjects.SIGNALS))
"""And every fact from outside."""
TIMERS: Final = next(spec for spec in CONSUMERS if (spec.service, spec.stream) == ("catalog", subjects.TIMERS))
"""And every timer that fires."""

Answer = Callable[[Any], Awaitable[Value]]


def answers(  # noqa: PLR0917 - as many as answer
    views: Views,
    remembering: Remembering,
    reviewing: Reviewing,
    voices: Voices,
    workshop: Workshop,
    folder: Folder,
) -> dict[type[Query[Any]], Answer]:
    """Who answers each kind of question."""

    async def position(_: GetPosition) -> Position:
        lag = await folder.lag()
        return Position(sequence=lag.sequence, stream_sequence=lag.stream_sequence, lag_seconds=lag.seconds)

    table: dict[type[Query[Any]], Answer] = {
        FindEnvironments: views.environments,
        GetEnvironment: views.environment,
        GetGraph: views.graph,
        GetEvents: views.events,
        FindRuns: views.runs,
        GetRun: views.run,
        WhichAreKnown: views.which_are_known,
        GetDurations: views.durations,
        GetMoment: remembering.moment,
        Compare: remembering.difference,
        GetInsights: reviewing.insights,
        FindAudit: reviewing.audit,
        FindFeedback: voices.feedback,
        GetSurvey: voices.survey,
        Rebuild: workshop.rebuild,
        GetPosition: position,
    }
    return {question: _once_folded(answer, folder) for question, answer in table.items()}


def _once_folded(answer: Answer, folder: Folder) -> Answer:
    """Wait for the sequence that the question names (read your writes), two seconds at most."""

    async def answered(query: Query[Any]) -> Value:
        await folder.wait_for(query.min_sequence)
        return await answer(query)

    return answered

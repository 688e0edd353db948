"""What the catalog needs from outside. Each port has a twin in `adapters/memory.py`."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from contracts import queries
from contracts.feedback import FeedbackPage, FindFeedback, GetSurvey, Survey
from contracts.insights import AuditPage, FindAudit
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
    OneEnvironment,
    OneRun,
    Runs,
    WhichAreKnown,
)
from contracts.timers import Timer
from contracts.values import EnvironmentSpec, Resource
from services.catalog.domain.folding import Known
from services.catalog.domain.insights import DeploymentFact, Occurrence, RunFact
from services.catalog.domain.records import Batch, Decision, Head, Message, Rejection
from services.catalog.domain.signals import Facts, Life, SignalBatch


class AlreadyRecordedError(Exception):
    """A batch has an event whose id the store has from before; nothing was stored."""


class OvertakenError(Exception):
    """Something has happened to the environment since a conditional decision was made; nothing was said."""


Outlook = Literal["go on", "already said", "run is over", "called off"]


@dataclass(frozen=True, slots=True)
class Stalling:
    """An open run without progress: what is known, its last message, and for how long nothing has come."""

    known: Known
    last: Message
    waiting_seconds: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is kept but not believed."""

    message: Message
    rejection: Rejection


class EventStore(Protocol):
    """The complete copy of the log, and the views folded from it.

    Every method raises `chassis.failures.TransientError` where the store is away.
    """

    async def head(self, *, fresh: bool = False) -> Head:
        """How far the copy reaches. Without `fresh`, as far as this process knows: another replica may be ahead."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until no other replica has its turn, for a second at most. Correctness does not depend on it."""
        ...

    async def load(self, names: Collection[str]) -> tuple[Head, Mapping[str, Known]]:
        """What is known of these names at `head`. May be out of date where another replica folded since."""
        ...

    async def append(self, batch: Batch, decisions: Sequence[Decision]) -> bool:
        """Store a batch with its views and decisions, if the copy still ends at `batch.before`.

        False where another replica was first: nothing is stored then, and the next `load` is up to date. Raises
        `AlreadyRecordedError`.
        """
        ...

    async def recorded(self, ids: Collection[UUID]) -> set[UUID]:
        """Which of these ids are events of the store."""
        ...

    async def message(self, sequence: int) -> Message | None:
        """The message that was stored under a sequence."""
        ...

    async def unsaid(self, older_than_seconds: float) -> Sequence[tuple[Decision, Message]]:
        """Decisions whose event is not in the store, made at least so long ago, with the message that caused each."""
        ...

    async def oldest_unsaid_seconds(self) -> float:
        """The age of the oldest decision whose event is not in the store; 0 where there is none."""
        ...

    async def forget(self, event_id: UUID) -> None:
        """Drop a decision that has become moot."""
        ...

    async def stalling(self, after_seconds: float) -> Sequence[Stalling]:
        """Runs without progress for so long, by the store's clock, of which nobody has said so yet."""
        ...

    async def decide(self, decision: Decision) -> bool:
        """Store a decision by itself; False where it is there already."""
        ...

    async def rejected(self) -> Sequence[Rejected]:
        """Messages that are not believed and not laid aside yet (duplicates never are)."""
        ...

    async def known(self, name: str) -> Known | None:
        """What is known of one name at this moment, by whichever replica."""
        ...

    async def ready(self, after: str, limit: int) -> Sequence[EnvironmentView]:
        """A page of the environments that are ready, by name, after this one."""
        ...

    async def laid_aside(self, sequence: int) -> None:
        """Note that a message was laid aside."""
        ...


class SignalStore(Protocol):
    """The complete copy of the stream of facts, and what is known from outside of each environment's present life.

    Every method raises `chassis.failures.TransientError` where the store is away.
    """

    async def head(self) -> Head:
        """How far the copy reaches."""
        ...

    async def load(self, names: Collection[str]) -> tuple[Head, Mapping[str, Life], Mapping[str, Facts]]:
        """At `head`: whose life each of these environments has, as far as the log is folded, and the facts of it."""
        ...

    async def append(self, batch: SignalBatch) -> bool:
        """Store a batch with its facts, if the copy still ends at `batch.before`. False where another replica was
        first: nothing is stored then. Raises `AlreadyRecordedError`."""
        ...

    async def recorded(self, ids: Collection[UUID]) -> set[UUID]:
        """Which of these ids are signals of the store that are believed."""
        ...

    async def message(self, sequence: int) -> Message | None:
        """The message that was stored under a sequence."""
        ...

    async def facts(self, names: Collection[str]) -> Mapping[str, Facts]:
        """What is known from outside of these environments, by whichever replica."""
        ...


class Views(Protocol):
    """The read side. Raises `chassis.failures.TransientError` where it is away."""

    async def environments(self, query: FindEnvironments) -> Environments:
        """A page of environments; shorter than asked for where it would not fit into one message."""
        ...

    async def graph(self, query: GetGraph) -> Graph:
        """An environment and whatever is connected with it."""
        ...

    async def environment(self, query: GetEnvironment) -> OneEnvironment:
        """One environment."""
        ...

    async def events(self, query: GetEvents) -> Events:
        """A page of an environment's history; shorter than asked for where it would not fit into one message."""
        ...

    async def runs(self, query: FindRuns) -> Runs:
        """A page of runs, the one with the newest event first."""
        ...

    async def run(self, query: GetRun) -> OneRun:
        """One run."""
        ...

    async def which_are_known(self, query: WhichAreKnown) -> queries.Known:
        """Those ids that are events of the store."""
        ...

    async def durations(self, query: GetDurations) -> Durations:
        """How long steps of successful creations of the last 30 days took."""
        ...


class History(Protocol):
    """The past of one environment. Raises `chassis.failures.TransientError` where the store is away."""

    async def until(self, environment: str, at: datetime) -> Sequence[Message]:
        """The events of a name that are believed, oldest first, up to the last one of this time or before."""
        ...

    async def facts_until(self, environment: str, incarnation: UUID, at: datetime) -> Sequence[Message]:
        """The facts about one life of it that are believed, in the order of their stream, of this time or before."""
        ...


class Chronicle(Protocol):
    """What happened on the platform. `teams`: only in what is theirs; None means all. Raises
    `chassis.failures.TransientError` where the store is away."""

    async def runs(
        self, since: datetime, teams: Sequence[str] | None, golden_path: str | None = None
    ) -> Sequence[RunFact]:
        """Runs that were asked for since."""
        ...

    async def deployments(self, since: datetime, teams: Sequence[str] | None) -> Sequence[DeploymentFact]:
        """What pipelines said since."""
        ...

    async def occurrences(self, since: datetime, teams: Sequence[str] | None) -> Sequence[Occurrence]:
        """Environments that expired, runs that stalled, first deployments; tickets and answers, whoever's."""
        ...

    async def audit(self, query: FindAudit) -> AuditPage:
        """Who did what, the newest first."""
        ...


class Voices(Protocol):
    """What people told the platform team. Raises `chassis.failures.TransientError` where the store is away."""

    async def feedback(self, query: FindFeedback) -> FeedbackPage:
        """What one person said, with the tickets that it became, the newest first."""
        ...

    async def survey(self, query: GetSurvey) -> Survey:
        """What one person made of the survey."""
        ...


class Workshop(Protocol):
    """Where views are folded anew. Raises `chassis.failures.TransientError` where the store is away."""

    async def rebuild(self, query: Rebuild) -> Rebuilt:
        """See `contracts.maintenance.Rebuild`."""
        ...


class Log(Protocol):
    """The log on the bus, as far as the catalog speaks there.

    Raises `TransientError` where the bus is away and `PermanentError` where it denies.
    """

    async def say(self, decision: Decision) -> None:
        """Store the event of a decision. Repeating it within two minutes changes nothing.

        One that is conditional is stored only if its cause is still the last of its environment; repeating it never
        changes anything. Raises `OvertakenError` where it is not.
        """
        ...

    async def outlook(self, decision: Decision, cause: Message) -> Outlook:
        """What the log says about saying a decision now."""
        ...

    async def lay_aside(self, rejected: Rejected) -> None:
        """Lay a message aside as a dead letter. Repeating it within two minutes changes nothing."""
        ...


class Timers(Protocol):
    """Reminders kept by the bus. Raises `TransientError` where it is away and `PermanentError` where it denies."""

    async def set(self, timer: Timer) -> None:
        """Set a timer; it replaces the one of this kind that its environment has. One that is overdue fires at once."""
        ...


class Planner(Protocol):
    """Whoever can tell what differs. Raises `TransientError` where nobody answers, `PermanentError` on a refusal."""

    async def differing(self, spec: EnvironmentSpec, incarnation: UUID) -> tuple[Resource, ...]:
        """What exists and is not as `spec` wants it, or is missing, or should not be there. Changes nothing."""
        ...

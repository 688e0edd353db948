"""The other services, as far as the gateway asks them or says something itself."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts import queries
from contracts.envelope import Event
from contracts.events import Asked
from contracts.feedback import FeedbackPage, FindFeedback, GetSurvey, Survey
from contracts.history import Difference, Moment
from contracts.insights import AuditPage, FindAudit, GetInsights, Insights
from contracts.maintenance import Rebuild, Rebuilt
from contracts.plans import CommittedState, Plan
from contracts.queries import (
    Environments,
    EnvironmentView,
    FindEnvironments,
    FindRuns,
    Graph,
    RecordedEvent,
    RunView,
    StepDuration,
)
from contracts.signals import Signal
from contracts.step_log import StepLine
from contracts.values import EnvironmentSpec
from contracts.webhooks import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    FindDeliveries,
    FindNotifications,
    FindWebhooks,
    GetWebhook,
    Notifications,
    OneDelivery,
    OneWebhook,
    Redeliver,
    RotateSecret,
    TestWebhook,
    Webhook,
)
from contracts.webhooks import Deliveries as WebhookDeliveries
from services.gateway.domain.requests import AcceptedRequest, Operation


class Catalog(Protocol):
    """What is known of environments and runs. `min_sequence`: answer only with at least this folded."""

    async def environment(self, name: str, min_sequence: int = 0) -> EnvironmentView | None: ...

    async def environments(self, question: FindEnvironments) -> Environments: ...

    async def graph(self, environment: str) -> Graph:
        """An environment and whatever is connected with it; nothing where it is not there."""
        ...

    async def events(self, environment: str, after: int, limit: int) -> tuple[RecordedEvent, ...]:
        """The log of one name, over all incarnations, oldest first."""
        ...

    async def run(self, run_id: UUID, min_sequence: int = 0) -> RunView | None: ...

    async def runs(self, question: FindRuns) -> queries.Runs: ...

    async def known(self, event_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Which of these events (1000 at most) the catalog's copy of the log has."""
        ...

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]: ...


class Chronicle(Protocol):
    """How the platform does, and who did what."""

    async def insights(self, query: GetInsights) -> Insights: ...

    async def audit(self, query: FindAudit) -> AuditPage: ...


class Notifier(Protocol):
    """Subscriptions to webhooks, their deliveries, and everything else that was told. See `contracts.webhooks`."""

    async def webhooks(self, question: FindWebhooks) -> tuple[Webhook, ...]: ...

    async def webhook(self, question: GetWebhook) -> OneWebhook: ...

    async def create_webhook(self, wish: CreateWebhook) -> OneWebhook: ...

    async def change_webhook(self, wish: ChangeWebhook) -> OneWebhook: ...

    async def delete_webhook(self, wish: DeleteWebhook) -> OneWebhook: ...

    async def rotate_secret(self, wish: RotateSecret) -> OneWebhook: ...

    async def test_webhook(self, wish: TestWebhook) -> OneDelivery:
        """Waits for the receiver, some ten seconds at most."""
        ...

    async def deliveries(self, question: FindDeliveries) -> WebhookDeliveries: ...

    async def redeliver(self, wish: Redeliver) -> OneDelivery: ...

    async def notifications(self, question: FindNotifications) -> Notifications: ...


class Voices(Protocol):
    """What people told the platform team, and what became of it."""

    async def feedback(self, query: FindFeedback) -> FeedbackPage: ...

    async def survey(self, query: GetSurvey) -> Survey: ...


class Workshop(Protocol):
    """Where the catalog folds its views anew."""

    async def rebuild(self, question: Rebuild) -> Rebuilt: ...


class Past(Protocol):
    """What was known of environments. Raises `chassis.failures.TransientError` where nobody answers."""

    async def moment(self, name: str, at: datetime) -> Moment: ...

    async def difference(
        self, name: str, since: datetime, until: datetime, incarnation: UUID | None = None
    ) -> Difference:
        """What changed; with `incarnation`, in that life of the name alone."""
        ...


class OvertakenError(Exception):
    """Something happened to the environment since the sequence that a request expected."""

    def __init__(self, last_sequence: int) -> None:
        super().__init__(f"the log goes on to {last_sequence}")
        self.last_sequence = last_sequence


class Runs(Protocol):
    """Saying things on the log: what begins runs, what steers them, and what else a person may change."""

    def id_of(self, operation: Operation, cause: UUID) -> UUID:
        """The id of the event that `cause` leads to."""
        ...

    async def asked(self, run: RunView) -> Asked | None:
        """What a run was begun with; None where another of its kind has begun since."""
        ...

    async def begin(self, request: AcceptedRequest, last_sequence: int) -> int:
        """Put the request's event on the log, on the condition that nothing has happened to its environment since
        `last_sequence`; returns its sequence. Repeating is safe. Raises `OvertakenError`."""
        ...


class Planner(Protocol):
    """Whoever can tell what would happen."""

    async def plan(self, spec: EnvironmentSpec, incarnation: UUID | None) -> Plan:
        """Every change that applying `spec` would make. `incarnation` is that of what exists, None where nothing does.
        Takes up to half a minute."""
        ...


class Repository(Protocol):
    """The environments repository."""

    async def desired_state(self, environment: str) -> CommittedState:
        """What its newest commit says that an environment shall be."""
        ...


class Wake(Protocol):
    """Tells that something may have been written for whom one waits."""

    def clear(self) -> None:
        """Forget what was told; call before reading."""
        ...

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait until told, or until the time is up; whether it was told."""
        ...


class RunLog(Protocol):
    """What a run writes, read from the streams by position."""

    async def event_after(self, environment: str, sequence: int) -> tuple[int, Event | None] | None:
        """The next event of the environment and its sequence; None where there is none yet. A message that is no event
        of ours has a sequence and no event."""
        ...

    async def line_after(self, run_id: UUID, sequence: int) -> tuple[int, StepLine | None] | None:
        """The next line of the run's log, likewise."""
        ...

    def watch(self, environment: str, run_id: UUID) -> AbstractContextManager[Wake]:
        """Be told when there may be something new."""
        ...


@dataclass(frozen=True)
class DeadLetter:
    """A message that a service could not handle."""

    sequence: int
    service: str
    subject: str
    """Where it stood when it was laid aside."""
    reason: str
    error: str
    time: datetime | None
    original_sequence: int | None
    trace_id: str | None
    body: bytes
    replayable: bool
    """Whether the service takes it back."""


class DeadLetters(Protocol):
    """Messages that were laid aside."""

    async def page(self, before: int | None, limit: int) -> list[DeadLetter]:
        """The newest ones before a sequence."""
        ...

    async def find(self, sequence: int) -> DeadLetter | None: ...

    async def replay(self, letter: DeadLetter, message_id: str, by: str) -> int:
        """Send its original bytes back to the service that laid it aside; returns the sequence among the replays."""
        ...


class Signals(Protocol):
    """Saying facts that something outside the platform's runs has established."""

    async def say(self, signal: Signal) -> None:
        """Store a fact; returns when it is on disk. Repeating is safe: a fact counts once for its id. Raises
        `PermanentError` where the bus denies it."""
        ...

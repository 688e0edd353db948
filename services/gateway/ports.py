"""What the gateway needs from outside, in its own words. Adapters fulfil these; `adapters/memory.py` has a twin of each
that keeps state.

Every method may raise `chassis.failures.TransientError` where the other side does not answer.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from contracts.envelope import Event
from contracts.events import Asked
from contracts.golden_path import GoldenPath
from contracts.plans import CommittedState, Plan
from contracts.queries import (
    Environments,
    EnvironmentView,
    FindEnvironments,
    FindRuns,
    RecordedEvent,
    RunView,
    StepDuration,
)
from contracts.step_log import StepLine
from contracts.values import EnvironmentSpec
from services.gateway.domain.policy import Place, Room, Usage
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest, Operation
from services.gateway.domain.tokens import ApiToken


@dataclass(frozen=True)
class Unconfirmed:
    """As much of a request as it takes to see whether it is safe."""

    event_id: UUID
    pending: bool
    requested_at: datetime


class RequestStore(Protocol):
    """Accepted requests, by idempotency key."""

    async def find(self, principal: str, key: str) -> AcceptedRequest | None:
        """The request that this principal made under this key."""
        ...

    async def claim(self, request: AcceptedRequest, room: Room | None = None) -> AcceptedRequest:
        """Keep a new request and take the place that it needs, both or none; where its principal and key are taken,
        return the one that has them. Exactly one of any number of simultaneous callers gets its own back, and no limit
        is ever exceeded. Raises `FullError` where there is no room; then nothing is kept."""
        ...

    async def accept(self, request: AcceptedRequest, sequence: int) -> AcceptedRequest:
        """The log has its event at `sequence`. Repeating is safe. A crash of the store may forget it again: then its
        event is said again, under the same id. Raises LookupError where nobody made it."""
        ...

    async def refuse(self, request: AcceptedRequest, refusal: RecordedRefusal) -> AcceptedRequest:
        """It will not be carried out. A request that is confirmed stays as it is. Raises LookupError where nobody made
        it."""
        ...

    async def confirm(self, event_ids: Sequence[UUID]) -> None:
        """The catalog has these events."""
        ...

    async def unconfirmed(self, limit: int) -> list[Unconfirmed]:
        """Requests that are neither refused nor confirmed; the oldest first."""
        ...

    async def with_events(self, event_ids: Sequence[UUID]) -> list[AcceptedRequest]:
        """The requests that lead to these events, the oldest first."""
        ...

    async def floor(
        self, *, environment: str | None = None, event_id: UUID | None = None, principal: str | None = None
    ) -> int:
        """The greatest sequence of the accepted and not yet confirmed requests that match; 0 where there is none. A
        reader who asks the catalog for at least this sees what was accepted."""
        ...


class FullError(Exception):
    """A limit leaves no room for another place."""

    def __init__(self, usage: Usage) -> None:
        super().__init__(f"{usage.what} of {usage.scope}: {usage.used} of {usage.limit}")
        self.usage = usage


@dataclass(frozen=True)
class TakenPlace:
    """A place that an environment takes, from the claim of its request on."""

    incarnation: UUID
    environment: str
    place: Place
    sequence: int | None
    """Where the log has the beginning of this life; None while that is not known."""


class PlaceStore(Protocol):
    """Who takes how much of which quota. Places are taken by `RequestStore.claim`, and given back by its `refuse`."""

    async def taken(self, *, team: str | None = None, repository: str | None = None) -> list[TakenPlace]:
        """The places of a team, or of a repository's previews, or all."""
        ...

    async def usage(self, room: Room, environment: str) -> list[Usage]:
        """How much of each limit others than this environment use."""
        ...

    async def release(self, incarnations: Sequence[UUID]) -> None:
        """These lives are over. Repeating is safe."""
        ...

    async def note(self, places: Sequence[TakenPlace]) -> None:
        """These environments take these places, whatever was known of them."""
        ...


class TokenStore(Protocol):
    """API tokens, without the tokens."""

    async def find(self, token_id: str) -> ApiToken | None:
        """The token of this id."""
        ...

    async def add(self, token: ApiToken) -> bool:
        """Keep a new token; False where its id is taken, which then stays as it is."""
        ...

    async def all(self, person: str | None) -> list[ApiToken]:
        """The tokens of one person, or of everybody; the newest first."""
        ...

    async def revoke(self, token_id: str, at: datetime) -> None:
        """From now on it opens nothing. Repeating is safe; the first time counts."""
        ...


class Catalog(Protocol):
    """What is known of environments and runs. `min_sequence`: answer only with at least this folded."""

    async def environment(self, name: str, min_sequence: int = 0) -> EnvironmentView | None: ...

    async def environments(self, question: FindEnvironments) -> Environments: ...

    async def events(self, environment: str, after: int, limit: int) -> tuple[RecordedEvent, ...]:
        """The log of one name, over all incarnations, oldest first."""
        ...

    async def run(self, run_id: UUID, min_sequence: int = 0) -> RunView | None: ...

    async def runs(self, question: FindRuns) -> tuple[RunView, ...]: ...

    async def known(self, event_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Which of these events (1000 at most) the catalog's copy of the log has."""
        ...

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]: ...


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


class Deliveries(Protocol):
    """Deliveries of webhooks, each of which counts once."""

    async def is_known(self, delivery: str) -> bool:
        """Whether it was heard before."""
        ...

    async def note(self, delivery: str) -> None:
        """It was heard. Repeating is safe."""
        ...


class GoldenPaths(Protocol):
    """The golden paths on offer, as they are at this moment."""

    async def all(self) -> list[GoldenPath]:
        """By name."""
        ...

    async def find(self, name: str) -> GoldenPath | None: ...


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

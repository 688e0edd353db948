"""What the gateway needs from outside, in its own words. Adapters fulfil these; `adapters/memory.py` has a twin of each
that keeps state.

Every method may raise `chassis.failures.TransientError` where the other side does not answer.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import SecretStr

from contracts.deployments import DeploymentOutcome, OutputLine, ReleaseOrder, Rollback, SlotView
from contracts.envelope import Event
from contracts.events import Asked
from contracts.golden_path import GoldenPath
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
from services.gateway.domain.identities import Identity
from services.gateway.domain.machines import MachineCode
from services.gateway.domain.policy import Place, Room, Usage
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest, Operation
from services.gateway.domain.rollouts import Rollout
from services.gateway.domain.sessions import Session
from services.gateway.domain.sign_ins import SignIn
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


class SessionStore(Protocol):
    """Sessions of people who signed in with a browser, without what their browsers show."""

    async def find(self, digest: bytes) -> Session | None:
        """The session of this digest."""
        ...

    async def add(self, session: Session) -> None:
        """Keep a new session, and forget those that are over."""
        ...

    async def touch(self, digest: bytes, at: datetime) -> None:
        """It was used. Repeating is safe, and nothing happens where it is over."""
        ...

    async def end(self, digest: bytes) -> None:
        """From now on it opens nothing. Repeating is safe."""
        ...

    async def end_all(self, person: str) -> int:
        """End every session of a person; how many there were."""
        ...


class SignInStore(Protocol):
    """Sign-ins under way."""

    async def add(self, sign_in: SignIn, now: datetime) -> None:
        """Keep a new one, and forget those that are over."""
        ...

    async def take(self, state: bytes) -> SignIn | None:
        """The one of this state, which is gone from then on: of any number of simultaneous callers one gets it."""
        ...


class People(Protocol):
    """Whose name belongs to which identity."""

    async def claim(self, issuer: str, subject: str, names: Sequence[str], now: datetime) -> str:
        """The name of this identity: the one it has, or else the first of `names` that is nobody's, which it has from
        now on. Raises LookupError where there is none."""
        ...


class IssuerRefusedError(Exception):
    """The issuer does not vouch for whoever came back. The message is for the log, and holds nothing that came."""


class Issuer(Protocol):
    """Who vouches for people: an OpenID provider."""

    async def address(self, state: SecretStr, nonce: str, verifier: SecretStr) -> str:
        """Where a browser goes to sign in."""
        ...

    async def redeem(self, code: SecretStr, nonce: str, verifier: SecretStr, issuer: str | None) -> Identity:
        """Whoever the code stands for. `issuer` is who says that the code is theirs (RFC 9207), where they say it.
        Raises `IssuerRefusedError`."""
        ...


class MachineCodes(Protocol):
    """Codes with which a machine fetches its token."""

    async def add(self, code: MachineCode, now: datetime) -> None:
        """Keep a new one, and forget those that are over."""
        ...

    async def take(self, digest: bytes) -> MachineCode | None:
        """The one of this digest, which is gone from then on: of any number of simultaneous callers one gets it."""
        ...


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

    async def runs(self, question: FindRuns) -> tuple[RunView, ...]: ...

    async def known(self, event_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Which of these events (1000 at most) the catalog's copy of the log has."""
        ...

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]: ...


class Chronicle(Protocol):
    """How the platform does, and who did what."""

    async def insights(self, query: GetInsights) -> Insights: ...

    async def audit(self, query: FindAudit) -> AuditPage: ...


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


class Deliveries(Protocol):
    """Deliveries of webhooks, each of which counts once."""

    async def is_known(self, delivery: str) -> bool:
        """Whether it was heard before."""
        ...

    async def note(self, delivery: str) -> None:
        """It was heard. Repeating is safe."""
        ...


class PathBusyError(Exception):
    """Another rollout of the same golden path is under way."""

    def __init__(self, rollout_id: UUID) -> None:
        super().__init__(f"the rollout {rollout_id} is not over")
        self.rollout_id = rollout_id


class RolloutStore(Protocol):
    """Rollouts with their members, these by name."""

    async def add(self, rollout: Rollout) -> Rollout:
        """Keep a new one; where one of its id is kept already, return that. Raises `PathBusyError` where its golden
        path has another one that is not over."""
        ...

    async def find(self, rollout_id: UUID) -> Rollout | None: ...

    async def newest(self, limit: int) -> list[Rollout]: ...

    async def under_way(self) -> list[UUID]:
        """Those that are not over, the oldest first."""
        ...

    async def take(self, rollout_id: UUID, driver: UUID, seconds: float) -> Rollout | None:
        """Be the one who does its next step, for so long; None where another one is, or where it is over."""
        ...

    async def let_go(self, rollout_id: UUID, driver: UUID) -> None:
        """Let another one do the next step. Repeating is safe."""
        ...

    async def save(self, rollout: Rollout, before: Rollout) -> bool:
        """Keep what became of `before`, unless somebody else has changed that meanwhile; whether it was kept."""
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


class Signals(Protocol):
    """Saying facts that something outside the platform's runs has established."""

    async def say(self, signal: Signal) -> None:
        """Store a fact; returns when it is on disk. Repeating is safe: a fact counts once for its id. Raises
        `PermanentError` where the bus denies it."""
        ...


class WorkflowRefusedError(Exception):
    """A token is none of a workflow's. The message is for the log, and holds nothing that came."""


class WorkflowTokens(Protocol):
    """Whoever issues the tokens by which workflows say who they are."""

    async def claims(self, token: SecretStr) -> Mapping[str, object]:
        """What a token says whose signature, issuer, audience and times hold. Raises `WorkflowRefusedError`."""
        ...


class NothingToGoBackToError(Exception):
    """The release that was named is not kept. The message says which are."""


class Runtime(Protocol):
    """Where applications run on this machine."""

    async def deploy(self, environment: str, order: ReleaseOrder, release: AsyncIterator[bytes]) -> DeploymentOutcome:
        """Make a release (a gzipped tar archive) live, or leave everything as it was; waits until it is known which.
        The same deployment id is the same deployment. Raises `TooLargeError`."""
        ...

    async def roll_back(self, environment: str, rollback: Rollback) -> DeploymentOutcome:
        """Make a kept release live again. Raises `NothingToGoBackToError`."""
        ...

    async def look(self, environment: str) -> SlotView | None:
        """What runs there; None where nothing can."""
        ...

    def output(self, environment: str, lines: int, *, follow: bool) -> AsyncIterator[OutputLine]:
        """The last lines that the application printed, and with `follow` each one from now on, for ever."""
        ...


@dataclass(frozen=True)
class TraceSpan:
    """One span of a trace; times in microseconds since 1970."""

    id: str
    parent: str | None
    service: str
    operation: str
    begun: int
    lasted: int
    failed: bool


class Traces(Protocol):
    """Where traces are kept."""

    async def spans(self, trace_id: str) -> tuple[TraceSpan, ...]:
        """Every span of a trace that has come in so far, in no order; none where it is not known."""
        ...

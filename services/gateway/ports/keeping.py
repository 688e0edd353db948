"""What the gateway keeps of its own: who asked for what, tokens, sessions, rollouts, what the forge told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.gateway.domain.forge_events import DeploymentTold, KnownPull, PullAsk
from services.gateway.domain.machines import MachineCode
from services.gateway.domain.policy import Place, Room, Usage
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest
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


class MachineCodes(Protocol):
    """Codes with which a machine fetches its token."""

    async def add(self, code: MachineCode, now: datetime) -> None:
        """Keep a new one, and forget those that are over."""
        ...

    async def take(self, digest: bytes) -> MachineCode | None:
        """The one of this digest, which is gone from then on: of any number of simultaneous callers one gets it."""
        ...


class Deliveries(Protocol):
    """Deliveries of webhooks, each of which counts once."""

    async def is_known(self, delivery: str) -> bool:
        """Whether it was heard before."""
        ...

    async def note(self, delivery: str) -> None:
        """It was heard. Repeating is safe."""
        ...


@dataclass(frozen=True)
class KeptEvent:
    """Something that GitHub told and that is to be done."""

    position: int
    delivery: str
    told: PullAsk | DeploymentTold
    heard_at: datetime


class ForgeEvents(Protocol):
    """What GitHub told, as far as it counts."""

    async def know(self, pull: KnownPull) -> None:
        """This is how a pull request is, unless something later was told of it. Repeating is safe."""
        ...

    async def pull(self, repository: str, number: int) -> KnownPull | None:
        """A pull request as it was told of last."""
        ...

    async def keep(self, delivery: str, told: PullAsk | DeploymentTold) -> bool:
        """Keep what is to be done; False where this delivery was kept before. Whatever was done a month ago may be
        forgotten."""
        ...

    async def take(self, seconds: float) -> KeptEvent | None:
        """Be the one who does the next thing that is due, for so long. Of what is about one thing the oldest comes
        first, and the next one when that is done."""
        ...

    async def done(self, position: int) -> None:
        """It is done. Repeating is safe."""
        ...

    async def later(self, position: int, seconds: float) -> None:
        """It is due again after so long."""
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

"""What the notifier needs from outside, in its own words.

Every method may be called twice. Each raises `TransientError` where trying again later may work and `PermanentError`
where it cannot.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from pydantic import SecretStr

from chassis.failures import TransientError
from contracts.webhooks import Delivery, FindNotifications, Notifications, Webhook
from services.notifier.domain import Announcement
from services.notifier.domain.news import News, Ownership
from services.notifier.domain.webhooks import Consequence, Disabled, Reply

State = Literal["new", "sending", "unsent", "sent", "stale"]
"""What is known of a notification (see README); `new` where nothing is."""


class NotSentError(TransientError):
    """Not now, and the message certainly did not arrive. Any other `TransientError` leaves that open."""


@dataclass(frozen=True)
class Notification:
    """One event for one channel: what is done once."""

    event_id: UUID
    event_kind: str
    environment: str
    """Empty where it is about none."""
    channel: str
    team: str = field(default="", compare=False)
    """Who is told; only noted."""


class Entry(Protocol):
    """A notification's row, held by nobody else until its context ends."""

    @property
    def state(self) -> State:
        """As it was found."""
        ...

    @property
    def begun(self) -> bool:
        """Whether an attempt has begun since it is held."""
        ...

    @property
    def first_begun_at(self) -> datetime | None:
        """When the first attempt began, by the ledger's clock; None before it."""
        ...

    async def begin(self) -> None:
        """An attempt begins: durable before it returns."""
        ...

    async def settle(self, state: Literal["unsent", "sent", "stale"], ts: str | None = None) -> None:
        """What became of it; `ts` is the message's place in its channel."""
        ...


class Ledger(Protocol):
    """What was sent."""

    def hold(self, notification: Notification, *, begin: bool = False) -> AbstractAsyncContextManager[Entry]:
        """The notification's row. With `begin` its first attempt has begun, where nothing was known of it, as if by
        `Entry.begin`. Raises `TransientError` where another worker holds it."""
        ...


class Messenger(Protocol):
    """Where teams read."""

    async def find(self, notification: Notification, since: datetime) -> str | None:
        """The `ts` of the message that carries this event's id, posted at `since` or later; None where there is none.
        Raises `PermanentError` where the channel cannot be searched, never None in doubt."""
        ...

    async def post(self, notification: Notification, announcement: Announcement) -> str:
        """Send; answers the message's `ts`. Raises `NotSentError` or `PermanentError` where it certainly did not
        arrive, `TransientError` where it may have."""
        ...


class Readers(Protocol):
    """Whose feeds are read by a program of the team's."""

    def teams(self) -> frozenset[str]:
        """The teams, at this moment. Asked for every message: costs next to nothing and raises nothing."""
        ...


class Feeds(Protocol):
    """What teams' programs read."""

    async def put(self, news: News) -> None:
        """Store it in the feed of its team: once, however often within the stream's duplicate window. Raises
        `TransientError` where the bus is away and `PermanentError` where it denies."""
        ...


class Listener(Protocol):
    """Whoever passes on what means something outside."""

    def wants(self, kind: str) -> bool:
        """Whether news of this kind matters at all. It is asked for every message: it must cost next to nothing."""
        ...

    async def hear(self, news: Sequence[News]) -> None:
        """Take these, which are of kinds that it wants. May be told the same again."""
        ...


class Owners(Protocol):
    """Whose environments are."""

    async def of(self, environment: str, *, incarnation: UUID | None = None, min_sequence: int = 0) -> Ownership | None:
        """The owner, as far as the log goes to `min_sequence`; None where there is no such environment, or where it is
        in another life than `incarnation`."""
        ...


class TooManyError(Exception):
    """The team has as many webhooks as it may have."""


@dataclass(frozen=True)
class Due:
    """A delivery that is to be tried now, held by nobody else for as long as it was claimed."""

    delivery: Delivery
    tries: int
    """Attempts since it was asked for, or asked for again."""
    body: bytes
    hook: Webhook
    traceparent: str | None = None
    """The trace that the event belongs to."""


@dataclass(frozen=True)
class NewDelivery:
    """An event that a webhook is to be told of."""

    id: UUID
    hook: Webhook
    news: News


class WebhookStore(Protocol):
    """Subscriptions and their deliveries. `teams`: only what is theirs; None means everybody's."""

    async def all(self, teams: Sequence[str] | None = None) -> list[Webhook]:
        """The newest first."""
        ...

    async def find(self, hook_id: UUID, teams: Sequence[str] | None = None) -> Webhook | None: ...

    async def add(self, hook: Webhook, most: int) -> Webhook:
        """Keep a new one; one of this id is left as it is and returned. Raises `TooManyError` where its team has `most`
        already."""
        ...

    async def change(
        self, hook_id: UUID, teams: Sequence[str] | None, changes: Mapping[str, Any], now: datetime
    ) -> Webhook | None:
        """Put these values in place of those it has. None where there is no such webhook."""
        ...

    async def remove(self, hook_id: UUID, teams: Sequence[str] | None) -> Webhook | None:
        """Take it away with its deliveries; what it was."""
        ...

    async def rotate(
        self, hook_id: UUID, teams: Sequence[str] | None, generation: int, now: datetime
    ) -> Webhook | None:
        """The next generation, where it has this one; as it is where it has another."""
        ...

    async def record(self, deliveries: Sequence[NewDelivery], now: datetime) -> int:
        """Keep those that are new, due at once: one for each webhook and event, for good. How many were new."""
        ...

    async def claim(self, now: datetime, *, most: int, of_each: int, lease_seconds: float) -> list[Due]:
        """Deliveries of active webhooks that are due, the longest due first, `of_each` at once to each of them; they
        are nobody else's until the lease is over."""
        ...

    async def settle(self, due: Due, consequence: Consequence, now: datetime) -> None:
        """What came of an attempt. Nothing changes where somebody else has settled it since it was claimed."""
        ...

    async def keep_test(self, delivery: Delivery, body: bytes) -> None:
        """Keep a delivery that was tried and is over."""
        ...

    async def deliveries(self, hook_id: UUID, after: str | None, limit: int) -> tuple[list[Delivery], str | None]:
        """The newest first, and where the next page begins."""
        ...

    async def ask_again(self, hook_id: UUID, delivery_id: UUID, now: datetime) -> Delivery | None:
        """Due at once, with all its tries before it. None where there is no such delivery."""
        ...

    async def disabled(self) -> list[Disabled]:
        """Webhooks that the platform disabled, and whose team was not told of it."""
        ...

    async def told(self, disabled: Disabled) -> None:
        """The team was told."""
        ...

    async def prune(self, before: datetime) -> int:
        """Forget deliveries that are over and older than that. How many there were."""
        ...

    async def notifications(self, question: FindNotifications) -> Notifications:
        """What was sent, to channels and to webhooks, the newest first."""
        ...


class UnreachableError(Exception):
    """No answer came from a receiver; why, in words for whoever owns it."""


@dataclass(frozen=True)
class Call:
    """A signed POST of a CloudEvent."""

    url: str
    event_id: UUID
    body: bytes
    at: datetime
    secrets: tuple[SecretStr, ...]
    """One signature for each (`whsec_…`)."""
    traceparent: str | None = None
    """The trace that the call belongs to; it is not sent."""


class Receivers(Protocol):
    """The systems outside that are told."""

    async def check(self, url: str) -> str:
        """The URL in its one spelling. Raises `domain.receivers.RefusedUrlError` where it would not be called; a host
        that cannot be looked up now is looked up when it is called."""
        ...

    async def post(self, call: Call) -> Reply:
        """What it answers. Raises `UnreachableError`, also where the URL is refused."""
        ...

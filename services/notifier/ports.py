"""What the notifier needs from outside, in its own words.

Every method may be called twice. Each raises `TransientError` where trying again later may work and `PermanentError`
where it cannot.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from chassis.failures import TransientError
from services.notifier.domain import Announcement

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
    channel: str


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

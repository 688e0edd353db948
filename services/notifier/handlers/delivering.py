"""Webhooks: noting who is to be told of an event, and telling them.

Invariants
- One delivery for each webhook and event, however often the event is heard. It is posted at least once, and under the
  same id each time: a process that dies between the answer and noting it posts again when its lease is over.
- Nobody waits for somebody else's receiver: of each webhook a few deliveries are under way at a time, and a call has an
  end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Final, Protocol, get_args
from uuid import UUID, uuid4

import structlog
from pydantic import SecretStr

from chassis import metrics
from chassis.clock import Clock
from chassis.failures import PermanentError, TransientError
from contracts.webhooks import DeliveryState, Webhook
from services.notifier.domain.news import News
from services.notifier.domain.webhooks import (
    KEPT_FOR,
    Consequence,
    Disabled,
    Reply,
    consequence,
    generations,
    is_wanted,
)
from services.notifier.ports import Call, Due, NewDelivery, Receivers, UnreachableError, WebhookStore

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 32
"""How many deliveries one process has under way."""
OF_EACH: Final = 2
"""And of one webhook, over all processes."""
TESTS_AT_ONCE: Final = 8
LEASE_SECONDS: Final = 60.0
"""How long a claimed delivery is nobody else's: several times what a call may take."""
_LOOK_SECONDS: Final = 1.0
_REFRESH_SECONDS: Final = 2.0
_TELL_SECONDS: Final = 10.0
_PRUNE_SECONDS: Final = 3600.0


class Known(Protocol):
    """The webhooks that there are."""

    @property
    def hooks(self) -> Sequence[Webhook]: ...

    @property
    def active(self) -> Sequence[Webhook]: ...

    @property
    def kinds(self) -> frozenset[str]: ...

    async def refresh(self) -> None: ...


@dataclass
class Sending:
    """Posts to receivers, and tells what follows from their answers."""

    receivers: Receivers
    secret_of: Callable[[UUID, int], SecretStr]
    clock: Clock
    chance: Callable[[], float]
    """A number from 0 to 1."""
    _wakened: asyncio.Event = field(default_factory=asyncio.Event)
    _tests: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(TESTS_AT_ONCE))

    def wake(self) -> None:
        """There may be something to do."""
        self._wakened.set()

    async def rest(self, seconds: float) -> None:
        """Until somebody wakes, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._wakened.wait()
        except TimeoutError:
            pass
        self._wakened.clear()

    async def test(self, hook: Webhook, event_id: UUID, body: bytes) -> Consequence:
        """One attempt that somebody waits for; not too many of them at once."""
        async with self._tests:
            return await self.send(hook, event_id, body, tries=0)

    async def send(
        self, hook: Webhook, event_id: UUID, body: bytes, *, tries: int, traceparent: str | None = None
    ) -> Consequence:
        """One attempt, and what follows from it."""
        began_at = self.clock.now()
        secrets = tuple(self.secret_of(hook.id, generation) for generation in generations(hook, began_at))
        reply: Reply | str
        try:
            reply = await self.receivers.post(Call(hook.url, event_id, body, began_at, secrets, traceparent))
        except UnreachableError as error:
            reply = str(error)
        return consequence(hook, tries, reply, began_at=began_at, ended_at=self.clock.now(), chance=self.chance)


@dataclass
class Delivering:
    """Fulfils `ports.Listener`, and works off what it has noted. Any number of processes share the work."""

    store: WebhookStore
    sending: Sending
    known: Known
    clock: Clock
    stale_after: timedelta
    tell: Callable[[Disabled], Awaitable[None]]
    """Tells a team that a webhook of theirs is disabled."""
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _next: dict[str, float] = field(default_factory=dict)
    _ending: bool = False

    def __post_init__(self) -> None:
        # There before they count anything: what appears with 1 is no increase to Prometheus.
        for outcome in get_args(DeliveryState):
            metrics.WEBHOOK_ATTEMPTS.labels("notifier", outcome)

    def wants(self, kind: str) -> bool:
        """See the port."""
        return kind in self.known.kinds

    async def hear(self, news: Sequence[News]) -> None:
        """See the port."""
        now = self.clock.now()
        noted = [
            NewDelivery(uuid4(), hook, one)
            for one in news
            if now - one.message.time <= self.stale_after
            for hook in self.known.active
            if is_wanted(hook, one)
        ]
        if noted and await self.store.record(noted, now):
            self.sending.wake()

    async def run(self) -> None:
        """Deliver what is due, until cancelled."""
        while not self._ending:
            try:
                await self._round()
            except TransientError as error:
                _log.warning("webhooks wait for the database", error=str(error))
            await self.sending.rest(_LOOK_SECONDS if self.known.hooks else _REFRESH_SECONDS)

    async def drain(self, grace_seconds: float = 12.0) -> None:
        """Begin nothing more, and let what is under way end. What does not is posted again by another process."""
        self._ending = True
        self.sending.wake()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace_seconds)
            for task in late:
                task.cancel()

    async def _round(self) -> None:
        if self._is_time("refresh", _REFRESH_SECONDS):
            await self.known.refresh()
        if not self.known.hooks:
            return
        if self.known.active and (room := AT_ONCE - len(self._under_way)) > 0:
            now = self.clock.now()
            for due in await self.store.claim(now, most=room, of_each=OF_EACH, lease_seconds=LEASE_SECONDS):
                task = asyncio.create_task(self._deliver(due))
                self._under_way.add(task)
                task.add_done_callback(self._done)
        if self._is_time("tell", _TELL_SECONDS):
            await self._tell_disabled()
        if self._is_time("prune", _PRUNE_SECONDS):
            await self.store.prune(self.clock.now() - KEPT_FOR)

    def _is_time(self, what: str, every_seconds: float) -> bool:
        if monotonic() < self._next.get(what, 0.0):
            return False
        self._next[what] = monotonic() + every_seconds
        return True

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.sending.wake()

    async def _deliver(self, due: Due) -> None:
        delivery, hook = due.delivery, due.hook
        try:
            outcome = await self.sending.send(
                hook, delivery.event_id, due.body, tries=due.tries, traceparent=due.traceparent
            )
            await self.store.settle(due, outcome, self.clock.now())
        except TransientError as error:
            # The lease ends, and then it is posted again.
            _log.warning("could not note what came of a delivery", delivery_id=str(delivery.id), error=str(error))
            return
        except Exception as error:  # noqa: BLE001 - one delivery must not end the others
            _log.warning(
                "a delivery broke", delivery_id=str(delivery.id), error_type=type(error).__name__, exc_info=True
            )
            return
        metrics.WEBHOOK_ATTEMPTS.labels("notifier", outcome.state).inc()
        if outcome.disable is not None:
            await self.known.refresh()
            self._next.pop("tell", None)
        _log.info(
            "told a webhook",
            delivery_id=str(delivery.id),
            webhook_id=str(hook.id),
            event_id=str(delivery.event_id),
            event_kind=delivery.kind,
            environment=delivery.environment,
            outcome=outcome.state,
            status=outcome.attempt.status_code,
            attempt=delivery.attempt_count + 1,
        )

    async def _tell_disabled(self) -> None:
        for disabled in await self.store.disabled():
            try:
                await self.tell(disabled)
            except PermanentError as error:
                _log.error(  # the channel is wrong, and stays so: the list of webhooks shows it all the same
                    "could not tell a team that its webhook is disabled",
                    webhook_id=str(disabled.hook.id),
                    error=str(error),
                )
            await self.store.told(disabled)

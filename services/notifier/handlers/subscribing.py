"""What people may do with webhooks, as the notifier answers it, and which of them there are.

Invariants
- A webhook is told of what was said after it was made, by whichever replica of the notifier hears it: each looks at
  the webhooks that there are after a message has come (`Hearing.look_again`).
- What is refused is refused before anything is written, and names the field and the rule, never the value.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import structlog

from chassis.clock import Clock
from contracts.webhooks import (
    OUTWARD_KINDS,
    TEST_KIND,
    TEST_TYPE,
    BrokenField,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    Deliveries,
    Delivery,
    FindDeliveries,
    FindWebhooks,
    GetWebhook,
    OneDelivery,
    OneWebhook,
    Redeliver,
    RotateSecret,
    TestWebhook,
    Webhook,
    Webhooks,
)
from services.notifier.domain.receivers import RefusedUrlError
from services.notifier.domain.webhooks import MOST_OF_A_TEAM, kinds_wanted, single
from services.notifier.handlers.delivering import Sending
from services.notifier.ports import Receivers, TooManyError, WebhookStore

_log = structlog.get_logger(__name__)

_NOT_ACTIVE: Final = "It is {state}, so nothing is sent to it. Make it active first, and try it with a test."


@dataclass
class Directory:
    """The webhooks that there are, remembered, so that hearing an event asks nobody."""

    store: WebhookStore
    hooks: tuple[Webhook, ...] = ()
    active: tuple[Webhook, ...] = ()
    kinds: frozenset[str] = field(default_factory=frozenset)
    """The kinds of which at least one active webhook is told."""

    async def refresh(self) -> None:
        """Look again."""
        self.hooks = tuple(await self.store.all())
        self.active = tuple(hook for hook in self.hooks if hook.state == "active")
        self.kinds = kinds_wanted(self.active, OUTWARD_KINDS)


@dataclass(frozen=True)
class Subscribing:
    """Answers what the gateway asks in somebody's name."""

    store: WebhookStore
    receivers: Receivers
    sending: Sending
    directory: Directory
    clock: Clock

    async def webhooks(self, question: FindWebhooks) -> Webhooks:
        """The newest first."""
        return Webhooks(items=tuple(await self.store.all(question.teams)))

    async def webhook(self, question: GetWebhook) -> OneWebhook:
        """One of these teams."""
        return OneWebhook(webhook=await self.store.find(question.id, question.teams))

    async def create(self, wish: CreateWebhook) -> OneWebhook:
        """Make one, once for each id."""
        try:
            url = await self.receivers.check(wish.url)
        except RefusedUrlError as error:
            return _broken("url", error.rule)
        now = self.clock.now()
        hook = Webhook(
            id=wish.id,
            team=wish.team,
            url=url,
            kinds=wish.kinds,
            environment=wish.environment,
            golden_path=wish.golden_path,
            description=wish.description,
            created_by=wish.created_by,
            created_at=now,
            updated_at=now,
        )
        try:
            return await self._done(await self.store.add(hook, MOST_OF_A_TEAM))
        except TooManyError:
            return _broken("team", f"has {MOST_OF_A_TEAM} webhooks, which is as many as there may be; delete one first")

    async def change(self, wish: ChangeWebhook) -> OneWebhook:
        """Change, pause or resume one."""
        changes: dict[str, Any] = {
            name: value or None
            for name, value in (("environment", wish.environment), ("golden_path", wish.golden_path))
            if value is not None
        }
        changes |= {
            name: getattr(wish, name) for name in ("kinds", "description", "state") if getattr(wish, name) is not None
        }
        if wish.url is not None:
            try:
                changes["url"] = await self.receivers.check(wish.url)
            except RefusedUrlError as error:
                return _broken("url", error.rule)
        return await self._done(await self.store.change(wish.id, wish.teams, changes, self.clock.now()))

    async def delete(self, wish: DeleteWebhook) -> OneWebhook:
        """Take one away."""
        return await self._done(await self.store.remove(wish.id, wish.teams))

    async def rotate(self, wish: RotateSecret) -> OneWebhook:
        """The next generation of its secret."""
        return await self._done(await self.store.rotate(wish.id, wish.teams, wish.generation, self.clock.now()))

    async def test(self, wish: TestWebhook) -> OneDelivery:
        """Send a test event, and wait for the answer."""
        hook = await self.store.find(wish.id, wish.teams)
        if hook is None:
            return OneDelivery(delivery=None)
        event_id, now = uuid4(), self.clock.now()
        body = _test_event(hook, event_id, now.isoformat().replace("+00:00", "Z"), wish.requested_by)
        outcome = single(await self.sending.test(hook, event_id, body))
        delivery = Delivery(
            id=uuid4(),
            webhook_id=hook.id,
            event_id=event_id,
            kind=TEST_KIND,
            state=outcome.state,
            created_at=now,
            attempts=(outcome.attempt,),
            attempt_count=1,
        )
        await self.store.keep_test(delivery, body)
        _log.info("tested a webhook", webhook_id=str(hook.id), status=outcome.attempt.status_code)
        return OneDelivery(delivery=delivery)

    async def deliveries(self, question: FindDeliveries) -> Deliveries:
        """What one was sent."""
        if await self.store.find(question.id, question.teams) is None:
            return Deliveries(items=None)
        found, more = await self.store.deliveries(question.id, question.after, question.limit)
        return Deliveries(items=tuple(found), next_after=more)

    async def redeliver(self, wish: Redeliver) -> OneDelivery:
        """Send an event again, soon."""
        hook = await self.store.find(wish.id, wish.teams)
        if hook is None:
            return OneDelivery(delivery=None)
        if hook.state != "active":
            return OneDelivery(delivery=None, refused=_NOT_ACTIVE.format(state=hook.state))
        again = await self.store.ask_again(hook.id, wish.delivery_id, self.clock.now())
        self.sending.wake()
        return OneDelivery(delivery=again)

    async def _done(self, hook: Webhook | None) -> OneWebhook:
        if hook is not None:
            await self.directory.refresh()
            self.sending.wake()
        return OneWebhook(webhook=hook)


def _broken(name: str, rule: str) -> OneWebhook:
    return OneWebhook(webhook=None, broken=(BrokenField(field=name, rule=rule),))


def _test_event(hook: Webhook, event_id: UUID, time: str, person: str) -> bytes:
    event: Mapping[str, Any] = {
        "specversion": "1.0",
        "id": str(event_id),
        "source": "notifier",
        "type": TEST_TYPE,
        "time": time,
        "datacontenttype": "application/json",
        "data": {"webhook_id": str(hook.id), "team": hook.team, "requested_by": person},
    }
    return json.dumps(event).encode()

"""The twin of the notifier as the gateway asks it: subscriptions and deliveries in memory. It calls nobody: what a
receiver answers, and which URLs are refused, is what it was given."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from chassis.clock import Clock
from contracts.webhooks import (
    TEST_KIND,
    Attempt,
    BrokenField,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    Deliveries,
    Delivery,
    FindDeliveries,
    FindNotifications,
    FindWebhooks,
    GetWebhook,
    Notifications,
    OneDelivery,
    OneWebhook,
    Redeliver,
    RotateSecret,
    SentNotification,
    TestWebhook,
    Webhook,
)


@dataclass
class MemoryNotifier:
    """Twin of `ports.Notifier`."""

    clock: Clock
    hooks: dict[UUID, Webhook] = field(default_factory=dict)
    sent: list[Delivery] = field(default_factory=list)
    """Deliveries, oldest first."""
    told: list[SentNotification] = field(default_factory=list)
    """Notifications, oldest first."""
    refused_hosts: set[str] = field(default_factory=lambda: {"127.0.0.1", "localhost"})
    answers: int = 204
    """The status that every receiver answers with."""

    async def webhooks(self, question: FindWebhooks) -> tuple[Webhook, ...]:
        """See the port."""
        shown = [hook for hook in self.hooks.values() if question.teams is None or hook.team in question.teams]
        return tuple(reversed(shown))

    async def webhook(self, question: GetWebhook) -> OneWebhook:
        """See the port."""
        return OneWebhook(webhook=self._find(question.id, question.teams))

    async def create_webhook(self, wish: CreateWebhook) -> OneWebhook:
        """See the port."""
        if broken := self._broken(wish.url):
            return OneWebhook(webhook=None, broken=broken)
        now = self.clock.now()
        made = Webhook(**wish.model_dump(exclude={"min_sequence"}), created_at=now, updated_at=now)
        return OneWebhook(webhook=self.hooks.setdefault(wish.id, made))

    async def change_webhook(self, wish: ChangeWebhook) -> OneWebhook:
        """See the port."""
        found = self._find(wish.id, wish.teams)
        if found is None:
            return OneWebhook(webhook=None)
        if wish.url is not None and (broken := self._broken(wish.url)):
            return OneWebhook(webhook=None, broken=broken)
        named = {name: getattr(wish, name) for name in ("url", "kinds", "environment", "golden_path", "description")}
        changes = {name: None if value == "" and name != "description" else value for name, value in named.items()}
        kept = {name for name, value in named.items() if value is None}
        changes = {name: value for name, value in changes.items() if name not in kept}
        if wish.state is not None:
            changes |= {"state": wish.state, "state_reason": "", "failing_since": None}
        self.hooks[wish.id] = found.model_copy(update={**changes, "updated_at": self.clock.now()})
        return OneWebhook(webhook=self.hooks[wish.id])

    async def delete_webhook(self, wish: DeleteWebhook) -> OneWebhook:
        """See the port."""
        found = self._find(wish.id, wish.teams)
        if found is not None:
            del self.hooks[wish.id]
            self.sent = [one for one in self.sent if one.webhook_id != wish.id]
        return OneWebhook(webhook=found)

    async def rotate_secret(self, wish: RotateSecret) -> OneWebhook:
        """See the port."""
        found = self._find(wish.id, wish.teams)
        if found is not None and found.generation == wish.generation:
            rotated = {"generation": found.generation + 1, "rotated_at": self.clock.now()}
            found = self.hooks[wish.id] = found.model_copy(update=rotated)
        return OneWebhook(webhook=found)

    async def test_webhook(self, wish: TestWebhook) -> OneDelivery:
        """See the port."""
        if self._find(wish.id, wish.teams) is None:
            return OneDelivery(delivery=None)
        return OneDelivery(delivery=self.deliver(wish.id, TEST_KIND))

    def deliver(self, webhook_id: UUID, kind: str, environment: str | None = None) -> Delivery:
        """An event was sent to this webhook, once."""
        arrived = self.answers < 300
        attempt = Attempt(
            at=self.clock.now(),
            duration_seconds=0.05,
            status_code=self.answers,
            answer="" if arrived else "no",
            error=None if arrived else f"It answered {self.answers}.",
        )
        delivery = Delivery(
            id=uuid4(),
            webhook_id=webhook_id,
            event_id=uuid4(),
            kind=kind,
            environment=environment,
            state="delivered" if arrived else "failed",
            created_at=attempt.at,
            attempts=(attempt,),
            attempt_count=1,
        )
        self.sent.append(delivery)
        return delivery

    async def deliveries(self, question: FindDeliveries) -> Deliveries:
        """See the port."""
        if self._find(question.id, question.teams) is None:
            return Deliveries(items=None)
        newest = [one for one in reversed(self.sent) if one.webhook_id == question.id]
        start = int(question.after or 0)
        end = start + question.limit
        return Deliveries(items=tuple(newest[start:end]), next_after=str(end) if len(newest) > end else None)

    async def redeliver(self, wish: Redeliver) -> OneDelivery:
        """See the port."""
        hook = self._find(wish.id, wish.teams)
        for place, one in enumerate(self.sent):
            if hook is not None and one.id == wish.delivery_id and one.webhook_id == hook.id:
                if hook.state != "active":
                    return OneDelivery(delivery=None, refused=f"It is {hook.state}. Make it active first.")
                self.sent[place] = again = _waiting(one, self.clock.now())
                return OneDelivery(delivery=again)
        return OneDelivery(delivery=None)

    async def notifications(self, question: FindNotifications) -> Notifications:
        """See the port."""
        newest = [one for one in reversed(self.told) if _is_asked_for(one, question)]
        start = int(question.after or 0)
        end = start + question.limit
        return Notifications(items=tuple(newest[start:end]), next_after=str(end) if len(newest) > end else None)

    def _find(self, webhook_id: UUID, teams: Sequence[str] | None) -> Webhook | None:
        found = self.hooks.get(webhook_id)
        return found if found is not None and (teams is None or found.team in teams) else None

    def _broken(self, url: str) -> tuple[BrokenField, ...]:
        if not url.startswith("https://") or any(f"//{host}" in url for host in self.refused_hosts):
            return (BrokenField(field="url", rule="must be an https address outside this platform"),)
        return ()


def _waiting(delivery: Delivery, now: datetime) -> Delivery:
    return delivery.model_copy(update={"state": "waiting", "next_attempt_at": now})


def _is_asked_for(one: SentNotification, question: FindNotifications) -> bool:
    return (
        (question.teams is None or one.team in question.teams)
        and question.environment in {None, one.environment}
        and question.way in {None, one.way}
    )

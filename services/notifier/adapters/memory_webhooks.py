"""The twins of what webhooks need: a store, receivers and owners in memory, which keep the promises of the ports."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from contracts.webhooks import Delivery, FindNotifications, Notifications, SentNotification, Webhook
from services.notifier.adapters.memory import MemoryLedger
from services.notifier.domain.news import News, Ownership
from services.notifier.domain.receivers import check, parse
from services.notifier.domain.webhooks import ATTEMPTS_KEPT, Consequence, Disabled, Reply
from services.notifier.ports import Call, Due, NewDelivery, TooManyError, UnreachableError


@dataclass
class _Row:
    """A delivery with what is kept beside it."""

    delivery: Delivery
    body: bytes
    traceparent: str | None = None
    tries: int = 0
    leased_until: datetime | None = None


@dataclass
class MemoryWebhooks:
    """Twin of `ports.WebhookStore`. `ledger` is where messages to channels are, if there is one."""

    ledger: MemoryLedger | None = None
    hooks: dict[UUID, Webhook] = field(default_factory=dict)
    rows: dict[UUID, _Row] = field(default_factory=dict)
    _disabled_at: dict[UUID, datetime] = field(default_factory=dict)

    async def all(self, teams: Sequence[str] | None = None) -> list[Webhook]:
        """See the port."""
        shown = [hook for hook in self.hooks.values() if _is_theirs(hook.team, teams)]
        return sorted(shown, key=lambda hook: (hook.created_at, hook.id), reverse=True)

    async def find(self, hook_id: UUID, teams: Sequence[str] | None = None) -> Webhook | None:
        """See the port."""
        hook = self.hooks.get(hook_id)
        return hook if hook is not None and _is_theirs(hook.team, teams) else None

    async def add(self, hook: Webhook, most: int) -> Webhook:
        """See the port."""
        if hook.id not in self.hooks and len(await self.all([hook.team])) >= most:
            raise TooManyError
        return self.hooks.setdefault(hook.id, hook)

    async def change(
        self, hook_id: UUID, teams: Sequence[str] | None, changes: Mapping[str, Any], now: datetime
    ) -> Webhook | None:
        """See the port."""
        clean = {"state_reason": "", "failing_since": None} if changes.get("state") == "active" else {}
        if clean:
            self._disabled_at.pop(hook_id, None)
        return await self._put(hook_id, teams, {**changes, **clean, "updated_at": now})

    async def remove(self, hook_id: UUID, teams: Sequence[str] | None) -> Webhook | None:
        """See the port."""
        hook = await self.find(hook_id, teams)
        if hook is not None:
            del self.hooks[hook_id]
            self.rows = {key: row for key, row in self.rows.items() if row.delivery.webhook_id != hook_id}
        return hook

    async def rotate(
        self, hook_id: UUID, teams: Sequence[str] | None, generation: int, now: datetime
    ) -> Webhook | None:
        """See the port."""
        hook = await self.find(hook_id, teams)
        if hook is None or hook.generation != generation:
            return hook
        return await self._put(hook_id, teams, {"generation": generation + 1, "rotated_at": now, "updated_at": now})

    async def record(self, deliveries: Sequence[NewDelivery], now: datetime) -> int:
        """See the port."""
        known = {(row.delivery.webhook_id, row.delivery.event_id) for row in self.rows.values()}
        new = 0
        for one in deliveries:
            place = (one.hook.id, one.news.message.id)
            if place in known or one.hook.id not in self.hooks:
                continue
            known.add(place)
            new += 1
            delivery = Delivery(
                id=one.id,
                webhook_id=one.hook.id,
                event_id=one.news.message.id,
                kind=one.news.kind,
                environment=one.news.environment,
                state="waiting",
                created_at=now,
                next_attempt_at=now,
            )
            self.rows[one.id] = _Row(delivery, one.news.body, one.news.message.traceparent)
        return new

    async def claim(self, now: datetime, *, most: int, of_each: int, lease_seconds: float) -> list[Due]:
        """See the port."""
        leased: dict[UUID, int] = {}
        for row in self.rows.values():
            if row.delivery.state == "waiting" and row.leased_until is not None and row.leased_until > now:
                leased[row.delivery.webhook_id] = leased.get(row.delivery.webhook_id, 0) + 1
        claimed: list[Due] = []
        for row in sorted(self.rows.values(), key=lambda row: row.delivery.next_attempt_at or now):
            hook, at = self.hooks[row.delivery.webhook_id], row.delivery.next_attempt_at
            is_free = row.leased_until is None or row.leased_until <= now
            if len(claimed) == most or hook.state != "active" or at is None or at > now or not is_free:
                continue
            if leased.get(hook.id, 0) < of_each:
                leased[hook.id] = leased.get(hook.id, 0) + 1
                row.leased_until = now + timedelta(seconds=lease_seconds)
                claimed.append(Due(row.delivery, row.tries, row.body, hook, row.traceparent))
        return claimed

    async def settle(self, due: Due, consequence: Consequence, now: datetime) -> None:
        """See the port."""
        row = self.rows.get(due.delivery.id)
        if row is None or row.delivery.state != "waiting" or row.delivery.attempt_count != due.delivery.attempt_count:
            return
        row.tries, row.leased_until = row.tries + 1, None
        row.delivery = row.delivery.model_copy(
            update={
                "state": consequence.state,
                "next_attempt_at": consequence.next_attempt_at,
                "attempts": (*due.delivery.attempts, consequence.attempt)[-ATTEMPTS_KEPT:],
                "attempt_count": due.delivery.attempt_count + 1,
            }
        )
        hook = self.hooks[due.hook.id]
        if consequence.arrived:
            await self._put(hook.id, None, {"delivered_at": now, "failing_since": None})
            return
        await self._put(hook.id, None, {"failing_since": hook.failing_since or now})
        if consequence.disable is not None and hook.state == "active":
            gone = {"state": "disabled", "state_reason": consequence.disable, "updated_at": now}
            await self._put(hook.id, None, gone)
            self._disabled_at[hook.id] = now
            for other in self.rows.values():
                if other.delivery.webhook_id == hook.id and other.delivery.state == "waiting":
                    other.delivery = other.delivery.model_copy(update={"state": "failed", "next_attempt_at": None})

    async def keep_test(self, delivery: Delivery, body: bytes) -> None:
        """See the port."""
        if delivery.webhook_id in self.hooks:
            self.rows[delivery.id] = _Row(delivery, body, tries=1)

    async def deliveries(self, hook_id: UUID, after: str | None, limit: int) -> tuple[list[Delivery], str | None]:
        """See the port."""
        found = [row.delivery for row in self.rows.values() if row.delivery.webhook_id == hook_id]
        found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
        start = int(after or 0)
        end = start + limit
        return found[start:end], str(end) if len(found) > end else None

    async def ask_again(self, hook_id: UUID, delivery_id: UUID, now: datetime) -> Delivery | None:
        """See the port."""
        row = self.rows.get(delivery_id)
        if row is None or row.delivery.webhook_id != hook_id:
            return None
        row.tries = 0
        row.delivery = row.delivery.model_copy(update={"state": "waiting", "next_attempt_at": now})
        return row.delivery

    async def disabled(self) -> list[Disabled]:
        """See the port."""
        return [
            Disabled(self.hooks[hook_id], uuid5(hook_id, at.isoformat()), at)
            for hook_id, at in self._disabled_at.items()
            if hook_id in self.hooks
        ]

    async def told(self, disabled: Disabled) -> None:
        """See the port."""
        if self._disabled_at.get(disabled.hook.id) == disabled.at:
            del self._disabled_at[disabled.hook.id]

    async def prune(self, before: datetime) -> int:
        """See the port."""
        over = [
            key
            for key, row in self.rows.items()
            if row.delivery.state != "waiting" and row.delivery.created_at < before
        ]
        for key in over:
            del self.rows[key]
        return len(over)

    async def notifications(self, question: FindNotifications) -> Notifications:
        """See the port."""
        told = [*self._of_channels(), *self._of_webhooks()]
        found = [one for one in told if _is_asked_for(one, question)]
        found.sort(key=lambda one: (one.at, one.id), reverse=True)
        start = int(question.after or 0)
        end = start + question.limit
        return Notifications(items=tuple(found[start:end]), next_after=str(end) if len(found) > end else None)

    def _of_channels(self) -> list[SentNotification]:
        states = {"unsent": "waiting", "stale": "skipped"}
        rows = self.ledger.rows.items() if self.ledger is not None else ()
        return [
            SentNotification.model_validate(
                {
                    "id": f"{key.event_id}/{key.channel}",
                    "way": "slack",
                    "target": key.channel,
                    "event_id": key.event_id,
                    "kind": key.event_kind,
                    "environment": key.environment or None,
                    "team": key.team or None,
                    "state": states.get(entry.state, entry.state),
                    "attempts": entry.attempts,
                    "at": entry.first_begun_at or entry.clock.now(),
                }
            )
            for key, entry in rows
            if entry.state != "new"
        ]

    def _of_webhooks(self) -> list[SentNotification]:
        return [
            SentNotification(
                id=str(one.id),
                way="webhook",
                target=parse(self.hooks[one.webhook_id].url).authority,
                webhook_id=one.webhook_id,
                event_id=one.event_id,
                kind=one.kind,
                environment=one.environment,
                team=self.hooks[one.webhook_id].team,
                state="sent" if one.state == "delivered" else one.state,
                attempts=one.attempt_count,
                at=one.created_at,
            )
            for one in (row.delivery for row in self.rows.values())
        ]

    async def _put(self, hook_id: UUID, teams: Sequence[str] | None, changes: Mapping[str, Any]) -> Webhook | None:
        hook = await self.find(hook_id, teams)
        if hook is None:
            return None
        self.hooks[hook_id] = hook.model_copy(update=dict(changes))
        return self.hooks[hook_id]


@dataclass
class MemoryReceivers:
    """Twin of `ports.Receivers`: answers what it was given, and keeps what it was sent."""

    answer: Callable[[Call], Reply | str] = lambda _: Reply(204)
    """The answer to a call, or why there is none."""
    calls: list[Call] = field(default_factory=list)

    async def check(self, url: str) -> str:
        """See the port."""
        target = parse(url)
        check(target, [target.literal] if target.literal is not None else [])
        return target.url

    async def post(self, call: Call) -> Reply:
        """See the port."""
        self.calls.append(replace(call))
        answer = self.answer(call)
        if isinstance(answer, str):
            raise UnreachableError(answer)
        return answer


@dataclass
class MemoryOwners:
    """Twin of `ports.Owners`."""

    owned: dict[str, Ownership] = field(default_factory=dict)
    incarnations: dict[str, UUID] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    """For which environment, and as of which place of the log."""

    async def of(self, environment: str, *, incarnation: UUID | None = None, min_sequence: int = 0) -> Ownership | None:
        """See the port; everything is known at once."""
        self.asked.append((environment, min_sequence))
        if incarnation is not None and self.incarnations.get(environment, incarnation) != incarnation:
            return None
        return self.owned.get(environment)


@dataclass
class MemoryListener:
    """Twin of `ports.Listener`: keeps what it is told."""

    kinds: frozenset[str] = frozenset()
    heard: list[News] = field(default_factory=list)

    def wants(self, kind: str) -> bool:
        """See the port."""
        return kind in self.kinds

    async def hear(self, news: Sequence[News]) -> None:
        """See the port."""
        self.heard += news


def _is_theirs(team: str | None, teams: Sequence[str] | None) -> bool:
    return teams is None or team in teams


def _is_asked_for(one: SentNotification, question: FindNotifications) -> bool:
    return (
        _is_theirs(one.team, question.teams)
        and question.environment in {None, one.environment}
        and question.way in {None, one.way}
    )

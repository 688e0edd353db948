"""Webhooks, and what was told to whom, for whoever may see it.

Invariants
- Nobody sees or changes a webhook of a team that is not theirs: it is not there for them.
- A secret is shown when it is made, to whoever made it, and never leaves this process otherwise: the bus and the
  notifier's tables know only which generation it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import structlog
from pydantic import SecretStr

from contracts.webhooks import (
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
    TestWebhook,
    Webhook,
)
from services.gateway.domain.hooks import ChangeHook, CreateHook
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import (
    BrokenRule,
    InvalidError,
    KeyReusedError,
    UnavailableError,
    UnknownThingError,
    WebhookNotActiveError,
)
from services.gateway.ports import Notifier

_log = structlog.get_logger(__name__)

NO_SUCH_WEBHOOK: Final = "There is no such webhook, or it is not one of your teams'. GET /api/v1/webhooks lists yours."
NO_SUCH_DELIVERY: Final = "There is no such delivery of this webhook. They are kept for 30 days."
_SWITCHED_OFF: Final = (
    "Webhooks are switched off on this platform: nobody gave the gateway a key for their secrets"
    " (SLIPWAY_GATEWAY_WEBHOOKS_KEY_FILE). Tell the platform team."
)
_KEY_REUSED: Final = "This Idempotency-Key made another webhook. Use a new key for a new one."


@dataclass(frozen=True)
class Revealed:
    """A webhook, and this once its secret (`whsec_…`)."""

    webhook: Webhook
    secret: SecretStr


@dataclass(frozen=True)
class Notifying:
    """Asks the notifier, in the name of whoever asks. Every deed raises `UnknownThingError` for what is not theirs."""

    notifier: Notifier
    secret_of: Callable[[UUID, int], SecretStr] | None
    """The secret of a webhook's generation; None where webhooks are switched off."""
    derive: Callable[[UUID | str, str], UUID]
    """The id that follows from a text and a kind."""

    async def webhooks(self, principal: Principal, team: str | None = None) -> tuple[Webhook, ...]:
        """The newest first; with `team`, only its own."""
        return await self.notifier.webhooks(FindWebhooks(teams=_teams(principal, team)))

    async def webhook(self, principal: Principal, webhook_id: UUID) -> Webhook:
        """One of theirs."""
        return _found(await self.notifier.webhook(GetWebhook(id=webhook_id, teams=principal.visible_teams)))

    async def create(self, principal: Principal, ask: CreateHook, key: str | None) -> Revealed:
        """Make one. The same key and the same wish is the same webhook; another wish under it is refused."""
        principal.require("developer")
        secret_of = self._switched_on()
        asked = CreateWebhook(
            id=self.derive(f"{principal.subject} {key}", "webhook") if key is not None else uuid4(),
            team=principal.team_for(ask.team),
            url=ask.url,
            kinds=tuple(dict.fromkeys(ask.kinds)),
            environment=ask.environment,
            golden_path=ask.golden_path,
            description=ask.description,
            created_by=principal.person,
        )
        made = _found(await self.notifier.create_webhook(asked))
        # Its URL is kept in the notifier's spelling, so that one is not compared.
        for name in ("team", "kinds", "environment", "golden_path", "description"):
            if getattr(made, name) != getattr(asked, name):
                raise KeyReusedError(_KEY_REUSED)
        _log.info("made a webhook", person=principal.person, team=made.team, webhook_id=str(made.id))
        return Revealed(made, secret_of(made.id, made.generation))

    async def change(self, principal: Principal, webhook_id: UUID, ask: ChangeHook) -> Webhook:
        """Change, pause or resume one."""
        principal.require("developer")
        asked = ChangeWebhook(
            id=webhook_id,
            teams=principal.visible_teams,
            url=ask.url,
            kinds=tuple(dict.fromkeys(ask.kinds)) if ask.kinds is not None else None,
            environment=ask.environment,
            golden_path=ask.golden_path,
            description=ask.description,
            state=ask.state,
        )
        changed = _found(await self.notifier.change_webhook(asked))
        _log.info("changed a webhook", person=principal.person, team=changed.team, webhook_id=str(changed.id))
        return changed

    async def delete(self, principal: Principal, webhook_id: UUID) -> None:
        """Take one away, with its deliveries."""
        principal.require("developer")
        gone = _found(await self.notifier.delete_webhook(DeleteWebhook(id=webhook_id, teams=principal.visible_teams)))
        _log.info("took a webhook away", person=principal.person, team=gone.team, webhook_id=str(gone.id))

    async def rotate(self, principal: Principal, webhook_id: UUID) -> Revealed:
        """Give it a new secret. For a day the one before it signs too."""
        principal.require("developer")
        secret_of = self._switched_on()
        seen = await self.webhook(principal, webhook_id)
        asked = RotateSecret(id=webhook_id, teams=principal.visible_teams, generation=seen.generation)
        rotated = _found(await self.notifier.rotate_secret(asked))
        _log.info("rotated a webhook's secret", person=principal.person, team=rotated.team, webhook_id=str(rotated.id))
        return Revealed(rotated, secret_of(rotated.id, rotated.generation))

    async def test(self, principal: Principal, webhook_id: UUID) -> Delivery:
        """Send a test event now. The delivery has one attempt: what came back."""
        principal.require("developer")
        asked = TestWebhook(id=webhook_id, teams=principal.visible_teams, requested_by=principal.person)
        found = await self.notifier.test_webhook(asked)
        if found.delivery is None:
            raise UnknownThingError(NO_SUCH_WEBHOOK)
        return found.delivery

    async def deliveries(self, principal: Principal, webhook_id: UUID, after: str | None, limit: int) -> Deliveries:
        """What it was sent, the newest first. `items` is never None."""
        asked = FindDeliveries(id=webhook_id, teams=principal.visible_teams, after=after, limit=limit)
        found = await self.notifier.deliveries(asked)
        if found.items is None:
            raise UnknownThingError(NO_SUCH_WEBHOOK)
        return found

    async def redeliver(self, principal: Principal, webhook_id: UUID, delivery_id: UUID) -> Delivery:
        """Send it again, soon, under the same id. Raises `WebhookNotActiveError`."""
        principal.require("developer")
        asked = Redeliver(id=webhook_id, teams=principal.visible_teams, delivery_id=delivery_id)
        found: OneDelivery = await self.notifier.redeliver(asked)
        if found.refused is not None:
            raise WebhookNotActiveError(found.refused)
        if found.delivery is None:
            raise UnknownThingError(NO_SUCH_DELIVERY)
        return found.delivery

    async def notifications(
        self, principal: Principal, query: FindNotifications, team: str | None = None
    ) -> Notifications:
        """What was sent, to Slack and to webhooks, the newest first; with `team`, only to it."""
        return await self.notifier.notifications(query.model_copy(update={"teams": _teams(principal, team)}))

    def _switched_on(self) -> Callable[[UUID, int], SecretStr]:
        if self.secret_of is None:
            raise UnavailableError(_SWITCHED_OFF, retry_after_seconds=3600)
        return self.secret_of


def _found(answer: OneWebhook) -> Webhook:
    if answer.broken:
        raise InvalidError([_rule(broken) for broken in answer.broken])
    if answer.webhook is None:
        raise UnknownThingError(NO_SUCH_WEBHOOK)
    return answer.webhook


def _rule(broken: BrokenField) -> BrokenRule:
    return BrokenRule(broken.field, broken.rule)


def _teams(principal: Principal, team: str | None) -> tuple[str, ...] | None:
    """Whose things are looked at: nobody's, where a team is named that this one does not see."""
    if team is None:
        return principal.visible_teams
    return (team,) if principal.sees(team) else ()

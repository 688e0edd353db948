"""`/webhooks`: whom a team tells what becomes of its environments; `/notifications`: what was told."""

from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Path, Query, Response
from pydantic import BaseModel

from contracts.envelope import Timestamp
from contracts.names import EnvironmentName, TeamName
from contracts.webhooks import (
    Attempt,
    Delivery,
    DeliveryState,
    FindNotifications,
    OutwardKind,
    SentNotification,
    Webhook,
    WebhookState,
)
from services.gateway.api.answers import API
from services.gateway.api.auth import DEVELOPER, VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.hooks import ChangeHook, CreateHook
from services.gateway.handlers.notifying import Revealed

WebhookId = Annotated[UUID, Path(alias="id", description="The webhook's id")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before")]
Team = Annotated[TeamName | None, Query(description="Only this team's")]


class WebhookAnswer(BaseModel):
    """A webhook, without its secret."""

    id: UUID
    team: str
    url: str
    kinds: list[OutwardKind]
    """Empty: every one."""
    environment: str | None
    golden_path: str | None
    description: str
    state: WebhookState
    state_reason: str
    """Why it is disabled."""
    generation: int
    """How often its secret was made anew, and one more."""
    rotated_at: Timestamp | None
    created_by: str
    created_at: Timestamp
    updated_at: Timestamp
    failing_since: Timestamp | None
    """Since when nothing has arrived."""
    delivered_at: Timestamp | None
    """When something arrived last."""
    links: dict[str, str]


class RevealedWebhook(WebhookAnswer):
    """The same with its secret, which is shown this once."""

    secret: str
    """`whsec_…`, for the verification of Standard Webhooks."""


class WebhookList(BaseModel):
    """Webhooks, newest first."""

    items: list[WebhookAnswer]


class AttemptAnswer(BaseModel):
    """One try to deliver, and what came back."""

    at: Timestamp
    duration_seconds: float
    status_code: int | None
    """None where no answer came."""
    answer: str
    """How the answer began; whatever the receiver wrote."""
    error: str | None
    """Why it failed; None where it arrived."""


class DeliveryAnswer(BaseModel):
    """One event for one webhook."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    """Also the header `webhook-id`."""
    kind: str
    environment: str | None
    state: DeliveryState
    created_at: Timestamp
    attempts: list[AttemptAnswer]
    """Oldest first; the last twenty."""
    attempt_count: int
    next_attempt_at: Timestamp | None
    """None where nothing more is tried."""


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    items: list[DeliveryAnswer]
    next_cursor: str | None


class NotificationAnswer(BaseModel):
    """One message that was sent, or waits to be."""

    id: str
    way: Literal["slack", "webhook"]
    target: str
    """The channel's name, or the host of the webhook's URL."""
    webhook_id: UUID | None
    event_id: UUID
    kind: str
    environment: str | None
    team: str | None
    state: Literal["sending", "waiting", "sent", "failed", "skipped"]
    attempts: int
    at: Timestamp


class NotificationPage(BaseModel):
    """What was sent, newest first."""

    items: list[NotificationAnswer]
    next_cursor: str | None


async def list_webhooks(asker: Asker, gateway: Deeds, team: Team = None) -> WebhookList:
    """The webhooks of your teams."""
    return WebhookList(items=[answer_of(hook) for hook in await gateway.notifying.webhooks(asker, team)])


async def create_webhook(
    body: CreateHook, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response
) -> RevealedWebhook:
    """Be told of events by POST: CloudEvents in structured JSON mode, signed after the Standard Webhooks specification.
    The secret is in this answer; it is shown again only to whoever repeats the request with the same
    Idempotency-Key."""
    made = _revealed(await gateway.notifying.create(asker, body, key))
    response.headers["Location"] = made.links["self"]
    return made


async def get_webhook(webhook_id: WebhookId, asker: Asker, gateway: Deeds) -> WebhookAnswer:
    """One webhook."""
    return answer_of(await gateway.notifying.webhook(asker, webhook_id))


async def change_webhook(webhook_id: WebhookId, body: ChangeHook, asker: Asker, gateway: Deeds) -> WebhookAnswer:
    """Change, pause or resume a webhook. What happens while it is paused is not sent later."""
    return answer_of(await gateway.notifying.change(asker, webhook_id, body))


async def delete_webhook(webhook_id: WebhookId, asker: Asker, gateway: Deeds) -> Response:
    """Take a webhook away, with the log of its deliveries."""
    await gateway.notifying.delete(asker, webhook_id)
    return Response(status_code=204)


async def test_webhook(webhook_id: WebhookId, asker: Asker, gateway: Deeds) -> DeliveryAnswer:
    """Send a CloudEvent of type `slipway.webhook.test` now, also where the webhook is paused; the answer is what came
    back."""
    return delivery_of(await gateway.notifying.test(asker, webhook_id))


async def rotate_webhook_secret(webhook_id: WebhookId, asker: Asker, gateway: Deeds) -> RevealedWebhook:
    """Make a new secret. For 24 hours every delivery is signed with both, the new one first."""
    return _revealed(await gateway.notifying.rotate(asker, webhook_id))


async def list_deliveries(
    webhook_id: WebhookId,
    asker: Asker,
    gateway: Deeds,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> DeliveryPage:
    """What a webhook was sent in the last 30 days, newest first, with every attempt and what came back."""
    of_list = f"deliveries {webhook_id} {asker.subject}"
    after = gateway.cursors.read(of_list, cursor) if cursor is not None else None
    found = await gateway.notifying.deliveries(asker, webhook_id, after, limit)
    return DeliveryPage(
        items=[delivery_of(one) for one in found.items or ()],
        next_cursor=gateway.cursors.make(of_list, found.next_after) if found.next_after else None,
    )


async def redeliver(
    webhook_id: WebhookId,
    delivery_id: Annotated[UUID, Path(description="The delivery's id")],
    asker: Asker,
    gateway: Deeds,
) -> DeliveryAnswer:
    """Send an event again, under the same `webhook-id`; look at its delivery to see what becomes of it."""
    return delivery_of(await gateway.notifying.redeliver(asker, webhook_id, delivery_id))


async def list_notifications(
    *,
    asker: Asker,
    gateway: Deeds,
    team: Team = None,
    environment: Annotated[EnvironmentName | None, Query()] = None,
    way: Annotated[Literal["slack", "webhook"] | None, Query(description="To Slack, or to webhooks")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> NotificationPage:
    """What your teams were told, in Slack and by webhooks, newest first."""
    of_list = f"notifications {asker.subject} {team} {environment} {way}"
    query = FindNotifications(
        environment=environment,
        way=way,
        after=gateway.cursors.read(of_list, cursor) if cursor is not None else None,
        limit=limit,
    )
    found = await gateway.notifying.notifications(asker, query, team)
    return NotificationPage(
        items=[_notification(one) for one in found.items],
        next_cursor=gateway.cursors.make(of_list, found.next_after) if found.next_after else None,
    )


def answer_of(hook: Webhook) -> WebhookAnswer:
    """What is told of a webhook."""
    itself = f"{_ALL}/{hook.id}"
    return WebhookAnswer(
        id=hook.id,
        team=hook.team,
        url=hook.url,
        kinds=list(hook.kinds),
        environment=hook.environment,
        golden_path=hook.golden_path,
        description=hook.description,
        state=hook.state,
        state_reason=hook.state_reason,
        generation=hook.generation,
        rotated_at=hook.rotated_at,
        created_by=hook.created_by,
        created_at=hook.created_at,
        updated_at=hook.updated_at,
        failing_since=hook.failing_since,
        delivered_at=hook.delivered_at,
        links={"self": itself, "deliveries": f"{itself}/deliveries"},
    )


def delivery_of(one: Delivery) -> DeliveryAnswer:
    """What is told of a delivery."""
    return DeliveryAnswer(
        id=one.id,
        webhook_id=one.webhook_id,
        event_id=one.event_id,
        kind=one.kind,
        environment=one.environment,
        state=one.state,
        created_at=one.created_at,
        attempts=[_attempt(attempt) for attempt in one.attempts],
        attempt_count=one.attempt_count,
        next_attempt_at=one.next_attempt_at,
    )


def _attempt(attempt: Attempt) -> AttemptAnswer:
    return AttemptAnswer(
        at=attempt.at,
        duration_seconds=attempt.duration_seconds,
        status_code=attempt.status_code,
        answer=attempt.answer,
        error=attempt.error,
    )


def _notification(one: SentNotification) -> NotificationAnswer:
    return NotificationAnswer(
        id=one.id,
        way=one.way,
        target=one.target,
        webhook_id=one.webhook_id,
        event_id=one.event_id,
        kind=one.kind,
        environment=one.environment,
        team=one.team,
        state=one.state,
        attempts=one.attempts,
        at=one.at,
    )


def _revealed(revealed: Revealed) -> RevealedWebhook:
    return RevealedWebhook(**answer_of(revealed.webhook).model_dump(), secret=revealed.secret.get_secret_value())


_ALL: Final = f"{API}/webhooks"
_ONE: Final = f"{_ALL}/{{id}}"
_OF_ONE: Final = f"{_ONE}/deliveries"
ENDPOINTS: Final = (
    Endpoint("GET", _ALL, list_webhooks, DEVELOPER, 200, WebhookList, "webhooks"),
    Endpoint("POST", _ALL, create_webhook, DEVELOPER, 201, RevealedWebhook, "webhooks"),
    Endpoint("GET", _ONE, get_webhook, DEVELOPER, 200, WebhookAnswer, "webhooks"),
    Endpoint("PATCH", _ONE, change_webhook, DEVELOPER, 200, WebhookAnswer, "webhooks"),
    Endpoint("DELETE", _ONE, delete_webhook, DEVELOPER, 204, None, "webhooks"),
    Endpoint("POST", f"{_ONE}:test", test_webhook, DEVELOPER, 200, DeliveryAnswer, "webhooks"),
    Endpoint("POST", f"{_ONE}:rotate-secret", rotate_webhook_secret, DEVELOPER, 200, RevealedWebhook, "webhooks"),
    Endpoint("GET", _OF_ONE, list_deliveries, DEVELOPER, 200, DeliveryPage, "webhooks"),
    Endpoint("POST", f"{_OF_ONE}/{{delivery_id}}:redeliver", redeliver, DEVELOPER, 202, DeliveryAnswer, "webhooks"),
    Endpoint("GET", f"{API}/notifications", list_notifications, VIEWER, 200, NotificationPage, "notifications"),
)

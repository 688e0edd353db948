"""Webhooks: events outward, for systems that do not speak to the bus, and what was told to whom.

Questions to the notifier, which owns subscriptions and deliveries. A delivery is a POST of a CloudEvent in structured
JSON mode (CloudEvents HTTP binding §3.2), signed after the Standard Webhooks specification. A subscription's secret is
in none of these: it follows from the platform's key, the subscription's id and its generation.
"""

from typing import Annotated, Final, Literal, get_args
from uuid import UUID

from pydantic import Field, StringConstraints

from contracts.envelope import Timestamp, Value
from contracts.names import EnvironmentName, GoldenPathName, PersonName, TeamName
from contracts.queries import Query

OutwardKind = Literal[
    "environment_requested",
    "environment_update_requested",
    "environment_deletion_requested",
    "environment_ready",
    "environment_failed",
    "environment_deleted",
    "environment_expiring",
    "environment_expired",
    "environment_extended",
    "drift_detected",
    "run_stalled",
    "access_granted",
    "access_revoked",
    "deployment_recorded",
    "health_changed",
]
OUTWARD_KINDS: Final[tuple[OutwardKind, ...]] = get_args(OutwardKind)
"""What means something outside the platform: requests, verdicts, life, access, and two kinds of fact."""
TEST_TYPE: Final = "slipway.webhook.test"
"""The CloudEvents type of what a test sends."""
TEST_KIND: Final = "webhook_test"

WebhookState = Literal["active", "paused", "disabled"]
"""`paused` by a person; `disabled` by the platform, because the receiver is gone or failed for days."""
DeliveryState = Literal["waiting", "delivered", "failed"]
WebhookUrl = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Description = Annotated[str, StringConstraints(max_length=200)]
Kinds = Annotated[tuple[OutwardKind, ...], Field(max_length=len(OUTWARD_KINDS))]


class Webhook(Value):
    """Somebody's wish to be told."""

    id: UUID
    team: TeamName
    """Whose it is: only events of this team's environments are told."""
    url: str
    kinds: Kinds = ()
    """Which events; none named means every one."""
    environment: EnvironmentName | None = None
    """Only those of this environment."""
    golden_path: GoldenPathName | None = None
    """Only those of environments of this golden path."""
    description: Description = ""
    state: WebhookState = "active"
    state_reason: str = ""
    """Why it is disabled."""
    generation: int = 1
    """Which of its secrets signs."""
    rotated_at: Timestamp | None = None
    """When the secret before it began its last day."""
    created_by: PersonName
    created_at: Timestamp
    updated_at: Timestamp
    failing_since: Timestamp | None = None
    """Since when nothing has arrived."""
    delivered_at: Timestamp | None = None
    """When something arrived last."""


class Attempt(Value):
    """One try to deliver, and what came back."""

    at: Timestamp
    duration_seconds: float
    status_code: int | None = None
    """None where no answer came."""
    answer: str = ""
    """How the answer's body begins, as text; whatever the receiver wrote."""
    error: str | None = None
    """Why it counts as failed; None where it arrived."""


class Delivery(Value):
    """One event for one subscription: what is done once."""

    id: UUID
    webhook_id: UUID
    event_id: UUID
    """Also the header `webhook-id`, by which a receiver knows an event that it has seen."""
    kind: str
    environment: EnvironmentName | None = None
    state: DeliveryState
    created_at: Timestamp
    attempts: tuple[Attempt, ...] = ()
    """Oldest first; the last twenty."""
    attempt_count: int = 0
    next_attempt_at: Timestamp | None = None
    """None where nothing more is tried."""


class BrokenField(Value):
    """A field of a wish, and the rule that it breaks."""

    field: str
    rule: str


class Webhooks(Value):
    items: tuple[Webhook, ...]


class FindWebhooks(Query[Webhooks]):
    """Subscriptions, the newest first."""

    name = "webhooks"
    service = "notifier"
    teams: tuple[TeamName, ...] | None = None
    """Only those of these teams; None means all."""


class OneWebhook(Value):
    webhook: Webhook | None
    broken: tuple[BrokenField, ...] = ()
    """Why nothing was changed; empty where it was."""


class GetWebhook(Query[OneWebhook]):
    """One subscription; none where it is another team's."""

    name = "webhook"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None


class CreateWebhook(Query[OneWebhook]):
    """Make a subscription. One of this id is left as it is, and is the answer."""

    name = "create_webhook"
    service = "notifier"
    id: UUID
    team: TeamName
    url: WebhookUrl
    kinds: Kinds = ()
    environment: EnvironmentName | None = None
    golden_path: GoldenPathName | None = None
    description: Description = ""
    created_by: PersonName


class ChangeWebhook(Query[OneWebhook]):
    """Put these in place of what was; what is None stays. Made active, it begins with a clean slate."""

    name = "change_webhook"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None
    url: WebhookUrl | None = None
    kinds: Kinds | None = None
    environment: EnvironmentName | Literal[""] | None = None
    """Empty: of every environment."""
    golden_path: GoldenPathName | Literal[""] | None = None
    """Empty: of every golden path."""
    description: Description | None = None
    state: Literal["active", "paused"] | None = None


class DeleteWebhook(Query[OneWebhook]):
    """Take a subscription away, with its deliveries; the answer is what it was."""

    name = "delete_webhook"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None


class RotateSecret(Query[OneWebhook]):
    """Sign with a new secret; for a day the one before it signs too."""

    name = "rotate_webhook_secret"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None
    generation: int = Field(ge=1)
    """The one that was seen: a rotation that is asked for twice happens once."""


class OneDelivery(Value):
    delivery: Delivery | None
    refused: str | None = None
    """Why it is not sent again; None where it is."""


class TestWebhook(Query[OneDelivery]):
    """Send a test event now; the answer has the one attempt, and what came back."""

    __test__ = False
    name = "test_webhook"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None
    requested_by: PersonName


class Deliveries(Value):
    items: tuple[Delivery, ...] | None
    """None where there is no such subscription."""
    next_after: str | None = None


class FindDeliveries(Query[Deliveries]):
    """What a subscription was sent, the newest first."""

    name = "webhook_deliveries"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None
    after: str | None = Field(default=None, max_length=100)
    """`next_after` of the page before."""
    limit: int = Field(default=50, ge=1, le=200)


class Redeliver(Query[OneDelivery]):
    """Send an event again, now, under the same id."""

    name = "redeliver_webhook"
    service = "notifier"
    id: UUID
    teams: tuple[TeamName, ...] | None = None
    delivery_id: UUID


class SentNotification(Value):
    """One message that was sent, or waits to be: to a channel in Slack or to a webhook."""

    id: str
    """Unique among all; opaque."""
    way: Literal["slack", "webhook"]
    target: str
    """The channel's name without `#`, or the host of the webhook's URL."""
    webhook_id: UUID | None = None
    event_id: UUID
    kind: str
    """The event's name in snake case; `webhook_disabled` is the platform's own word."""
    environment: EnvironmentName | None = None
    team: TeamName | None = None
    """None for what was sent before teams were noted."""
    state: Literal["sending", "waiting", "sent", "failed", "skipped"]
    """`sending`: nobody knows yet whether it arrived; `skipped`: it was too late to tell."""
    attempts: int
    at: Timestamp
    """When it was first tried."""


class Notifications(Value):
    items: tuple[SentNotification, ...]
    next_after: str | None = None


class FindNotifications(Query[Notifications]):
    """What was sent, the newest first."""

    name = "notifications"
    service = "notifier"
    teams: tuple[TeamName, ...] | None = None
    environment: EnvironmentName | None = None
    way: Literal["slack", "webhook"] | None = None
    after: str | None = Field(default=None, max_length=200)
    """`next_after` of the page before."""
    limit: int = Field(default=50, ge=1, le=200)

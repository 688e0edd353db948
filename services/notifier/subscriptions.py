"""What the notifier hears and what it does about it, and what it answers. It says nothing."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from chassis.consuming import Subscription
from contracts.envelope import Event, Value
from contracts.events import (
    DriftDetected,
    EnvironmentDeleted,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentFailed,
    EnvironmentReady,
    RunStalled,
)
from contracts.queries import Query
from contracts.webhooks import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    FindDeliveries,
    FindWebhooks,
    GetWebhook,
    Redeliver,
    RotateSecret,
    TestWebhook,
)
from services.notifier.handlers import Handlers
from services.notifier.handlers.subscribing import Subscribing

RETRY_DELAYS_SECONDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 3600.0)
"""News can wait for a Slack outage: about three hours."""


def subscriptions(handlers: Handlers) -> tuple[Subscription[Any], ...]:
    """The table: on this event, do this deed."""

    def told(kind: type[Event]) -> Subscription[Any]:
        return Subscription(kind, handlers.announce, retry_delays_seconds=RETRY_DELAYS_SECONDS)

    return (
        told(EnvironmentReady),
        told(EnvironmentFailed),
        told(EnvironmentDeleted),
        told(RunStalled),
        told(EnvironmentExpiring),
        told(EnvironmentExpired),
        told(DriftDetected),
    )


def answers(subscribing: Subscribing) -> dict[type[Query[Any]], Callable[[Any], Awaitable[Value]]]:
    """Who answers each kind of question about webhooks."""
    return {
        FindWebhooks: subscribing.webhooks,
        GetWebhook: subscribing.webhook,
        CreateWebhook: subscribing.create,
        ChangeWebhook: subscribing.change,
        DeleteWebhook: subscribing.delete,
        RotateSecret: subscribing.rotate,
        TestWebhook: subscribing.test,
        FindDeliveries: subscribing.deliveries,
        Redeliver: subscribing.redeliver,
    }

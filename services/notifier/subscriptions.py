"""What the notifier hears and what it does about it. It says nothing."""

from typing import Any, Final

from chassis.consuming import Subscription
from contracts.envelope import Event
from contracts.events import (
    DriftDetected,
    EnvironmentDeleted,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentFailed,
    EnvironmentReady,
    RunStalled,
)
from services.notifier.handlers import Handlers

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

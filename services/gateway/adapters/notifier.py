"""The notifier, asked over the bus."""

from typing import Final

from chassis import questions
from chassis.bus import Bus
from contracts.webhooks import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    Deliveries,
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
    Webhooks,
)

CHANGE_TIMEOUT_SECONDS: Final = 12.0
"""The notifier looks the receiver's host up first."""
TEST_TIMEOUT_SECONDS: Final = 20.0
"""And here waits for it to answer."""


class BusNotifier:
    """Fulfils `ports.Notifier`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def webhooks(self, question: FindWebhooks) -> tuple[Webhook, ...]:
        """See the port."""
        return (await questions.ask(self._bus, question, Webhooks)).items

    async def webhook(self, question: GetWebhook) -> OneWebhook:
        """See the port."""
        return await questions.ask(self._bus, question, OneWebhook)

    async def create_webhook(self, wish: CreateWebhook) -> OneWebhook:
        """See the port."""
        return await questions.ask(self._bus, wish, OneWebhook, timeout_seconds=CHANGE_TIMEOUT_SECONDS)

    async def change_webhook(self, wish: ChangeWebhook) -> OneWebhook:
        """See the port."""
        return await questions.ask(self._bus, wish, OneWebhook, timeout_seconds=CHANGE_TIMEOUT_SECONDS)

    async def delete_webhook(self, wish: DeleteWebhook) -> OneWebhook:
        """See the port."""
        return await questions.ask(self._bus, wish, OneWebhook)

    async def rotate_secret(self, wish: RotateSecret) -> OneWebhook:
        """See the port."""
        return await questions.ask(self._bus, wish, OneWebhook)

    async def test_webhook(self, wish: TestWebhook) -> OneDelivery:
        """See the port."""
        return await questions.ask(self._bus, wish, OneDelivery, timeout_seconds=TEST_TIMEOUT_SECONDS)

    async def deliveries(self, question: FindDeliveries) -> Deliveries:
        """See the port."""
        return await questions.ask(self._bus, question, Deliveries)

    async def redeliver(self, wish: Redeliver) -> OneDelivery:
        """See the port."""
        return await questions.ask(self._bus, wish, OneDelivery)

    async def notifications(self, question: FindNotifications) -> Notifications:
        """See the port."""
        return await questions.ask(self._bus, question, Notifications)

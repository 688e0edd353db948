"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import SystemRandom

from chassis.database import Database
from chassis.questions import answer_all
from chassis.reading import BatchReader, Found
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings, read_secret
from chassis.signing import SigningKey
from chassis.watchdog import Watchdog
from contracts import upcasting
from contracts.envelope import Event
from contracts.signals import SIGNAL_VERSIONS
from contracts.topology import CONSUMERS, OUTWARD
from contracts.webhooks import FindNotifications
from services.notifier.adapters import schema
from services.notifier.adapters.feeds import BusFeeds, FileReaders
from services.notifier.adapters.owners import BusOwners
from services.notifier.adapters.postgres import PostgresLedger
from services.notifier.adapters.postgres_webhooks import PostgresWebhooks
from services.notifier.adapters.receivers import HttpReceivers
from services.notifier.adapters.slack import SlackMessenger
from services.notifier.domain import Channels
from services.notifier.handlers import Handlers
from services.notifier.handlers.delivering import Delivering, Sending
from services.notifier.handlers.feeding import Feeding
from services.notifier.handlers.hearing import Hearing
from services.notifier.handlers.subscribing import Directory, Subscribing
from services.notifier.ports import Listener, Receivers
from services.notifier.settings import NotifierSettings
from services.notifier.subscriptions import answers, subscriptions

_OUTWARD_BATCH = 500
"""How many messages are passed on together at most."""
_OUTWARD_SECONDS = 0.1
"""For how long they are gathered: however much happens, webhooks are looked up ten times a second at most."""


def main() -> None:
    """Run until told to stop."""
    service = Service("notifier", ChassisSettings())
    settings = NotifierSettings()
    database = Database(DatabaseSettings(), application_name="notifier")
    slack = SlackMessenger(
        settings.slack_url,
        read_secret(settings.slack_token_file),
        timeout_seconds=settings.slack_timeout_seconds,
        calls_at_once=settings.slack_calls_at_once,
    )
    store = PostgresWebhooks(database)
    service.checks["database"] = database.check
    service.checks["slack"] = slack.check

    async def open_database() -> None:
        await database.open()
        await database.require(schema.NEEDS)
        await answer_all(service.bus, "notifier", {FindNotifications: store.notifications})

    service.prepare(open_database)
    service.at_close(database.close)
    handlers = Handlers(
        ledger=PostgresLedger(database),
        messenger=slack,
        channels=Channels(settings.default_channel, settings.team_channels),
        clock=service.clock,
        platform_url=settings.platform_url,
        stale_after=timedelta(hours=settings.stale_after_hours),
    )
    service.subscribe(subscriptions(handlers))
    listeners: list[Listener] = []
    directory = Directory(store)
    if settings.webhooks_key_file is not None:
        receivers = HttpReceivers(settings.webhooks_allow, timeout_seconds=settings.webhooks_timeout_seconds)
        service.at_close(receivers.close)
        key = SigningKey.from_file(settings.webhooks_key_file)
        listeners.append(webhooks(service, directory, receivers, key, handlers))
    listeners.append(Feeding(FileReaders(settings.readers_file), BusFeeds(service.bus), service.clock))
    pass_on(service, listeners, directory.refresh)
    service.run()


def webhooks(
    service: Service, directory: Directory, receivers: Receivers, key: SigningKey, handlers: Handlers
) -> Delivering:
    """Everything about webhooks; what it returns has yet to be told what happens."""
    store = directory.store
    sending = Sending(receivers, key.secret, service.clock, SystemRandom().random)
    delivering = Delivering(
        store=store,
        sending=sending,
        known=directory,
        clock=service.clock,
        stale_after=handlers.stale_after,
        tell=handlers.tell_disabled,
    )
    subscribing = Subscribing(store, receivers, sending, directory, service.clock)

    async def prepare() -> None:
        await directory.refresh()
        await answer_all(service.bus, "notifier", answers(subscribing))

    service.prepare(prepare)
    service.alongside("webhooks", delivering.run)
    service.at_close(delivering.drain)
    return delivering


def pass_on(service: Service, listeners: list[Listener], look_again: Callable[[], Awaitable[None]]) -> None:
    """Tell these of everything that means something outside; they decide by what was so at `look_again`."""

    def is_genuine(event: Event) -> bool:
        return event.id == service.key.derive(event.causation_id, event.kind)

    def is_newer(found: Found) -> bool:
        if found.subject.startswith("signal."):
            return upcasting.is_newer(found.body, found.subject, SIGNAL_VERSIONS)
        return upcasting.is_genuine(found.body, found.subject, service.key.derive)

    hearing = Hearing(listeners, BusOwners(service.bus), is_genuine, is_newer, look_again)
    durables = tuple(spec for spec in CONSUMERS if spec.durable == OUTWARD)
    watchdog = Watchdog(service.bus, durables)
    service.checks["outward"] = watchdog.check
    service.alongside("outward watchdog", watchdog.run)
    for spec in durables:
        reader = BatchReader(service.bus, spec, hearing.hear, batch=_OUTWARD_BATCH, linger_seconds=_OUTWARD_SECONDS)
        service.alongside(f"outward {spec.stream}", reader.run)

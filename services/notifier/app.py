"""The composition root: settings, adapters, handlers, service. Nothing connects before it runs."""

from datetime import timedelta
from importlib.resources import files

from chassis.database import Database
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings, read_secret
from services.notifier.adapters.postgres import PostgresLedger
from services.notifier.adapters.slack import SlackMessenger
from services.notifier.domain import Channels
from services.notifier.handlers import Handlers
from services.notifier.settings import NotifierSettings
from services.notifier.subscriptions import subscriptions


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
    service.checks["database"] = database.check
    service.checks["slack"] = slack.check

    async def open_database() -> None:
        await database.open()
        await database.migrate(files("services.notifier.adapters.schema"))

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
    service.run()

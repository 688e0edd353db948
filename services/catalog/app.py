"""The composition root: settings, adapters, handlers, service."""

from datetime import timedelta
from importlib.resources import files

from chassis.database import Database
from chassis.folding import Folder
from chassis.questions import answer_all
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings
from chassis.watchdog import Watchdog
from services.catalog.adapters.log import BusLog
from services.catalog.adapters.planner import BusPlanner
from services.catalog.adapters.postgres import PostgresEventStore
from services.catalog.adapters.postgres_views import PostgresViews
from services.catalog.adapters.timers import BusTimers, Firings
from services.catalog.domain.reminders import Rhythm
from services.catalog.handlers import Handlers, Timekeeper
from services.catalog.settings import CatalogSettings
from services.catalog.subscriptions import DURABLE, TIMERS, answers


def build(chassis: ChassisSettings, database_settings: DatabaseSettings, settings: CatalogSettings) -> Service:
    """The service, wired up. Nothing connects before it runs."""
    service = Service("catalog", chassis)
    database = Database(database_settings, application_name="catalog")
    store = PostgresEventStore(database, remembered_environments=settings.remembered_environments)
    log = BusLog(service.bus, service.key)
    timekeeper = Timekeeper(
        store=store,
        log=log,
        timers=BusTimers(service.bus),
        planner=BusPlanner(service.bus),
        key=service.key,
        clock=service.clock,
        rhythm=Rhythm(
            warn_before=tuple(timedelta(seconds=seconds) for seconds in settings.warn_before_seconds),
            drift_every=timedelta(seconds=settings.drift_check_seconds),
        ),
    )
    handlers = Handlers(
        store=store,
        log=log,
        key=service.key,
        publisher=service.publisher,
        clock=service.clock,
        stall_after_seconds=settings.stall_after_seconds,
        timekeeper=timekeeper,
    )
    folder = Folder(
        service.bus, DURABLE, handlers, batch=settings.fetch_batch, max_lag_seconds=settings.max_lag_seconds
    )
    watchdog = Watchdog(service.bus, (DURABLE, TIMERS))
    firings = Firings(service.bus, TIMERS, timekeeper.fired)

    async def prepare() -> None:
        await database.open()
        await database.migrate(files("services.catalog.adapters") / "schema")
        service.checks["decisions"] = handlers.check  # it needs the tables
        await answer_all(service.bus, "catalog", answers(PostgresViews(database), folder))

    async def sweep() -> None:
        await handlers.sweep_for_ever(settings.sweep_seconds, folder.lag)

    async def keep_timers() -> None:
        await timekeeper.keep_set(settings.timer_sweep_seconds)

    service.checks |= {"database": database.check, "durable": watchdog.check, "fold": folder.check}
    service.prepare(prepare)
    service.alongside("fold", folder.run)
    service.alongside("sweep", sweep)
    service.alongside("timers", keep_timers)
    service.alongside("firings", firings.run)
    service.alongside("watchdog", watchdog.run)
    service.at_close(database.close)
    service.at_close(handlers.finish)
    service.at_close(timekeeper.finish)
    service.at_close(folder.stop)
    return service


def main() -> None:
    """Run until told to stop."""
    build(ChassisSettings(), DatabaseSettings(), CatalogSettings()).run()

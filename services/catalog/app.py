"""The composition root: settings, adapters, handlers, service."""

from datetime import timedelta

from chassis.database import Database
from chassis.faults import of_fold
from chassis.folding import Folder
from chassis.questions import answer_all
from chassis.service import Service
from chassis.settings import ChassisSettings, DatabaseSettings
from chassis.watchdog import Watchdog
from services.catalog.adapters import schema
from services.catalog.adapters.log import BusLog
from services.catalog.adapters.planner import BusPlanner
from services.catalog.adapters.postgres import PostgresEventStore
from services.catalog.adapters.postgres_feedback import PostgresVoices
from services.catalog.adapters.postgres_find import enter_all
from services.catalog.adapters.postgres_history import PostgresHistory
from services.catalog.adapters.postgres_insights import PostgresInsights
from services.catalog.adapters.postgres_rebuild import PostgresRebuild
from services.catalog.adapters.postgres_signals import PostgresSignals
from services.catalog.adapters.postgres_views import PostgresViews
from services.catalog.adapters.rebuild_workers import Workers
from services.catalog.adapters.timers import BusTimers, Firings
from services.catalog.domain.reminders import Rhythm
from services.catalog.domain.verdicts import brings_no_verdict
from services.catalog.handlers import Handlers, Hearing, Remembering, Reviewing, Timekeeper
from services.catalog.settings import CatalogSettings
from services.catalog.subscriptions import DURABLE, SIGNALS, TIMERS, answers

SIGNALS_PATIENCE_SECONDS = 30.0
"""How long a fold of facts waits for that of the log before it is tried again."""


def build(chassis: ChassisSettings, database_settings: DatabaseSettings, settings: CatalogSettings) -> Service:
    """The service, wired up. Nothing connects before it runs."""
    service = Service("catalog", chassis)
    database = Database(database_settings, application_name="catalog")
    store = PostgresEventStore(database, remembered_environments=settings.remembered_environments)
    log = BusLog(service.bus, service.key)
    signals = PostgresSignals(database)
    workers = Workers(database_settings, settings.rebuild_workers)
    timekeeper = Timekeeper(
        store=store,
        signals=signals,
        log=log,
        timers=BusTimers(service.bus),
        planner=BusPlanner(service.bus),
        key=service.key,
        clock=service.clock,
        rhythm=Rhythm(
            warn_before=tuple(timedelta(seconds=seconds) for seconds in settings.warn_before_seconds),
            drift_every=timedelta(seconds=settings.drift_check_seconds),
            renews_for=timedelta(seconds=settings.renews_for_seconds),
            sets_ahead=timedelta(seconds=2 * settings.timer_sweep_seconds),
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
    projection = service.faults.around(handlers, "fold", of_fold)
    folder = Folder(
        service.bus,
        DURABLE,
        projection,
        batch=settings.fetch_batch,
        max_lag_seconds=settings.max_lag_seconds,
        can_wait=brings_no_verdict,
    )

    async def log_is_folded() -> None:
        await folder.wait_for((await folder.lag()).stream_sequence, SIGNALS_PATIENCE_SECONDS)

    hearing = Folder(
        service.bus,
        SIGNALS,
        Hearing(signals, timekeeper, log_is_folded),
        batch=settings.fetch_batch,
        max_lag_seconds=settings.max_lag_seconds,
        name="catalog signals",
    )
    watchdog = Watchdog(service.bus, (DURABLE, SIGNALS, TIMERS))
    firings = Firings(service.bus, TIMERS, timekeeper.fired)

    async def prepare() -> None:
        await database.open()
        await database.require(schema.NEEDS)
        await enter_all(database)
        service.checks["decisions"] = handlers.check  # it needs the tables
        await answer_all(
            service.bus,
            "catalog",
            answers(
                PostgresViews(database, service.clock),
                Remembering(PostgresHistory(database)),
                Reviewing(PostgresInsights(database), service.clock),
                PostgresVoices(database),
                PostgresRebuild(database, workers),
                folder,
            ),
        )

    async def sweep() -> None:
        await handlers.sweep_for_ever(settings.sweep_seconds, folder.lag)

    async def keep_timers() -> None:
        await timekeeper.keep_set(settings.timer_sweep_seconds)

    service.checks |= {"database": database.check, "durable": watchdog.check, "fold": folder.check}
    service.checks["signals"] = hearing.check
    service.prepare(prepare)
    service.alongside("fold", folder.run)
    service.alongside("signals", hearing.run)
    service.alongside("sweep", sweep)
    service.alongside("timers", keep_timers)
    service.alongside("firings", firings.run)
    service.alongside("watchdog", watchdog.run)
    service.at_close(database.close)
    service.at_close(workers.close)
    service.at_close(handlers.finish)
    service.at_close(timekeeper.finish)
    service.at_close(folder.stop)
    service.at_close(hearing.stop)
    return service


def main() -> None:
    """Run until told to stop."""
    build(ChassisSettings(), DatabaseSettings(), CatalogSettings()).run()

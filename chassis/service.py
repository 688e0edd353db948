"""One process, from start to a clean end: the same for every service.

Order: health answers first, then the bus (waiting for it as long as it takes), then what the service prepares, then the
subscriptions. At SIGTERM or SIGINT the reverse: no new work, work in flight finishes or is handed back, connections
close, spans are flushed. A background task that ends before that ends the process, so that its supervisor starts it
anew; no service limps on with half its tasks.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, NoReturn

import structlog
import uvloop

from chassis import faults, health, logs, tracing
from chassis.bus import Bus
from chassis.clock import Clock, SystemClock
from chassis.consuming import Consumer, Subscription, WaitingListener, _nobody_listens
from chassis.identity import EventKey
from chassis.publishing import Publisher
from chassis.settings import ChassisSettings
from chassis.watchdog import Watchdog
from contracts.envelope import ServiceName
from contracts.topology import inbox_prefix

_log = structlog.get_logger(__name__)

_COLLECT_AFTER: Final = (25_000, 20, 50)
"""How many objects more than before there are when the garbage collector looks at the young, and after how many such
looks it looks at the older ones. With Python's own 700 it walked through everything that a process remembers again and
again: a sixth of all its time."""


class Service:
    """What a composition root fills in and then runs."""

    def __init__(self, name: ServiceName, settings: ChassisSettings, clock: Clock | None = None) -> None:
        logs.configure(name, settings.log_level)
        self._tracer = tracing.configure(name, settings.otlp_endpoint)
        self.name: ServiceName = name
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.key = EventKey.from_file(settings.event_key_file)
        self.faults = faults.Faults.of_process(name)
        bus = Bus(settings.nats_url, name=name, nkey_file=settings.nats_nkey_file, inbox_prefix=inbox_prefix(name))
        self.bus = self.faults.around(bus, "publish", faults.of_publish, before=None, after="after_publish")
        self.publisher = Publisher(self.bus, name, self.key, self.clock)
        self._started = False
        self.checks: dict[str, health.Check] = {"start": self._check_started, "bus": self.bus.check}
        self._consumer: Consumer | None = None
        self._prepare: list[Callable[[], Awaitable[None]]] = []
        self._background: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {}
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def subscribe(
        self, subscriptions: Sequence[Subscription[Any]], *, on_waiting: WaitingListener = _nobody_listens
    ) -> None:
        """Carry out these subscriptions. Call once."""
        self._consumer = Consumer(
            bus=self.bus,
            service=self.name,
            key=self.key,
            publisher=self.publisher,
            subscriptions=self.faults.around_deeds(subscriptions),
            workers=self.settings.workers,
            fetch_batch=self.settings.fetch_batch,
            ack_wait_seconds=self.settings.ack_wait_seconds,
            on_waiting=on_waiting,
        )
        watchdog = Watchdog(self.bus, self._consumer.durables)
        self.checks["durables"] = watchdog.check
        self._background["consumer"] = self._consumer.run
        self._background["watchdog"] = watchdog.run

    def prepare(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` after the bus is connected and before the first event is fetched."""
        self._prepare.append(step)

    def alongside(self, name: str, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `task` for as long as the process lives; its end, or an exception, ends the process."""
        self._background[name] = task

    def at_close(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` at the end, the last given first."""
        self._closing.append(step)

    def run(self) -> NoReturn:
        """Run until told to stop. Exits with 0 after a clean stop and with 1 where a part failed."""
        raise SystemExit(uvloop.run(self._run()))

    async def _run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        settings = self.settings
        server = health.EmbeddedServer(health.app(self.name, self.checks), settings.health_port, settings.health_host)
        async with AsyncExitStack() as stack:
            stack.callback(self._flush_spans)
            tasks = {"health": asyncio.create_task(server.run_until_cancelled(), name="health")}
            stack.push_async_callback(_cancel, tasks)
            starting = asyncio.create_task(self._start(stack, tasks), name="start")
            waiting = asyncio.create_task(stop.wait(), name="signal")
            stack.push_async_callback(_cancel, {"start": starting, "signal": waiting})
            return await self._watch(starting, waiting, tasks)
        raise AssertionError("unreachable")

    async def _start(self, stack: AsyncExitStack, tasks: dict[str, asyncio.Task[None]]) -> None:
        await self.bus.connect()
        stack.push_async_callback(self.bus.close)
        for step in self._closing:
            stack.push_async_callback(step)
        for step in self._prepare:
            await step()
        await self.bus.start()
        for name, factory in self._background.items():
            tasks[name] = asyncio.create_task(factory(), name=name)
        if self._consumer:
            stack.push_async_callback(self._consumer.drain, self.settings.shutdown_grace_seconds)
        _let_the_collector_rest()
        self._started = True
        _log.info("ready", nats=self.settings.nats_url)

    async def _check_started(self) -> None:
        """Raise until everything is prepared: what answers before has not even its own keys."""
        if not self._started:
            raise LookupError("still starting")

    async def _watch(
        self, starting: asyncio.Task[None], waiting: asyncio.Task[Any], tasks: dict[str, asyncio.Task[None]]
    ) -> int:
        started = False
        while True:
            watched: set[asyncio.Task[Any]] = {waiting, *tasks.values()}
            if not started:
                watched.add(starting)
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if waiting in done:
                _log.info("stopping")
                return 0
            for task in done:
                if task is starting and task.exception() is None:
                    started = True
                    continue
                error = task.exception() if not task.cancelled() else None
                _log.critical("a part of this process ended", part=task.get_name(), exc_info=error)
                return 1

    def _flush_spans(self) -> None:
        if self._tracer:
            self._tracer.shutdown()


def _let_the_collector_rest() -> None:
    """What is there after the start stays to the end: the collector need never look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _cancel(tasks: dict[str, asyncio.Task[Any]]) -> None:
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)

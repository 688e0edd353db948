"""Processes that fold names anew, so that a rebuild has more than one core and the catalog goes on answering meanwhile.

Invariants
- A worker keeps nothing: whatever it did not finish is folded by whoever asks again. Where there is none (they begin
  with the first page, which does not wait for them) or one has died, the catalog folds the names itself.
- Workers end with the catalog, however that ends, and by themselves some time after the last page.
"""

import asyncio
import gc
import multiprocessing
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final, TypeVar

import structlog

from chassis import logs
from chassis.database import Database
from chassis.settings import DatabaseSettings

_log = structlog.get_logger(__name__)

T = TypeVar("T")

Deed = Callable[[Database, Sequence[str], bool], Awaitable[T]]
"""What is done with names; a function of a module, so that another process finds it."""

IDLE_SECONDS: Final = 60.0
_NICE: Final = 5
"""Whoever asks the catalog something goes first."""
_COLLECT_AFTER: Final = 25_000
"""New objects before the garbage collector looks: what is folded is dropped with its page."""


class Workers:
    """As many processes as asked for, while there is work for them."""

    def __init__(self, settings: DatabaseSettings, count: int, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._settings = settings.model_copy(update={"pool_size": 1})
        self.count = count
        self._idle_seconds = idle_seconds
        self._pool: ProcessPoolExecutor | None = None
        self._beginning: asyncio.Future[list[None]] | None = None
        self._under_way = 0
        self._retirement: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def are_ready(self) -> bool:
        """Whether they can be given work. Where they cannot, and there shall be some, they begin."""
        if self._pool is None and self.count > 1:
            self._begin()
        found = self._beginning
        return found is not None and found.done() and not found.cancelled() and found.exception() is None

    async def give(self, deed: Deed[T], database: Database, names: Sequence[str], *, replace: bool) -> T:
        """What `deed` gives for these names; done here, with `database`, where no worker can."""
        if self._pool is None or not self.are_ready:
            return await deed(database, names, replace)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _do, deed, names, replace)
        except BrokenProcessPool:
            _log.warning("a worker of the rebuild has died; going on without", names=len(names))
            await self.close()
            return await deed(database, names, replace)
        finally:
            self._under_way -= 1
            self._retire_later()

    async def close(self) -> None:
        """End them, once each has finished what it has in hand; the next page begins new ones."""
        pool, self._pool, self._beginning = self._pool, None, None
        if self._retirement is not None:
            self._retirement.cancel()
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    def _begin(self) -> None:
        self._pool = ProcessPoolExecutor(
            self.count, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(self._settings,)
        )
        loop = asyncio.get_running_loop()
        calls = (loop.run_in_executor(self._pool, _be_there) for _ in range(self.count))
        self._beginning = asyncio.gather(*calls)
        self._beginning.add_done_callback(self._begun)
        self._retire_later()

    def _begun(self, beginning: "asyncio.Future[list[None]]") -> None:
        if not beginning.cancelled() and (error := beginning.exception()) is not None:
            _log.warning("the workers of the rebuild did not begin; going on without", error_type=type(error).__name__)

    def _retire_later(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
        if self._pool is None:
            return
        self._retirement = asyncio.get_running_loop().call_later(self._idle_seconds, self._retire)

    def _retire(self) -> None:
        if self._under_way:
            self._retire_later()
        else:
            self._closing = asyncio.create_task(self.close())


# -- in a worker -------------------------------------------------------------------------------------------------------


class _Here:
    """What a worker keeps from one page to the next."""

    loop: asyncio.AbstractEventLoop
    database: Database


def _prepare(settings: DatabaseSettings) -> None:
    logs.configure("catalog", "WARNING")
    threading.Thread(target=_end_with_the_catalog, daemon=True).start()
    os.nice(_NICE)
    _Here.loop = asyncio.new_event_loop()
    _Here.loop.run_until_complete(_open(settings))
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


async def _open(settings: DatabaseSettings) -> None:
    _Here.database = Database(settings, application_name="catalog rebuild")
    await _Here.database.open()


def _end_with_the_catalog() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)  # whatever is under way is one transaction, which comes to nothing


def _be_there() -> None:
    """Nothing: whoever can be asked is there."""


def _do(deed: Deed[T], names: Sequence[str], replace: bool) -> T:
    async def done() -> T:
        return await deed(_Here.database, names, replace)

    return _Here.loop.run_until_complete(done())

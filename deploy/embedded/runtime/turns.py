"""Deployments of one environment take turns, and the newest wins."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SupersededError(Exception):
    """A newer deployment of the same environment came before this one was live, or the slot is going."""


class Turn:
    """One deployment that is under way, or waits."""

    def __init__(self) -> None:
        self._overtaken = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether somebody newer waits."""
        return self._overtaken.is_set()

    def overtake(self) -> None:
        """Somebody newer waits from now on."""
        self._overtaken.set()

    async def unless_overtaken(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work comes to. Raises `SupersededError` as soon as somebody newer waits; the work is cancelled
        then."""
        if self.is_over:
            work.close()
            raise SupersededError
        task = asyncio.ensure_future(work)
        overtaken = asyncio.ensure_future(self._overtaken.wait())
        try:
            await asyncio.wait({task, overtaken}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise SupersededError
        finally:
            overtaken.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

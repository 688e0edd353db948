"""Statements that serve many callers at once.

Invariant: what comes while a statement is under way goes together into the next one; each caller hears of its own part,
and never of a fault in another's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from chassis.failures import TransientError

Given = TypeVar("Given")
Found = TypeVar("Found")

_MOST: Final = 100
"""How much one statement takes: longer ones would make those behind them wait."""


class Together(Generic[Given, Found]):
    """Calls `write` with what several callers gave. It answers for each of them, in the order given. Where it fails for
    several, it is called again for each, unless the failure is that of its time (`TransientError`)."""

    def __init__(self, write: Callable[[Sequence[Given]], Awaitable[Sequence[Found]]]) -> None:
        """`write` may be called twice for the same things, and is under way once at a time."""
        self._write = write
        self._waiting: list[tuple[Given, asyncio.Future[Found]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def __call__(self, given: Given) -> Found:
        """What `write` answers for this. A caller that gives up does not call it back. Raises what `write` raises."""
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        return await answer

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            if not await self._serve(batch):
                for one in batch:
                    await self._serve([one])

    async def _serve(self, batch: Sequence[tuple[Given, asyncio.Future[Found]]]) -> bool:
        """False where it failed for several, and may not for each: nobody has been told anything."""
        waiting = [answer for _, answer in batch]
        try:
            found = await self._write([given for given, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever waits hears of it, whatever it is
            if len(batch) > 1 and not isinstance(error, TransientError):
                return False
            for answer in waiting:
                if not answer.cancelled():
                    answer.set_exception(error)
            return True
        for answer, value in zip(waiting, found, strict=True):
            if not answer.cancelled():
                answer.set_result(value)
        return True

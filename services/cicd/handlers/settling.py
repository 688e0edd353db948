"""Writes whose answer may be lost.

Invariant: what is there afterwards counts, not what was answered.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from chassis.failures import PermanentError, TransientError

T = TypeVar("T")


async def settle(write: Callable[[], Awaitable[T]], find: Callable[[], Awaitable[T | None]]) -> T:
    """Write, and where the answer is an error or is lost, believe what is found there. Raises that error where nothing
    is found."""
    try:
        return await write()
    except (TransientError, PermanentError):
        found = await find()
        if found is None:
            raise
        return found

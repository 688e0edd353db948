"""Waiting for a condition with a deadline, never for a time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def until(condition: Callable[[], Awaitable[T | None]], *, within_seconds: float = ..., what: str = ...) -> T: ...
@overload
async def until(condition: Callable[[], T | None], *, within_seconds: float = ..., what: str = ...) -> T: ...
async def until(condition: Callable[[], Any], *, within_seconds: float = 20.0, what: str = "the condition") -> Any:
    """The first true value of `condition`. Raises AssertionError after `within_seconds`."""
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                value = condition()
                found = await value if inspect.isawaitable(value) else value
                if found:
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come true within {within_seconds:g} s") from None

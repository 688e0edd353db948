"""Waiting for a condition with a deadline, never for a time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from chassis.failures import TransientError

T = TypeVar("T")
LONG_ENOUGH_SECONDS = 60.0
"""Only what fails takes so long: a deadline is no measure of speed, and other tests run beside this one."""


@overload
async def until(condition: Callable[[], Awaitable[T | None]], *, within_seconds: float = ..., what: str = ...) -> T: ...
@overload
async def until(condition: Callable[[], T | None], *, within_seconds: float = ..., what: str = ...) -> T: ...
async def until(
    condition: Callable[[], Any], *, within_seconds: float = LONG_ENOUGH_SECONDS, what: str = "the condition"
) -> Any:
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


async def patiently(call: Callable[[], Awaitable[T]], *, within_seconds: float = LONG_ENOUGH_SECONDS) -> T:
    """What `call` answers in the end: while the other side is away, or has no leader, it is called again, as a service
    would. Raises AssertionError after `within_seconds`."""

    async def answer() -> tuple[T] | None:
        try:
            return (await call(),)
        except TransientError:
            return None

    found: tuple[T] = await until(answer, within_seconds=within_seconds, what="an answer")
    return found[0]

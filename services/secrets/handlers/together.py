"""Several calls at once, and what counts where several of them fail."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from chassis.failures import PermanentError, TransientError


async def together(*calls: Awaitable[Any]) -> list[Any]:
    """All of them at once; every one ends before this does. Raises the permanent failure if there is one: it tells
    more than a transient one beside it."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    failures = [one for one in results if isinstance(one, BaseException)]
    for kind in (PermanentError, TransientError, BaseException):
        for failure in failures:
            if isinstance(failure, kind):
                raise failure
    return results

"""Whether a release that went live just now keeps ending."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from deploy.embedded.runtime.application import Application

CRASH_LOOP: Final = 3
"""So many ends soon after a deployment are no accident."""
_INTERVAL_SECONDS: Final = 0.2


async def keeps_ending(live: Callable[[], Application | None], is_over: Callable[[], bool], seconds: float) -> bool:
    """Watch what is live for so long, until it has ended `CRASH_LOOP` times or nobody cares any more (`is_over`)."""
    watched = live()
    crashes = watched.crashes if watched is not None else 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.sleep(_INTERVAL_SECONDS)
        if is_over():
            return False
        if live() is not watched:  # started anew, with another login
            watched, crashes = live(), 0
        elif watched is not None and watched.crashes - crashes >= CRASH_LOOP:
            return True
    return False

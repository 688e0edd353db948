"""What is live in an environment: the application to which requests go, and what everybody is told of it.

Invariants
- There is one application on stage, or none; to put another one there is one step for whoever asks.
- While anything runs, the slot's file `.running` is locked (flock(2)): whoever takes the slot away waits for that.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from contracts.deployments import CopyView, RunningState
from deploy.embedded.runtime.application import Application
from deploy.embedded.runtime.ingress import Ingress, IngressError, Pointers, handlers

LOCK_FILE: Final = ".running"
_LOOK_SECONDS: Final = 1.0


class Stage:
    """One environment's place at the ingress."""

    def __init__(
        self, directory: Path, environment: str, ingress: Ingress, pointers: Pointers, tell: Callable[[], None]
    ) -> None:
        """`tell` hears when the state may be another one."""
        self.live: Application | None = None
        self.since = datetime.now(UTC)
        self._directory = directory
        self._environment = environment
        self._ingress = ingress
        self._pointers = pointers
        self._tell = tell
        self._note: tuple[RunningState, str] = ("unknown", "nothing is deployed")
        self._watcher: asyncio.Task[None] | None = None
        self._lock: int | None = None

    @property
    def state(self) -> tuple[RunningState, str]:
        """How the environment's application does, and why."""
        return self.live.state if self.live is not None else self._note

    @property
    def copies(self) -> tuple[CopyView, ...]:
        """The processes of what is live."""
        return self.live.copies if self.live is not None else ()

    async def show(self, application: Application) -> None:
        """From now on requests go to this application. Raises `IngressError`; then they go where they went."""
        before = self.live
        try:
            await self._point(application)
        except BaseException:
            if before is not None:
                with contextlib.suppress(IngressError):  # the route leads to the pointers, if it leads anywhere
                    await self._point(before)
            raise
        self.live = application
        self._watch(application)

    async def show_again(self) -> None:
        """The route was made anew: put what is live behind it. Raises `IngressError`."""
        if self.live is not None:
            await self._point(self.live)

    def empty(self, state: RunningState, reason: str) -> None:
        """Nothing is live, for this reason."""
        self.live, self._note = None, (state, reason)
        self._tell()

    def moved(self, application: Application) -> None:
        """A copy listens elsewhere after its restart."""
        if application is self.live:
            self._pointers.point(application.targets)

    async def close(self) -> None:
        """End what is live, and let the slot go."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self.live is not None:
            await self.live.stop()
            self.live = None
        self._pointers.remove()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def lock(self) -> None:
        """Something is about to run. Raises OSError where the slot is gone."""
        if self._lock is None:
            self._lock = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    async def _point(self, application: Application) -> None:
        targets = application.targets
        if not targets:
            return  # it does not listen, so it has no route
        self._pointers.point(targets)
        handle = handlers(self._environment, application.release.runtime, self._pointers, len(targets))
        await self._ingress.fill(self._environment, handle)

    def _watch(self, application: Application) -> None:
        """Tell of the state whenever this application's may have changed."""
        if self._watcher is not None:
            self._watcher.cancel()

        async def watch() -> None:
            last: tuple[RunningState, str] | None = None
            while True:
                if self.state != last:
                    if last is None or self.state[0] != last[0]:
                        self.since = datetime.now(UTC)
                    last = self.state
                    self._tell()
                application.changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await application.changed.wait()

        self._watcher = asyncio.create_task(watch())

"""Bringing the platform up and down.

Invariants: `up` is safe to repeat and to interrupt: it takes what already runs, starts what does not, and
after a Ctrl-C nothing is left running; `down` returns only when no process of the platform exists.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import psutil

from deploy.embedded import leftovers
from deploy.embedded.errors import PlatformError
from deploy.embedded.logs import last_lines
from deploy.embedded.parts import Part
from deploy.embedded.platform import Platform
from deploy.embedded.ports import require_free
from deploy.embedded.progress import Progress
from deploy.embedded.supervision import Supervisor

_POLL_SECONDS = 0.05
_PARALLEL = 8
_SHUT_DOWN_SECONDS = 30.0
_CRASH_LOOP_SECONDS = 6.0


class Starter:
    """One `up`: starts parts as soon as what they need is ready, each in a thread of its own."""

    def __init__(self, parts: Sequence[Part], supervisor: Supervisor, platform: Platform, progress: Progress) -> None:
        self._parts = {part.name: part for part in parts}
        self._supervisor = supervisor
        self._platform = platform
        self._progress = progress
        self._cancelled = threading.Event()

    def run(self) -> None:
        """Return when every part is ready; raise PlatformError for the first that is not."""
        waiting, ready = dict(self._parts), set[str]()
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            try:
                while waiting or running:
                    for name in [name for name, part in waiting.items() if self._may_start(part, ready)]:
                        running[pool.submit(self._bring_up, waiting.pop(name))] = name
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        ready.add(running.pop(future))
                        future.result()
            except BaseException:
                self._cancelled.set()
                raise

    def _may_start(self, part: Part, ready: set[str]) -> bool:
        # What was not asked for (--only) is taken as given.
        return all(need in ready or need not in self._parts for need in part.needs)

    def _bring_up(self, part: Part) -> None:
        begun = time.monotonic()
        self._progress.starting(part.name)
        try:
            self._start(part)
            self._await_ready(part, begun)
            if part.finish and not self._cancelled.is_set():
                part.finish()
        except Exception as error:
            if not self._cancelled.is_set():
                self._progress.failed(part.name)
            raise self._explained(part, error) from error
        if not self._cancelled.is_set():
            self._progress.ready(part.name, time.monotonic() - begun)

    def _start(self, part: Part) -> None:
        state = self._supervisor.states().get(part.name)
        if state and state.state in ("STARTING", "RUNNING"):
            return
        require_free(part.ports)
        if part.prepare:
            part.prepare()
        if not self._cancelled.is_set():
            self._supervisor.start_program(part.name)

    def _await_ready(self, part: Part, begun: float) -> None:
        while not self._cancelled.is_set():
            if part.is_ready():
                return
            elapsed = time.monotonic() - begun
            # One failed attempt is nothing (its neighbour may be late); waiting for the next again and again is.
            if elapsed > _CRASH_LOOP_SECONDS and self._supervisor.states()[part.name].state == "BACKOFF":
                raise PlatformError(f"{part.name} ends as soon as it is started")
            if elapsed > part.start_seconds:
                raise PlatformError(f"{part.name} is not ready after {part.start_seconds:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _explained(self, part: Part, error: Exception) -> PlatformError:
        if isinstance(error, PlatformError) and error.remedy:
            return error
        details = getattr(error, "details", "") or last_lines(self._platform.home, part.name)
        return PlatformError(
            f"{part.name} did not start: {error}",
            details=details,
            remedy=f"the whole log: python -m deploy.embedded logs {part.name}; "
            "what to mend: make doctor; then make up again, it goes on from here",
        )


def take_down(platform: Platform) -> bool:
    """Stop everything in order; answers whether anything ran."""
    supervisor = platform.supervisor
    pid = supervisor.pid
    known = leftovers.find(platform.home)
    if pid is not None:
        known_programs = supervisor.states()
        for stage in stop_order(platform.parts):
            supervisor.stop_programs([name for name in stage if name in known_programs])
        process = psutil.Process(pid)
        known += process.children(recursive=True)
        supervisor.shut_down()
        leftovers.wait_until_gone([process], _SHUT_DOWN_SECONDS)
    leftovers.end([process for process in known if leftovers.is_alive(process)])
    leftovers.end(leftovers.find(platform.home))
    return bool(known)


def stop_order(parts: Iterable[Part]) -> list[list[str]]:
    """The services first, while what they flush to still runs; then what others do not need; databases last."""
    everything = list(parts)
    stages = [[part.name for part in everything if part.is_service]]
    remaining = {part.name: set(part.needs) for part in everything if not part.is_service}
    while remaining:
        needed = set[str]().union(*remaining.values())
        stage = [name for name in remaining if name not in needed]
        stages.append(stage)
        for name in stage:
            del remaining[name]
    return stages

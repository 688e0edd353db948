"""One copy of an application: a process that is started again when it ends, and looked at while it runs.

Invariant: its state is one of healthy (it can do its work), degraded (it is alive and cannot), down (it is not alive,
or about to be started again) and unknown (it was only just started), and says why.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from contracts.deployments import CopyView, RunningState
from contracts.runtime import Runtime
from deploy.embedded.ports import HOST, free_port, is_free
from deploy.embedded.runtime.process import Print, Process

STABLE_SECONDS: Final = 60.0
"""Whoever ran for so long starts again without waiting."""
LONGEST_PAUSE_SECONDS: Final = 60.0
_FIRST_PROBE_SECONDS: Final = 0.05
_MISSED_PROBES: Final = 5
"""So many looks in a row without an answer make a copy down; three times as many, and it is started again."""
_PROBE_TIMEOUT: Final = httpx.Timeout(2.0)
_WEIGH_SECONDS: Final = 1.0
"""How often its memory is looked at, which means looking at every process of the machine."""
_CANNOT_START: Final = 127


@dataclass(frozen=True)
class Patience:
    """How long things may take."""

    probe_interval_seconds: float
    restart_seconds: float
    grace_seconds: float
    healthy_within_seconds: float


@dataclass(frozen=True)
class Plan:
    """What to start, and what it may use."""

    runtime: Runtime
    directory: Path
    heartbeat_file: Path
    environment: Callable[[int | None], Mapping[str, str]]
    """The variables of a copy that listens on this port."""
    memory_mib: int | None = None


def pause_before_restart(restarts: int, first_seconds: float) -> float:
    """How long to wait before the next start, after so many in a row."""
    return min(first_seconds * 2.0 ** min(restarts, 20), LONGEST_PAUSE_SECONDS)


class Copy:
    """Supervises one process of an application."""

    def __init__(
        self,
        plan: Plan,
        patience: Patience,
        http: httpx.AsyncClient,
        *,
        write: Print,
        say: Callable[[str], None],
        moved: Callable[[], None],
    ) -> None:
        """`say` is told what happens to it, `moved` that it now listens elsewhere."""
        self._plan = plan
        self._patience = patience
        self._http = http
        self._write = write
        self._say = say
        self._moved = moved
        self.port = free_port() if plan.runtime.port_variable else None
        self.state: RunningState = "unknown"
        self.reason = "starting"
        self.since = datetime.now(UTC)
        self.restarts = 0
        self.crashes = 0
        """How often it ended by itself."""
        self.changed = asyncio.Event()
        """Something about it is new."""
        self._missed = 0
        self._was_up = False
        self._weighed_at = 0.0
        self._process: Process | None = None
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin. Returns at once."""
        self._work = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it for good."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        if self._process is not None:
            await self._process.stop(self._patience.grace_seconds)
        self._become("down", "stopped")

    def view(self) -> CopyView:
        """What to tell of it."""
        running = self._process is not None and not self._process.ended.done()
        return CopyView(
            state=self.state,
            reason=self.reason,
            pid=self._process.pid if running and self._process else None,
            port=self.port,
            restarts=self.restarts,
            since=self.since,
        )

    async def _run(self) -> None:
        in_a_row = 0
        while True:
            started = time.monotonic()
            code, why = await self._one_life()
            self.crashes += 1
            if time.monotonic() - started > STABLE_SECONDS:
                in_a_row = 0
            pause_seconds = pause_before_restart(in_a_row, self._patience.restart_seconds)
            in_a_row += 1
            self._become("down", f"{why or _words(code)}; it is started again in {pause_seconds:g} s")
            self._say(self.reason)
            await asyncio.sleep(pause_seconds)
            self.restarts += 1
            if self.port is not None and not is_free(self.port):
                self.port = free_port()
                self._moved()

    async def _one_life(self) -> tuple[int, str]:
        """From a start to an end: its exit code, and why we ended it, where we did."""
        self._missed, self._was_up, started = 0, False, time.monotonic()
        self._plan.heartbeat_file.unlink(missing_ok=True)
        self._become("unknown", "starting")
        argv, environment = self._plan.runtime.start, self._plan.environment(self.port)
        process = self._process = await Process.start(argv, environment, self._plan.directory, self._write)
        interval_seconds, why = _FIRST_PROBE_SECONDS, ""
        while not process.ended.done():
            await asyncio.wait({process.ended}, timeout=interval_seconds)
            if process.ended.done():
                break
            await self._look(process)
            if why := self._over_the_line(process, time.monotonic() - started):
                process.kill()
                await process.ended
                break
            # Often until it is there; seldom afterwards.
            usual_seconds = self._patience.probe_interval_seconds
            interval_seconds = usual_seconds if self._was_up else min(interval_seconds * 1.1, usual_seconds)
        code = process.ended.result()
        await process.clean_up()
        return code, why

    def _over_the_line(self, process: Process, age_seconds: float) -> str:
        """Why it has to be ended; empty where it need not."""
        most, now = self._plan.memory_mib, time.monotonic()
        if most is not None and now - self._weighed_at >= _WEIGH_SECONDS:
            self._weighed_at = now
            if process.memory_bytes > most << 20:
                return f"it used more than its {most} MiB of memory"
        if not self._was_up and age_seconds > self._patience.healthy_within_seconds:
            return f"it was not up after {age_seconds:.0f} s"
        return "it did not answer any more" if self._missed >= 3 * _MISSED_PROBES else ""

    async def _look(self, process: Process) -> None:
        runtime = self._plan.runtime
        if runtime.heartbeat_variable is not None:
            self._judge(self._heartbeat(runtime), "")
        elif self.port is not None and (runtime.ready_path or runtime.health_path):
            not_ready = await self._answers(runtime.ready_path or runtime.health_path)
            asks_both = not_ready and runtime.ready_path and runtime.health_path
            not_alive = await self._answers(runtime.health_path) if asks_both else not_ready
            if not process.ended.done():
                self._judge(not_alive, not_ready)
        else:
            self._judge("", "")

    def _judge(self, not_alive: str, not_ready: str) -> None:
        """Each says what is wrong; empty means right."""
        if not not_alive:
            self._missed, self._was_up = 0, True
            self._become("degraded" if not_ready else "healthy", not_ready)
        elif not self._was_up:
            self._become("unknown", f"starting; {not_alive}")
        else:
            self._missed += 1
            if self._missed >= _MISSED_PROBES:
                self._become("down", not_alive)

    def _heartbeat(self, runtime: Runtime) -> str:
        try:
            age_seconds = time.time() - self._plan.heartbeat_file.stat().st_mtime
        except FileNotFoundError:
            return "there is no heartbeat"
        return f"its last heartbeat was {age_seconds:.0f} s ago" if age_seconds > runtime.heartbeat_seconds else ""

    async def _answers(self, path: str | None) -> str:
        """What is wrong with an address of it; empty where nothing is."""
        try:
            answer = await self._http.get(f"http://{HOST}:{self.port}{path}", timeout=_PROBE_TIMEOUT)
        except httpx.TransportError as error:
            return f"{path} does not answer ({type(error).__name__})"
        return "" if answer.is_success else f"{path} answers {answer.status_code}"

    def _become(self, state: RunningState, reason: str) -> None:
        if (state, reason) != (self.state, self.reason):
            if state != self.state:
                self.since = datetime.now(UTC)
            self.state, self.reason = state, reason
            self.changed.set()


def _words(code: int) -> str:
    if code == _CANNOT_START:
        return "it could not be started"
    return f"it ended by signal {-code}" if code < 0 else f"it ended with exit code {code}"

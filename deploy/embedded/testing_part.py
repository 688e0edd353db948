"""One real program of the platform under test, which can be killed and started again in place.

It dies with the thread that started it, so start it in the main thread (an ordinary fixture does).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded.processes import Launch, spawn

READY_SECONDS = 60.0
"""How long a program may take to start on a busy machine."""
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02


@dataclass
class Part:
    """One running program that can be killed and started again in place."""

    name: str
    launch: Launch
    directory: Path
    is_ready: Callable[[], bool]
    before_start: Callable[[], None] | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What the program printed, over all its lives."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The pid of the running program. Raises RuntimeError when it does not run."""
        return self._require().pid

    def start(self) -> None:
        """Start and wait until it answers. Raises RuntimeError as `wait_ready`."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start, without waiting for it."""
        if self.before_start:
            self.before_start()
        self._process = spawn(self.launch, self.directory / f"{self.name}.launch.json", self.log)

    def wait_ready(self) -> None:
        """Return when it answers. Raises RuntimeError, with the log's end, where it ends or takes too long."""
        process = self._require()
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not become ready:\n{self.log.read_text()[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def stop(self, how: signal.Signals | None = None) -> None:
        """End it in order, or by another signal; kill it if that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(how or self.launch.death_signal)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP), as a machine under load would, and wait until it stands: its threads run on until the
        one that gets the signal has had its turn, and might answer meanwhile."""
        process = self._require()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on."""
        self._require().send_signal(signal.SIGCONT)

    def _require(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process

    def restart(self) -> None:
        """Stop if it runs, then start with the same data and port."""
        self.stop()
        self.start()


@contextmanager
def started(part: Part) -> Iterator[None]:
    part.start()
    try:
        yield
    finally:
        part.stop()

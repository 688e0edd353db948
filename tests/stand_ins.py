"""Starts one of the platform's own servers as a child process, for tests that want the real thing.

Invariant: a child dies with the test process, however that ends.
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from deploy.embedded.processes import Launch, spawn

_START_SECONDS = 60.0
"""Only what fails takes so long: a deadline is no measure of speed, and other tests run beside this one."""


class Child:
    """A started process; `log` is where its output goes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def kill(self) -> None:
        """As a power cut would: SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Politely; the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=_START_SECONDS)


def start(argv: list[str], environment: Mapping[str, str], directory: Path) -> Child:
    """Starts `argv` with `environment` and its files in `directory`, dying with this process."""
    log = directory / "child.log"
    launch = Launch(tuple(argv), environment, death_signal=signal.SIGKILL)
    return Child(spawn(launch, directory / "launch.json", log), log)


def start_module(module: str, environment: Mapping[str, str], directory: Path) -> Child:
    """`python -m module`."""
    return start([sys.executable, "-m", module], environment, directory)


@contextlib.contextmanager
def running(child: Child, is_ready: Callable[[], bool]) -> Iterator[Child]:
    """Waits until `is_ready`, and ends the child at the end of the block."""
    try:
        wait_until(is_ready, child)
        yield child
    finally:
        child.kill()


def wait_until(is_true: Callable[[], bool], child: Child | None = None, seconds: float = _START_SECONDS) -> None:
    """Polls until `is_true`; fails with the child's output when it ended or the time is up."""
    deadline = time.monotonic() + seconds
    while not is_true():
        ended = child is not None and child.process.poll() is not None
        if ended or time.monotonic() > deadline:
            said = child.log.read_text(errors="replace")[-2000:] if child is not None else ""
            raise AssertionError(f"not {'ended' if ended else 'ready'} in time:\n{said}")
        time.sleep(0.01)

"""One Terraform process: its argument list, its exact environment, its lines, its end.

Invariants: no shell; a process group of its own, of which nothing is left when `run` returns; it is told to stop
before it is killed, because a stopped Terraform saves its state; and it does not outlive this process (parent-death
signal where util-linux is there, and everywhere because the provider it needs is gone).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_STDERR_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended: its exit code (negative: the signal), the end of its stderr, and why it was stopped."""

    exit_code: int
    stderr: str
    timed_out: bool
    cancelled: bool


class StopSwitch:
    """Stops whatever process is running under it, now and from now on. Any thread may throw it."""

    def __init__(self, grace_seconds: float) -> None:
        """`grace_seconds` is how long a process may take to save its state after SIGINT."""
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.thrown = False

    def throw(self) -> None:
        """Ask the process to stop, and kill its group if it does not; nothing starts under this switch any more."""
        with self._lock:
            self.thrown = True
            process = self._process
        if process is not None:
            self.stop(process)

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        """`process` is what a throw stops."""
        with self._lock:
            self._process = process
            thrown = self.thrown
        if thrown:
            self.stop(process)

    def detach(self) -> None:
        """The process has ended; its number may soon be another's."""
        with self._lock:
            self._process = None

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """SIGINT now, SIGKILL for the whole group once the grace is over."""
        with self._lock:
            # Terraform alone: it stops its own children, and a second interrupt would make it abandon its state.
            process.send_signal(signal.SIGINT)
        killer = threading.Timer(self._grace_seconds, kill_group, [process])
        killer.daemon = True
        killer.start()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End every process of the group that `process` leads, unless it was reaped: its number may be another's then."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def with_death_signal(argv: Sequence[str], *, saves_state: bool) -> list[str]:
    """`argv`, ended when the thread that starts it ends (prctl(2)), where `setpriv` can arrange that. What saves state
    is told to stop; what only reads is killed, because it might wait for ever for a provider that is gone."""
    setpriv = shutil.which("setpriv")
    number = "INT" if saves_state else "KILL"
    return [setpriv, "--pdeathsig", number, "--", *argv] if setpriv else list(argv)


def run(
    argv: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    switch: StopSwitch,
    timeout_seconds: float,
    saves_state: bool,
) -> Finished:
    """Run `argv` to its end; `on_line` gets each line of its stdout as it comes, in this thread.

    Raises OSError when the program cannot be started.
    """
    process = subprocess.Popen(
        with_death_signal(argv, saves_state=saves_state),
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdout is None or process.stderr is None:
        raise AssertionError("both streams are pipes")
    timed_out = threading.Event()

    def expire() -> None:
        timed_out.set()
        switch.stop(process)

    clock = threading.Timer(timeout_seconds, expire)
    clock.daemon = True
    tail: list[bytes] = []
    drain = threading.Thread(target=_keep_tail, args=(process.stderr, tail), daemon=True)
    try:
        clock.start()
        drain.start()
        switch.attach(process)
        for line in process.stdout:
            on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
        # Wait without reaping, so that the group's number stays ours until what is left of it has been killed.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        clock.cancel()
        switch.detach()
        kill_group(process)
        process.wait()
        drain.join(timeout=5)
        process.stdout.close()
        process.stderr.close()
    return Finished(
        exit_code=process.returncode,
        stderr=b"".join(tail).decode("utf-8", "replace"),
        timed_out=timed_out.is_set(),
        cancelled=switch.thrown,
    )


def _keep_tail(stream: IO[bytes], tail: list[bytes]) -> None:
    """Read `stream` to its end, keeping the last of it in `tail`."""
    kept = b""
    while chunk := stream.read(4096):
        kept = (kept + chunk)[-_STDERR_BYTES:]
        tail[:] = [kept]

"""A terminal: the command line as a process of its own, with somebody who looks and types.

Invariant: the process ends with the block, however the test does.
"""

import contextlib
import errno
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_SECONDS = 30.0
_SIGNAL_AGAIN_SECONDS = 3.0
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z]")
PROJECT = Path(__file__).resolve().parents[3]


class Terminal:
    """`written` is every byte that came, with the commands to the terminal among them."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.written = ""
        self._descriptor = descriptor

    @property
    def text(self) -> str:
        """What was written, without styles and movements; lines that were drawn over are all there."""
        return _MOVES.sub("", _STYLES.sub("", self.written)).replace("\r", "")

    def wait_for(self, words: str) -> None:
        """Read until `words` are on the screen."""
        self._read_until(lambda: words in self.text, words)

    def type(self, keys: str) -> None:
        """Type."""
        os.write(self._descriptor, keys.encode())

    def ended(self, by: signal.Signals | None = None) -> int:
        """Read to the end, which the signal `by` brings about (SIGINT is what Ctrl-C does); answers the exit code.

        The signal is sent again after a while, as a person would: Python does not notice one that comes just before it
        blocks in a system call.
        """
        self._read_until(lambda: False, "the end", by)
        return self.process.wait(_SECONDS)

    def _read_until(self, is_true: Callable[[], bool], what: str, by: signal.Signals | None = None) -> None:
        deadline = time.monotonic() + _SECONDS
        next_signal = time.monotonic() if by else deadline
        while not is_true():
            if by and time.monotonic() >= next_signal:
                self.process.send_signal(by)
                next_signal += _SIGNAL_AGAIN_SECONDS
            ready, _, _ = select.select(
                [self._descriptor], [], [], max(0.0, min(deadline, next_signal) - time.monotonic())
            )
            assert ready or time.monotonic() < deadline, f"{what!r} did not come within {_SECONDS:g} s: {self.text!r}"
            if not ready:
                continue
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError as error:
                if error.errno != errno.EIO:  # which is how Linux says that the other side is closed
                    raise
                chunk = b""
            if not chunk:
                assert what == "the end", f"ended without {what!r}: {self.text!r}"
                return
            self.written += chunk.decode()


@contextlib.contextmanager
def slipway(
    *arguments: str, environment: Mapping[str, str], columns: int = 80, piped_result: Path | None = None
) -> Iterator[Terminal]:
    """`slipway arguments` on a terminal of so many columns; with `piped_result` its result goes to that file."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    setpriv = shutil.which("setpriv")
    dying_with_us = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    with contextlib.ExitStack() as stack:
        result = stack.enter_context(piped_result.open("wb")) if piped_result else theirs
        process = subprocess.Popen(
            [*dying_with_us, sys.executable, "-m", "cli.main", *arguments],
            stdin=theirs,
            stdout=result,
            stderr=theirs,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color", "TZ": "UTC", **environment},
            cwd=PROJECT,
        )
        stack.callback(os.close, ours)
        stack.callback(process.wait)
        stack.callback(process.kill)
        os.close(theirs)
        yield Terminal(process, ours)

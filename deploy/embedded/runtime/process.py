"""One process of an application: started with an exact environment, read to its last line, ended with everything it
started.

Invariant: whoever awaits `ended` learns of the exit at once (a pidfd), and after `stop` nothing is left of the process
group.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import psutil

from deploy.embedded.runtime.logbook import LINE_BYTES

_BECOME: Final = Path(__file__).with_name("become.py")
_CHUNK_BYTES: Final = 64 * 1024
_PAUSE_SECONDS: Final = 0.01
"""After each chunk, so that who prints without end waits instead of us."""
_LAST_WORDS_SECONDS: Final = 0.5
Print = Callable[[Literal["out", "err"], str], None]


class Process:
    """A started process; `ended` comes true with its exit code (negative for a signal)."""

    def __init__(self, popen: subprocess.Popen[bytes], write: Print) -> None:
        self._popen = popen
        self.pid = popen.pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)
        self._readers = [
            asyncio.ensure_future(_read(stream, lambda line, name=name: write(name, line)))  # type: ignore[misc]
            for name, stream in (("out", popen.stdout), ("err", popen.stderr))
        ]

    @classmethod
    async def start(
        cls, argv: Sequence[str], environment: Mapping[str, str], directory: Path, write: Print
    ) -> "Process":
        """Start `argv` in a session of its own. It dies with the thread of the running loop."""
        popen = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and a thread's death would end the child
            [sys.executable, "-I", "-S", str(_BECOME)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        process = cls(popen, write)
        told = {"argv": list(argv), "environment": dict(environment), "directory": str(directory)}
        await asyncio.to_thread(_tell, popen, json.dumps(told).encode())
        return process

    @property
    def memory_bytes(self) -> int:
        """What it and everything below it hold in memory."""
        try:
            process = psutil.Process(self.pid)
            return sum(_resident(one) for one in (process, *process.children(recursive=True)))
        except psutil.NoSuchProcess:
            return 0

    async def stop(self, grace_seconds: float) -> None:
        """End it: politely, and after `grace_seconds` not any more."""
        if not self.ended.done():
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_seconds):
                    await asyncio.shield(self.ended)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self.ended
        await self.clean_up()

    def kill(self) -> None:
        """End it and its group at once."""
        self._signal(signal.SIGKILL)

    async def clean_up(self) -> None:
        """After its end: end what it left behind in its group, and hear its last words."""
        self._signal(signal.SIGKILL)
        _, late = await asyncio.wait(self._readers, timeout=_LAST_WORDS_SECONDS)
        for reader in late:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return  # nobody is left, which is what we want

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._popen.wait()
        if not self.ended.done():
            self.ended.set_result(code)


def _tell(popen: subprocess.Popen[bytes], text: bytes) -> None:
    if popen.stdin is None:
        raise RuntimeError("the process was started without a pipe")
    try:
        popen.stdin.write(text)
        popen.stdin.close()
    except BrokenPipeError:
        return  # it ended before it had read: its exit code tells


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


async def _read(stream: object, write: Callable[[str], None]) -> None:
    """Write every line as it comes, longer ones in pieces, until the last holder of the pipe is gone."""
    reader = asyncio.StreamReader(limit=_CHUNK_BYTES)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
    left = b""
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            *lines, left = (left + chunk).split(b"\n")
            for line in lines:
                _write_pieces(line, write)
            if len(left) > LINE_BYTES:
                _write_pieces(left, write)
                left = b""
            if len(chunk) == _CHUNK_BYTES:
                await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        if left:
            _write_pieces(left, write)
        transport.close()


def _write_pieces(line: bytes, write: Callable[[str], None]) -> None:
    for start in range(0, len(line) or 1, LINE_BYTES):
        write(line[start : start + LINE_BYTES].decode(errors="replace").rstrip("\r"))

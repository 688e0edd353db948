"""Reading objects through `git cat-file --batch-command`, one long-lived child per repository in use.

Invariant: at most `capacity` children; a child ends when its input closes. Expressions never hold a newline (`names`
sees to it), so one request is always one answer.
"""

import subprocess
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_CAPACITY: Final = 24
_CHUNK_BYTES: Final = 1024 * 1024


class ObjectTooLargeError(Exception):
    """An object is larger than the caller wanted to read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the object has {size} bytes")
        self.size = size


@dataclass(frozen=True)
class ObjectInfo:
    """An object's name, kind (`blob`, `tree`, `commit`, `tag`) and size in bytes."""

    sha: str
    kind: str
    size: int


class Reader:
    """Reads one repository's objects. Safe to use from many threads; they take turns."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def info(self, expression: str) -> ObjectInfo | None:
        """What `expression` (as in gitrevisions(7)) names, or None."""
        with self._lock:
            return self._ask("info", expression)

    def contents(self, expression: str, limit_bytes: int) -> tuple[ObjectInfo, bytes] | None:
        """The object itself. Raises ObjectTooLargeError."""
        with self._lock:
            info = self._ask("info", expression)
            if info is None:
                return None
            if info.size > limit_bytes:
                raise ObjectTooLargeError(info.size)
            # By name: the ref may have moved since.
            found = self._ask("contents", info.sha)
            if found is None:
                return None
            data = self._read_exactly(found.size + 1)
            return found, data[:-1]

    def _ask(self, command: str, expression: str) -> ObjectInfo | None:
        if "\n" in expression or "\0" in expression:
            return None
        request = f"{command} {expression}\n".encode()
        try:
            line = self._exchange(request)
        except OSError:
            # The child was killed; a new one answers as well.
            self._end()
            line = self._exchange(request)
        words = line.decode("utf-8", "replace").rsplit(" ", 2)
        if len(words) != 3 or not words[2].isdigit():
            return None
        return ObjectInfo(words[0], words[1], int(words[2]))

    def _exchange(self, request: bytes) -> bytes:
        stdin, stdout = self._pipes()
        stdin.write(request)
        stdin.flush()
        line = stdout.readline()
        if not line.endswith(b"\n"):
            raise BrokenPipeError("git cat-file ended")
        return line[:-1]

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise BrokenPipeError("git cat-file has no pipes")
        return stdin, stdout

    def _read_exactly(self, size: int) -> bytes:
        _, stdout = self._pipes()
        data = bytearray()
        while len(data) < size:
            part = stdout.read(min(size - len(data), _CHUNK_BYTES))
            if not part:
                self._end()
                raise BrokenPipeError("git cat-file ended within an object")
            data += part
        return bytes(data)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        # Waits for the child and closes both pipes.
        process.communicate()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()


class Readers:
    """A reader per repository; the least recently used ones are closed."""

    def __init__(self, executable: str, environment: dict[str, str]) -> None:
        self._executable = executable
        self._environment = environment
        self._lock = threading.Lock()
        self._readers: OrderedDict[Path, Reader] = OrderedDict()

    def of(self, directory: Path) -> Reader:
        """The reader for the repository in `directory`."""
        evicted: list[Reader] = []
        with self._lock:
            reader = self._readers.get(directory)
            if reader is None:
                command = [self._executable, f"--git-dir={directory}", "cat-file", "--batch-command"]
                reader = self._readers[directory] = Reader(command, self._environment)
            self._readers.move_to_end(directory)
            while len(self._readers) > _CAPACITY:
                evicted.append(self._readers.popitem(last=False)[1])
        for each in evicted:
            each.close()
        return reader

    def close(self, directory: Path) -> None:
        """End the reader of a repository that goes away."""
        with self._lock:
            reader = self._readers.pop(directory, None)
        if reader is not None:
            reader.close()

    def close_all(self) -> None:
        """End every reader."""
        with self._lock:
            readers = list(self._readers.values())
            self._readers.clear()
        for reader in readers:
            reader.close()

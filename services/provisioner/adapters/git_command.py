"""One git command: its exact environment, its time limit, its end.

Invariants: nothing of the machine's or a person's git configuration has a say; the token is read by git's credential
helper from its file, and stands in no argument, URL, variable or log; nothing of a command is left when `run` is over.
"""

import asyncio
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from chassis.failures import TransientError


@dataclass(frozen=True, slots=True)
class GitKnobs:
    """Where the repository is (`url`, without a user or a token), which branch counts, and whom we are there.

    `clone` is a bare repository of our own, made on first use; `protocols` are the transports that git may use.
    """

    url: str
    branch: str
    user: str
    token_file: Path
    clone: Path
    protocols: str = "http:https"
    timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Output:
    """How a command ended: its exit code (negative: the signal), and what it said."""

    code: int
    stdout: bytes
    stderr: str


class Git:
    """Git on one bare repository."""

    def __init__(self, knobs: GitKnobs) -> None:
        self._knobs = knobs
        self._environment = _environment_of(knobs)

    async def run(self, *arguments: str, stdin: bytes = b"") -> Output:
        """Run a command to its end, whatever its exit code. Raises TransientError when it takes too long."""
        # In a thread: uvloop's subprocesses fail when one ends before its stdin has been closed.
        command = _Command(["git", f"--git-dir={self._knobs.clone}", *arguments], self._environment)
        talking = asyncio.get_running_loop().run_in_executor(None, command.run, stdin, self._knobs.timeout_seconds)
        try:
            return await asyncio.shield(talking)
        except subprocess.TimeoutExpired:
            raise TransientError(f"git {arguments[0]} took longer than {self._knobs.timeout_seconds:g} s") from None
        except asyncio.CancelledError:
            command.kill()
            await asyncio.wait([talking])
            raise


class _Command:
    """One git process, run in one thread and killed from any."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._argv = argv
        self._environment = environment
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False

    def run(self, stdin: bytes, timeout_seconds: float) -> Output:
        """To its end. Raises subprocess.TimeoutExpired, after which nothing of it is left."""
        with self._lock:
            if self._killed:
                return Output(-signal.SIGKILL, b"", "")
            self._process = process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        try:
            stdout, stderr = process.communicate(stdin or None, timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            process.communicate()
            raise
        return Output(process.returncode, stdout, stderr.decode("utf-8", "replace"))

    def kill(self) -> None:
        """End it and what it started (git-remote-http), now or as soon as it begins."""
        with self._lock:
            self._killed = True
            if self._process is not None and self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)


def _environment_of(knobs: GitKnobs) -> dict[str, str]:
    """Nothing of the machine's or a person's git configuration, and no secret."""
    helper = (
        '!f() { test "$1" = get || exit 0; echo "username=$SLIPWAY_GIT_USER";'
        ' printf "password=%s\\n" "$(cat "$SLIPWAY_GIT_TOKEN_FILE")"; }; f'
    )
    settings = {
        "credential.helper": helper,
        "core.hooksPath": os.devnull,
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "20",
        "gc.autoDetach": "false",
        "maintenance.autoDetach": "false",
    }
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(knobs.clone.parent),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": knobs.protocols,
        "SLIPWAY_GIT_USER": knobs.user,
        "SLIPWAY_GIT_TOKEN_FILE": str(knobs.token_file),
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (key, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return environment

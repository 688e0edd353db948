"""A container engine as small as it can be: runs what the Compose file says as processes of this machine.

Each container is a process in a mount namespace of its own, with its volumes at their places, a read-only root, only
the tmpfs it is given, uid 10001, no capabilities and no new privileges; all of them share one network of their own, in
which names lead where Compose's would. So a command, a path, a variable, an address or a mode that would not work in a
container does not work here, and nothing reaches the machine beyond.

Run as `unshare --user --map-user 10001 … python -m tests.deploy.engine`: it is the first process of its namespaces, and
everything ends with it. It reads orders as lines of JSON from stdin, answers each with one line, and ends at the end of
its input. Nothing here knows Slipway.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS = 0x00020000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DROP = (*("setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"),)
PLACES = ("/srv", "/run", "/tmp")
"""Directories that are empty in every container but for what is mounted there."""


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode(), flags, options.encode())
    _check(_LIBC.mount(*arguments), f"mount {target}")


class Engine:
    """The running containers."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._pids: dict[str, int] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._codes: dict[int, int] = {}

    def start(self, spec: dict[str, Any]) -> None:
        """Start a container; its output goes to `<state>/<name>.log`."""
        self._specs[spec["name"]] = spec
        self._pids[spec["name"]] = self._fork(spec, spec["argv"], self._log(spec["name"]), mounts=None)

    def execute(self, name: str, argv: list[str], environment: dict[str, str], seconds: float) -> dict[str, Any]:
        """Run a command within a container, as `docker exec` would; `code` is None where it took too long."""
        spec = self._specs[name]
        spec = spec | {"environment": spec["environment"] | environment}
        output = self._state / f"{name}.exec.log"
        output.unlink(missing_ok=True)
        pid = self._fork(spec, argv, output, mounts=f"/proc/{self._pids[name]}/ns/mnt")
        deadline = time.monotonic() + seconds
        while pid not in self._codes and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.005)
        if pid not in self._codes:
            os.kill(pid, signal.SIGKILL)
        return {"code": self._codes.get(pid), "output": output.read_text(errors="replace")}

    def code(self, name: str) -> int | None:
        """The exit code of a container that has ended."""
        self._reap()
        return self._codes.get(self._pids[name])

    def stop(self, name: str, number: int) -> None:
        """Send a signal to a container's first process."""
        os.kill(self._pids[name], number)

    def _log(self, name: str) -> Path:
        return self._state / f"{name}.log"

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._codes[pid] = os.waitstatus_to_exitcode(status)

    def _fork(self, spec: dict[str, Any], argv: list[str], log: Path, *, mounts: str | None) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for number in (1, 2):
                os.dup2(output, number)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.setsid()
            if mounts is None:
                _check(_LIBC.unshare(_NEW_MOUNTS), "unshare")
                self._arrange(spec)
            else:
                _check(_LIBC.setns(os.open(mounts, os.O_RDONLY), _NEW_MOUNTS), "setns")
            os.chdir(spec["directory"])
            os.umask(0o022)
            os.execvpe(_DROP[0], [*_DROP, *argv], spec["environment"])  # noqa: S606 - no shell is the point
        except OSError as error:
            os.write(2, f"this container cannot start: {error}\n".encode())
        finally:
            os._exit(127)

    def _arrange(self, spec: dict[str, Any]) -> None:
        """The container's own view of the file system."""
        _mount("", "/", "", _REC | _PRIVATE)
        state = self._state / "mounts"
        # What is bound stands below directories that are about to be covered: keep a way to it.
        _mount("tmpfs", str(state), "tmpfs", 0)
        kept = []
        for number, (source, target, writable) in enumerate(spec["binds"]):
            hold = state / str(number)
            if Path(source).is_dir():
                hold.mkdir()
            else:
                hold.touch()
            _mount(source, str(hold), "", _BIND | _REC)
            kept.append((os.open(hold, os.O_PATH), target, writable))
        read_only = [] if spec["writable_root"] else ["/", *spec["also_read_only"]]
        for place in PLACES:
            _mount("tmpfs", place, "tmpfs", 0)
        for target, options in spec["tmpfs"]:
            Path(target).mkdir(parents=True, exist_ok=True)
            words = options.split(",")
            flags = _NOSUID | _NODEV | (0 if "exec" in words else _NOEXEC)
            _mount("tmpfs", target, "tmpfs", flags, ",".join(word for word in words if "=" in word))
        for descriptor, target, writable in kept:
            self._bind(f"/proc/self/fd/{descriptor}", Path(target), writable=writable)
        given = {target for target, _ in spec["tmpfs"]}
        for place in [*(place for place in PLACES if place not in given), *read_only]:
            _mount("", place, "", _REMOUNT | _BIND | _RDONLY)

    @staticmethod
    def _bind(source: str, target: Path, *, writable: bool) -> None:
        if Path(source).is_dir():
            target.mkdir(parents=True, exist_ok=True)
        elif not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        _mount(source, str(target), "", _BIND | _REC)
        if not writable:
            _mount("", str(target), "", _REMOUNT | _BIND | _RDONLY)


def main() -> int:
    """Set the network up, then follow orders until there are no more."""
    engine = Engine(Path(sys.argv[1]))
    commands = ["link set lo up", *(f"address add {address} dev lo" for address in sys.argv[2:])]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(engine, order["do"])(*order["with"])
        except (OSError, KeyError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

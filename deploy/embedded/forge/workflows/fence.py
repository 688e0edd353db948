"""Become a job's runner: read a launch file, put a fence around this process, then exec what the file says.

The fence is a user, mount, process-id and IPC namespace (namespaces(7)): the paths in `hidden` are empty, everything
but the paths in `writable` is read-only, `/tmp` is the job's own, no other process is seen, and every process of the
job ends with this one. Where the kernel refuses (some distributions do), the exit code is 125 and nothing has run.

Standard library only: it runs in a bare interpreter before every job (`python -I -S fence.py FILE`). A launch file is
JSON: `argv`, `environment`, `directory`, `nice`, `fenced`, and for the fence `hidden`, `visible` (shown again though
below something hidden), `writable` (the same, to write to) and `temporary` (what is `/tmp`).
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any

_NEW = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000  # CLONE_NEWNS, NEWIPC, NEWUSER, NEWPID
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = 442, -100, 0x8000, 1
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_ID = 1000
_REFUSED = 125


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    arguments = (source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode())
    _check(_LIBC.mount(*arguments), f"mount {target}")


def _read_only(path: str, *, on: bool) -> None:
    attributes = _Attributes(int(on), int(not on), 0, 0)
    recursive = _AT_RECURSIVE if on else 0
    size = ctypes.sizeof(attributes)
    result = _LIBC.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), recursive, ctypes.byref(attributes), size)
    _check(result, f"mount_setattr {path}")


def _enter(launch: dict[str, Any]) -> None:
    """New namespaces; afterwards the paths are as the launch file wants them."""
    uid, gid = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(_NEW), "unshare")
    for name, content in (
        ("uid_map", f"{_ID} {uid} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{_ID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes 10 ms to load
            file.write(content)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # Held by descriptor: some lie below what is about to be hidden.
    kept = [(path, os.open(path, os.O_PATH)) for path in (*launch["visible"], *launch["writable"])]
    temporary = os.open(launch["temporary"], os.O_PATH)
    for path in ("/tmp", *launch["hidden"]):  # noqa: S108 - hidden, not used
        if os.path.isdir(path):  # noqa: PTH112 - as above
            _mount("slipway", path, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=4m")
    _mount(f"/proc/self/fd/{temporary}", "/tmp", None, _MS_BIND)  # noqa: S108 - the job's own from here on
    for path, descriptor in kept:
        os.makedirs(path, exist_ok=True)  # noqa: PTH103 - as above
        _mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND)
    _read_only("/", on=True)
    for path in ("/tmp", *launch["writable"]):  # noqa: S108 - the job's own
        _read_only(path, on=False)
    for path in ("/dev/shm", "/dev/pts"):  # noqa: S108 - the system's
        if os.path.isdir(path):  # noqa: PTH112 - as above
            _read_only(path, on=False)
    for _, descriptor in kept:
        os.close(descriptor)
    os.close(temporary)


def _become(launch: dict[str, Any]) -> None:
    os.chdir(launch["directory"])
    os.execve(launch["argv"][0], launch["argv"], launch["environment"])  # noqa: S606 - a shell is what we avoid


def _guard(child: int) -> int:
    """Wait for the job and pass its end on; the kernel ends whatever it left behind."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGKILL))
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except InterruptedError:
            continue


def main(path: str) -> None:
    """Run the program of the launch file at `path` and exit with its code."""
    parent = os.getppid()
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes 10 ms to load
        launch: dict[str, Any] = json.load(file)
    os.umask(0o077)
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("the forge ended before the start")
    os.nice(launch["nice"])
    if launch["fenced"]:
        try:
            _enter(launch)
        except OSError as error:
            print(f"no fence: {error}", file=sys.stderr)
            sys.exit(_REFUSED)
        child = os.fork()
        if child == 0:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV)
            _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            _become(launch)
        sys.exit(_guard(child) & 0xFF)
    _become(launch)


_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]

if __name__ == "__main__":
    main(sys.argv[1])

"""Become one program: read a launch file, then exec what it says.

Every process of the embedded platform is started through this file, by the supervisor and by tests
alike. It gives what a supervisor's configuration cannot: an exact environment, a parent-death signal
and, for Postgres, another user. Invariant: **nothing started here outlives its parent**, so killing
the supervisor with SIGKILL leaves no orphan.

It must stay importable by a bare interpreter (`python -I -S launch.py FILE`): standard library only,
because it runs before every start of every process and has about 20 ms to do so.

A launch file is JSON: `argv` (list), `environment` (object), `directory`, `death_signal` (number) and
optionally `user` with `uid` and `gid`, or `namespace` (true: run as uid 1000 of a new user namespace,
the files on disk still belonging to the caller). `subreaper` makes the process adopt the orphans
below it.
"""

import ctypes
import json
import os
import sys
from typing import Any

_CLONE_NEWUSER = 0x10000000  # unshare(2)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_NAMESPACE_ID = 1000


def _call(function: str, *arguments: int) -> None:
    """Call a libc function that answers 0, or raise OSError with its errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _enter_user_namespace() -> None:
    """Be an ordinary user in one's own eyes while files stay the caller's (user_namespaces(7))."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    for name, content in (
        ("uid_map", f"{_NAMESPACE_ID} {uid} 1"),
        ("setgroups", "deny"),
        ("gid_map", f"{_NAMESPACE_ID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes 10 ms to load
            file.write(content)


def _become(user: dict[str, int]) -> None:
    os.setgroups([])
    os.setgid(user["gid"])
    os.setuid(user["uid"])


def main(path: str) -> None:
    """Exec the program of the launch file at `path`; only returns by raising."""
    parent = os.getppid()
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes 10 ms to load
        launch: dict[str, Any] = json.load(file)
    os.umask(0o077)
    os.chdir(launch["directory"])
    if launch.get("namespace"):
        _enter_user_namespace()
    if launch.get("user"):
        _become(launch["user"])
    if launch.get("subreaper"):
        _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Last: a change of credentials clears the signal. If the parent died before, nobody will send it.
    _call("prctl", _PR_SET_PDEATHSIG, launch["death_signal"], 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended before the start")
    os.execve(launch["argv"][0], launch["argv"], launch["environment"])  # noqa: S606 - a shell is what we avoid


if __name__ == "__main__":
    main(sys.argv[1])

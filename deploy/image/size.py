"""`python -m deploy.image.size [SERVICE...]`: how large the final stage of each image is, above its base image, as far
as that can be told without an engine: the packages that pip installs for it, and our own directories.

What is counted is what is installed here, file by file as the record of each package names it, compiled modules too;
names come from where the Dockerfile takes them. The base image, and what apt adds (`TOOLS`), are not counted.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from deploy.image.processes import PROCESSES, PROJECT, requirements

OURS: Final = ("LICENSE", "NOTICE", "golden_paths", "contracts", "chassis", "services", "cli", "deploy")
"""What the Dockerfile copies."""
_NOT_COPIED: Final = {"__pycache__", ".slipway", "node_modules"}


def closure(names: Iterable[str]) -> set[str]:
    """Every distribution that these requirements lead to on this machine, by its normalised name.

    Raises `importlib.metadata.PackageNotFoundError` where one is not installed."""
    found: dict[str, set[str]] = {}
    waiting = [Requirement(name) for name in names]
    while waiting:
        wanted = waiting.pop()
        name = normalised(wanted.name)
        extras = wanted.extras | {""}
        if extras <= found.get(name, set()):
            continue
        found.setdefault(name, set()).update(extras)
        for line in metadata.distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    return set(found)


def normalised(name: str) -> str:
    """A package's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def package_bytes(name: str) -> int:
    """The size of a package's files."""
    distribution = metadata.distribution(name)
    files = {Path(str(distribution.locate_file(file))).resolve() for file in distribution.files or ()}
    return sum(path.stat().st_size for path in files if path.is_file())


def our_bytes(project: Path = PROJECT) -> int:
    """The size of our own files, with what compiling adds to each module (about as much again)."""
    total = 0
    for name in OURS:
        top = project / name
        for path in [top] if top.is_file() else top.rglob("*"):
            if path.is_file() and not _NOT_COPIED & set(path.relative_to(project).parts):
                total += path.stat().st_size * (2 if path.suffix == ".py" else 1)
    return total


def main() -> int:
    """Print a line for each image; 2 where there is none of a name."""
    names = sys.argv[1:] or list(PROCESSES)
    if unknown := set(names) - set(PROCESSES):
        sys.stderr.write(f"no such image: {', '.join(sorted(unknown))}; there are: {', '.join(PROCESSES)}\n")
        return 2
    own = our_bytes()
    print(f"{'image':12} {'packages':>10} {'ours':>8} {'together':>10}  largest packages (MB)")
    for name in names:
        sizes = {one: package_bytes(one) for one in closure(requirements(name))}
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:3]
        shown = ", ".join(f"{one} {size / 1e6:.1f}" for one, size in largest)
        packages = sum(sizes.values())
        print(f"{name:12} {packages / 1e6:7.1f} MB {own / 1e6:5.1f} MB {(packages + own) / 1e6:7.1f} MB  {shown}")
    print("Above the base image, which is counted once for all of them.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

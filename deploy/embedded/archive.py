"""A backup as one file: a compressed tar whose first member says what all the others are.

Invariants: the manifest names every member in order with its size and SHA-256, and whatever is not exactly so is
refused; a file appears under its name whole or not at all; nothing that a member says makes reading write outside the
directory it is read into.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Literal, cast
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from deploy.embedded.sealing import MAGIC, SealedReader, SealError, SealingWriter

FORMAT = 1
_MANIFEST = "manifest.json"
_BELOW = "home/"
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_MANIFEST_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_LEVEL = 3
"""Of gzip: twice the size of its best would cost a quarter of the time; here it is a tenth more for half of it."""
_READABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class ArchiveError(Exception):
    """The file is no backup, or not as it was written."""


class Entry(BaseModel):
    """One thing of the home. `path` is below it, percent-encoded where it is not plain ASCII."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    kind: Literal["file", "directory", "link"]
    mode: int
    size_bytes: int = 0
    sha256: str = ""
    target: str = ""
    """Where a symbolic link points, encoded like `path`."""

    @property
    def name(self) -> str:
        """The path as the file system has it."""
        return os.fsdecode(unquote_to_bytes(self.path))


class Manifest(BaseModel):
    """What a backup is of, and everything in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    slipway_version: str
    postgres_major: str
    made_at: AwareDatetime
    home: str
    """The path it was at; Terraform's states and the applications' slots name it."""
    port_base: int
    entries: tuple[Entry, ...]

    @property
    def size_bytes(self) -> int:
        """Of all its files."""
        return sum(entry.size_bytes for entry in self.entries)


def encoded(name: str) -> str:
    """A path as a manifest has it."""
    return quote_from_bytes(os.fsencode(name), safe=_READABLE)


def entries_of(root: Path) -> list[Entry]:
    """Everything below `root`, each directory before what is in it. Sockets, pipes and devices are left out."""
    return [entry for path in sorted(_below(root)) if (entry := _entry(path, root))]


def _below(root: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(root):
        yield from (Path(directory, name) for name in (*directories, *files))


def _entry(path: Path, root: Path) -> Entry | None:
    found = path.lstat()
    name, mode = encoded(str(path.relative_to(root))), stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return Entry(path=name, kind="link", mode=0o777, target=encoded(str(path.readlink())))
    if stat.S_ISDIR(found.st_mode):
        return Entry(path=name, kind="directory", mode=mode)
    if not stat.S_ISREG(found.st_mode):
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(path=name, kind="file", mode=mode, size_bytes=found.st_size, sha256=digest)


def write(destination: Path, root: Path, manifest: Manifest, passphrase: bytes | None) -> None:
    """Write what `manifest` names below `root` to `destination`, which appears when all of it is on disk."""
    temporary = destination.with_name(f".{destination.name}.unfinished")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            sealing = SealingWriter(file, passphrase) if passphrase is not None else None
            with gzip.GzipFile("", "wb", _LEVEL, cast("IO[bytes]", sealing or file), mtime=0) as packed:
                _pack(packed, root, manifest)
            if sealing:
                sealing.close()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(destination.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pack(packed: gzip.GzipFile, root: Path, manifest: Manifest) -> None:
    document = manifest.model_dump_json().encode()
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        about = tarfile.TarInfo(_MANIFEST)
        about.size, about.mode = len(document), 0o600
        about.mtime = int(manifest.made_at.timestamp())
        tar.addfile(about, io.BytesIO(document))
        for entry in manifest.entries:
            member = tarfile.TarInfo(_BELOW + entry.name)
            member.mode, member.mtime = entry.mode, about.mtime
            if entry.kind == "file":
                member.size = entry.size_bytes
                with (root / entry.name).open("rb") as content:
                    tar.addfile(member, content)
                continue
            member.type = tarfile.DIRTYPE if entry.kind == "directory" else tarfile.SYMTYPE
            member.linkname = os.fsdecode(unquote_to_bytes(entry.target))
            tar.addfile(member)


def read(
    source: Path,
    passphrase: bytes | None,
    *,
    into: Path | None = None,
    accept: Callable[[Manifest], None] = lambda _: None,
) -> Manifest:
    """Look through a whole backup, and put what it has below `into`, an empty directory, where that is given.

    `accept` sees the manifest before anything else is read, and may refuse it by raising. Raises `ArchiveError` for
    whatever is not as it was written: `into` then holds what has been read so far, and is to be thrown away.
    """
    try:
        with _opened(source, passphrase) as tar:
            manifest = _manifest(tar)
            accept(manifest)
            for entry in manifest.entries:
                _take(tar, entry, into)
            if tar.next() is not None:
                raise ArchiveError("it has more in it than its manifest says")
    except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, SealError) as error:
        raise ArchiveError(f"{source} cannot be read to its end: {error}") from error
    if into is not None:
        # Last, because a directory without write permission takes nothing in.
        for entry in reversed(manifest.entries):
            if entry.kind == "directory":
                (into / entry.name).chmod(entry.mode)
    return manifest


@contextmanager
def _opened(source: Path, passphrase: bytes | None) -> Iterator[tarfile.TarFile]:
    with source.open("rb") as file:
        start = file.read(len(MAGIC))
        file.seek(0)
        content: BinaryIO | SealedReader = file
        if start == MAGIC:
            if passphrase is None:
                raise ArchiveError(f"{source} is sealed with a passphrase: name its file with --passphrase-file")
            content = SealedReader(file, passphrase)
        elif not start.startswith(_GZIP_MAGIC):
            raise ArchiveError(f"{source} is not a backup of Slipway")
        elif passphrase is not None:
            raise ArchiveError(f"{source} is not sealed, though a passphrase is given: it may have been exchanged")
        with (
            gzip.GzipFile(fileobj=cast("IO[bytes]", content), mode="rb") as packed,
            tarfile.open(fileobj=packed, mode="r|") as tar,
        ):
            yield tar
            while packed.read(_CHUNK_BYTES):  # to the end of it: only there is the checksum looked at
                pass


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    content = tar.extractfile(first) if first and first.name == _MANIFEST and first.isreg() else None
    if first is None or content is None or first.size > _MAX_MANIFEST_BYTES:
        raise ArchiveError("it does not begin with a manifest: it is not a backup of Slipway")
    try:
        manifest = Manifest.model_validate_json(content.read())
    except ValidationError as error:
        raise ArchiveError(f"its manifest is not one that this version knows ({error.error_count()} errors)") from error
    _require_safe(manifest)
    return manifest


def _require_safe(manifest: Manifest) -> None:
    """Every parent a directory of the same manifest, and named before: so no member can lead out, by its name or by a
    link that came earlier."""
    directories = {PurePosixPath()}
    seen = set[PurePosixPath]()
    for entry in manifest.entries:
        path = PurePosixPath(entry.name)
        parts_are_plain = entry.name == str(path) and not path.is_absolute() and ".." not in path.parts
        if not parts_are_plain or "\0" in entry.name or path.parent not in directories or path in seen or not path.name:
            raise ArchiveError(f"its manifest names {entry.path!r}, which is no path of a home")
        seen.add(path)
        if entry.kind == "directory":
            directories.add(path)


def _take(tar: tarfile.TarFile, entry: Entry, into: Path | None) -> None:
    member = tar.next()
    kinds = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
    if member is None or (member.name, member.type) != (_BELOW + entry.name, kinds[entry.kind]):
        raise ArchiveError(f"{entry.path} is missing, or something else stands in its place")
    target = None if into is None else into / entry.name
    if entry.kind == "file":
        _take_file(tar, member, entry, target)
    elif entry.kind == "directory" and target is not None:
        target.mkdir(mode=0o700)
    elif entry.kind == "link":
        pointed = os.fsdecode(unquote_to_bytes(entry.target))
        if member.linkname != pointed:
            raise ArchiveError(f"{entry.path} is not the link that its manifest says")
        if target is not None:
            target.symlink_to(pointed)


def _take_file(tar: tarfile.TarFile, member: tarfile.TarInfo, entry: Entry, target: Path | None) -> None:
    content = tar.extractfile(member)
    if content is None or member.size != entry.size_bytes:
        raise ArchiveError(f"{entry.path} is not the file that its manifest says")
    digest = hashlib.sha256()
    with (target or Path(os.devnull)).open("wb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        if target is not None:
            os.fchmod(file.fileno(), stat.S_IMODE(entry.mode))
    if digest.hexdigest() != entry.sha256:
        raise ArchiveError(f"{entry.path} was changed: its SHA-256 is not the manifest's")

"""Unpack a release, which anybody who may push could have made up: `python -I -S unpack.py ARCHIVE DIRECTORY`.

Invariant: nothing is ever written outside DIRECTORY, and nothing in it leads outside. Paths are followed component by
component without following links; a symbolic link may go up only as far as the top, so by induction each ends inside.
Devices, pipes and absolute paths are refused, as is whatever is too large or too many. Modes keep nothing but `x`.

It runs as a process of its own under limits of memory, time and file size, because the archive's reader itself can be
made to work very long or to read very much. On standard output: JSON, `{"files": 3, "bytes": 120}` or
`{"refused": "why"}`. Only the standard library, so that a bare interpreter runs it.
"""

import contextlib
import gzip
import json
import os
import resource
import stat
import sys
import tarfile
import zlib

MAX_BYTES = 1 << 30
MAX_FILE_BYTES = 512 << 20
MAX_ENTRIES = 100_000
MAX_PATH_BYTES = 1024
MAX_DEPTH = 64
_MEMORY_BYTES = 512 << 20
_CPU_SECONDS = 120
_CHUNK_BYTES = 1 << 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_OVERHEAD_BYTES = 2048
"""What an entry may take besides its content."""


class RefusedError(Exception):
    """The archive is not one that we unpack."""


class _Bounded:
    """Reads no more than so many bytes out of a compressed file."""

    def __init__(self, source: gzip.GzipFile, most: int) -> None:
        self._source = source
        self._left = most

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise RefusedError(f"it is larger than {MAX_BYTES >> 20} MiB when unpacked")
        return data


def unpack(archive: str, directory: str) -> dict[str, int]:
    """Unpack a gzipped tar archive into an existing, empty directory. Raises `RefusedError`."""
    files = size = 0
    top = os.open(directory, _DIRECTORY)
    try:
        with (
            gzip.open(archive) as content,
            tarfile.open(
                mode="r|",
                fileobj=_Bounded(content, MAX_BYTES + MAX_ENTRIES * _OVERHEAD_BYTES),  # type: ignore[call-overload]
            ) as entries,
        ):
            for number, entry in enumerate(entries):
                if number >= MAX_ENTRIES:
                    raise RefusedError(f"it has more than {MAX_ENTRIES} entries")
                size += entry.size if entry.isreg() else 0
                if size > MAX_BYTES or entry.size > MAX_FILE_BYTES:
                    raise RefusedError("a file is too large, or all of them together are")
                files += _take(top, entries, entry)
                entries.members = []  # the reader would remember every one
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
        raise RefusedError(f"it cannot be read as a gzipped tar archive ({type(error).__name__})") from error
    except MemoryError:
        raise RefusedError("it takes too much memory to read") from None
    finally:
        os.close(top)
    return {"files": files, "bytes": size}


def _take(top: int, entries: tarfile.TarFile, entry: tarfile.TarInfo) -> int:
    """Make one entry; answers how many files that were."""
    parts = _parts(entry.name)
    if entry.isdir():
        os.close(_enter(top, parts))
        return 0
    if not parts:
        raise RefusedError("an entry has no name")
    parent = _enter(top, parts[:-1])
    try:
        if entry.isreg():
            _write(parent, parts[-1], entries, entry)
        elif entry.issym():
            _link(parent, parts, entry.linkname)
        elif entry.islnk():
            _hard_link(top, parent, parts[-1], _parts(entry.linkname))
        else:
            raise RefusedError("it holds something that is no file, directory or link")
    finally:
        os.close(parent)
    return 1


def _parts(name: str) -> list[str]:
    """The components of a path. Raises for one that is absolute, goes up, or is too long."""
    if name.startswith("/"):
        raise RefusedError("it holds an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise RefusedError("it holds a path that goes up")
    if "\0" in name or len(os.fsencode(name)) > MAX_PATH_BYTES or len(parts) > MAX_DEPTH:
        raise RefusedError("it holds a path that is too long or cannot be a path")
    return parts


def _enter(top: int, parts: list[str]) -> int:
    """Open a directory below the top, making what is missing on the way; never through a link."""
    here = os.dup(top)
    for part in parts:
        try:
            with contextlib.suppress(FileExistsError):  # the next line sees whether it is a directory
                os.mkdir(part, 0o700, dir_fd=here)
            further = os.open(part, _DIRECTORY, dir_fd=here)
        except OSError:
            raise RefusedError("a path leads through something that is no directory") from None
        finally:
            os.close(here)
        here = further
    return here


def _write(parent: int, name: str, entries: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
    source = entries.extractfile(entry)
    if source is None:
        raise RefusedError("a file has no content")
    mode = 0o700 if entry.mode & 0o100 else 0o600
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(name, flags, mode, dir_fd=parent)
    except OSError:
        raise RefusedError("a path is there twice, or cannot be made") from None
    with os.fdopen(descriptor, "wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            file.write(chunk)


def _link(parent: int, parts: list[str], target: str) -> None:
    steps = [step for step in target.split("/") if step not in ("", ".")]
    up = 0
    while up < len(steps) and steps[up] == "..":
        up += 1
    if target.startswith("/") or ".." in steps[up:] or up > len(parts) - 1 or "\0" in target:
        raise RefusedError("a link leads outside, or goes up on its way")
    try:
        os.symlink(target or ".", parts[-1], dir_fd=parent)
    except OSError:
        raise RefusedError("a path is there twice, or cannot be made") from None


def _hard_link(top: int, parent: int, name: str, target: list[str]) -> None:
    if not target:
        raise RefusedError("a link leads nowhere")
    source = _enter(top, target[:-1])
    try:
        # To a file alone: a symbolic link's second name may lead further out than the first.
        if not stat.S_ISREG(os.stat(target[-1], dir_fd=source, follow_symlinks=False).st_mode):
            raise RefusedError("a hard link leads to something that is no file")
        os.link(target[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    except OSError:
        raise RefusedError("a link leads to nothing that came before it") from None
    finally:
        os.close(source)


def main() -> int:
    """0 when it is unpacked, 1 when it is refused."""
    os.umask(0o077)
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    try:
        told: dict[str, int | str] = dict(unpack(sys.argv[1], sys.argv[2]))
    except RefusedError as error:
        told = {"refused": str(error)}
    print(json.dumps(told))
    return 1 if "refused" in told else 0


if __name__ == "__main__":
    sys.exit(main())

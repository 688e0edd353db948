"""Archives that somebody made up: nothing is written outside, nothing leads outside, nothing runs for long."""

import gzip
import io
import os
import tarfile
import zlib
from pathlib import Path

import pytest

from deploy.embedded.runtime import unpack as module
from deploy.embedded.runtime.unpack import RefusedError, unpack
from deploy.embedded.runtime.unpacking import UnusableReleaseError, unpack_release
from tests.runtimes import archive, crafted


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, target, mode
    return found


def unpacked(tmp_path: Path, packed: bytes) -> Path:
    """The directory that the archive became, inside a directory that must not be touched."""
    outside = tmp_path / "outside"
    target = outside / "inside"
    target.mkdir(parents=True)
    (outside / "precious").write_text("mine")
    source = tmp_path / "release.tgz"
    source.write_bytes(packed)
    try:
        unpack(str(source), str(target))
    finally:
        assert sorted(path.name for path in outside.iterdir()) == ["inside", "precious"]
        assert (outside / "precious").read_text() == "mine"
    return target


def test_files_directories_and_links_within_arrive(tmp_path: Path) -> None:
    target = unpacked(
        tmp_path,
        crafted(
            (entry("./", tarfile.DIRTYPE), b""),
            (entry("./bin/run", mode=0o755), b"#!/bin/sh\n"),
            (entry("./data.txt", mode=0o4777), b"data"),
            (entry("./node_modules/.bin/tool", tarfile.SYMTYPE, "../tool/cli.js"), b""),
            (entry("./node_modules/tool/cli.js"), b"tool"),
            (entry("./same.txt", tarfile.LNKTYPE, "./data.txt"), b""),
            (entry("./empty", tarfile.DIRTYPE, mode=0o000), b""),
        ),
    )
    assert (target / "node_modules/.bin/tool").read_text() == "tool"
    assert (target / "same.txt").read_text() == "data"
    assert os.access(target / "bin/run", os.X_OK)
    # No set-uid, nobody else's rights.
    assert (target / "data.txt").stat().st_mode & 0o7777 == 0o700
    assert (target / "empty").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/evil")],
        [entry("../evil")],
        [entry("a/../../evil")],
        [entry("./a/b/../../../evil")],
        [entry("link", tarfile.SYMTYPE, "/etc")],
        [entry("link", tarfile.SYMTYPE, "..")],
        [entry("link", tarfile.SYMTYPE, "../precious")],
        [entry("d/link", tarfile.SYMTYPE, "../../precious")],
        # Each alone stays inside; together they would not.
        [entry("d/up", tarfile.SYMTYPE, ".."), entry("out", tarfile.SYMTYPE, "d/up/../precious")],
        # Through a link, which by itself is fine.
        [entry("real", tarfile.DIRTYPE), entry("link", tarfile.SYMTYPE, "real"), entry("link/file")],
        [entry("link", tarfile.SYMTYPE, "."), entry("link/link/file")],
        [entry("file"), entry("file/below")],
        [entry("file"), entry("file")],
        [entry("link", tarfile.SYMTYPE, "file"), entry("link")],
        [entry("hard", tarfile.LNKTYPE, "../precious")],
        [entry("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [entry("hard", tarfile.LNKTYPE, "missing")],
        [entry("hard", tarfile.LNKTYPE, "")],
        [entry("dir", tarfile.DIRTYPE), entry("hard", tarfile.LNKTYPE, "dir")],
        # From its second place the link would lead out.
        [entry("a/b/link", tarfile.SYMTYPE, "../../precious"), entry("hard", tarfile.LNKTYPE, "a/b/link")],
        [entry("pipe", tarfile.FIFOTYPE)],
        [entry("device", tarfile.CHRTYPE)],
        [entry("disk", tarfile.BLKTYPE)],
        [entry("")],
        [entry("./")],
        [entry("x" * 300)],
        [entry("x/" * 600 + "y")],
        [entry("/".join("d" * 70))],
    ],
)
def test_what_would_leave_or_is_no_file_is_refused(tmp_path: Path, entries: list[tarfile.TarInfo]) -> None:
    with pytest.raises(RefusedError):
        unpacked(tmp_path, crafted(*((one, b"") for one in entries)))


@pytest.mark.parametrize(
    "packed",
    [b"", b"nonsense", gzip.compress(b"nonsense" * 200), zlib.compress(b"x"), archive({"a": "b"})[:-20], b"\x1f\x8b"],
    ids=["nothing", "nonsense", "gzip of nonsense", "zlib", "cut short", "a magic number alone"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(RefusedError):
        unpacked(tmp_path, packed)


def test_limits_of_size_and_number_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(module, "MAX_BYTES", 150)
    for number, files in enumerate(
        ({str(name): "x" for name in range(4)}, {"large": "x" * 101}, {"one": "x" * 90, "two": "x" * 90})
    ):
        with pytest.raises(RefusedError):
            unpacked(tmp_path / str(number), archive(files))


async def test_a_bomb_in_a_header_ends_the_process_and_nothing_else(tmp_path: Path) -> None:
    """The standard reader takes an extended header into memory whole, however large it says that it is."""
    header = tarfile.TarInfo("bomb")
    header.type, header.size = tarfile.XHDTYPE, 3 << 30
    source = tmp_path / "bomb.tgz"
    with gzip.open(source, "wb", compresslevel=1) as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(700):
            file.write(bytes(1 << 20))
    slot = tmp_path / "slot"
    slot.mkdir()
    with pytest.raises(UnusableReleaseError, match="memory"):
        await unpack_release(source, slot, "d1")
    assert list((slot / "releases").iterdir()) == []


async def test_a_release_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.tgz", tmp_path / "bad.tgz"
    good.write_bytes(archive({"main.js": "1"}))
    bad.write_bytes(crafted((entry("main.js"), b"2"), (entry("../x"), b"")))
    slot = tmp_path / "slot"
    slot.mkdir()
    assert (await unpack_release(good, slot, "d1") / "main.js").read_text() == "1"
    with pytest.raises(UnusableReleaseError, match="goes up"):
        await unpack_release(bad, slot, "d2")
    assert [path.name for path in (slot / "releases").iterdir()] == ["d1"]


def test_a_name_with_bytes_that_are_no_text_is_kept_as_it_is(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.GNU_FORMAT, errors="surrogateescape") as tar:
        tar.addfile(tarfile.TarInfo("caf\udce9"))
    [found] = unpacked(tmp_path, packed.getvalue()).iterdir()
    assert os.fsencode(found.name) == b"caf\xe9"

"""Backups as files: what is written comes back, and whatever was not written so is refused and changes nothing."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.embedded import archive, backup, standstill
from deploy.embedded.archive import ArchiveError, Entry, Manifest
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import Home
from deploy.embedded.sealing import SealedReader, SealError, SealingWriter

PASSPHRASE = b"correct horse battery staple"
BASE = 23000
SECRET = "the seal key"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A platform that does not run: every kind of thing that a home may hold."""
    home = Home.at(tmp_path / "home")
    home.prepare()
    (home.keys / "bao-seal.key").write_text(SECRET)
    (home.keys / "bao-seal.key").chmod(0o600)
    slot = home.data / "runtime" / "demo-api"
    slot.mkdir(parents=True)
    (slot / "empty").mkdir(mode=0o500)
    (slot / "ünï\nöd").write_bytes(os.urandom(200_000))
    Path(os.fsdecode(bytes(slot) + b"/latin-\xe9")).write_text("x")
    (slot / "away").symlink_to("/etc/hostname")
    (home.etc / "generated.conf").write_text("made again at each start")
    home.describe({"port_base": BASE, "version": "0.1.0"})
    monkeypatch.setenv("SLIPWAY_HOME", str(home.root))
    monkeypatch.delenv("SLIPWAY_PORT_BASE", raising=False)
    yield home
    (home.sockets / "lock").unlink(missing_ok=True)
    home.sockets.rmdir()


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\n")
    return path


def _state(root: Path) -> list[Entry]:
    return [one for one in archive.entries_of(root) if not one.path.startswith(("etc", "log"))]


def _wipe(home: Home, aside: Path) -> None:
    home.root.rename(aside)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_wiped_home_comes_back_as_it_was(home: Home, tmp_path: Path, passphrase_file: Path, sealed: bool) -> None:
    before, file = _state(home.root), tmp_path / "file"
    opens = passphrase_file if sealed else None
    backup.backup(file, passphrase_file=opens, force=False)
    assert file.stat().st_mode & 0o777 == 0o600
    assert _state(home.root) == before, "a backup leaves nothing behind"
    _wipe(home, tmp_path / "lost")
    backup.verify(file, passphrase_file=opens)
    backup.restore(file, passphrase_file=opens, force=False)
    assert _state(home.root) == before
    assert home.exists
    assert not [path for path in tmp_path.iterdir() if "restoring" in path.name]


def test_without_its_passphrase_nothing_can_be_read(home: Home, tmp_path: Path, passphrase_file: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    backup.backup(file, passphrase_file=passphrase_file, force=False)
    other.write_text("wrong")
    assert SECRET.encode() not in file.read_bytes()
    for wrong, said in ((None, "is sealed"), (other, "passphrase is another one")):
        with pytest.raises(PlatformError, match=said):
            backup.verify(file, passphrase_file=wrong)


def test_a_file_that_is_there_is_not_overwritten_unasked(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(PlatformError, match="exists"):
        backup.backup(file, passphrase_file=None, force=False)
    assert file.read_text() == "precious"
    backup.backup(file, passphrase_file=None, force=True)
    backup.verify(file, passphrase_file=None)
    with pytest.raises(PlatformError, match="inside the home"):
        backup.backup(home.data, passphrase_file=None, force=True)


def _flip(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    "spoil",
    [_flip, lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: data[:10], lambda data: data[:0]],
    ids=["a bit flipped", "the last byte gone", "half of it", "ten bytes", "empty"],
)
def test_a_spoilt_backup_is_refused_and_the_platform_that_is_there_stays(
    home: Home, tmp_path: Path, passphrase_file: Path, sealed: bool, spoil: Callable[[bytes], bytes]
) -> None:
    file, opens = tmp_path / "file", passphrase_file if sealed else None
    backup.backup(file, passphrase_file=opens, force=False)
    file.write_bytes(spoil(file.read_bytes()))
    before = _state(tmp_path)
    with pytest.raises(PlatformError, match="refused"):
        backup.restore(file, passphrase_file=opens, force=True)
    assert _state(tmp_path) == before


def test_a_file_exchanged_inside_is_refused(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "file"
    backup.backup(file, passphrase_file=None, force=False)
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(SECRET.encode(), b"another key!")))
    with pytest.raises(PlatformError, match=r"bao-seal\.key was changed"):
        backup.restore(file, passphrase_file=None, force=True)
    assert (home.keys / "bao-seal.key").read_text() == SECRET


def test_the_platform_that_a_restore_replaces_is_kept(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "file"
    backup.backup(file, passphrase_file=None, force=False)
    (home.keys / "bao-seal.key").write_text("a later one")
    with pytest.raises(PlatformError, match="there is a platform"):
        backup.restore(file, passphrase_file=None, force=False)
    half = home.root.with_name(".home.restoring")
    half.mkdir()
    (half / ".restoring").touch()  # as a killed restore leaves it
    backup.restore(file, passphrase_file=None, force=True)
    assert (home.keys / "bao-seal.key").read_text() == SECRET
    (kept,) = tmp_path.glob("home.replaced-*")
    assert (kept / "keys" / "bao-seal.key").read_text() == "a later one"
    assert not half.exists()


@pytest.mark.parametrize("number", [0, 2, 4])
def test_an_interrupted_restore_leaves_the_platform_that_was_there(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    file, take, taken = tmp_path / "file", archive._take, list[Entry]()
    backup.backup(file, passphrase_file=None, force=False)
    before = _state(tmp_path)

    def interrupted(tar: tarfile.TarFile, entry: Entry, into: Path | None) -> None:
        if len(taken) == number:
            raise KeyboardInterrupt
        take(tar, entry, into)
        taken.append(entry)

    monkeypatch.setattr(archive, "_take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(file, passphrase_file=None, force=True)
    assert _state(tmp_path) == before


def test_a_restore_killed_after_the_exchange_still_keeps_what_it_replaced(home: Home, tmp_path: Path) -> None:
    file, replaced = tmp_path / "file", home.root.with_name(".home.restoring")
    backup.backup(file, passphrase_file=None, force=False)
    home.root.rename(replaced)
    backup.restore(file, passphrase_file=None, force=False)
    (kept,) = tmp_path.glob("home.replaced-*")
    assert _state(kept) == _state(home.root)


def test_other_paths_other_ports_and_later_versions_are_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    backup.backup(file, passphrase_file=None, force=False)
    monkeypatch.setenv("SLIPWAY_PORT_BASE", str(BASE + 100))
    with pytest.raises(PlatformError, match=f"count from {BASE}"):
        backup.restore(file, passphrase_file=None, force=True)
    monkeypatch.delenv("SLIPWAY_PORT_BASE")
    home.describe({"port_base": BASE, "version": "99.0.0"})
    backup.backup(file, passphrase_file=None, force=True)
    with pytest.raises(PlatformError, match="data go only forward"):
        backup.restore(file, passphrase_file=None, force=True)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "elsewhere"))
    home.describe({"port_base": BASE, "version": "0.1.0"})
    with pytest.raises(PlatformError):
        backup.restore(file, passphrase_file=None, force=False)
    assert not (tmp_path / "elsewhere").exists()
    elsewhere = Home.at(tmp_path / "elsewhere").sockets
    (elsewhere / "lock").unlink()
    elsewhere.rmdir()


@pytest.mark.parametrize(
    "entries",
    [
        [Entry(path="../out", kind="file", mode=0o600)],
        [Entry(path="/out", kind="file", mode=0o600)],
        [Entry(path="a", kind="link", mode=0o777, target="/tmp"), Entry(path="a/out", kind="file", mode=0o600)],
        [Entry(path="nowhere/out", kind="file", mode=0o600)],
        [Entry(path="a", kind="file", mode=0o600), Entry(path="a", kind="file", mode=0o600)],
        [Entry(path="a%00b", kind="file", mode=0o600)],
    ],
    ids=["above", "absolute", "through a link", "no parent", "twice", "NUL"],
)
def test_no_member_leads_out_of_the_directory_it_is_read_into(home: Home, tmp_path: Path, entries: list[Entry]) -> None:
    forged, into = tmp_path / "forged", tmp_path / "into"
    about = Manifest.model_validate_json(_manifest_of(home, tmp_path)).model_copy(update={"entries": tuple(entries)})
    document = about.model_dump_json().encode()
    with tarfile.open(forged, "w:gz") as tar:
        first = tarfile.TarInfo("manifest.json")
        first.size = len(document)
        tar.addfile(first, io.BytesIO(document))
        for entry in entries:
            member = tarfile.TarInfo(f"home/{entry.name}".replace("\0", ""))
            member.type, member.linkname = (tarfile.SYMTYPE, "/tmp") if entry.kind == "link" else (tarfile.REGTYPE, "")
            tar.addfile(member)
    into.mkdir()
    with pytest.raises(ArchiveError, match="no path of a home"):
        archive.read(forged, None, into=into)
    assert list(into.iterdir()) == []


def _manifest_of(home: Home, directory: Path) -> bytes:
    file = directory / "genuine"
    backup.backup(file, passphrase_file=None, force=False)
    with tarfile.open(file) as tar:
        content = tar.extractfile("manifest.json")
        assert content
        return content.read()


def test_chunks_of_a_sealed_file_cannot_change_places() -> None:
    sealed = io.BytesIO()
    writer = SealingWriter(sealed, PASSPHRASE)
    writer.write(os.urandom(3 << 16))
    writer.close()
    data = sealed.getvalue()
    chunk, preamble = (1 << 16) + 17, 17 + 16 + 16 + 24
    first, second = data[preamble : preamble + chunk], data[preamble + chunk : preamble + 2 * chunk]
    swapped = data[:preamble] + second + first + data[preamble + 2 * chunk :]
    assert SealedReader(io.BytesIO(data), PASSPHRASE).read() != b""
    for spoilt in (swapped, data + b"x", data[: preamble + chunk], b"?" + data[1:]):
        with pytest.raises(SealError):
            SealedReader(io.BytesIO(spoilt), PASSPHRASE).read()


@pytest.mark.parametrize("times", [2, 100])
def test_a_slot_is_copied_as_it_was_at_one_moment_or_not_at_all(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    slot, copy, left = home.data / "runtime", standstill._copy, [times]

    def disturbed(source: Path, target: Path) -> None:
        copy(source, target)
        if source == slot and left[0]:
            left[0] -= 1
            (slot / "scratch").write_text("x" * left[0])
        (slot / "demo-api" / "app.log").write_text("a line\n" * left[0])

    monkeypatch.setattr(standstill, "_copy", disturbed)
    file = tmp_path / "file"
    if times > 5:
        with pytest.raises(PlatformError, match="does not come to rest"):
            backup.backup(file, passphrase_file=None, force=False)
        assert not file.exists()
        return
    backup.backup(file, passphrase_file=None, force=False)
    _wipe(home, tmp_path / "lost")
    backup.restore(file, passphrase_file=None, force=False)
    assert (slot / "scratch").read_text() == "", "it is the last state, not one in between"

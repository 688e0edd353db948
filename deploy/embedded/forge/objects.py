"""Git's object formats (gitformat-loose, git-mktree, git-commit-tree): what the REST calls read and write.

Invariant: what is written here passes `git fsck --strict`. Objects are written loose, compressed, under a temporary
name first, so a reader sees a whole object or none; writing one that exists changes nothing.
"""

import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final, Literal

from deploy.embedded.forge import clock

Kind = Literal["blob", "tree", "commit"]
_PERSON: Final = re.compile(r"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<at>-?\d{1,12}) (?P<zone>[+-]\d{4})")
# What would end a name or an address within an object.
_UNSAFE_IN_NAME: Final = re.compile(r"[\x00-\x1f\x7f<>]")


@dataclass(frozen=True)
class TreeEntry:
    """One line of a tree. `mode` has six digits, as in GitHub's answers (`040000` for a directory)."""

    mode: str
    name: str
    sha: str

    @property
    def kind(self) -> Literal["blob", "tree", "commit"]:
        """What the mode says it is."""
        return {"040000": "tree", "160000": "commit"}.get(self.mode, "blob")  # type: ignore[return-value]


@dataclass(frozen=True)
class Person:
    """An author or committer at an instant."""

    name: str
    email: str
    at: datetime

    def line(self) -> str:
        """As it stands in a commit."""
        name = _UNSAFE_IN_NAME.sub("", self.name).strip() or "unknown"
        email = _UNSAFE_IN_NAME.sub("", self.email).strip()
        return f"{name} <{email}> {int(self.at.timestamp())} {self.at.strftime('%z') or '+0000'}"

    def date(self) -> str:
        """The instant as GitHub writes it."""
        return clock.timestamp(self.at)


@dataclass(frozen=True)
class Commit:
    """A commit as it is stored."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


def write_object(repository: Path, kind: Kind, data: bytes) -> str:
    """Store an object; the answer is its name."""
    content = b"%s %d\0%s" % (kind.encode(), len(data), data)
    sha = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    directory = repository / "objects" / sha[:2]
    path = directory / sha[2:]
    if path.exists():
        return sha
    directory.mkdir(exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix="tmp_obj_")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o444)
            file.write(zlib.compress(content, 1))
        os.replace(temporary, path)  # noqa: PTH105 - `temporary` is a string
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return sha


def format_tree(entries: Iterable[TreeEntry]) -> bytes:
    """The content of a tree object; directories sort as if their names ended in a slash."""

    def position(entry: TreeEntry) -> bytes:
        return entry.name.encode() + (b"/" if entry.mode == "040000" else b"")

    return b"".join(
        f"{entry.mode.lstrip('0')} {entry.name}\0".encode() + bytes.fromhex(entry.sha)
        for entry in sorted(entries, key=position)
    )


def parse_tree(data: bytes) -> list[TreeEntry]:
    """The lines of a tree object."""
    entries, position = [], 0
    while position < len(data):
        end = data.index(b"\0", position)
        mode, _, name = data[position:end].partition(b" ")
        sha = data[end + 1 : end + 21].hex()
        entries.append(TreeEntry(mode.decode().zfill(6), name.decode("utf-8", "replace"), sha))
        position = end + 21
    return entries


def format_commit(tree: str, parents: Iterable[str], author: Person, committer: Person, message: str) -> bytes:
    """The content of a commit object. A message may not hold NUL (fsck: nulInCommit); it is left out."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {author.line()}", f"committer {committer.line()}"]
    return ("\n".join(lines) + "\n\n" + message.replace("\0", "")).encode()


def parse_commit(sha: str, data: bytes) -> Commit:
    """A commit object's fields; headers that the REST protocol does not show are passed over."""
    head, _, message = data.decode("utf-8", "replace").partition("\n\n")
    tree, parents, people = "", [], {}
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        match key:
            case "tree":
                tree = value
            case "parent":
                parents.append(value)
            case "author" | "committer":
                people[key] = _person(value)
    nobody = Person("unknown", "", datetime.fromtimestamp(0, UTC))
    author, committer = people.get("author", nobody), people.get("committer", nobody)
    return Commit(sha, tree, tuple(parents), author, committer, message)


def _person(text: str) -> Person:
    match = _PERSON.fullmatch(text)
    if match is None:
        return Person(text, "", datetime.fromtimestamp(0, UTC))
    hours, minutes = int(match["zone"][1:3]), int(match["zone"][3:5])
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if match["zone"].startswith("-") else 1)
    zone = timezone(offset) if abs(offset) < timedelta(hours=24) else UTC
    # Years beyond 9999 exist only in made-up commits, but they must not bring a list down.
    seconds = min(max(int(match["at"]), 0), 253_402_000_000)
    return Person(match["name"], match["email"], datetime.fromtimestamp(seconds, zone))

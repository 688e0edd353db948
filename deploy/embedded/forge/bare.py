"""One bare repository: its refs, objects and trees.

Invariant: a ref only moves by compare-and-swap, so of two writers that read the same value one is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.embedded.forge import names
from deploy.embedded.forge.cat_file import ObjectInfo
from deploy.embedded.forge.git import ZERO_SHA, Git, GitError
from deploy.embedded.forge.objects import (
    Commit,
    Kind,
    Person,
    TreeEntry,
    format_commit,
    format_tree,
    parse_commit,
    parse_tree,
    write_object,
)

_READ_LIMIT_BYTES: Final = 32 * 1024 * 1024


class RefMovedError(Exception):
    """A ref was not where the writer thought it was."""


class TreePathError(Exception):
    """A change to a tree that cannot be: a path through a file, or one that names nothing."""


@dataclass(frozen=True)
class Ref:
    """A ref by its full name, and the object it points at (a tag object for an annotated tag)."""

    name: str
    sha: str
    kind: str


@dataclass(frozen=True)
class Leaf:
    """What stands at a path after a change; None in its place takes the path away."""

    mode: str
    sha: str


Changes = Mapping[str, Leaf | None]


@dataclass(frozen=True)
class Bare:
    """The repository with this number."""

    git: Git
    id: int

    @property
    def directory(self) -> Path:
        """Where it is."""
        return self.git.directory(self.id)

    # Objects

    def info(self, expression: str) -> ObjectInfo | None:
        """What an expression names. Callers check the parts they did not make themselves."""
        return self.git.readers.of(self.directory).info(expression)

    def read(self, expression: str, limit_bytes: int = _READ_LIMIT_BYTES) -> tuple[ObjectInfo, bytes] | None:
        """An object and its content, or None. Raises ObjectTooLargeError."""
        return self.git.readers.of(self.directory).contents(expression, limit_bytes)

    def write(self, kind: Kind, data: bytes) -> str:
        """Store an object; the answer is its name."""
        return write_object(self.directory, kind, data)

    def commit(self, sha: str) -> Commit | None:
        """The commit with this name."""
        found = self.read(sha)
        return parse_commit(*_named(found)) if found is not None and found[0].kind == "commit" else None

    def tree(self, sha: str) -> list[TreeEntry] | None:
        """The lines of the tree with this name."""
        found = self.read(sha)
        return parse_tree(found[1]) if found is not None and found[0].kind == "tree" else None

    def entry(self, commit: str, path: str) -> ObjectInfo | None:
        """What is at `path` in a commit; the empty path is its whole tree."""
        if path and not names.is_tree_path(path):
            return None
        return self.info(f"{commit}:{path}")

    def write_commit(self, tree: str, parents: list[str], author: Person, committer: Person, message: str) -> Commit:
        """Store a commit."""
        data = format_commit(tree, parents, author, committer, message)
        # As it reads back: what would break the format has been left out.
        return parse_commit(self.write("commit", data), data)

    def write_tree(self, base: str | None, changes: Changes) -> str | None:
        """The tree that `base` becomes with the changes, paths relative to it; None when nothing is left. Raises
        TreePathError."""
        entries = {entry.name: entry for entry in self.tree(base) or ()} if base is not None else {}
        below: dict[str, dict[str, Leaf | None]] = {}
        for path, leaf in changes.items():
            first, slash, rest = path.partition("/")
            if slash:
                below.setdefault(first, {})[rest] = leaf
            elif leaf is not None:
                entries[first] = TreeEntry(leaf.mode, first, leaf.sha)
            elif entries.pop(first, None) is None:
                raise TreePathError(f"{path} does not exist")
        for name, inner in below.items():
            self._change_below(entries, name, inner)
        return self.write("tree", format_tree(entries.values())) if entries else None

    def _change_below(self, entries: dict[str, TreeEntry], name: str, changes: Changes) -> None:
        current = entries.get(name)
        is_tree = current is not None and current.mode == "040000"
        if not is_tree and all(leaf is None for leaf in changes.values()):
            raise TreePathError(f"{name}/{next(iter(changes))} does not exist")
        sha = self.write_tree(current.sha if current is not None and is_tree else None, changes)
        if sha is None:
            entries.pop(name, None)
        else:
            entries[name] = TreeEntry("040000", name, sha)

    # Refs

    def refs(self, *prefixes: str) -> list[Ref]:
        """Refs at or below the prefixes, or all but the hidden heads of pull requests."""
        arguments = ["for-each-ref", "--format=%(objectname) %(objecttype) %(refname)", *prefixes]
        lines = self.git.run(self.id, arguments).output.decode("utf-8", "replace").splitlines()
        split = (line.split(" ", 2) for line in lines)
        found = [Ref(name, sha, kind) for sha, kind, name in split]
        return found if prefixes else [ref for ref in found if not ref.name.startswith("refs/pull/")]

    def ref(self, name: str) -> Ref | None:
        """The ref with this full name."""
        if not names.is_ref(name):
            return None
        found = self.info(name)
        return Ref(name, found.sha, found.kind) if found is not None else None

    def branch(self, name: str) -> str | None:
        """The commit at the tip of a branch."""
        found = self.ref(f"refs/heads/{name}")
        return found.sha if found is not None and found.kind == "commit" else None

    def is_empty(self) -> bool:
        """Whether nothing was ever pushed (or all of it was deleted)."""
        return self.info("HEAD") is None and not self.refs("refs/heads", "refs/tags")

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, a tag, a full ref or a commit's name means, in GitHub's order."""
        if names.is_sha(revision):
            found = self.info(revision + "^{commit}")
            return found.sha if found is not None else None
        for candidate in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision, f"refs/{revision}"):
            if names.is_ref(candidate) and (found := self.info(candidate + "^{commit}")) is not None:
                return found.sha
        return None

    def move_ref(self, name: str, new: str, old: str) -> None:
        """Point a ref elsewhere; `ZERO_SHA` as old means that it must not exist, as new that it goes. Raises
        RefMovedError when it is not at `old`, and for a name that clashes with another ref (`a` and `a/b`)."""
        if not names.is_ref(name):
            raise RefMovedError(f"{name!r} is not the name of a ref")
        change = ["-d", name, old] if new == ZERO_SHA else [name, new, old]
        try:
            self.git.run(self.id, ["update-ref", "--no-deref", *change])
        except GitError as error:
            raise RefMovedError(error.message) from error

    def set_default_branch(self, branch: str) -> None:
        """What HEAD points at: where a clone begins."""
        self.git.run(self.id, ["symbolic-ref", "HEAD", f"refs/heads/{branch}"])


def _named(found: tuple[ObjectInfo, bytes]) -> tuple[str, bytes]:
    return found[0].sha, found[1]

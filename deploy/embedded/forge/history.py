"""What follows from a repository's history: logs, differences, merges."""

from dataclasses import dataclass
from typing import Any, Final

from deploy.embedded.forge.bare import Bare
from deploy.embedded.forge.git import GitError
from deploy.embedded.forge.objects import Commit

_MOST_FILES: Final = 300
_MOST_PATCH_BYTES: Final = 100_000
_STATUS: Final = {
    "A": "added",
    "M": "modified",
    "D": "removed",
    "R": "renamed",
    "C": "copied",
    "T": "changed",
}
_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@dataclass(frozen=True)
class FileChange:
    """One file that differs. `patch` is a unified diff's hunks, None for a binary or a very long one."""

    path: str
    previous_path: str | None
    status: str
    sha: str
    additions: int
    deletions: int
    patch: str | None


@dataclass(frozen=True)
class Log:
    """Which commits a list shows. `revisions` are object names; `since` and `until` ISO 8601."""

    revisions: tuple[str, ...]
    path: str | None = None
    since: str | None = None
    until: str | None = None
    author: str | None = None

    def arguments(self) -> list[str]:
        """For `git rev-list`."""
        options = {"--since": self.since, "--until": self.until, "--author": self.author}
        given = [f"{option}={value}" for option, value in options.items() if value is not None]
        return [
            *given,
            "--fixed-strings",
            *self.revisions,
            "--",
            *([f":(literal){self.path}"] if self.path else []),
        ]


def count(bare: Bare, log: Log) -> int:
    """How many commits there are."""
    return int(bare.git.run(bare.id, ["rev-list", "--count", *log.arguments()]).output)


def commits(bare: Bare, log: Log, *, limit: int, skip: int = 0) -> list[Commit]:
    """Commits, newest first."""
    arguments = ["rev-list", f"--max-count={limit}", f"--skip={skip}", *log.arguments()]
    shas = bare.git.run(bare.id, arguments).output.decode().split()
    return [found for sha in shas if (found := bare.commit(sha)) is not None]


def merge_base(bare: Bare, one: str, other: str) -> str | None:
    """The best common ancestor, or None when the histories have nothing in common."""
    ran = bare.git.run(bare.id, ["merge-base", one, other], accept=(0, 1))
    return ran.output.decode().strip() or None


def is_ancestor(bare: Bare, older: str, newer: str) -> bool:
    """Whether `newer` contains `older`."""
    return bare.git.run(bare.id, ["merge-base", "--is-ancestor", older, newer], accept=(0, 1)).status == 0


def ahead_behind(bare: Bare, base: str, head: str) -> tuple[int, int]:
    """How many commits only `head` has, and how many only `base` has."""
    ran = bare.git.run(bare.id, ["rev-list", "--left-right", "--count", f"{base}...{head}", "--"])
    behind, ahead = ran.output.split()
    return int(ahead), int(behind)


def changes(bare: Bare, old: str | None, new: str) -> list[FileChange]:
    """What differs between two commits or trees, at most 300 files; None stands for the empty tree."""
    base = ["diff-tree", "-r", "-M", "--no-commit-id", "--full-index", "--no-ext-diff", "--no-textconv"]
    ends = [old or _EMPTY_TREE, new]
    raw = bare.git.run(bare.id, [*base, "--raw", "--numstat", "-z", *ends]).output
    found = _parse_raw(raw.decode("utf-8", "replace").split("\0"))[:_MOST_FILES]
    try:
        patches = _patches(bare.git.run(bare.id, [*base, "-p", *ends]).output)
    except GitError:
        # Too long to show; the list of files stands.
        patches = []
    return [
        FileChange(**fields, patch=patches[index] if index < len(patches) else None)
        for index, fields in enumerate(found)
    ]


def names_changed(bare: Bare, old: str | None, new: str) -> list[tuple[str, str]]:
    """What differs as (status letter, path), renames taken apart."""
    arguments = [
        "diff-tree",
        "-r",
        "--no-renames",
        "--no-commit-id",
        "--name-status",
        "-z",
        old or _EMPTY_TREE,
        new,
    ]
    words = bare.git.run(bare.id, arguments).output.decode("utf-8", "replace").split("\0")
    return list(zip(words[0:-1:2], words[1::2], strict=True))


def _parse_raw(words: list[str]) -> list[dict[str, Any]]:
    """`--raw --numstat -z`: first a line per file with modes and names, then one per file with numbers."""
    found: list[dict[str, Any]] = []
    numbers: list[tuple[int, int]] = []
    position = 0
    while position < len(words) and words[position]:
        word = words[position]
        if word.startswith(":"):
            _, _, _, sha, status = word.split(" ")
            renamed = status[0] in "RC"
            previous = words[position + 1] if renamed else None
            path = words[position + 2] if renamed else words[position + 1]
            found.append(
                {
                    "path": path,
                    "previous_path": previous,
                    "status": _STATUS.get(status[0], "changed"),
                    "sha": sha,
                }
            )
            position += 3 if renamed else 2
        else:
            additions, deletions, path = word.split("\t", 2)
            numbers.append((_number(additions), _number(deletions)))
            position += 1 if path else 3
    return [
        fields | {"additions": additions, "deletions": deletions}
        for fields, (additions, deletions) in zip(found, numbers, strict=True)
    ]


def _number(text: str) -> int:
    """Lines in a numstat; a binary file has `-`."""
    return int(text) if text.isdigit() else 0


def _patches(output: bytes) -> list[str | None]:
    """The hunks of each file of a `diff-tree -p`, in its order."""
    patches: list[str | None] = []
    for part in (b"\n" + output).split(b"\ndiff --git ")[1:]:
        _, found, hunks = part.partition(b"\n@@ ")
        patch = (b"@@ " + hunks).rstrip(b"\n").decode("utf-8", "replace") if found else None
        patches.append(patch if patch is None or len(patch) <= _MOST_PATCH_BYTES else None)
    return patches


def merged_tree(bare: Bare, base: str, head: str) -> str | None:
    """The tree of a merge of `head` into `base`, or None where they conflict. Needs Git 2.38 unless one contains
    the other."""
    if is_ancestor(bare, base, head):
        found = bare.info(f"{head}^{{tree}}")
        return found.sha if found is not None else None
    ran = bare.git.run(bare.id, ["merge-tree", "--write-tree", "--name-only", base, head], accept=(0, 1))
    return ran.output.split()[0].decode() if ran.status == 0 else None

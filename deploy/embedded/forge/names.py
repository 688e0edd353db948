"""What people may call things here, and nothing else gets past this file.

Every rule is matched against the whole value. Names never become part of a path on disk; these rules keep what Git
and other people's checkouts will make of them harmless.
"""

import re
from typing import Final

RESERVED_OWNERS: Final = frozenset(
    {
        "admin",
        "api",
        "assets",
        "graphql",
        "livez",
        "login",
        "logout",
        "meta",
        "new",
        "organizations",
        "orgs",
        "rate_limit",
        "raw",
        "readyz",
        "repos",
        "repositories",
        "search",
        "settings",
        "user",
        "users",
    }
)
"""First segments of a path that mean something else than an owner."""

_LOGIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|-(?=[A-Za-z0-9])){0,38}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")
_SHA: Final = re.compile(r"[0-9a-f]{40}")
_REF_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE: Final = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]{0,254}")
_ENVIRONMENT: Final = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")
_TOPIC: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
# Code points that HFS+ ignores in a file name: `.g\u200cit` is `.git` on a Mac (git's own utf8.c has the same list).
_HFS_IGNORED: Final = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_PATH_LIMIT_BYTES: Final = 4096
_PATH_LIMIT_PARTS: Final = 100


def is_login(value: str) -> bool:
    """A user or an organisation: letters, digits, single inner hyphens, 39 characters at most."""
    return bool(_LOGIN.fullmatch(value)) and value.lower() not in RESERVED_OWNERS


def is_repository(value: str) -> bool:
    """A repository: letters, digits and `_ . -`, 100 characters at most, not beginning with a hyphen (it would be
    an option to somebody's command line) and not ending as Git's own directories do."""
    return (
        bool(_REPOSITORY.fullmatch(value))
        and value not in (".", "..")
        and not value.lower().endswith((".git", ".wiki", ".lock"))
    )


def is_sha(value: str) -> bool:
    """A full object name: 40 lower-case hexadecimal digits."""
    return bool(_SHA.fullmatch(value))


def is_ref(value: str) -> bool:
    """A full ref name, by the rules of git-check-ref-format(1) and a little stricter: no part begins with a
    hyphen."""
    parts = value.split("/")
    return (
        len(parts) >= 3
        and parts[0] == "refs"
        and len(value.encode("utf-8", "replace")) <= 255
        and not _REF_FORBIDDEN.search(value)
        and not value.endswith(".")
        and all(part and not part.startswith((".", "-")) and not part.endswith(".lock") for part in parts)
        and parts[-1] != "@"
    )


def is_branch(value: str) -> bool:
    """The short name of a branch. Names that read as another ref or as an object name are refused, since Git would
    take them for that."""
    misread = value == "HEAD" or value.startswith("refs/") or is_sha(value)
    return not misread and is_ref(f"refs/heads/{value}")


def is_tree_path(value: str) -> bool:
    """The path of a file or directory within a tree: relative, without `.`, `..`, empty parts, control characters,
    or anything that some file system takes for `.git`."""
    return (
        0 < len(value.encode("utf-8", "replace")) <= _PATH_LIMIT_BYTES
        and not _CONTROL.search(value)
        and value.count("/") < _PATH_LIMIT_PARTS
        and all(_is_tree_name(part) for part in value.split("/"))
    )


def _is_tree_name(part: str) -> bool:
    if part in ("", ".", ".."):
        return False
    # NTFS drops trailing dots and spaces and knows `.git` as `git~1`; a backslash is a separator there.
    folded = _HFS_IGNORED.sub("", part).lower().split(":", 1)[0].rstrip(" .")
    return folded not in (".git", "git~1") and "\\" not in part


def is_variable(value: str) -> bool:
    """An Actions variable, already in upper case: letters, digits and underscores, no `GITHUB_` in front."""
    return bool(_VARIABLE.fullmatch(value))


def is_environment(value: str) -> bool:
    """A deployment environment: anything printable without a slash, 255 characters at most."""
    return bool(_ENVIRONMENT.fullmatch(value))


def is_topic(value: str) -> bool:
    """A topic: lower-case letters, digits and hyphens, 50 characters at most."""
    return bool(_TOPIC.fullmatch(value))

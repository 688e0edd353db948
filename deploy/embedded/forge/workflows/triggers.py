"""When a workflow runs: `on:` held against what happened, with GitHub's filters and its pattern language."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

EventName = Literal["push", "pull_request", "workflow_dispatch"]
_PULL_TYPES: Final = ("opened", "synchronize", "reopened")


@dataclass(frozen=True)
class Happening:
    """Something that may start workflows. For a push `branch` or `tag` is what moved; for a pull request `branch` is
    its base, and `action` what was done to it."""

    event: EventName
    branch: str | None = None
    tag: str | None = None
    action: str | None = None
    changed_paths: tuple[str, ...] | None = None
    """What the commits changed; None where it is unknown (a new branch), which matches every path filter."""


def is_started_by(events: Mapping[str, Mapping[str, Any]], happening: Happening) -> bool:
    """Whether a workflow with these `events` runs on `happening`."""
    filters = events.get(happening.event)
    if filters is None:
        return False
    match happening.event:
        case "workflow_dispatch":
            return True
        case "pull_request":
            types = _patterns(filters, "types") or _PULL_TYPES
            if happening.action not in types or not _passes(filters, "branches", happening.branch):
                return False
        case "push":
            if not _ref_passes(filters, happening):
                return False
    return _paths_pass(filters, happening.changed_paths)


def _ref_passes(filters: Mapping[str, Any], happening: Happening) -> bool:
    by_branch, by_tag = _has(filters, "branches"), _has(filters, "tags")
    if happening.tag is not None:
        # A filter on branches alone leaves tags out, and the other way round.
        return _passes(filters, "tags", happening.tag) if by_tag else not by_branch
    return _passes(filters, "branches", happening.branch) if by_branch else not by_tag


def _has(filters: Mapping[str, Any], name: str) -> bool:
    return name in filters or f"{name}-ignore" in filters


def _patterns(filters: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = filters.get(name)
    if given is None:
        return ()
    return tuple(str(each) for each in given) if isinstance(given, list) else (str(given),)


def _passes(filters: Mapping[str, Any], name: str, value: str | None) -> bool:
    if value is None:
        return False
    if name in filters:
        return matches(_patterns(filters, name), value)
    return not matches(_patterns(filters, f"{name}-ignore"), value)


def _paths_pass(filters: Mapping[str, Any], changed: Sequence[str] | None) -> bool:
    if changed is None:
        return True
    if "paths" in filters:
        patterns = _patterns(filters, "paths")
        return any(matches(patterns, path) for path in changed)
    if "paths-ignore" in filters:
        patterns = _patterns(filters, "paths-ignore")
        return not changed or any(not matches(patterns, path) for path in changed)
    return True


def matches(patterns: Iterable[str], value: str) -> bool:
    """Whether the last pattern that matches `value` is one without `!` in front."""
    found = False
    for pattern in patterns:
        negative = pattern.startswith("!")
        if _expression(pattern[1:] if negative else pattern).fullmatch(value):
            found = not negative
    return found


@lru_cache(maxsize=512)
def _expression(pattern: str) -> re.Pattern[str]:
    """GitHub's filter patterns: `*` stays within a `/`-separated part, `**` does not, `?` and `+` are zero-or-one and
    one-or-more of the character before, `[]` a class, `\\` takes the next character literally."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if pattern.startswith("**/", position):
            parts.append("(?:.*/)?")
            position += 3
            continue
        if pattern.startswith("**", position):
            parts.append(".*")
            position += 2
            continue
        if character == "*":
            parts.append("[^/]*")
        elif character in "?+" and parts and parts[-1][-1] not in "*?+":
            parts.append(character)
        elif character == "[" and (found := re.match(r"\[([A-Za-z0-9_-]+)\]", pattern[position:])):
            parts.append(found[0])
            position += len(found[0])
            continue
        elif character == "\\" and position + 1 < len(pattern):
            position += 1
            parts.append(re.escape(pattern[position]))
        else:
            parts.append(re.escape(character))
        position += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        # `[z-a]` and the like: a pattern that matches nothing but itself.
        return re.compile(re.escape(pattern))

"""The chart's values as a table, from `values.yaml` and the comments in it (`# -- what it is`).

Invariant: a value that has no such comment is an error, so the table is whole.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from deploy.docs.markdown import code, table

_LINE: Final = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):")
_TOLD: Final = re.compile(r"^ *# -- (?P<text>.+)$")
_MORE: Final = re.compile(r"^ *# (?P<text>.+)$")
_LONGEST_DEFAULT: Final = 60


def values_table(text: str) -> str:
    """The table of `values.yaml`, whose content is given. Raises ValueError for a value that nobody explains."""
    values = yaml.safe_load(text)
    rows = []
    path: list[str] = []
    told = ""
    for line in text.splitlines():
        if found := _TOLD.match(line):
            told = found["text"]
            continue
        if told and (found := _MORE.match(line)):
            told += f" {found['text']}"
            continue
        found = _LINE.match(line)
        if found is None:
            continue
        path = [*path[: len(found["indent"]) // 2], found["key"]]
        value = _at(values, path)
        if told:
            rows.append((code(".".join(path)), _default(value), told))
        elif (line.endswith("}") or not isinstance(value, dict)) and not _is_inside(path, rows):
            raise ValueError(f"values.yaml: {'.'.join(path)} has no comment that begins with `# -- `")
        told = ""
    return table(("value", "default", "what it is"), rows)


def _is_inside(path: list[str], rows: list[tuple[str, str, str]]) -> bool:
    """Whether something around it is explained, of which it is a part."""
    explained = {row[0].strip("`") for row in rows}
    return any(".".join(path[:depth]) in explained for depth in range(1, len(path)))


def _at(values: Any, path: list[str]) -> Any:
    for key in path:
        values = values[key] if isinstance(values, dict) else None
    return values


def _default(value: Any) -> str:
    if value in ("", None):
        return "empty"
    text = value if isinstance(value, str) else json.dumps(value)
    return code(text) if len(text) <= _LONGEST_DEFAULT else "see `values.yaml`"

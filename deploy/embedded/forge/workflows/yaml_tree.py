"""YAML as GitHub reads workflows (YAML 1.2 core schema): `on`, `yes` and `12:30` are text; no aliases, no tags, no key
twice. And the way back: a tree as text that every YAML reader takes for the same tree."""

import json
import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

LONGEST_TEXT: Final = 512 * 1024
"""Bytes of a workflow file."""
_DEEPEST: Final = 60


class TreeError(ValueError):
    """A text is not YAML that can be used here; the message says where and why."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise TreeError("anchors and aliases are not supported by this runner; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise TreeError(f"a key stands twice in the mapping that begins in line {node.start_mark.line + 1}")
        return mapping


def _integer(loader: yaml.SafeLoader, node: yaml.Node) -> int:
    text = str(loader.construct_scalar(node))  # type: ignore[arg-type]
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text, base)


def _decimal(loader: yaml.SafeLoader, node: yaml.Node) -> float:
    return float(str(loader.construct_scalar(node)))  # type: ignore[arg-type]


# The core schema's own patterns (YAML 1.2.2 §10.3.2), short of infinities; integers bounded as JSON readers bound them.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15})$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?$", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)


def parse(text: str) -> Any:
    """The one document in `text`. Raises TreeError."""
    if len(text.encode("utf-8", "replace")) > LONGEST_TEXT:
        raise TreeError(f"the file is larger than {LONGEST_TEXT} bytes")
    try:
        tree = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, made stricter
        _bound(tree, _DEEPEST)
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise TreeError(f"the file is not valid YAML: {error.problem}{line}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, TreeError):
            raise
        raise TreeError("the file is not valid YAML") from None
    return tree


def _bound(tree: Any, depth: int) -> None:
    if depth == 0:
        raise TreeError(f"the file is nested deeper than {_DEEPEST} levels")
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        _bound(each, depth - 1)


def write(tree: Any) -> str:
    """`tree` as YAML that no reader misreads: JSON, which YAML contains, with everything beyond ASCII escaped."""
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False)
    # Only strings hold such characters, and YAML's long escape knows every code point without surrogates.
    return re.sub(r"[^\x20-\x7e]", lambda found: f"\\U{ord(found[0]):08x}", text) + "\n"

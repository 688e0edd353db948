"""YAML bodies: a small and honest part of YAML, that of the JSON schema (YAML 1.2.2 §10.2) in block or flow style.

Invariants
- What comes out is what the same document in JSON would be: no tags, no anchors, no merge keys, no duplicate keys, no
  keys but texts; `no` and `on` are texts.
- A hostile body costs no more than its limit: aliases, which multiply, are refused where they stand, and so is depth.
"""

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

from services.gateway.api.limits import DEPTH, INTEGER_DIGITS, check_text, too_large
from services.gateway.domain.refusals import MalformedError

YAML_BYTES: Final = 16 * 1024
"""A manifest has a page or two; the parser is slower than that of JSON."""


class _Refused(yaml.YAMLError):
    """Something of YAML that we do not read."""


class _Loader(yaml.SafeLoader):
    """Builds JSON's values, and nothing else."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node; an alias is none."""
        if self.check_event(yaml.AliasEvent):
            raise _Refused("The document uses an alias (*); write it out.")
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
            raise _Refused("The document uses an anchor (&) or a tag (!); write it without.")
        self.depth += 1
        if self.depth > DEPTH:
            raise _Refused(f"The document is nested deeper than {DEPTH} levels.")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: ARG002
        """A mapping whose keys are texts, each once."""
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _Refused("The document has a key that is no text; quote it.")
            if key in found:
                raise _Refused("The document names the same key twice.")
            found[key] = self.construct_object(value_node, deep=True)
        return found

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys (<<) are keys like any other here."""


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    digits = str(loader.construct_scalar(node))
    if len(digits.lstrip("+-")) > INTEGER_DIGITS:
        raise _Refused(f"An integer has more than {INTEGER_DIGITS} digits.")
    return int(digits)


_SCALARS: Final = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,2})?", "-+0123456789"),
)
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _SCALARS:
    _characters = ["" if character == "\0" else character for character in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _characters)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def parse_yaml(body: bytes) -> Any:
    """The value of the one document in `body`. Raises `TooLargeError` and `MalformedError`, which says where."""
    if len(body) > YAML_BYTES:
        raise too_large(YAML_BYTES)
    try:
        value = yaml.load(body.decode("utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader that builds even less
    except UnicodeDecodeError:
        raise MalformedError("The body is not UTF-8.") from None
    except _Refused as error:
        raise MalformedError(str(error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise MalformedError(f"The body is not YAML{where}.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise MalformedError("The body is not YAML.") from None
    check_text(value)
    return value

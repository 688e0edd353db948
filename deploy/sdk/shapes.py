"""JSON Schemas as Python: a frozen model for what the gateway answers, a `TypedDict` for what it is asked.

What is asked is a dictionary because there it makes a difference whether a field is null or absent. What is answered
may one day hold a value that this client does not know, so a choice is annotated as `Literal[...] | str`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
_PREFIX = "#/components/schemas/"
_PLAIN = {"integer": "int", "number": "float", "boolean": "bool", "null": "None", "string": "str", "None": "Any"}
_FORMATS = {"date-time": "datetime", "uuid": "UUID"}
_UNSHAPED = frozenset({"JsonValue"})
"""Schemas that any value fits."""


def annotation(schema: Schema, *, asked: bool) -> str:
    """The Python type of what fits `schema`. Raises ValueError for a schema that says what none of ours does."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(_PREFIX)
        return "Any" if name in _UNSHAPED else name
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(annotation(part, asked=asked) for part in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        values = ", ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
        return f"Literal[{values}]" if asked else f"Literal[{values}] | str"
    kind = str(schema.get("type"))
    if kind in {"array", "object"}:
        inner = schema.get("items" if kind == "array" else "additionalProperties")
        held = annotation(inner, asked=asked) if isinstance(inner, Mapping) else "Any"
        return f"list[{held}]" if kind == "array" else f"dict[str, {held}]"
    named = _FORMATS.get(schema.get("format", ""), _PLAIN.get(kind))
    if named is None:
        raise ValueError(f"no Python type is known for the schema {json.dumps(schema)[:200]}; teach deploy.sdk.shapes")
    return named


def references(schema: Any) -> Iterator[str]:
    """The names of the schemas that `schema` speaks of directly."""
    if isinstance(schema, Mapping):
        if isinstance(ref := schema.get("$ref"), str):
            yield ref.removeprefix(_PREFIX)
        for part in schema.values():
            yield from references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from references(part)


def reached(names: Iterator[str], schemas: Mapping[str, Schema]) -> set[str]:
    """`names`, and every schema that they lead to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in schemas:
            found.add(name)
            waiting += references(schemas[name])
    return found - _UNSHAPED


def in_order(names: set[str], schemas: Mapping[str, Schema]) -> list[str]:
    """`names` by the alphabet, except that what a shape speaks of stands before it: nothing is named before it is."""
    ordered: dict[str, None] = {}

    def place(name: str) -> None:
        for other in sorted(set(references(schemas[name])) & names - {name} - ordered.keys()):
            place(other)
        ordered.setdefault(name)

    for name in sorted(names):
        place(name)
    return list(ordered)


def model(name: str, schema: Schema) -> str:
    """The class of an answer."""
    required = set(schema.get("required", ()))
    lines = [f"class {name}(_Answer):", *docstring(schema.get("description") or f"{name}.")]
    for field, shape in schema.get("properties", {}).items():
        default = "" if field in required else f" = {_default(shape)}"
        lines.append(f"    {field}: {annotation(shape, asked=False)}{default}")
    return "\n".join(lines)


def typed_dict(name: str, schema: Schema) -> str:
    """The dictionary of a request, or of the parameters of a list."""
    required = set(schema.get("required", ()))
    lines = [f"class {name}(TypedDict):", *docstring(schema.get("description") or f"{name}.")]
    for field, shape in schema.get("properties", {}).items():
        kind = annotation(shape, asked=True)
        lines.append(f"    {field}: {kind if field in required else f'NotRequired[{kind}]'}")
    return "\n".join(lines)


def docstring(text: str, indent: str = "    ") -> list[str]:
    """The first paragraph of `text` as the lines of a docstring."""
    first = re.sub(r"\s+", " ", text.strip().split("\n\n")[0]).replace('"""', "'''").replace("\\", "\\\\")
    lines = [""]
    for word in f'"""{first}'.split():
        if lines[-1] and len(indent) + len(lines[-1]) + 1 + len(word) > 117:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    lines[-1] += '"""'
    return [f"{indent}{line}" for line in lines]


def _default(schema: Schema) -> str:
    """What a field that is not always there is without it."""
    empty: dict[str, object] = {"array": [], "object": {}}
    return repr(schema.get("default", empty.get(schema.get("type", ""))))

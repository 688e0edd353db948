"""What breaks between two JSON Schemas of the same message.

Allowed: a new optional property, looser bounds. Everything else breaks a reader or a writer that knows the older one.
"""

from typing import Any

_UPPER = ("maxLength", "maximum", "exclusiveMaximum", "maxItems")
_LOWER = ("minLength", "minimum", "exclusiveMinimum", "minItems")
_SAME = ("type", "const", "format", "pattern")
_NESTED = ("items", "additionalProperties")

Schema = dict[str, Any]


def breaking_changes(old: Schema, new: Schema) -> list[str]:
    """Each break as `path: what`; empty where there is none."""
    return _compare(old, new, "$", (old.get("$defs", {}), new.get("$defs", {})), frozenset())


def _compare(old: Schema, new: Schema, at: str, definitions: tuple[Schema, Schema], seen: frozenset[str]) -> list[str]:
    if (reference := old.get("$ref")) is not None:
        if reference in seen:
            return []
        seen = seen | {reference}
    old, new = _resolve(old, definitions[0]), _resolve(new, definitions[1])
    found = [f"{at}: {word} changed" for word in _SAME if old.get(word) != new.get(word)]
    if gone := set(map(str, old.get("enum", ()))) - set(map(str, new.get("enum", ()))):
        found.append(f"{at}: no longer allows {sorted(gone)}")
    found += [f"{at}: {word} is stricter" for word in _UPPER if word in new and new[word] < old.get(word, float("inf"))]
    found += [
        f"{at}: {word} is stricter" for word in _LOWER if word in new and new[word] > old.get(word, float("-inf"))
    ]
    found += [f"{at}.{name}: is now required" for name in set(new.get("required", ())) - set(old.get("required", ()))]
    found += [f"{at}.{name}: may now be absent" for name in set(old.get("required", ())) - set(new.get("required", ()))]
    for name, schema in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            found.append(f"{at}.{name}: is gone")
        else:
            found += _compare(schema, new["properties"][name], f"{at}.{name}", definitions, seen)
    for word in _NESTED:
        if isinstance(old.get(word), dict) and isinstance(new.get(word), dict):
            found += _compare(old[word], new[word], f"{at}.{word}", definitions, seen)
    old_options, new_options = old.get("anyOf", []), new.get("anyOf", [])
    if len(old_options) > len(new_options):
        found.append(f"{at}: allows fewer alternatives")
    for index, (before, after) in enumerate(zip(old_options, new_options, strict=False)):
        found += _compare(before, after, f"{at}|{index}", definitions, seen)
    return found


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    while (reference := schema.get("$ref")) is not None:
        schema = definitions[str(reference).rpartition("/")[2]]
    return schema

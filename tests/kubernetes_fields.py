"""Who has set which field of a Kubernetes object: what server-side apply decides by, for the stand-in API server.

Pure. A field is a path; its parts are `f:<name>` for a field and `k:<json>` for an element of an associative list, as
in `managedFields`. After https://kubernetes.io/docs/reference/using-api/server-side-apply/; simpler than the original
in one thing: which lists are associative is told from their names, all others are atomic.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]
Path = tuple[str, ...]
Owners = dict[tuple[str, str], frozenset[Path]]
"""By manager and operation (`Apply` or `Update`), the fields that it has set."""

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "conditions": ("type",),
}
_NOBODYS: Final = frozenset(
    {("f:apiVersion",), ("f:kind",)}
    | {("f:metadata", f"f:{name}") for name in ("name", "namespace", "uid", "resourceVersion", "managedFields")}
)


class FieldConflictError(Exception):
    """Others have set these fields to something else."""

    def __init__(self, fields: Mapping[Path, str]) -> None:
        super().__init__("fields are set by others")
        self.fields = dict(fields)


def fields_of(body: Json) -> frozenset[Path]:
    """The fields that an object sets."""
    return frozenset(path for path in _leaves(body, ()) if path[:2] not in _NOBODYS and path[:1] not in _NOBODYS)


def apply(live: Json, owners: Owners, wanted: Json, manager: str, *, force: bool) -> tuple[Json, Owners]:
    """The object after `manager` has applied `wanted`, and who owns what then. Raises `FieldConflictError`."""
    me = (manager, "Apply")
    mine = fields_of(wanted)
    conflicts = {
        path: other[0]
        for other, theirs in owners.items()
        if other != me
        for path in mine & theirs
        if value_at(live, path) != value_at(wanted, path)
    }
    if conflicts and not force:
        raise FieldConflictError(conflicts)
    others = {one: fields - conflicts.keys() for one, fields in owners.items() if one != me}
    result = _merged(live, wanted)
    for path in sorted(owners.get(me, frozenset()) - mine, key=len, reverse=True):
        if not any(path in fields for fields in others.values()):
            _drop(result, path)
    return result, {one: fields for one, fields in others.items() if fields} | ({me: mine} if mine else {})


def update(before: Json, after: Json, owners: Owners, manager: str) -> Owners:
    """Who owns what after `manager` has written `after` in the place of `before`."""
    old, new = fields_of(before), fields_of(after)
    changed = frozenset(path for path in new if path not in old or value_at(before, path) != value_at(after, path))
    gone = old - new
    kept = {one: fields - changed - gone for one, fields in owners.items()}
    me = (manager, "Update")
    kept[me] = kept.get(me, frozenset()) | changed
    return {one: fields for one, fields in kept.items() if fields}


def managed_fields(owners: Owners, api_version: str, time: str) -> list[Json]:
    """`metadata.managedFields`."""
    return [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _tree(fields),
        }
        for (manager, operation), fields in sorted(owners.items())
    ]


def value_at(body: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for part in path:
        body = _step(body, part)
    return body


def spelled(path: Path) -> str:
    """As the API server names a field in a conflict: `.spec.replicas`."""
    return "".join(f".{part[2:]}" if part.startswith("f:") else f"[{part[2:]}]" for part in path)


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, f"f:{name}"))
    elif (keys := _keys_of(value, path)) is not None:
        for element in value:
            inner_path = (*path, _key(element, keys))
            yield inner_path
            yield from _leaves(element, inner_path)
    else:
        yield path


def _keys_of(value: Any, path: Path) -> tuple[str, ...] | None:
    keys = _KEYS.get(path[-1][2:]) if path else None
    if keys is None or not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    return keys


def _key(element: Json, keys: tuple[str, ...]) -> str:
    return "k:" + json.dumps({key: element[key] for key in keys if key in element}, separators=(",", ":"))


def _step(body: Any, part: str) -> Any:
    if part.startswith("f:"):
        return body.get(part[2:]) if isinstance(body, dict) else None
    key = json.loads(part[2:])
    found = (one for one in body or [] if all(one.get(name) == value for name, value in key.items()))
    return next(found, None)


def _merged(live: Any, wanted: Any, path: Path = ()) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        result = copy.deepcopy(live)
        for name, value in wanted.items():
            result[name] = _merged(live.get(name), value, (*path, f"f:{name}"))
        return result
    keys = _keys_of(wanted, path)
    if keys is not None and isinstance(live, list):
        by_key = {_key(one, keys): one for one in live}
        for element in wanted:
            by_key[_key(element, keys)] = _merged(by_key.get(_key(element, keys)), element, (*path, "k:"))
        return list(by_key.values())
    return copy.deepcopy(wanted)


def _drop(body: Any, path: Path) -> None:
    """Remove the field, and what became empty by that."""
    parents = [body]
    for part in path[:-1]:
        parents.append(_step(parents[-1], part))
    for parent, part in zip(reversed(parents), reversed(path), strict=True):
        if parent is None:
            continue
        if isinstance(parent, list):
            element = _step(parent, part)
            if element is None or (part != path[-1] and element):
                return
            parent.remove(element)
        else:
            if part != path[-1] and parent.get(part[2:]):
                return
            parent.pop(part[2:], None)


def _tree(fields: Iterable[Path]) -> Json:
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for part in path:
            node = node.setdefault(part, {})
    return tree

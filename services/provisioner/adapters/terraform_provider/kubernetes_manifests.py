"""Kubernetes objects as a module lists them: read, marked, and compared with what the cluster has.

Pure: nothing here speaks to a cluster. Invariants: an object is refused before anything is done where it has no fixed
name, carries a mark of its own or holds values of secrets, for whatever is in `manifests` is in Terraform's state too;
and a difference is told by its path, never by its values.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .marks import Mark

Json = dict[str, Any]

ENVIRONMENT_LABEL: Final = "slipway.dev/environment"
INCARNATION_LABEL: Final = "slipway.dev/incarnation"
MANAGER_LABEL: Final = "app.kubernetes.io/managed-by"
FIELD_MANAGER: Final = "slipway"

_API_VERSION: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?v[0-9][a-z0-9]*")
_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.:-]{0,251}[a-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_THE_SERVERS: Final = ("uid", "resourceVersion", "managedFields", "creationTimestamp", "generation", "generateName")
_NOT_COMPARED: Final = frozenset({"managedFields", "resourceVersion", "generation"})
_MOST_DIFFERENCES: Final = 5


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object that shall exist. `namespace` is empty where the manifest names none and the list none either."""

    api_version: str
    kind: str
    namespace: str
    name: str
    body: Json = field(compare=False)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What stays the same when an object moves to another version of its group."""
        group = self.api_version.rpartition("/")[0]
        return group, self.kind, self.namespace, self.name

    @property
    def is_namespace(self) -> bool:
        """Whether other objects live in it."""
        return (self.api_version, self.kind) == ("v1", "Namespace")

    def __str__(self) -> str:
        """As a person would say it: `Deployment shop/web`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def marked(self, mark: Mark) -> Json:
        """The object with the mark, as it is applied."""
        body = copy.deepcopy(self.body)
        body.setdefault("metadata", {}).setdefault("labels", {}).update(labels_of(mark))
        return body


def labels_of(mark: Mark) -> dict[str, str]:
    """The labels that say whose an object is."""
    return {ENVIRONMENT_LABEL: mark.environment, INCARNATION_LABEL: mark.incarnation, MANAGER_LABEL: "slipway"}


def mark_in(found: Json) -> str | None:
    """The text of the mark that an object carries, complete or not; None where it carries none."""
    labels = found.get("metadata", {}).get("labels") or {}
    environment, incarnation = labels.get(ENVIRONMENT_LABEL), labels.get(INCARNATION_LABEL)
    if environment is None and incarnation is None:
        return None
    return f"slipway environment={environment} incarnation={incarnation}"


def read_manifests(texts: Sequence[str]) -> list[Manifest]:
    """The objects that `texts` (each one object as JSON) stand for, in their order.

    An object that names no namespace gets that of the list: see `namespace_of`. Raises ValueError for what is no
    object, what a mark could not be put on, an object that is listed twice, and a Secret with values in it.
    """
    bodies = [_parsed(position, text) for position, text in enumerate(texts)]
    usual = namespace_of(texts)
    found: dict[tuple[str, str, str, str], Manifest] = {}
    for body in bodies:
        metadata = body["metadata"]
        is_namespace = (body["apiVersion"], body["kind"]) == ("v1", "Namespace")
        namespace = "" if is_namespace else metadata.get("namespace", usual)
        one = Manifest(body["apiVersion"], body["kind"], namespace, metadata["name"], body)
        if one.identity in found:
            raise ValueError(f"{one} is listed twice: leave one of the two out")
        found[one.identity] = one
    return list(found.values())


def namespace_of(texts: Sequence[str]) -> str:
    """The namespace that the list makes, or else the one that its first namespaced object names; else empty."""
    bodies = [_parsed(position, text) for position, text in enumerate(texts)]
    for body in bodies:
        if (body["apiVersion"], body["kind"]) == ("v1", "Namespace"):
            return str(body["metadata"]["name"])
    return next((str(body["metadata"]["namespace"]) for body in bodies if body["metadata"].get("namespace")), "")


def check_mark(mark: Mark) -> None:
    """Raise ValueError for a mark that no label can carry."""
    if not _LABEL_VALUE.fullmatch(mark.incarnation):
        raise ValueError("incarnation must be a label's value: at most 63 of A-Z, a-z, 0-9, '.', '_', '-'")


def differences(live: Json, wanted: Json) -> list[str]:
    """The paths at which an object differs from what an apply would make of it, the first few in order.

    What only the server writes (status, resource version, who manages what) is left out.
    """
    found: list[str] = []
    for path in _differing("", _comparable(live), _comparable(wanted)):
        if len(found) == _MOST_DIFFERENCES:
            return [*found, "..."]
        found.append(path)
    return found


def _parsed(position: int, text: str) -> Json:
    where = f"manifest {position + 1}"
    try:
        body = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError(f"{where} is not JSON: write it with jsonencode()") from None
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if not isinstance(metadata, dict):
        # What is given is wrong, not how we were called.
        raise ValueError(f"{where} is not a Kubernetes object: it needs apiVersion, kind, metadata")  # noqa: TRY004
    if not _is_like(_API_VERSION, body.get("apiVersion")):
        raise ValueError(f"{where} needs an apiVersion, like v1 or apps/v1")
    if not _is_like(_KIND, body.get("kind")) or "items" in body:
        raise ValueError(f"{where} needs the kind of one object; list the objects of a List one by one")
    if not _is_like(_NAME, metadata.get("name")) or not _is_like(_NAME, metadata.get("namespace", "x")):
        raise ValueError(f"{where} ({body['kind']}) needs a name (and a namespace) that Kubernetes takes")
    _check_markable(f"{where} ({body['kind']})", body)
    return dict(body)


def _is_like(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _check_markable(where: str, body: Json) -> None:
    for theirs in _THE_SERVERS:
        if theirs in body["metadata"]:
            raise ValueError(f"{where} sets metadata.{theirs}, which only the cluster may: leave it out")
    labels = body["metadata"].get("labels") or {}
    if not isinstance(labels, dict) or labels.keys() & {ENVIRONMENT_LABEL, INCARNATION_LABEL}:
        raise ValueError(f"{where} sets labels of slipway.dev, which mark whose it is: leave them out")
    if (body["apiVersion"], body["kind"]) == ("v1", "Secret") and (body.get("data") or body.get("stringData")):
        raise ValueError(f"{where} is a Secret with values, which Terraform would keep: let OpenBao hold them")


def _comparable(body: Json) -> Json:
    metadata = {key: value for key, value in body.get("metadata", {}).items() if key not in _NOT_COMPARED}
    return {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}


def _differing(path: str, live: Any, wanted: Any) -> Iterator[str]:
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key in sorted(live.keys() | wanted.keys()):
            inner = f"{path}.{key}" if path else key
            yield from _differing(inner, live.get(key), wanted.get(key))
    elif isinstance(live, list) and isinstance(wanted, list) and len(live) == len(wanted):
        for number, (one, other) in enumerate(zip(live, wanted, strict=True)):
            yield from _differing(f"{path}[{number}]", one, other)
    elif live != wanted:
        yield path

"""A saved plan (`terraform show -json`, format version 1) in the platform's words.

Invariant: what is told of an attribute is its name; no value leaves a plan, sensitive or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from contracts.plans import PlannedChange
from services.provisioner.adapters.terraform_output import resource_of
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider

Action = Literal["create", "update", "replace", "destroy"]

_ACTIONS: Final[Mapping[tuple[str, ...], Action]] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "destroy",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
}
_MAX_DETAIL: Final = 2000


def planned_changes(plan: Mapping[str, Any], provider: SlipwayProvider) -> tuple[PlannedChange, ...]:
    """Every change that the plan would make, ordered by resource."""
    changes = []
    for resource in plan.get("resource_changes", []):
        change = resource["change"]
        action = _ACTIONS.get(tuple(change["actions"]))
        if action is None or resource.get("mode") == "data":
            continue
        before, after = change.get("before") or {}, change.get("after") or {}
        identifier = str(before.get("id") or provider.identify(resource["type"], after) or "")
        named = resource_of(resource["address"], resource["type"], identifier)
        detail = _differing(change) if action in {"update", "replace"} else ""
        if reason := provider.taken.get((resource["type"], identifier)):
            # Terraform would make it anew, and will be refused.
            detail = reason
        changes.append(PlannedChange(action=action, resource=named, detail=detail[:_MAX_DETAIL]))
    return tuple(sorted(changes, key=lambda one: (one.resource.kind, one.resource.id)))


def planned_addresses(plan: Mapping[str, Any]) -> set[str]:
    """The addresses of everything that is to exist once the plan has been carried out."""
    found: set[str] = set()
    modules = [plan.get("planned_values", {}).get("root_module", {})]
    while modules:
        module = modules.pop()
        found |= {resource["address"] for resource in module.get("resources", [])}
        modules += module.get("child_modules", [])
    return found


def planned_creations(plan: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Address, type and known values of everything that the plan would make where it knows of nothing."""
    return [
        (resource["address"], resource["type"], resource["change"]["after"])
        for resource in plan.get("resource_changes", [])
        if resource["change"]["actions"] == ["create"]
    ]


def _differing(change: Mapping[str, Any]) -> str:
    """The names of the attributes that differ, one level deep; those that force a replacement say so."""
    before, after = change.get("before") or {}, change.get("after") or {}
    unknown = change.get("after_unknown") or {}
    forcing = {str(path[0]) for path in change.get("replace_paths", []) if path}
    names = []
    for name in sorted({*before, *after, *(key for key, value in unknown.items() if value)}):
        if unknown.get(name) is not True and before.get(name) == after.get(name):
            continue
        inner = _inner(name, before.get(name), after.get(name))
        names += [f"{one} (forces replacement)" for one in inner] if name in forcing else inner
    return ", ".join(names)


def _inner(name: str, before: object, after: object) -> list[str]:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return [name]
    return [f"{name}.{key}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)] or [name]

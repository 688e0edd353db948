"""An environment in the words of Backstage's catalogue (the descriptor format `backstage.io/v1alpha1`). Pure."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from contracts.queries import EnvironmentView
from contracts.values import Kind, Resource

_VERSION: Final = "backstage.io/v1alpha1"
_LIFECYCLES: Final[dict[Kind, str]] = {
    "preview": "experimental",
    "staging": "experimental",
    "production": "production",
}
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9._-]+")


def entities(view: EnvironmentView, page: str) -> Iterator[dict[str, Any]]:
    """A Component for the environment, and a Resource for each thing that it has. `page` is where people look at it."""
    spec = view.spec
    owner = f"group:default/{spec.owner.team}"
    resources = list(_resources(view))
    links = [{"url": page, "title": "Slipway"}]
    if view.infrastructure is not None and view.infrastructure.url is not None:
        links.append({"url": view.infrastructure.url, "title": "Application"})
    needs = [f"component:default/{name}" for name in spec.depends_on or ()]
    yield {
        "apiVersion": _VERSION,
        "kind": "Component",
        "metadata": {
            "name": view.name,
            "description": f"A {spec.kind} environment of {spec.repository}, branch {spec.branch}",
            "annotations": {
                "github.com/project-slug": spec.repository,
                "slipway/environment": view.name,
                "slipway/golden-path": f"{spec.golden_path}@{spec.golden_path_version}",
                "slipway/state": view.state,
                "slipway/owner": spec.owner.person,
            },
            "tags": [spec.kind, spec.golden_path],
            "links": links,
        },
        "spec": {
            "type": "website" if spec.golden_path == "frontend" else "service",
            "lifecycle": _LIFECYCLES[spec.kind],
            "owner": owner,
            "dependsOn": [*needs, *(f"resource:default/{name}" for name, _ in resources)],
        },
    }
    for name, thing in resources:
        yield {
            "apiVersion": _VERSION,
            "kind": "Resource",
            "metadata": {"name": name, "annotations": {"slipway/environment": view.name, "slipway/id": thing.id}},
            "spec": {
                "type": thing.kind,
                "owner": owner,
                "dependencyOf": [f"component:default/{view.name}"],
            },
        }


def _resources(view: EnvironmentView) -> Iterator[tuple[str, Resource]]:
    """What it has, each under a name of its own (63 characters of letters, digits and -_. at most)."""
    seen: Counter[str] = Counter()
    for thing in view.infrastructure.resources if view.infrastructure is not None else ():
        kind = _NOT_IN_A_NAME.sub("-", thing.kind)[:18]
        seen[kind] += 1
        number = f"-{seen[kind]}" if seen[kind] > 1 else ""
        yield f"{view.name}-{kind}{number}", thing

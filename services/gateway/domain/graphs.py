"""What stands on what: an environment, its resources, what it depends on and what depends on it. Pure.

Invariants
- An environment is as well as the worst of itself and of all that it depends on, and says since when and because of
  whom. Of what nobody has heard, nothing is concluded.
- Only environments that the asker sees are named; of the others their number is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from contracts.queries import EnvironmentView, RunningState

_WORSE: Final[tuple[RunningState, ...]] = ("unknown", "healthy", "degraded", "down")
_UNSEEN: Final = "Something that it depends on, and that you do not see, is not well."
EdgeKind = Literal["has", "depends_on"]


@dataclass(frozen=True)
class Health:
    """How well something is, since when, because of which environment, and why."""

    state: RunningState
    since: datetime | None
    because_of: str | None
    reason: str | None


@dataclass(frozen=True)
class ResourceNode:
    """One thing that an environment has."""

    id: str
    kind: str
    name: str
    environment: str


@dataclass(frozen=True)
class Edge:
    """One thing has another, or depends on it."""

    source: str
    target: str
    kind: EdgeKind


@dataclass(frozen=True)
class Drawn:
    """The graph around one environment."""

    root: str
    environments: tuple[EnvironmentView, ...]
    health: Mapping[str, Health]
    resources: tuple[ResourceNode, ...]
    missing: tuple[str, ...]
    """What is depended on and not there, or not to be seen."""
    edges: tuple[Edge, ...]
    affected: tuple[str, ...]
    """Who would notice if the root went away, over any number of steps."""
    affected_unseen: int
    """How many more there are whom the asker does not see."""
    complete: bool


def draw(root: str, every: Sequence[EnvironmentView], seen: frozenset[str], *, complete: bool) -> Drawn:
    """The graph around `root` out of all environments that are connected with it, for somebody who sees only some."""
    views = {view.name: view for view in every}
    needs = {name: tuple(view.spec.depends_on or ()) for name, view in views.items()}
    affected = _reached(root, _turned(needs)) - {root}
    shown = tuple(view for view in every if view.name in seen)
    named = {target for view in shown for target in needs[view.name]}
    missing = tuple(sorted(named - seen))
    resources = tuple(one for view in shown for one in _resources(view))
    edges = [Edge(environment_id(one.environment), one.id, "has") for one in resources]
    edges += [
        Edge(environment_id(view.name), environment_id(target), "depends_on")
        for view in shown
        for target in needs[view.name]
    ]
    return Drawn(
        root=root,
        environments=shown,
        health={view.name: _health(view.name, views, needs, seen) for view in shown},
        resources=resources,
        missing=missing,
        edges=tuple(edges),
        affected=tuple(sorted(affected & seen)),
        affected_unseen=len(affected - seen),
        complete=complete,
    )


def environment_id(name: str) -> str:
    """What an environment is called among the nodes."""
    return f"environment:{name}"


def _resources(view: EnvironmentView) -> Iterator[ResourceNode]:
    made = view.infrastructure.resources if view.infrastructure is not None else ()
    for thing in made:
        yield ResourceNode(f"{thing.kind}:{thing.id}", thing.kind, thing.id, view.name)
    if view.pipeline is not None:
        repository = view.pipeline.repository
        yield ResourceNode(f"repository:{repository}", "repository", repository, view.name)


def _health(
    name: str, views: Mapping[str, EnvironmentView], needs: Mapping[str, Sequence[str]], seen: frozenset[str]
) -> Health:
    own = views[name]
    others = sorted(_reached(name, needs) & views.keys() - {name})
    worst = max([own, *(views[other] for other in others)], key=lambda view: _WORSE.index(view.running))
    if _WORSE.index(worst.running) <= _WORSE.index("healthy"):
        worst = own
    is_named = worst.name in seen
    return Health(
        state=worst.running,
        since=worst.running_since,
        because_of=worst.name if is_named and worst.running not in {"healthy", "unknown"} else None,
        reason=worst.running_reason if is_named else _UNSEEN,
    )


def _turned(needs: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    turned: dict[str, list[str]] = {}
    for name, targets in needs.items():
        for target in targets:
            turned.setdefault(target, []).append(name)
    return turned


def _reached(name: str, edges: Mapping[str, Sequence[str]]) -> set[str]:
    """What can be reached from a name, itself included."""
    reached, following = set[str](), {name}
    while following:
        reached |= following
        following = {to for one in following for to in edges.get(one, ())} - reached
    return reached

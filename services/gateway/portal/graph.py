"""The graph: what an environment stands on and who would notice if it went away, as a picture one can click."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from services.gateway.api.browser import Page, Visitor
from services.gateway.api.context import Gateway
from services.gateway.domain.graphs import Drawn, environment_id
from services.gateway.handlers.reading import Search
from services.gateway.portal import words
from services.gateway.portal.rendering import page
from services.gateway.portal.words import Told

WIDTH: Final = 232
HEIGHT: Final = 56
_ACROSS: Final = 304
_DOWN: Final = 72
_EDGE: Final = 16
_LONGEST: Final = 28
"""Characters of a name that fit into a box; the whole one is its title."""
_OFFERED: Final = 50


@dataclass(frozen=True)
class Box:
    """A node where it is drawn; its upper left corner."""

    id: str
    x: int
    y: int
    text: str
    name: str
    kind: str
    """The words below the name."""
    address: str
    """Where a click leads; nowhere where it is empty."""
    health: Told | None
    is_root: bool


@dataclass(frozen=True)
class Line:
    """An edge, as the path of an arrow."""

    path: str


@dataclass(frozen=True)
class Picture:
    """A drawing of so many pixels."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


async def show(request: Request, visitor: Visitor, gateway: Gateway) -> Response:
    """The graph around one environment, or the environments to choose from."""
    name = request.query_params.get("environment", "").strip()
    drawn = await gateway.reading.graph(visitor.principal, name) if name else None
    offered = await gateway.reading.environments(
        visitor.principal, Search(limit=_OFFERED, sort="last_activity_at", descending=True)
    )
    return page(
        request,
        visitor,
        gateway,
        "graph.html",
        here="graph",
        title=f"Graph of {name}" if name else "Graph",
        name=name,
        drawn=drawn,
        picture=picture(drawn) if drawn is not None else None,
        offered=[view.name for view in offered.items],
        connected=[view for view in offered.items if view.spec.depends_on],
        size=(WIDTH, HEIGHT),
    )


def picture(drawn: Drawn) -> Picture:
    """Who depends stands left of what it depends on; the root's own resources stand with what it depends on."""
    columns: dict[int, list[str]] = defaultdict(list)
    for node, level in sorted(_levels(drawn).items(), key=lambda pair: pair[0]):
        columns[level].append(node)
    first = min(columns)
    tallest = max(len(nodes) for nodes in columns.values())
    boxes: dict[str, Box] = {}
    for level, nodes in columns.items():
        top = _EDGE + (tallest - len(nodes)) * _DOWN // 2
        for row, node in enumerate(nodes):
            boxes[node] = _box(drawn, node, _EDGE + (level - first) * _ACROSS, top + row * _DOWN)
    lines = tuple(
        Line(_curve(boxes[edge.source], boxes[edge.target]))
        for edge in drawn.edges
        if edge.source in boxes and edge.target in boxes
    )
    width = 2 * _EDGE + (max(columns) - first) * _ACROSS + WIDTH
    return Picture(width, 2 * _EDGE + (tallest - 1) * _DOWN + HEIGHT, tuple(boxes.values()), lines)


def _levels(drawn: Drawn) -> dict[str, int]:
    """How many steps from the root, along or against the arrows; the first way found counts, so circles end."""
    root = environment_id(drawn.root)
    levels = {root: 0}
    following = [root]
    while following:
        node = following.pop(0)
        for neighbour, step in _neighbours(drawn, node):
            if neighbour not in levels:
                levels[neighbour] = levels[node] + step
                following.append(neighbour)
    return levels


def _neighbours(drawn: Drawn, node: str) -> Iterator[tuple[str, int]]:
    for edge in drawn.edges:
        # Of the others their resources are a click away.
        if edge.kind == "has" and edge.source != environment_id(drawn.root):
            continue
        if edge.source == node:
            yield edge.target, 1
        elif edge.target == node:
            yield edge.source, -1


def _box(drawn: Drawn, node: str, x: int, y: int) -> Box:
    view = next((view for view in drawn.environments if environment_id(view.name) == node), None)
    if view is not None:
        health = words.told("running", drawn.health[view.name].state)
        return Box(
            id=node,
            x=x,
            y=y,
            text=_short(view.name),
            name=view.name,
            kind=f"{words.told('environment', view.state).word}, {health.word.lower()}",
            address=f"/graph?environment={view.name}",
            health=health,
            is_root=view.name == drawn.root,
        )
    resource = next((one for one in drawn.resources if one.id == node), None)
    if resource is not None:
        kind = resource.kind.replace("_", " ")
        return Box(node, x, y, _short(resource.name), resource.name, kind, "", None, is_root=False)
    name = node.partition(":")[2]
    return Box(node, x, y, _short(name), name, "not there, or not yours to see", "", None, is_root=False)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _curve(source: Box, target: Box) -> str:
    forward = target.x >= source.x
    start = (source.x + (WIDTH if forward else 0), source.y + HEIGHT // 2)
    end = (target.x + (0 if forward else WIDTH) + (-6 if forward else 6), target.y + HEIGHT // 2)
    middle = (start[0] + end[0]) // 2
    return f"M{start[0]} {start[1]} C{middle} {start[1]} {middle} {end[1]} {end[0]} {end[1]}"


PAGES: Final = (Page("GET", "/graph", show),)

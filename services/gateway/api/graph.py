"""`/environments/{name}/graph`: what an environment stands on, and who would notice if it went away."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel

from contracts.envelope import Timestamp
from contracts.names import EnvironmentName
from contracts.queries import RunningState
from services.gateway.api.answers import API
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import Name
from services.gateway.api.routing import Asker, Endpoint
from services.gateway.api.views import Links
from services.gateway.domain.graphs import Drawn, Health, environment_id


class HealthAnswer(BaseModel):
    """How well something is: the worst of itself and of what it depends on."""

    state: RunningState
    since: Timestamp | None
    because_of: str | None
    """The environment that is not well."""
    reason: str | None


class NodeAnswer(BaseModel):
    """A thing of the graph. Only environments that are there have more than an id, a kind and a name."""

    id: str
    kind: str
    """`environment`, `missing` (depended on, and not there or not yours to see), or a resource's kind."""
    name: str
    environment: str | None
    """Whose resource it is."""
    state: str | None
    team: str | None
    running: RunningState | None
    health: HealthAnswer | None
    link: str | None


class EdgeAnswer(BaseModel):
    """`source` has `target`, or depends on it; both are ids of nodes."""

    source: str
    target: str
    kind: Literal["has", "depends_on"]


class GraphAnswer(BaseModel):
    """Everything that is connected with one environment."""

    environment: str
    nodes: list[NodeAnswer]
    edges: list[EdgeAnswer]
    affected: list[str]
    """Environments that depend on this one, over any number of steps."""
    affected_unseen: int
    """How many more there are that you do not see."""
    complete: bool
    """False where there are more connected environments than one answer holds."""


async def get_environment_graph(name: Name, asker: Asker, gateway: Deeds) -> GraphAnswer:
    """An environment, its resources, what it depends on and what depends on it, each as well as the worst of what it
    stands on."""
    return _answer(await gateway.reading.graph(asker, name), gateway.links)


async def get_graph(
    environment: Annotated[EnvironmentName, Query(description="Its name")], asker: Asker, gateway: Deeds
) -> GraphAnswer:
    """The same by a query parameter."""
    return _answer(await gateway.reading.graph(asker, environment), gateway.links)


def _answer(drawn: Drawn, links: Links) -> GraphAnswer:
    nodes = [
        NodeAnswer(
            id=environment_id(view.name),
            kind="environment",
            name=view.name,
            environment=None,
            state=view.state,
            team=view.spec.owner.team,
            running=view.running,
            health=_health(drawn.health[view.name]),
            link=links.environment(view.name),
        )
        for view in drawn.environments
    ]
    nodes += [_plain(environment_id(name), "missing", name, None) for name in drawn.missing]
    nodes += [_plain(one.id, one.kind, one.name, one.environment) for one in drawn.resources]
    return GraphAnswer(
        environment=drawn.root,
        nodes=nodes,
        edges=[EdgeAnswer(source=edge.source, target=edge.target, kind=edge.kind) for edge in drawn.edges],
        affected=list(drawn.affected),
        affected_unseen=drawn.affected_unseen,
        complete=drawn.complete,
    )


def _plain(identity: str, kind: str, name: str, environment: str | None) -> NodeAnswer:
    return NodeAnswer(
        id=identity,
        kind=kind,
        name=name,
        environment=environment,
        state=None,
        team=None,
        running=None,
        health=None,
        link=None,
    )


def _health(found: Health) -> HealthAnswer:
    return HealthAnswer(state=found.state, since=found.since, because_of=found.because_of, reason=found.reason)


ENDPOINTS = (
    Endpoint("GET", f"{API}/environments/{{name}}/graph", get_environment_graph, VIEWER, 200, GraphAnswer, "catalogue"),
    Endpoint("GET", f"{API}/graph", get_graph, VIEWER, 200, GraphAnswer, "catalogue"),
)

"""`/golden-paths`: what a developer may choose from, with forms, costs and usual times."""

from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import BaseModel

from contracts.golden_path import GoldenPath, TimeToLive
from contracts.queries import StepDuration
from contracts.values import Kind
from services.gateway.api.answers import API
from services.gateway.api.auth import VIEWER
from services.gateway.api.context import Deeds
from services.gateway.api.routing import Asker, Endpoint


class Cost(BaseModel):
    """What an environment with the defaults costs, by kind; decimal numbers as text."""

    currency: str
    per_hour: dict[Kind, str]


class Duration(BaseModel):
    """How long a step usually takes, measured on this platform."""

    step: str
    count: int
    p50_seconds: float
    p90_seconds: float


class GoldenPathAnswer(BaseModel):
    """A golden path on offer."""

    name: str
    version: str
    title: str
    description: str
    owner: str
    language: str
    runtime_version: str
    kinds: list[Kind]
    default_kind: Kind
    default_branch: str
    time_to_live: dict[Kind, TimeToLive]
    forms: dict[Kind, dict[str, Any]]
    """JSON Schema (2020-12) of the parameters one may set, by kind."""
    cost: Cost
    usual_duration_seconds: int
    durations: list[Duration]
    links: dict[str, str]


class GoldenPathList(BaseModel):
    """Every golden path, by name."""

    items: list[GoldenPathAnswer]


async def list_golden_paths(asker: Asker, gateway: Deeds) -> GoldenPathList:  # noqa: ARG001 - takes somebody
    """The golden paths on offer."""
    return GoldenPathList(items=[_answer(path, ()) for path in await gateway.golden_paths.all()])


async def get_golden_path(
    name: Annotated[str, Path(description="The golden path's name")],
    asker: Asker,  # noqa: ARG001 - takes somebody
    gateway: Deeds,
) -> GoldenPathAnswer:
    """One golden path, with how long its creations take on this platform."""
    path = await gateway.golden_path(name)
    return _answer(path, await gateway.reading.durations(path.name))


def _answer(path: GoldenPath, durations: tuple[StepDuration, ...]) -> GoldenPathAnswer:
    return GoldenPathAnswer(
        name=path.name,
        version=path.version,
        title=path.title,
        description=path.description,
        owner=path.owner,
        language=path.runtime.language,
        runtime_version=path.runtime.version,
        kinds=list(path.kinds),
        default_kind=path.defaults.kind,
        default_branch=path.defaults.branch,
        time_to_live=path.defaults.time_to_live,
        forms={kind: path.form(kind) for kind in path.kinds},
        cost=Cost(
            currency=path.prices.currency,
            per_hour={kind: str(path.cost_per_hour(path.resolve(kind, {}))) for kind in path.kinds},
        ),
        usual_duration_seconds=path.usual_duration_seconds,
        durations=[
            Duration(step=d.step, count=d.count, p50_seconds=d.p50_seconds, p90_seconds=d.p90_seconds)
            for d in durations
        ],
        links={"self": f"{API}/golden-paths/{path.name}"},
    )


ENDPOINTS: Final = (
    Endpoint("GET", f"{API}/golden-paths", list_golden_paths, VIEWER, 200, GoldenPathList, "golden paths"),
    Endpoint("GET", f"{API}/golden-paths/{{name}}", get_golden_path, VIEWER, 200, GoldenPathAnswer, "golden paths"),
)

"""`/applications`: a manifest that a developer keeps beside their code, carried out."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Query, Response
from pydantic import BaseModel

from contracts.application import Application, Remark
from services.gateway.api import views
from services.gateway.api.answers import API, Accepted, EnvironmentAnswer, PlanAnswer
from services.gateway.api.auth import DEVELOPER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import begun, shown
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.admission import PlanHash
from services.gateway.handlers.applications import Outcome
from services.gateway.handlers.settling import Answered

Agreed = Annotated[PlanHash | None, Query(description="The hash of the plan that was agreed to")]


class Warned(BaseModel):
    """Something that the platform does otherwise than the manifest says."""

    field: str
    message: str


class AppliedAnswer(BaseModel):
    """What became of a manifest: a run that was begun (`accepted`), or the environment as it is."""

    outcome: Outcome
    accepted: Accepted | None
    environment: EnvironmentAnswer | None
    warnings: list[Warned]


class PlannedApplicationAnswer(BaseModel):
    """What would become of a manifest. Nothing has."""

    outcome: Outcome
    plan: PlanAnswer
    warnings: list[Warned]


async def plan_application(body: Application, asker: Asker, gateway: Deeds) -> PlannedApplicationAnswer:
    """What an application's manifest would change. Takes up to half a minute; nothing is changed."""
    found = await gateway.applications.plan(asker, body)
    return PlannedApplicationAnswer(
        outcome=found.outcome, plan=views.plan(found.planned), warnings=_warned(found.warnings)
    )


async def apply_application(
    *, body: Application, asker: Asker, key: IdempotencyKey, gateway: Deeds, response: Response, plan: Agreed = None
) -> AppliedAnswer:
    """Make the environment that an application's manifest asks for (`kind: Application`), or change it into that. 200
    where it is that already; then no run begins. YAML (`application/yaml`) or JSON. With `plan`, only if that is still
    the hash of its plan; losing data needs one."""
    applied = await gateway.applications.apply(asker, body, key, plan=plan)
    found, accepted, environment = applied.found, None, None
    if isinstance(found, Answered):
        accepted = begun(found, gateway, response, created=applied.outcome == "created")
    else:
        environment = await shown(found, asker, gateway)
        response.status_code = 200
    return AppliedAnswer(
        outcome=applied.outcome,
        accepted=accepted,
        environment=environment,
        warnings=_warned(applied.warnings),
    )


def _warned(remarks: Sequence[Remark]) -> list[Warned]:
    return [Warned(field=remark.field, message=remark.message) for remark in remarks]


_AS_IT_IS: Final[dict[str, Any]] = {
    "responses": {200: {"model": AppliedAnswer, "description": "Nothing to do: the environment as it is"}}
}
ENDPOINTS: Final = (
    Endpoint(
        "POST",
        f"{API}/applications",
        apply_application,
        DEVELOPER,
        202,
        AppliedAnswer,
        "applications",
        takes_yaml=True,
        options=_AS_IT_IS,
    ),
    Endpoint(
        "POST",
        f"{API}/applications:plan",
        plan_application,
        DEVELOPER,
        200,
        PlannedApplicationAnswer,
        "applications",
        takes_yaml=True,
    ),
)

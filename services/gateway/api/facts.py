"""`/environments/{name}/facts` and `/webhooks/alertmanager`: what other systems tell of environments."""

from typing import Final
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, ValidationError

from contracts.envelope import Timestamp
from services.gateway.api import limits
from services.gateway.api.answers import API
from services.gateway.api.auth import DEVELOPER
from services.gateway.api.context import Deeds
from services.gateway.api.environments import Name
from services.gateway.api.routing import Asker, Endpoint, IdempotencyKey
from services.gateway.domain.facts import Alerts, TellFact
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.handlers.telling import AlertOutcome

BODY_BYTES: Final = 256 * 1024


class FactAnswer(BaseModel):
    """A fact that was stored. One that was told before has the same id."""

    id: UUID
    environment: str
    kind: str
    time: Timestamp


class AlertAnswer(BaseModel):
    """What became of an alert."""

    environment: str | None
    outcome: AlertOutcome
    detail: str


class AlertsHeard(BaseModel):
    """What became of each alert, in their order."""

    items: list[AlertAnswer]


async def tell_fact(name: Name, body: TellFact, asker: Asker, key: IdempotencyKey, gateway: Deeds) -> FactAnswer:
    """Tell a fact about an environment: a deployment, how it is, or what it cost. The same fact counts once, however
    often it is told; it shows as soon as the catalogue has read it."""
    signal = await gateway.telling.tell(asker, name, body, key)
    return FactAnswer(id=signal.id, environment=name, kind=signal.kind, time=signal.time)


async def hear_alerts(request: Request, asker: Asker, gateway: Deeds) -> AlertsHeard:
    """A notification of Prometheus' Alertmanager (webhook, version 4). An alert with the label `environment` says that
    this is degraded, or down where its label `severity` is `critical` or `page`; once all are resolved it is well
    again. Set `http_config.authorization` to a token of the platform."""
    body = await limits.read(request.stream(), request.headers.get("content-length"), BODY_BYTES)
    try:
        alerts = Alerts.model_validate(limits.parse_json(body, BODY_BYTES))
    except ValidationError as error:
        raise InvalidError([BrokenRule("body", "must be a notification of Alertmanager, version 4")]) from error
    found = await gateway.telling.hear_alerts(asker, alerts)
    return AlertsHeard(
        items=[AlertAnswer(environment=one.environment, outcome=one.outcome, detail=one.detail) for one in found]
    )


ENDPOINTS = (
    Endpoint("POST", f"{API}/environments/{{name}}/facts", tell_fact, DEVELOPER, 202, FactAnswer, "facts"),
    Endpoint("POST", f"{API}/webhooks/alertmanager", hear_alerts, DEVELOPER, 200, AlertsHeard, "facts"),
)

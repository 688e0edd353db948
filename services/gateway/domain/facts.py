"""Facts that other systems tell: a deployment, how an environment is, what it cost. What they say, and which id a fact
has, so that the same one told twice counts once. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.names import EnvironmentName
from contracts.signals import (
    Cost,
    CostRecorded,
    Deployment,
    DeploymentRecorded,
    Health,
    HealthChanged,
    Signal,
)
from services.gateway.domain.refusals import BrokenRule, InvalidError

AHEAD: Final = timedelta(seconds=60)
"""How far somebody's clock may be ahead of ours."""
MOST_ALERTS: Final = 200
SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./-]{0,59}$")]


class TellDeployment(Deployment):
    """A deployment that got somewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TellHealth(Health):
    """How an environment is."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TellCost(Cost):
    """What an environment cost in a period."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TellFact(BaseModel):
    """One fact about an environment: exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment: TellDeployment | None = None
    health: TellHealth | None = None
    cost: TellCost | None = None
    time: AwareDatetime | None = None
    """When it came about; by default now. With it, a fact that is told again is the same."""
    source: SourceName = "api"
    """Which system tells."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(fact is not None for fact in (self.deployment, self.health, self.cost)) != 1:
            raise ValueError("name exactly one of deployment, health and cost")
        if self.cost is not None and self.cost.period_end <= self.cost.period_start:
            raise ValueError("cost.period_end must be after cost.period_start")
        return self


class TellNamedFact(TellFact):
    """The same for the bus; over HTTP the path names the environment."""

    name: EnvironmentName

    def fact(self) -> TellFact:
        """Without the name."""
        return TellFact.model_validate(self.model_dump(exclude={"name"}))


@dataclass(frozen=True)
class Fact:
    """What is to be said, and what makes it the same fact when it is told again."""

    kind: type[Signal]
    data: Deployment | Health | Cost
    time: datetime
    source: str
    mark: str


def fact_of(told: TellFact, now: datetime, key: str | None) -> Fact:
    """The fact in a request. Raises `InvalidError` for one from the future."""
    time = _not_ahead(told.time, now) or now
    if told.deployment is not None:
        said = told.deployment
        return Fact(DeploymentRecorded, said, time, told.source, f"{said.deployment_id} {said.state}")
    if told.cost is not None:
        return Fact(CostRecorded, told.cost, time, told.source, _canonical(told.cost.model_dump(mode="json")))
    if told.health is None:
        raise InvalidError([BrokenRule("body", "must name a deployment, a health or a cost")])
    mark = {"fact": told.health.model_dump(mode="json"), "time": time.isoformat() if told.time or not key else key}
    return Fact(HealthChanged, told.health, time, told.source, _canonical(mark))


# -- Alertmanager ------------------------------------------------------------------------------------------------------


class Alert(BaseModel):
    """One alert, as Alertmanager tells of it (webhook, version 4)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = Field(max_length=100)
    annotations: dict[str, str] = Field(default_factory=dict, max_length=100)
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime | None = Field(default=None, alias="endsAt")
    fingerprint: str = Field(default="", max_length=100)

    @property
    def environment(self) -> str | None:
        """Which environment it is about."""
        return self.labels.get("environment")


class Alerts(BaseModel):
    """A notification of Alertmanager."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Literal["4"]
    alerts: list[Alert] = Field(max_length=MOST_ALERTS)


def fact_of_alert(alert: Alert, now: datetime) -> Fact:
    """How an environment is because of an alert. One that is critical (label `severity`) says that it is down."""
    name = alert.labels.get("alertname", "alert")
    check = (alert.fingerprint or f"{name} {_canonical(alert.labels)}")[:100]
    if alert.status == "resolved":
        ended = alert.ends_at if alert.ends_at is not None and alert.ends_at <= now + AHEAD else now
        health = Health(state="healthy", check=check)
        return Fact(HealthChanged, health, min(ended, now), "alertmanager", f"{check} resolved {ended.isoformat()}")
    is_critical = alert.labels.get("severity") in {"critical", "page"}
    reason = alert.annotations.get("summary") or alert.annotations.get("description") or name
    health = Health(state="down" if is_critical else "degraded", reason=reason[:2000], check=check)
    began = min(alert.starts_at, now)
    return Fact(HealthChanged, health, began, "alertmanager", f"{check} firing {alert.starts_at.isoformat()}")


def _not_ahead(time: datetime | None, now: datetime) -> datetime | None:
    if time is not None and time > now + AHEAD:
        raise InvalidError([BrokenRule("time", "must not be in the future; set the clock of whoever tells this")])
    return min(time.astimezone(UTC), now) if time is not None else None


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))

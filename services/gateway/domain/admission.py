"""What a request says, and how its defaults are filled in.

Invariant: what is admitted is a complete `EnvironmentSpec`: nobody after the gateway fills in a default.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from contracts.golden_path import GoldenPath
from contracts.names import (
    BranchName,
    EnvironmentName,
    GoldenPathName,
    PersonName,
    RepositoryName,
    RepositoryPath,
    TeamName,
)
from contracts.parameters import ParameterError
from contracts.values import EnvironmentSpec, Kind, Owner
from services.gateway.domain.people import Principal, Role
from services.gateway.domain.refusals import BrokenRule, InvalidError

PlanHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""`contracts.plans.Plan.hash`: what somebody looked at and agreed to."""
TimeFromNow = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[mhdw]$")]
"""A number and m, h, d or w: minutes, hours, days or weeks from now."""
DependsOn = Annotated[list[EnvironmentName], Field(max_length=50)]
"""Names of other environments, each once."""
NOT_A_NAME: Final = "export"
"""Stands where a name would in the API's addresses."""


class Ask(BaseModel):
    """A request's body: exactly these fields, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CreateEnvironment(Ask):
    """What a developer says; everything but the first two has a default."""

    name: EnvironmentName
    golden_path: GoldenPathName
    repository: RepositoryName | None = None
    """`owner/name`; by default the platform's organisation and the environment's name."""
    branch: BranchName | None = None
    kind: Kind | None = None
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=30)
    team: TeamName | None = None
    """Who owns it; by default the token's only team."""
    plan: PlanHash | None = None
    """The hash of the plan that was agreed to."""
    ttl: TimeFromNow | None = None
    """How long it lives; by default what is usual for its kind."""
    depends_on: DependsOn | None = None
    """Other environments that it calls."""
    path: RepositoryPath | None = None
    """The directory of the repository that the application is in; by default all of it."""


class DeleteEnvironment(Ask):
    """Names the environment; over HTTP the path does."""

    name: EnvironmentName


class CreateToken(Ask):
    """A new API token."""

    name: str = Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9 ._-]*[A-Za-z0-9])?$")
    """What it is for."""
    role: Role = "developer"
    teams: list[TeamName] | None = Field(default=None, max_length=50)
    """By default the teams of the token that asks."""
    expires_in_days: int = Field(default=90, ge=1, le=366)
    person: PersonName | None = None
    """For whom; only an admin may name somebody else."""


class ChangeAccess(Ask):
    """A role in one environment, for a person or a team."""

    role: Role
    person: PersonName | None = None
    team: TeamName | None = None


@dataclass(frozen=True)
class Defaults:
    """What the platform adds where neither the person nor the golden path says anything."""

    organisation: str
    preview_days: int = 7
    preview_most_days: int = 30
    """From its creation; only a reason to keep it helps after that."""


def complete(
    ask: CreateEnvironment, path: GoldenPath, principal: Principal, now: datetime, defaults: Defaults
) -> EnvironmentSpec:
    """The whole desired state. Raises `InvalidError` and `ForbiddenError`."""
    if ask.name == NOT_A_NAME:
        raise InvalidError([BrokenRule("name", f"cannot be {NOT_A_NAME!r}; choose another one")])
    team = principal.team_for(ask.team)
    kind = ask.kind or path.defaults.kind
    try:
        parameters = path.resolve(kind, ask.parameters)
    except ParameterError as error:
        raise broken_parameter(error) from error
    try:
        return EnvironmentSpec(
            name=ask.name,
            kind=kind,
            golden_path=path.name,
            golden_path_version=path.version,
            owner=Owner(person=principal.person, team=team),
            repository=ask.repository or f"{defaults.organisation}/{ask.name}",
            branch=ask.branch or path.defaults.branch,
            parameters=dict(parameters),
            expires_at=_expiry(path, kind, now, defaults),
            depends_on=dependencies(ask.name, ask.depends_on or ()),
            path=ask.path,
            runtime=path.runtime.in_force(),
        )
    except ValidationError as error:  # the organisation and the name do not make a repository's name together
        raise InvalidError([BrokenRule("repository", "cannot follow from this name; name one")]) from error


def dependencies(name: str, named: Sequence[str]) -> tuple[str, ...] | None:
    """What an environment depends on, as it is kept. Raises `InvalidError`."""
    if name in named:
        raise InvalidError([BrokenRule("depends_on", "must not name the environment itself")])
    if len(set(named)) != len(named):
        raise InvalidError([BrokenRule("depends_on", "must name each environment once")])
    return tuple(sorted(named)) or None


def broken_parameter(error: ParameterError) -> InvalidError:
    """The refusal of a parameter's value."""
    where = error.parameter if error.parameter in {"kind", "parameters"} else f"parameters.{error.parameter}"
    return InvalidError([BrokenRule(where, error.rule)])


def mark_of(operation: str, ask: Ask, **named: str) -> bytes:
    """The fingerprint of a request: what it asks for, and of what."""
    body = ask.model_dump(mode="json")
    for late in ("plan", "ttl", "depends_on", "path"):  # fields that are younger than requests that are kept
        if body.get(late) is None:
            body.pop(late, None)
    return fingerprint(operation, body | named)


def _expiry(path: GoldenPath, kind: Kind, now: datetime, defaults: Defaults) -> datetime | None:
    lifetime = path.defaults.time_to_live.get(kind)
    if lifetime is not None:
        return now + timedelta(days=lifetime.days)
    return now + timedelta(days=defaults.preview_days) if kind == "preview" else None


def fingerprint(operation: str, body: Mapping[str, Any]) -> bytes:
    """The same for two requests that say the same: SHA-256 over the operation and the body's canonical JSON."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{operation}\0{canonical}".encode()).digest()

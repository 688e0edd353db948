"""What a team may have: quotas, and which golden paths and kinds. Pure.

Invariant: a limit that nobody set does not hold; the only one that is set by default is that of previews of one
repository, which a broken automation would otherwise make by the hundred.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.golden_path import GoldenPath
from contracts.names import GoldenPathName, TeamName
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec, HourlyPrice, Kind
from services.gateway.domain.obstacles import exists
from services.gateway.domain.refusals import NotAllowedError

HOURS_A_MONTH: Final = 730
"""365.25 days of 24 hours, over 12, rounded: as clouds count."""
What = Literal["environments", "previews_of_repository", "cost_per_month"]


class Limits(BaseModel):
    """What one team may have. None: as much as it likes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environments: int | None = Field(default=None, ge=0)
    previews_per_repository: int | None = Field(default=5, ge=0)
    """At once, over all teams."""
    cost_per_month: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    """By the prices of the golden paths, in their currency."""
    golden_paths: tuple[GoldenPathName, ...] | None = None
    kinds: tuple[Kind, ...] | None = None


class Policy(BaseModel):
    """What every team may have, and where a team's limits differ: `defaults` and `teams` of the policy file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defaults: Limits = Limits()
    teams: dict[TeamName, Limits] = Field(default_factory=dict)

    def of(self, team: str) -> Limits:
        """What a team may have: what is said of it over what is said of all."""
        theirs = self.teams.get(team)
        if theirs is None:
            return self.defaults
        return self.defaults.model_copy(update={name: getattr(theirs, name) for name in theirs.model_fields_set})

    @classmethod
    def read(cls, document: Any) -> Self:
        """The policy in a parsed document; an empty one says nothing. Raises `pydantic.ValidationError`."""
        return cls.model_validate({} if document is None else document)


@dataclass(frozen=True)
class Place:
    """What one environment takes of its team's quota."""

    team: str
    repository: str
    kind: Kind
    cost_per_month: Decimal


@dataclass(frozen=True)
class Room:
    """A place that is asked for, and the limits that hold for it. None: no limit."""

    place: Place
    environments: int | None
    previews_per_repository: int | None
    cost_per_month: Decimal | None


@dataclass(frozen=True)
class Usage:
    """How much of a limit is used, by whom: a team, or a repository."""

    what: What
    scope: str
    used: Decimal
    limit: Decimal | None

    @property
    def left(self) -> Decimal | None:
        """What is left of it; None where there is no limit."""
        return None if self.limit is None else max(Decimal(0), self.limit - self.used)


def usage_of(room: Room, what: What, used: Decimal) -> Usage:
    """How much is used of one of the limits of `room`."""
    limits = {
        "environments": (room.place.team, room.environments),
        "previews_of_repository": (room.place.repository, room.previews_per_repository),
        "cost_per_month": (room.place.team, room.cost_per_month),
    }
    scope, limit = limits[what]
    return Usage(what, scope, Decimal(used), None if limit is None else Decimal(limit))


def cost_per_hour(path: GoldenPath | None, parameters: Mapping[str, Any]) -> Decimal:
    """What an environment with these parameters costs an hour; nothing where its golden path is not on offer."""
    return path.cost_per_hour(parameters) if path is not None else Decimal(0)


def cost_per_month(path: GoldenPath | None, parameters: Mapping[str, Any]) -> Decimal:
    """The same for a month, in hundredths."""
    return (cost_per_hour(path, parameters) * HOURS_A_MONTH).quantize(Decimal("0.01"))


def price_of(path: GoldenPath | None, parameters: Mapping[str, Any]) -> HourlyPrice | None:
    """The price of an environment with these parameters; None where its golden path is not on offer."""
    if path is None:
        return None
    return HourlyPrice(currency=path.prices.currency, per_hour=path.cost_per_hour(parameters))


def place_of(spec: EnvironmentSpec, path: GoldenPath | None) -> Place:
    """The place that an environment takes."""
    return Place(spec.owner.team, spec.repository, spec.kind, cost_per_month(path, spec.parameters))


def room_for_new(spec: EnvironmentSpec, path: GoldenPath | None, limits: Limits) -> Room:
    """The place that a new environment needs. Raises `NotAllowedError` where its team may not have such a one."""
    check_allowed(spec, limits)
    previews = limits.previews_per_repository if spec.kind == "preview" else None
    return Room(place_of(spec, path), limits.environments, previews, limits.cost_per_month)


def room_for_change(spec: EnvironmentSpec, path: GoldenPath | None, limits: Limits) -> Room:
    """The place that an environment needs in another state: only its cost may be too much."""
    return Room(place_of(spec, path), None, None, limits.cost_per_month)


def check_allowed(spec: EnvironmentSpec, limits: Limits) -> None:
    """Raise `NotAllowedError` where a team of these limits may not have such an environment."""
    team = spec.owner.team
    if limits.golden_paths is not None and spec.golden_path not in limits.golden_paths:
        offered = ", ".join(limits.golden_paths) or "none"
        raise NotAllowedError(f"The team {team} may use these golden paths: {offered}. Ask the platform team for more.")
    if limits.kinds is not None and spec.kind not in limits.kinds:
        offered = ", ".join(limits.kinds) or "none"
        raise NotAllowedError(f"The team {team} may have these kinds: {offered}. Ask the platform team for more.")


def takes_room(view: EnvironmentView) -> bool:
    """Whether an environment still takes its place: not once it is deleted, or failed with nothing of it there."""
    return exists(view)

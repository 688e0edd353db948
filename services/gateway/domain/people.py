"""Who asks, and what they may do.

Invariants
- A principal sees and changes only what belongs to its teams and the environments that it was granted; a principal of
  role `admin` sees everything.
- No grant lets a token do more than its own kind: with a viewer's token one only looks, everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

from contracts.queries import EnvironmentView, Grant, GrantedTo
from services.gateway.domain.refusals import BrokenRule, ForbiddenError, InvalidError

Role = Literal["viewer", "developer", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the smallest to the greatest; each may do what the ones before it may."""


def reaches(role: Role, needed: Role) -> bool:
    """Whether `role` may do what `needed` may."""
    return ROLES.index(role) >= ROLES.index(needed)


@dataclass(frozen=True)
class Principal:
    """Somebody whose token, or session, was checked."""

    person: str
    role: Role
    teams: tuple[str, ...]
    token_id: str
    token_name: str
    expires_at: datetime | None
    is_session: bool = False
    """Whether it is a person who signed in, and not a token that somebody made."""

    @property
    def subject(self) -> str:
        """Who it is, over all of their tokens: the issuer (this platform) and the person."""
        return f"slipway/{self.person}"

    @property
    def visible_teams(self) -> tuple[str, ...] | None:
        """The teams whose things it sees; None means all."""
        return None if self.role == "admin" else self.teams

    @property
    def granted_to(self) -> GrantedTo:
        """What it is called where something was granted to it."""
        return GrantedTo(person=self.person, teams=self.teams)

    def sees(self, team: str) -> bool:
        """Whether things of `team` exist for it."""
        return self.visible_teams is None or team in self.visible_teams

    def role_in(self, view: EnvironmentView) -> Role | None:
        """What it may do with one environment; None where that does not exist for it. Whoever works in the owner's team
        may do everything, grants included."""
        if self.sees(view.spec.owner.team):
            return "viewer" if self.role == "viewer" else "admin"
        granted = [grant.role for grant in view.access if self._is_meant(grant)]
        if not granted:
            return None
        return "viewer" if self.role == "viewer" else max(granted, key=ROLES.index)

    def _is_meant(self, grant: Grant) -> bool:
        if grant.person is not None:
            return grant.person == self.person
        return grant.team is not None and grant.team in self.teams

    def require_in(self, view: EnvironmentView, needed: Role) -> None:
        """Raise `ForbiddenError` where its role in an environment that it sees does not reach `needed`."""
        role = self.role_in(view)
        if role is None or not reaches(role, needed):
            raise ForbiddenError(
                f"This takes the role {needed} in this environment. Its owner, {view.spec.owner.person} of the team"
                f" {view.spec.owner.team}, may grant it."
            )

    def require(self, needed: Role) -> None:
        """Raise `ForbiddenError` where its role does not reach `needed`."""
        if not reaches(self.role, needed):
            raise ForbiddenError(
                f"This takes the role {needed}, and yours is {self.role}. Ask the platform team for one that has it."
            )

    def team_for(self, asked: str | None) -> str:
        """The team for which it asks for something new. Raises `ForbiddenError` for a team that is not one of its
        own, and `InvalidError` where it must choose."""
        if asked is not None:
            if not self.sees(asked):
                raise ForbiddenError("Your token does not belong to this team. Name one of your own (GET /api/v1/me).")
            return asked
        if len(self.teams) != 1:
            choice = f"one of {', '.join(self.teams)}" if self.teams else "a team"
            raise InvalidError([BrokenRule("team", f"is required, because your token has no single team: {choice}")])
        return self.teams[0]


def member(person: str, rights: Sequence[tuple[Role, tuple[str, ...]]]) -> Principal | None:
    """A person who asks for something elsewhere, with the most of what their tokens and sessions here open: each is a
    role and teams. None for whom nothing opens anything. Never an admin: what is asked for elsewhere is asked for a
    team of theirs."""
    if not rights:
        return None
    role = max((role for role, _ in rights), key=ROLES.index)
    teams = tuple(sorted({team for _, teams in rights for team in teams}))
    return Principal(person, "developer" if role == "admin" else role, teams, "forge", "forge", None)

"""Who a person is here, as follows from what their issuer says.

Invariants
- An identity is an issuer and its name for somebody (`sub`), and nothing else: not an e-mail, and not a login, which
  some issuers let people choose and change (OpenID Connect Core 1.0, §5.7).
- A name here belongs to the first identity that had it, for good: whoever comes with the same login later, or with the
  name of the platform's own admin, gets a name of their own.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.gateway.domain.people import ROLES, Role

_PERSON: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,98}[A-Za-z0-9])?")
"""`contracts.names.PersonName`."""
_TEAM: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?")
"""`contracts.names.TeamName`."""
_RESERVED: Final = frozenset({"admin", "platform", "slipway", "system", "catalog", "gateway"})
"""Who is not a person: the platform's own token, and its parts."""
_MARK_LENGTH: Final = 8
_MOST_LENGTH: Final = 80
_MOST_TEAMS: Final = 100


@dataclass(frozen=True)
class Identity:
    """What an issuer says of somebody."""

    issuer: str
    subject: str
    login: str
    """What people call them there; a wish for their name here."""
    groups: tuple[str, ...]


@dataclass(frozen=True)
class GroupRules:
    """What groups of the issuer mean here."""

    team_prefix: str = ""
    """A group whose name begins so is a team: the rest is its name."""
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Groups that give a role."""
    default_role: Role = "developer"
    """Of whoever is in none of those."""

    def role(self, groups: Sequence[str]) -> Role:
        """The greatest role that these groups give."""
        given = [self.roles[group] for group in groups if group in self.roles]
        return max(given, key=ROLES.index, default=self.default_role)

    def teams(self, groups: Sequence[str]) -> tuple[str, ...]:
        """The teams among these groups, in order of their names; a group that cannot be a team's name is none."""
        named = {
            group.removeprefix(self.team_prefix)
            for group in groups
            if group.startswith(self.team_prefix) and group not in self.roles
        }
        return tuple(sorted(name for name in named if _TEAM.fullmatch(name)))[:_MOST_TEAMS]


def names_for(identity: Identity) -> tuple[str, ...]:
    """The names that this person may get here, the best first. The last one can be nobody else's."""
    mark = hashlib.sha256(f"{identity.issuer}\0{identity.subject}".encode()).hexdigest()
    login = identity.login if _PERSON.fullmatch(identity.login) and len(identity.login) <= _MOST_LENGTH else ""
    own = (f"{login or 'person'}-{mark[:_MARK_LENGTH]}", f"person-{mark}")
    return own if not login or login.lower() in _RESERVED else (login, *own)

"""What the secrets service remembers of an environment: who holds its name, who may use it, and what its last run did.

It is kept as labels of the environment's secret, written on condition that nobody has written them since. So they are
the one place where what happens at the same time is put in order: groups follow from them and can be made again.

Invariant: what was asked for later counts, whatever order it is heard in.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, Self, cast
from uuid import UUID

from chassis.failures import PermanentError
from contracts.events import AccessChange
from services.secrets.domain.instances import connection_of
from services.secrets.domain.names import OWNERS_ROLE, ROLES, AccessRole

MAX_LABELS: Final = 64
"""As many as OpenBao lets a secret have."""
_RESERVED_LABELS: Final = 8
"""For what is not a grant."""
_NONE: Final = "-"
"""A label cannot be empty."""
_GRANT: Final = re.compile(rf"grant\.({'|'.join(ROLES)})\.(person|team)\.(.{{1,100}})")
_STANDING: Final = re.compile(r"(given|taken) (asked|owner) (\S{1,40})")


@dataclass(frozen=True)
class Grantee:
    """Somebody who may have a role."""

    role: AccessRole
    kind: Literal["person", "team"]
    name: str

    def __str__(self) -> str:
        """For people."""
        return f"{'the team ' if self.kind == 'team' else ''}{self.name}"


@dataclass(frozen=True)
class Standing:
    """What was last said about somebody's role: given or taken away, when, and whether by owning the environment."""

    given: bool
    at: datetime
    owns: bool = False


@dataclass(frozen=True)
class LastRun:
    """The run that last changed what the environment has here, and the database before and after; empty where there is
    none, None where that is not known."""

    id: UUID
    before: str | None
    after: str

    @property
    def moves_leases(self) -> bool:
        """Whether logins are leased by another connection than before."""
        return bool(self.before and self.after) and connection_of(self.before) != connection_of(self.after)

    @property
    def enters_instance(self) -> bool:
        """Whether the environment has got an instance of its own that it had not."""
        return connection_of(self.before) is None and connection_of(self.after) is not None

    @property
    def leaves_instance(self) -> bool:
        """Whether the environment had an instance of its own and has none now."""
        return connection_of(self.before) is not None and connection_of(self.after) is None


@dataclass(frozen=True)
class Record:
    """What is remembered of one environment."""

    grants: Mapping[Grantee, Standing] = field(default_factory=dict)
    database: str | None = None
    """Where it leases logins to (`instances.place_of`); empty for an environment without a database, None where that is
    not known."""
    last_run: LastRun | None = None

    def with_grant(self, who: Grantee, *, given: bool, at: datetime) -> Self:
        """The record after somebody asked for this at that time; as it is where something later is known.

        Raises PermanentError where it can hold no more grants.
        """
        known = self.grants.get(who)
        if known is not None and known.at > at:
            return self
        grants = {**self.grants, who: Standing(given, at)}
        return replace(self, grants=_within_bounds(grants))

    def owned_by(self, person: str, at: datetime) -> Self:
        """The record of an environment that belongs to `person`: they have the owner's role unless it was taken from
        them, and nobody else has it by owning."""
        owner = Grantee(OWNERS_ROLE, "person", person)
        grants = {who: standing for who, standing in self.grants.items() if who == owner or not standing.owns}
        return replace(self, grants=_within_bounds({owner: Standing(given=True, at=at, owns=True)} | grants))

    def moved_by(self, run_id: UUID, place: str) -> tuple[Self, LastRun]:
        """The record once a run leases logins to this place, and that run. A repeat of it changes nothing more."""
        before = self.last_run.before if self.last_run and self.last_run.id == run_id else self.database
        run = LastRun(run_id, before, place)
        return replace(self, database=place, last_run=run), run

    def moved_back(self, run_id: UUID) -> Self:
        """The record once that run is taken back; as it is where the run never changed anything."""
        if self.last_run is None or self.last_run.id != run_id:
            return self
        return replace(self, database=self.last_run.before)

    @property
    def has_own_instance(self) -> bool:
        """Whether there may be a connection to an instance of its own, be it from before the last run."""
        run = self.last_run
        places = (self.database, *((run.before, run.after) if run else ()))
        return any(connection_of(place) for place in places)

    def holders(self, role: AccessRole) -> tuple[Grantee, ...]:
        """Everybody who has a role."""
        return tuple(
            sorted(
                (who for who, standing in self.grants.items() if who.role == role and standing.given),
                key=lambda who: (who.kind, who.name),
            )
        )

    def labels(self) -> dict[str, str]:
        """As it is kept. `of` reads it back."""
        kept = {
            f"grant.{who.role}.{who.kind}.{who.name}": f"{'given' if standing.given else 'taken'} "
            f"{'owner' if standing.owns else 'asked'} {standing.at.isoformat()}"
            for who, standing in self.grants.items()
        }
        if self.database is not None:
            kept["database"] = self.database or _NONE
        if self.last_run is not None:
            kept |= {"run": str(self.last_run.id), "run_database": self.last_run.after or _NONE}
            if self.last_run.before is not None:
                kept["run_database_before"] = self.last_run.before or _NONE
        return kept

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Self:
        """The record in some labels; what somebody wrote there by hand is passed over."""
        grants: dict[Grantee, Standing] = {}
        for key, value in labels.items():
            named, said = _GRANT.fullmatch(key), _STANDING.fullmatch(value)
            if named is None or said is None:
                continue
            try:
                at = datetime.fromisoformat(said[3])
            except ValueError:
                continue
            if at.tzinfo is not None:
                who = Grantee(cast("AccessRole", named[1]), cast('Literal["person", "team"]', named[2]), named[3])
                grants[who] = Standing(said[1] == "given", at, said[2] == "owner")
        databases = {key: "" if value == _NONE else value for key, value in labels.items() if "database" in key}
        last_run = None
        if "run" in labels and "run_database" in databases:
            try:
                run_id = UUID(labels["run"])
            except ValueError:
                return cls(grants, databases.get("database"))
            last_run = LastRun(run_id, databases.get("run_database_before"), databases["run_database"])
        return cls(grants, databases.get("database"), last_run)


@dataclass(frozen=True)
class Claim:
    """Who holds a name in the secret store. It is made before everything else and removed after everything else, so
    where there is no claim there is nothing."""

    incarnation: UUID | None
    """None where somebody made the secret by hand."""
    readable: bool
    """Whether the current version of the secret can be read."""
    record: Record = field(default_factory=Record)
    version: int = 0
    """Of the record: what it may be replaced on condition of."""


@dataclass(frozen=True)
class StoredSecret:
    """What is known of a secret whose values cannot be read back."""

    version: int
    names: tuple[str, ...]


def grantee_of(change: AccessChange) -> Grantee:
    """Whom a request is about. Raises PermanentError where it names nobody, or two."""
    if change.person is not None and change.team is None:
        return Grantee(change.role, "person", change.person)
    if change.team is not None and change.person is None:
        return Grantee(change.role, "team", change.team)
    raise PermanentError(
        "unclear_access_request",
        "a request for access names either a person or a team",
        next_step="Ask again, once for each of them.",
    )


def _within_bounds(grants: Mapping[Grantee, Standing]) -> dict[Grantee, Standing]:
    """As many as can be kept: of the oldest that were taken away, the memory goes first."""
    kept = dict(grants)
    taken = sorted((who for who, standing in grants.items() if not standing.given), key=lambda who: grants[who].at)
    for who in taken[: max(0, len(kept) - (MAX_LABELS - _RESERVED_LABELS))]:
        del kept[who]
    if len(kept) > MAX_LABELS - _RESERVED_LABELS:
        raise PermanentError(
            "too_many_grants",
            f"an environment can have {MAX_LABELS - _RESERVED_LABELS} grants at most",
            next_step="Give the role to a team instead of its members one by one.",
        )
    return kept

"""What environments are found by, which of them keep a question's conditions, and in which order they come. Pure; the
store in memory asks here, and the one in Postgres keeps the same answers in columns and indexes.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, get_args
from uuid import UUID

from contracts.queries import (
    EnvironmentOrder,
    EnvironmentView,
    FacetCount,
    Facets,
    FindEnvironments,
    GrantedTo,
)
from services.catalog.domain.costs import per_month

FACETS: Final = ("team", "kind", "golden_path", "state", "running", "deployment")
"""What is counted by; each is a condition too."""
ORDERS: Final[tuple[EnvironmentOrder, ...]] = get_args(EnvironmentOrder)
NO_END: Final = datetime.max.replace(tzinfo=UTC)
FORGETTABLE: Final = ("preview", "staging")
_UNDER_WAY: Final = frozenset({"creating", "updating", "undoing", "deleting"})


class Entry(NamedTuple):
    """One environment as it is found, by what the log says of it."""

    name: str
    incarnation: UUID
    team: str
    person: str
    kind: str
    golden_path: str
    state: str
    repository: str
    branch: str
    created_at: datetime
    updated_at: datetime
    """Not moved by the steps of a run, only by its beginning and its end."""
    expires_at: datetime | None
    last_activity_at: datetime
    cost_per_month: float
    grantees: tuple[str, ...]
    """`person:<name>` and `team:<name>`, sorted."""
    depends_on: tuple[str, ...]
    path: str
    """The directory of the repository; empty where it is all of it."""


def entry(view: EnvironmentView) -> Entry:
    """How an environment is found."""
    spec = view.spec
    return Entry(
        name=view.name,
        incarnation=view.incarnation,
        team=spec.owner.team,
        person=spec.owner.person,
        kind=spec.kind,
        golden_path=spec.golden_path,
        state=view.state,
        repository=spec.repository,
        branch=spec.branch,
        created_at=view.created_at,
        updated_at=view.updated_at,
        expires_at=view.expires_at,
        last_activity_at=view.last_activity_at or view.created_at,
        cost_per_month=float(per_month(view)),
        grantees=tuple(sorted({f"person:{g.person}" if g.person else f"team:{g.team}" for g in view.access})),
        depends_on=spec.depends_on or (),
        path=spec.path or "",
    )


def has_changed(before: EnvironmentView | None, after: EnvironmentView) -> bool:
    """Whether an environment is found another way than before."""
    if before is None:
        return True
    was, now = entry(before), entry(after)
    if now.state in _UNDER_WAY and was.state == now.state:
        was = was._replace(updated_at=now.updated_at)
    return was != now


def grantees_of(granted_to: GrantedTo) -> list[str]:
    """What somebody is called among `Entry.grantees`."""
    return [f"person:{granted_to.person}", *(f"team:{team}" for team in granted_to.teams)]


def is_in_scope(view: EnvironmentView, teams: Collection[str] | None, granted_to: GrantedTo | None) -> bool:
    """Whether somebody sees an environment: it is one of their teams', or they were granted it."""
    if teams is None or view.spec.owner.team in teams:
        return True
    return granted_to is not None and bool(set(entry(view).grantees) & set(grantees_of(granted_to)))


def value_of(view: EnvironmentView, facet: str) -> str:
    """The value that an environment has of a facet."""
    values = {
        "team": view.spec.owner.team,
        "kind": view.spec.kind,
        "golden_path": view.spec.golden_path,
        "state": view.state,
        "running": view.running,
        "deployment": view.deployment,
    }
    return values[facet]


def keeps(query: FindEnvironments, view: EnvironmentView, now: datetime, *, but: str = "") -> bool:
    """Whether a shown environment keeps a question's conditions, all `but` the one on this facet."""
    spec, idle = view.spec, query.forgotten_days
    return (
        (query.include_deleted or query.state == "deleted" or view.state != "deleted")
        and all(getattr(query, facet) in {None, value_of(view, facet)} for facet in FACETS if facet != but)
        and query.person in {None, spec.owner.person}
        and query.repository in {None, spec.repository}
        and query.branch in {None, spec.branch}
        and (query.name_contains or "") in view.name
        and (
            idle is None
            or (
                view.state == "ready"
                and spec.kind in FORGETTABLE
                and (view.last_activity_at or view.created_at) < now - timedelta(days=idle)
            )
        )
    )


def sort_key(order: EnvironmentOrder, view: EnvironmentView) -> tuple[object, str]:
    """Where an environment stands in an order."""
    keys: dict[EnvironmentOrder, object] = {
        "name": view.name,
        "created_at": view.created_at,
        "expires_at": view.expires_at or NO_END,
        "updated_at": view.updated_at,
        "cost": per_month(view),
        "last_activity_at": view.last_activity_at or view.created_at,
    }
    return keys[order], view.name


def facets_of(counts: Iterable[tuple[str, str, int]]) -> Facets:
    """Facets from triples of facet, value and number."""
    found: dict[str, Counter[str]] = {facet: Counter() for facet in FACETS}
    for facet, value, number in counts:
        found[facet][value] += number
    return Facets.model_validate(
        {
            facet: [
                FacetCount(value=value, count=number)
                for value, number in sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))
                if number > 0
            ]
            for facet, counter in found.items()
        }
    )

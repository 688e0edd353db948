"""The conditions of a question about environments, as Postgres is asked them of a row `d` of the directory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from contracts.queries import FindEnvironments
from services.catalog.domain.finding import FACETS, grantees_of

_GRAM: Final = 3
"""As many letters `name_grams` takes together."""
_HAS_TWINS: Final = """EXISTS (
    SELECT FROM directory_twins t
    WHERE t.repository = d.repository AND t.branch = d.branch AND t.kind = d.kind AND t.path = d.path AND t.n > 1
)"""
_IS_FORGOTTEN: Final = """d.state = 'ready' AND d.kind IN ('preview', 'staging')
    AND d.last_activity_at < now() - make_interval(days => %s)"""


@dataclass(frozen=True)
class Condition:
    """A condition on a row `d`, and the facet that it is on, if any."""

    text: sql.SQL
    values: tuple[Any, ...] = ()
    facet: str = ""


VISIBLE: Final = Condition(sql.SQL("d.state <> 'deleted'"), (), "visible")


def conditions_of(query: FindEnvironments, *, by_letters: bool = True) -> list[Condition]:
    """All that a question demands; a part of a name also by its letters, unless it is found without their index."""
    found = [
        Condition(sql.SQL(f"d.{facet} = %s"), (value,), facet)
        for facet in FACETS
        if (value := getattr(query, facet)) is not None
    ]
    if not query.include_deleted and query.state != "deleted":
        found.append(VISIBLE)
    for text, value in (
        ("d.person = %s", query.person),
        ("d.repository = %s", query.repository),
        ("d.branch = %s", query.branch),
        (_IS_FORGOTTEN, query.forgotten_days),
    ):
        if value is not None:
            found.append(Condition(sql.SQL(text), (value,)))
    found += named(query, by_letters=by_letters)
    if query.duplicates:
        found.append(Condition(sql.SQL(_HAS_TWINS)))
    return found


def named(query: FindEnvironments, *, by_letters: bool = True) -> list[Condition]:
    """Those on the name."""
    if not query.name_contains:
        return []
    contains = Condition(sql.SQL("position(%s IN d.name) > 0"), (query.name_contains,))
    if by_letters and has_grams(query):
        return [Condition(sql.SQL("name_grams(d.name) @> name_grams(%s)"), (query.name_contains,)), contains]
    return [contains]


def has_grams(query: FindEnvironments) -> bool:
    """Whether a part of a name is asked for that is long enough for the indexes by letters."""
    return len(query.name_contains or "") >= _GRAM


def where(conditions: Sequence[Condition]) -> sql.Composable:
    """The clause that demands all of them."""
    if not conditions:
        return sql.SQL("")
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(one.text for one in conditions)


def values_of(conditions: Sequence[Condition]) -> list[Any]:
    """The parameters of `where`."""
    return [value for one in conditions for value in one.values]


def not_theirs(query: FindEnvironments) -> list[Condition]:
    """What else than their teams' somebody sees."""
    if query.granted_to is None:
        return []
    return [
        Condition(sql.SQL("d.grantees <> '{}' AND d.grantees && %s::text[]"), (grantees_of(query.granted_to),)),
        Condition(sql.SQL("d.team <> ALL(%s::text[])"), (list(query.teams or ()),)),
    ]

"""Finding environments in Postgres, in the directory: a page in any order, how many there are, and by what.

However many environments there are, no question looks at more than a few thousand rows:
- a page comes off an index that has its order, one for each team where somebody sees only some;
- totals and facets are added up from `directory_counts`, as long as every condition is one that is counted by; else
  what keeps the other conditions is counted, up to `MOST_COUNTED`; common letters along the names (`postgres_along`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from chassis.database import Database
from contracts.queries import EnvironmentOrder, EnvironmentView, Facets, FindEnvironments
from services.catalog.adapters import postgres_along as along
from services.catalog.adapters import postgres_directory as directory
from services.catalog.adapters.postgres import Connection, connection
from services.catalog.adapters.postgres_conditions import (
    VISIBLE,
    Condition,
    conditions_of,
    has_grams,
    named,
    not_theirs,
    values_of,
    where,
)
from services.catalog.domain.finding import FACETS, facets_of

MOST_COUNTED: Final = 10_000
MOST_LOOKED_THROUGH: Final = 100_000
"""How many names of somebody's own are looked through for a part of one, rather than everybody's found by its letters:
common letters are in far more names than these."""
_COLUMN: Final[Mapping[EnvironmentOrder, str]] = {
    "name": "name",
    "created_at": "created_at",
    "expires_at": "expires_at",
    "updated_at": "updated_at",
    "cost": "cost_per_month",
    "last_activity_at": "last_activity_at",
}
_CAST: Final[Mapping[EnvironmentOrder, str]] = {
    "name": "text",
    "created_at": "timestamptz",
    "expires_at": "timestamptz",
    "updated_at": "timestamptz",
    "cost": "float8",
    "last_activity_at": "timestamptz",
}
_OF_TEAMS: Final = sql.SQL("d.team = ANY(%s::text[])")
_OF_THEIRS: Final = """
SELECT coalesce(sum(n), 0)::bigint FROM directory_counts WHERE team = ANY(%s::text[]) AND state <> 'deleted' AND n > 0
"""
_AMONG_THEIRS: Final = sql.SQL(
    "d.name = ANY(ARRAY(SELECT o.name FROM directory o"
    " WHERE o.team = ANY(%s::text[]) AND o.state <> 'deleted' AND position(%s IN o.name) > 0))"
)
"""By an index that has these names: rows are fetched only for those that have the part."""
_STRETCH: Final = """
SELECT max(e.name), coalesce(array_agg(e.name) FILTER (WHERE d.name IS NULL OR d.state <> e.state), '{}')
FROM (SELECT name, state FROM environments WHERE name > %s ORDER BY name LIMIT 2000) e
LEFT JOIN directory d ON d.name = e.name
"""
"""The last of so many names, and those of them that the directory does not have as they are."""


@dataclass(frozen=True)
class Found:
    """One environment of a page: its documents, and the cursor after it."""

    environment: str
    facts: str | None
    cursor: str


@dataclass(frozen=True)
class Counted:
    """How many there are."""

    total: int
    is_exact: bool
    facets: Facets | None
    looked_through: int | None = None
    """How many names were looked through for a part of one; None where it was found by its letters, or by none."""
    first: str | None = None
    """The first name of all that keep the conditions, where that was found beside."""


async def page(session: Connection, query: FindEnvironments, counted: Counted) -> list[Found]:
    """As many as are asked for and one more, if there are so many."""
    statement, parameters = _page(query, counted)
    cursor = await session.execute(statement, parameters, prepare=False)  # planned for these very values
    return [
        Found(document, facts, name if query.sort == "name" else f"{position} {name}")
        for name, position, document, facts in await cursor.fetchall()
    ]


async def count(session: Connection, query: FindEnvironments) -> Counted:
    """How many keep the conditions, and by each value of each facet where that is asked for."""
    looked_through = await _to_look_through(session, query)
    conditions = conditions_of(query, by_letters=looked_through is None)
    counted_by = [one for one in conditions if one.facet]
    others = [one for one in conditions if not one.facet]
    if query.teams is None and not query.facets and conditions == [VISIBLE, *named(query)] and has_grams(query):
        many = await along.count(session, query.name_contains or "", MOST_COUNTED + 1)
        if many is not None:
            return Counted(MOST_COUNTED, is_exact=False, facets=None, first=many.first)
    facets, seen, number = None, 0, None
    if query.facets:
        facets, seen, number = await _facets(session, query, counted_by, others)
    if number is None:
        number = await _total(session, query, counted_by, others)
    is_exact = not others or max(number, seen) <= MOST_COUNTED
    return Counted(number if is_exact else min(number, MOST_COUNTED), is_exact, facets, looked_through)


async def enter_all(database: Database) -> int:
    """Enter into the directory what a release that knew none has folded; how many there were. A stretch of names at a
    time, so that nobody waits long to fold."""
    after, entered = "", 0
    while True:
        async with connection(database) as session, session.transaction():
            # With the position locked nobody folds meanwhile.
            await session.execute("SELECT FROM log_position FOR UPDATE")
            row = await (await session.execute(_STRETCH, (after,))).fetchone()
            if row is None or row[0] is None:
                return entered
            after, names = row
            if names:
                cursor = await session.execute("SELECT document::text FROM environments WHERE name = ANY(%s)", (names,))
                views = [EnvironmentView.model_validate_json(document) for (document,) in await cursor.fetchall()]
                await session.execute(f"WITH moved AS (SELECT 1) {directory.WRITE}", directory.columns(views))
                entered += len(views)


async def _to_look_through(session: Connection, query: FindEnvironments) -> int | None:
    """How many names somebody's teams have, where these are to be looked through."""
    if query.teams is None or not query.name_contains or query.include_deleted or query.state == "deleted":
        return None
    cursor = await session.execute(_OF_THEIRS, (list(query.teams),), prepare=True)
    row = await cursor.fetchone()
    number = int(row[0]) if row else 0
    return number if number <= MOST_LOOKED_THROUGH else None


# -- a page ------------------------------------------------------------------------------------------------------------


def _page(query: FindEnvironments, counted: Counted) -> tuple[sql.Composed, list[Any]]:
    # Of many that keep a condition a page is soon full in any order; the index by what they contain gives all of them.
    are_many = not counted.is_exact or _is_soon_full(query, counted)
    by_letters = not are_many and counted.looked_through is None
    conditions = conditions_of(query, by_letters=by_letters) + _after(query) + _from(query, counted)
    if _finds_few(query) and not are_many:
        # Found first and sorted then: in its order an index has them among everybody else's.
        theirs = [] if query.teams is None else [Condition(_OF_TEAMS, (list(query.teams),))]
        if counted.looked_through is not None:
            theirs.append(Condition(_AMONG_THEIRS, (list(query.teams or ()), query.name_contains)))
        rows, parameters = _unordered(query, [*theirs, *conditions])
    elif query.teams is None:
        rows, parameters = _ordered(query, conditions)
    else:
        # One index scan for each team: a scan of all teams would have another order, and a sort look at all their rows.
        of_team, values = _ordered(query, [Condition(sql.SQL("d.team = t.team")), *conditions])
        rows = sql.SQL("(SELECT o.* FROM unnest(%s::text[]) AS t (team), LATERAL (") + of_team + sql.SQL(") AS o)")
        parameters = [list(query.teams), *values]
    if query.teams is not None and (granted := not_theirs(query)):
        others, values = _ordered(query, [*granted, *conditions])
        rows = rows + sql.SQL(" UNION ALL (") + others + sql.SQL(")")
        parameters += values
    direction = sql.SQL("DESC" if query.descending else "ASC")
    statement = sql.SQL(
        """
        SELECT p.name, p.position::text, e.document::text, f.document::text
        FROM (SELECT * FROM ({rows}) AS r ORDER BY r.position {direction}, r.name {direction} LIMIT %s) AS p
        JOIN environments e ON e.name = p.name LEFT JOIN facts f ON f.name = p.name
        ORDER BY p.position {direction}, p.name {direction}
        """
    ).format(rows=rows, direction=direction)
    return statement, [*parameters, query.limit + 1]


def _finds_few(query: FindEnvironments) -> bool:
    """Whether a condition has an index of its own by which to find few rows, so that sorting them is nothing."""
    return query.person is not None or query.repository is not None or has_grams(query)


def _is_soon_full(query: FindEnvironments, counted: Counted) -> bool:
    """Whether a page is full, going by its order, before as many rows were looked at as there are to find."""
    if counted.looked_through is None or query.person is not None or query.repository is not None:
        return False
    return counted.total**2 > query.limit * counted.looked_through


def _ordered(query: FindEnvironments, conditions: Sequence[Condition]) -> tuple[sql.Composable, list[Any]]:
    column = sql.Identifier("d", _COLUMN[query.sort])
    direction = sql.SQL("DESC" if query.descending else "ASC")
    order = sql.SQL("{column} {direction}, d.name {direction}").format(column=column, direction=direction)
    if query.sort == "name":
        order = sql.SQL("d.name ") + direction
    head = sql.SQL("SELECT d.name, {column} AS position FROM directory d").format(column=column)
    rest = sql.SQL(" ORDER BY ") + order + sql.SQL(" LIMIT %s")
    return head + where(conditions) + rest, [*values_of(conditions), query.limit + 1]


def _unordered(query: FindEnvironments, conditions: Sequence[Condition]) -> tuple[sql.Composable, list[Any]]:
    column = sql.Identifier("d", _COLUMN[query.sort])
    head = sql.SQL("(SELECT d.name, {column} AS position FROM directory d").format(column=column)
    return head + where(conditions) + sql.SQL(" OFFSET 0)"), values_of(conditions)


def _after(query: FindEnvironments) -> list[Condition]:
    if query.after is None:
        return []
    than = "<" if query.descending else ">"
    if query.sort == "name":
        return [Condition(sql.SQL(f"d.name {than} %s"), (query.after,))]
    position, _, name = query.after.rpartition(" ")
    column, cast = _COLUMN[query.sort], _CAST[query.sort]
    text = f"(d.{column}, d.name) {than} (%s::{cast}, %s)"
    return [Condition(sql.SQL(text), (position, name))]


def _from(query: FindEnvironments, counted: Counted) -> list[Condition]:
    """Where to begin in the order of names, for not passing over all that come before the first to find."""
    is_before = counted.first is not None and (query.after is None or query.after < counted.first)
    if query.sort != "name" or query.descending or not is_before:
        return []
    return [Condition(sql.SQL("d.name >= %s"), (counted.first,))]


# -- counting ----------------------------------------------------------------------------------------------------------


def _source(
    query: FindEnvironments, counted_by: Sequence[Condition], others: Sequence[Condition], columns: Sequence[str]
) -> tuple[sql.Composable, list[Any]]:
    """Rows with these columns and `n`, of all that somebody sees and that keeps the conditions. Those that are counted
    by come of `directory_counts`, unless there are `others`."""
    names = [*(sql.Identifier("d", column) for column in columns)]
    theirs = [] if query.teams is None else [Condition(_OF_TEAMS, (list(query.teams),))]

    def each(conditions: Sequence[Condition]) -> tuple[sql.Composable, list[Any]]:
        head = sql.SQL("(SELECT {} FROM directory d").format(sql.SQL(", ").join([*names, sql.SQL("1 AS n")]))
        kept = [*conditions, *others, *counted_by]
        return head + where(kept) + sql.SQL(f" LIMIT {MOST_COUNTED + 1})"), values_of(kept)

    if others:
        rows, parameters = each(theirs)
    else:
        kept = [*theirs, *counted_by, Condition(sql.SQL("d.n > 0"))]
        head = sql.SQL("(SELECT {} FROM directory_counts d").format(sql.SQL(", ").join([*names, sql.SQL("d.n")]))
        rows, parameters = head + where(kept) + sql.SQL(")"), values_of(kept)
    if query.teams is not None and (granted := not_theirs(query)):
        more, values = each(granted)
        rows, parameters = rows + sql.SQL(" UNION ALL ") + more, [*parameters, *values]
    return rows, parameters


async def _total(
    session: Connection,
    query: FindEnvironments,
    counted_by: Sequence[Condition],
    others: Sequence[Condition],
) -> int:
    source, parameters = _source(query, counted_by, others, ())
    total = await session.execute(
        sql.SQL("SELECT coalesce(sum(d.n), 0)::bigint FROM ({}) AS d").format(source), parameters, prepare=False
    )
    row = await total.fetchone()
    return int(row[0]) if row else 0


async def _facets(
    session: Connection,
    query: FindEnvironments,
    counted_by: Sequence[Condition],
    others: Sequence[Condition],
) -> tuple[Facets, int, int | None]:
    """The facets, how many were counted, and how many keep every condition: None where each facet has one."""
    chosen = {one.facet for one in counted_by} & set(FACETS)
    # A facet's own condition does not count for it, so whatever has one is counted by itself.
    groups = [[facet for facet in FACETS if facet not in chosen], *([facet] for facet in FACETS if facet in chosen)]
    found: list[tuple[str, str, int]] = []
    seen, total = 0, None
    for group in groups:
        if not group:
            continue
        source, parameters = _source(query, [one for one in counted_by if one.facet not in group], others, group)
        names = [sql.Identifier("d", facet) for facet in group]
        statement = sql.SQL(
            "SELECT {names}, sum(d.n)::bigint FROM ({source}) AS d GROUP BY GROUPING SETS ({sets})"
        ).format(
            names=sql.SQL(", ").join(names),
            source=source,
            sets=sql.SQL(", ").join(sql.SQL("({})").format(name) for name in names),
        )
        cursor = await session.execute(statement, parameters, prepare=False)
        counts = [
            (facet, value, int(row[-1]))
            for row in await cursor.fetchall()
            for facet, value in zip(group, row[:-1], strict=True)
            if value is not None
        ]
        seen = max([seen, *(sum(n for facet, _, n in counts if facet == name) for name in group)])
        if not chosen.intersection(group):
            total = sum(n for facet, _, n in counts if facet == group[0])
        found += counts
    return facets_of(found), seen, total

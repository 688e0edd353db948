"""Finding environments in Postgres, in the directory: a page in any order, how many there are, and by what.

However many environments there are, no question looks at more than a few thousand rows:
- a page comes off an index that has its order, one for each team where somebody sees only some;
- totals and facets are added up from `directory_counts`, as long as every condition is one that is counted by; else
  what keeps the other conditions is counted, up to `MOST_COUNTED`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql

from chassis.database import Database
from contracts.queries import EnvironmentOrder, EnvironmentView, Facets, FindEnvironments
from services.catalog.adapters import postgres_directory as directory
from services.catalog.adapters.postgres import Connection, connection
from services.catalog.domain.finding import FACETS, facets_of, grantees_of

MOST_COUNTED: Final = 10_000
MOST_CONNECTED: Final = 200
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
_GRAM: Final = 3
"""As many letters `name_grams` takes together."""
_OF_TEAMS: Final = sql.SQL("d.team = ANY(%s::text[])")
_OF_THEIRS: Final = """
SELECT coalesce(sum(n), 0)::bigint FROM directory_counts WHERE team = ANY(%s::text[]) AND state <> 'deleted' AND n > 0
"""
_AMONG_THEIRS: Final = sql.SQL(
    "d.name = ANY(ARRAY(SELECT o.name FROM directory o"
    " WHERE o.team = ANY(%s::text[]) AND o.state <> 'deleted' AND position(%s IN o.name) > 0))"
)
"""By an index that has these names: rows are fetched only for those that have the part."""
_HAS_TWINS: Final = """EXISTS (
    SELECT FROM directory_twins t
    WHERE t.repository = d.repository AND t.branch = d.branch AND t.kind = d.kind AND t.path = d.path AND t.n > 1
)"""
_IS_FORGOTTEN: Final = """d.state = 'ready' AND d.kind IN ('preview', 'staging')
    AND d.last_activity_at < now() - make_interval(days => %s)"""
# Each step goes by its index, whatever the planner thinks of the number of steps: `OFFSET 0` keeps it from a join.
_CONNECTED: Final = """
WITH RECURSIVE needed AS (
    SELECT d.name, d.depends_on FROM directory d WHERE d.name = %(name)s AND d.state <> 'deleted'
    UNION
    SELECT d.name, d.depends_on FROM needed n, LATERAL (
        SELECT d.name, d.depends_on FROM directory d
        WHERE d.name = ANY(n.depends_on) AND d.state <> 'deleted' OFFSET 0
    ) AS d
), needing AS (
    SELECT d.name FROM directory d WHERE d.name = %(name)s AND d.state <> 'deleted'
    UNION
    SELECT d.name FROM needing n, LATERAL (
        SELECT d.name FROM directory d
        WHERE d.depends_on @> ARRAY[n.name::text] AND d.depends_on <> '{}' AND d.state <> 'deleted' OFFSET 0
    ) AS d
), connected AS (
    (SELECT name FROM needed LIMIT %(most)s) UNION (SELECT name FROM needing LIMIT %(most)s)
)
SELECT c.name, e.document::text, f.document::text
FROM connected c JOIN environments e ON e.name = c.name LEFT JOIN facts f ON f.name = c.name
ORDER BY c.name <> %(name)s, c.name
"""
_OUT_OF_DATE: Final = """
SELECT e.name FROM environments e LEFT JOIN directory d ON d.name = e.name
WHERE (d.name IS NULL OR d.state <> e.state) AND e.name > %s ORDER BY e.name LIMIT 500
"""


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
    conditions = _conditions(query, by_letters=looked_through is None)
    counted_by = [one for one in conditions if one.facet]
    others = [one for one in conditions if not one.facet]
    source, parameters = _source(query, counted_by, others, ())
    total = await session.execute(
        sql.SQL("SELECT coalesce(sum(d.n), 0)::bigint FROM ({}) AS d").format(source), parameters, prepare=False
    )
    row = await total.fetchone()
    number = int(row[0]) if row else 0
    facets, seen = None, number
    if query.facets:
        facets, seen = await _facets(session, query, counted_by, others)
    is_exact = not others or max(number, seen) <= MOST_COUNTED
    return Counted(number if is_exact else min(number, MOST_COUNTED), is_exact, facets, looked_through)


async def connected(session: Connection, name: str) -> tuple[list[tuple[str, str | None]], bool]:
    """The documents of an environment and of those that are connected with it, and whether that is all of them."""
    cursor = await session.execute(_CONNECTED, {"name": name, "most": MOST_CONNECTED + 1}, prepare=True)
    rows = await cursor.fetchall()
    return [(environment, facts) for _, environment, facts in rows[:MOST_CONNECTED]], len(rows) <= MOST_CONNECTED


async def enter_all(database: Database) -> int:
    """Enter into the directory what a release that knew none has folded; how many there were."""
    after, entered = "", 0
    while True:
        async with connection(database) as session, session.transaction():
            # With the position locked nobody folds meanwhile.
            await session.execute("SELECT FROM log_position FOR UPDATE")
            names = [row[0] for row in await (await session.execute(_OUT_OF_DATE, (after,))).fetchall()]
            if not names:
                return entered
            cursor = await session.execute(
                "SELECT document::text FROM environments WHERE name = ANY(%s) ORDER BY name", (names,)
            )
            views = [EnvironmentView.model_validate_json(row[0]) for row in await cursor.fetchall()]
            await session.execute(f"WITH moved AS (SELECT 1) {directory.WRITE}", directory.columns(views))
        after, entered = names[-1], entered + len(names)


@dataclass(frozen=True)
class _Condition:
    """A condition on a row `d`, and the facet that it is on, if any."""

    text: sql.SQL
    values: tuple[Any, ...] = ()
    facet: str = ""


async def _to_look_through(session: Connection, query: FindEnvironments) -> int | None:
    """How many names somebody's teams have, where these are to be looked through."""
    if query.teams is None or not query.name_contains or query.include_deleted or query.state == "deleted":
        return None
    cursor = await session.execute(_OF_THEIRS, (list(query.teams),), prepare=True)
    row = await cursor.fetchone()
    number = int(row[0]) if row else 0
    return number if number <= MOST_LOOKED_THROUGH else None


def _conditions(query: FindEnvironments, *, by_letters: bool = True) -> list[_Condition]:
    found = [
        _Condition(sql.SQL(f"d.{facet} = %s"), (value,), facet)
        for facet in FACETS
        if (value := getattr(query, facet)) is not None
    ]
    if not query.include_deleted and query.state != "deleted":
        found.append(_Condition(sql.SQL("d.state <> 'deleted'"), (), "visible"))
    for text, value in (
        ("d.person = %s", query.person),
        ("d.repository = %s", query.repository),
        ("d.branch = %s", query.branch),
        (_IS_FORGOTTEN, query.forgotten_days),
    ):
        if value is not None:
            found.append(_Condition(sql.SQL(text), (value,)))
    if query.name_contains:
        if len(query.name_contains) >= _GRAM and by_letters:
            found.append(_Condition(sql.SQL("name_grams(d.name) @> name_grams(%s)"), (query.name_contains,)))
        found.append(_Condition(sql.SQL("position(%s IN d.name) > 0"), (query.name_contains,)))
    if query.duplicates:
        found.append(_Condition(sql.SQL(_HAS_TWINS)))
    return found


def _where(conditions: Sequence[_Condition]) -> sql.Composable:
    if not conditions:
        return sql.SQL("")
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(one.text for one in conditions)


def _values(conditions: Sequence[_Condition]) -> list[Any]:
    return [value for one in conditions for value in one.values]


def _not_theirs(query: FindEnvironments) -> list[_Condition]:
    """What else than their teams' somebody sees."""
    if query.granted_to is None:
        return []
    return [
        _Condition(sql.SQL("d.grantees <> '{}' AND d.grantees && %s::text[]"), (grantees_of(query.granted_to),)),
        _Condition(sql.SQL("d.team <> ALL(%s::text[])"), (list(query.teams or ()),)),
    ]


# -- a page ------------------------------------------------------------------------------------------------------------


def _page(query: FindEnvironments, counted: Counted) -> tuple[sql.Composed, list[Any]]:
    # Of many that keep a condition a page is soon full in any order; the index by what they contain gives all of them.
    are_many = not counted.is_exact or _is_soon_full(query, counted)
    by_letters = not are_many and counted.looked_through is None
    conditions = _conditions(query, by_letters=by_letters) + _after(query)
    if _finds_few(query) and not are_many:
        # Found first and sorted then: in its order an index has them among everybody else's.
        theirs = [] if query.teams is None else [_Condition(_OF_TEAMS, (list(query.teams),))]
        if counted.looked_through is not None:
            theirs.append(_Condition(_AMONG_THEIRS, (list(query.teams or ()), query.name_contains)))
        rows, parameters = _unordered(query, [*theirs, *conditions])
    elif query.teams is None:
        rows, parameters = _ordered(query, conditions)
    else:
        # One index scan for each team: a scan of all teams would have another order, and a sort look at all their rows.
        of_team, values = _ordered(query, [_Condition(sql.SQL("d.team = t.team")), *conditions])
        rows = sql.SQL("(SELECT o.* FROM unnest(%s::text[]) AS t (team), LATERAL (") + of_team + sql.SQL(") AS o)")
        parameters = [list(query.teams), *values]
    if query.teams is not None and (granted := _not_theirs(query)):
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
    contained = query.name_contains or ""
    return query.person is not None or query.repository is not None or len(contained) >= _GRAM


def _is_soon_full(query: FindEnvironments, counted: Counted) -> bool:
    """Whether a page is full, going by its order, before as many rows were looked at as there are to find."""
    if counted.looked_through is None or query.person is not None or query.repository is not None:
        return False
    return counted.total**2 > query.limit * counted.looked_through


def _ordered(query: FindEnvironments, conditions: Sequence[_Condition]) -> tuple[sql.Composable, list[Any]]:
    column = sql.Identifier("d", _COLUMN[query.sort])
    direction = sql.SQL("DESC" if query.descending else "ASC")
    order = sql.SQL("{column} {direction}, d.name {direction}").format(column=column, direction=direction)
    if query.sort == "name":
        order = sql.SQL("d.name ") + direction
    head = sql.SQL("SELECT d.name, {column} AS position FROM directory d").format(column=column)
    rest = sql.SQL(" ORDER BY ") + order + sql.SQL(" LIMIT %s")
    return head + _where(conditions) + rest, [*_values(conditions), query.limit + 1]


def _unordered(query: FindEnvironments, conditions: Sequence[_Condition]) -> tuple[sql.Composable, list[Any]]:
    column = sql.Identifier("d", _COLUMN[query.sort])
    head = sql.SQL("(SELECT d.name, {column} AS position FROM directory d").format(column=column)
    return head + _where(conditions) + sql.SQL(" OFFSET 0)"), _values(conditions)


def _after(query: FindEnvironments) -> list[_Condition]:
    if query.after is None:
        return []
    than = "<" if query.descending else ">"
    if query.sort == "name":
        return [_Condition(sql.SQL(f"d.name {than} %s"), (query.after,))]
    position, _, name = query.after.rpartition(" ")
    column, cast = _COLUMN[query.sort], _CAST[query.sort]
    text = f"(d.{column}, d.name) {than} (%s::{cast}, %s)"
    return [_Condition(sql.SQL(text), (position, name))]


# -- counting ----------------------------------------------------------------------------------------------------------


def _source(
    query: FindEnvironments, counted_by: Sequence[_Condition], others: Sequence[_Condition], columns: Sequence[str]
) -> tuple[sql.Composable, list[Any]]:
    """Rows with these columns and `n`, of all that somebody sees and that keeps the conditions. Those that are counted
    by come of `directory_counts`, unless there are `others`."""
    names = [*(sql.Identifier("d", column) for column in columns)]
    theirs = [] if query.teams is None else [_Condition(_OF_TEAMS, (list(query.teams),))]

    def each(conditions: Sequence[_Condition]) -> tuple[sql.Composable, list[Any]]:
        head = sql.SQL("(SELECT {} FROM directory d").format(sql.SQL(", ").join([*names, sql.SQL("1 AS n")]))
        kept = [*conditions, *others, *counted_by]
        return head + _where(kept) + sql.SQL(f" LIMIT {MOST_COUNTED + 1})"), _values(kept)

    if others:
        rows, parameters = each(theirs)
    else:
        kept = [*theirs, *counted_by, _Condition(sql.SQL("d.n > 0"))]
        head = sql.SQL("(SELECT {} FROM directory_counts d").format(sql.SQL(", ").join([*names, sql.SQL("d.n")]))
        rows, parameters = head + _where(kept) + sql.SQL(")"), _values(kept)
    if query.teams is not None and (granted := _not_theirs(query)):
        more, values = each(granted)
        rows, parameters = rows + sql.SQL(" UNION ALL ") + more, [*parameters, *values]
    return rows, parameters


async def _facets(
    session: Connection,
    query: FindEnvironments,
    counted_by: Sequence[_Condition],
    others: Sequence[_Condition],
) -> tuple[Facets, int]:
    """The facets, and how many were counted."""
    chosen = {one.facet for one in counted_by} & set(FACETS)
    # A facet's own condition does not count for it, so whatever has one is counted by itself.
    groups = [[facet for facet in FACETS if facet not in chosen], *([facet] for facet in FACETS if facet in chosen)]
    found: list[tuple[str, str, int]] = []
    seen = 0
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
        found += counts
    return facets_of(found), seen

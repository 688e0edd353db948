"""Finding runs: the newest that keep some conditions, and how many there are in each state."""

from typing import Any, Final, LiteralString, get_args

from psycopg import sql

from contracts.queries import RUNS_COUNTED, FacetCount, FindRuns, RunState
from services.catalog.adapters.postgres import Connection
from services.catalog.domain.finding import grantees_of

_STATES: Final[tuple[RunState, ...]] = get_args(RunState)
_GRANTED: Final = """
SELECT o.* FROM directory d, LATERAL ({}) AS o
WHERE d.grantees <> '{{}}' AND d.grantees && %s::text[] AND d.team <> ALL(%s::text[])
"""
_SELECT: Final = "SELECT r.sequence, r.document::text FROM runs r"


async def count(database: Connection, query: FindRuns) -> tuple[FacetCount, ...]:
    """How many runs there are in each state, up to `RUNS_COUNTED` of each: those that nobody reads to the end are not
    counted to the end."""
    counts, parameters = [], []
    for state in _STATES:
        rows, values = newest(query.model_copy(update={"state": state, "before_sequence": None, "limit": RUNS_COUNTED}))
        counts.append(sql.SQL("(SELECT count(*) FROM ({}) AS found)").format(rows))
        parameters += values
    cursor = await database.execute(sql.SQL("SELECT {}").format(sql.SQL(", ").join(counts)), parameters, prepare=False)
    row = await cursor.fetchone()
    return tuple(FacetCount(value=state, count=number) for state, number in zip(_STATES, row or (), strict=True))


def newest(query: FindRuns) -> tuple[sql.Composed, list[Any]]:
    """The statement for the newest runs, and its parameters: one index scan for each team, and one for each environment
    that was granted. Runs of everybody else, of which there may be millions, are not looked at."""

    def newest_of(where: _Where) -> sql.Composed:
        where.unless_none("r.environment = %s", query.environment)
        where.unless_none("strpos(r.environment, %s) > 0", query.name_contains)
        where.unless_none("r.golden_path = %s", query.golden_path)
        where.unless_none("r.document->>'kind' = %s", query.kind)
        where.unless_none("r.document->>'requested_by' = %s", query.person)
        where.unless_none("r.requested_at >= %s", query.since)
        where.unless_none("r.requested_at < %s", query.until)
        where.unless_none("r.sequence < %s", query.before_sequence)
        if query.state is not None:
            where.always(_IN_STATE[query.state])
        return where.statement(_SELECT, " ORDER BY r.sequence DESC LIMIT %s")

    if query.teams is None:
        every = _Where()
        return newest_of(every), [*every.parameters, query.limit]
    teams, of_team = list(query.teams), _Where()
    of_team.always("r.team = t.team")
    rows = sql.SQL("SELECT o.* FROM unnest(%s::text[]) AS t (team), LATERAL ({}) AS o").format(newest_of(of_team))
    parameters: list[Any] = [teams, *of_team.parameters, query.limit]
    if query.granted_to is not None:
        of_life = _Where()
        of_life.always("r.environment = d.name AND r.requested_at >= d.created_at")
        granted = sql.SQL(_GRANTED).format(newest_of(of_life))
        rows = sql.SQL("({}) UNION ALL ({})").format(rows, granted)
        parameters += [*of_life.parameters, query.limit, grantees_of(query.granted_to), teams]
    statement = sql.SQL("SELECT r.* FROM ({}) AS r ORDER BY r.sequence DESC LIMIT %s").format(rows)
    return statement, [*parameters, query.limit]


_IN_STATE: Final[dict[RunState, LiteralString]] = {
    "running": "r.state = 'running'",
    "undoing": "r.state = 'undoing'",
    "succeeded": "r.state = 'succeeded'",
    "failed": "r.state = 'failed'",
}
"""States stand in a statement as literals, so that the indexes of exactly these are found."""


class _Where:
    """Conditions and their parameters, in one order."""

    def __init__(self) -> None:
        self._conditions: list[sql.SQL] = []
        self.parameters: list[Any] = []

    def always(self, condition: LiteralString) -> None:
        """A condition without a parameter."""
        self._conditions.append(sql.SQL(condition))

    def unless_none(self, condition: LiteralString, value: Any) -> None:
        """A condition on a value that was given."""
        if value is not None:
            self.always(condition)
            self.parameters.append(value)

    def statement(self, select: LiteralString, rest: LiteralString = "") -> sql.Composed:
        """The statement with the conditions in it."""
        found = sql.SQL(" AND ").join(self._conditions) if self._conditions else sql.SQL("true")
        return sql.SQL(select) + sql.SQL(" WHERE ") + found + sql.SQL(rest)

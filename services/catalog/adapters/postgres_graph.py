"""What an environment is connected with in Postgres: what it depends on, and what depends on it, at any distance."""

from typing import Final

from services.catalog.adapters.postgres import Connection

MOST_CONNECTED: Final = 200
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


async def connected(session: Connection, name: str) -> tuple[list[tuple[str, str | None]], bool]:
    """The documents of an environment and of those that are connected with it, and whether that is all of them."""
    cursor = await session.execute(_CONNECTED, {"name": name, "most": MOST_CONNECTED + 1}, prepare=True)
    rows = await cursor.fetchall()
    return [(environment, facts) for _, environment, facts in rows[:MOST_CONNECTED]], len(rows) <= MOST_CONNECTED

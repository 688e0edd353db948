"""Letters that very many names have, found in Postgres along the names in their order.

By its letters an index gives all that have them, each to be fetched from its place in the table before it counts. The
index of names in their order has each name in itself, so that ten thousand are soon counted, if only it need not pass
over all those before: it leaves out the names that begin with a letter with which none begins that has what is sought.

Invariant: what is answered is true of every name; what statistics say only decides whether it is tried.
"""

import string
from dataclasses import dataclass
from typing import Any, Final

import psycopg

MOST_PASSED: Final = 150_000
"""How many names are passed at most; more of them would take longer than to fetch ten thousand."""
_HEADS: Final = string.ascii_lowercase
"""What a name begins with."""
_LIKELY: Final = """
SELECT min(coalesce(s.frequency, 0)) * (SELECT reltuples FROM pg_class WHERE oid = to_regclass('directory_grams'))
FROM unnest(name_grams(%s)) AS g (gram) LEFT JOIN (
    SELECT e.gram, e.frequency
    FROM pg_stats p, unnest(p.most_common_elems::text::text[], p.most_common_elem_freqs) AS e (gram, frequency)
    WHERE p.schemaname = current_schema() AND p.tablename = 'directory_grams'
) AS s USING (gram)
"""
"""No more have the letters than have the rarest three of them; zero where those are not among the most frequent."""
# One head after the other and only as many as it takes: a row of `h` decides what is looked at, so it stands outside of
# the loop, and `unnest` gives it in the order of the heads. A head is looked up once, before its names are.
_COUNT: Final = """
SELECT count(*), min(k.name) FROM (
    SELECT p.name FROM (
        SELECT o.name FROM unnest(%(heads)s::text[], %(beyond)s::text[]) AS h (head, beyond), LATERAL (
            SELECT d.name FROM directory d
            WHERE d.state <> 'deleted' AND d.name >= h.head AND d.name < h.beyond AND (
                SELECT true FROM directory a WHERE a.state <> 'deleted'
                AND headed_grams("left"(a.name, 1), a.name) @> headed_grams(h.head, %(part)s) LIMIT 1
            )
            ORDER BY d.name
        ) AS o LIMIT %(passed)s
    ) AS p
    WHERE position(%(part)s IN p.name) > 0 LIMIT %(most)s
) AS k
"""


@dataclass(frozen=True)
class Along:
    """What was found along the names."""

    number: int
    first: str
    """The first name of all that have the letters."""


async def count(session: psycopg.AsyncConnection[Any], part: str, most: int) -> Along | None:
    """How many shown names have a part of three letters or more, counted up to `most`; None unless there are so many,
    or where they are not to be had this way."""
    row = await (await session.execute(_LIKELY, (part,), prepare=True)).fetchone()
    if row is None or (row[0] or 0) < most:
        return None
    parameters = {
        "heads": list(_HEADS),
        "beyond": [chr(ord(head) + 1) for head in _HEADS],
        "part": part,
        "passed": MOST_PASSED,
        "most": most,
    }
    row = await (await session.execute(_COUNT, parameters, prepare=False)).fetchone()
    return Along(row[0], row[1]) if row is not None and row[0] == most else None

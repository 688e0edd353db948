"""The directory in Postgres: what environments are found by, written by the fold of the log.

Invariant: a row is `domain.finding.entry` of its environment's view, and beside it what the fold of the signals wrote.
"""

from collections.abc import Iterable
from typing import Any, Final

from contracts.queries import EnvironmentView
from services.catalog.domain.finding import Entry, entry

WIDTH: Final = len(Entry._fields)
_COLUMNS: Final = (
    "name, incarnation, team, person, kind, golden_path, state, repository, branch, created_at, updated_at,"
    " expires_at, last_activity_at, cost_per_month, grantees, depends_on, path"
)
WRITE: Final = f"""
    INSERT INTO directory AS d ({_COLUMNS})
    SELECT new.name, new.incarnation, new.team, new.person, new.kind, new.golden_path, new.state, new.repository,
           new.branch, new.created_at, new.updated_at, coalesce(new.expires_at, 'infinity'), new.last_activity_at,
           new.cost_per_month, string_to_array(new.grantees, ' '), string_to_array(new.depends_on, ' '),
           new.path
    FROM moved, unnest(
        %b::text[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::timestamptz[], %b::timestamptz[], %b::timestamptz[], %b::timestamptz[], %b::float8[], %b::text[],
        %b::text[], %b::text[]
    ) AS new ({_COLUMNS})
    ON CONFLICT (name) DO UPDATE SET
        incarnation = EXCLUDED.incarnation, team = EXCLUDED.team, person = EXCLUDED.person, kind = EXCLUDED.kind,
        golden_path = EXCLUDED.golden_path, state = EXCLUDED.state, repository = EXCLUDED.repository,
        branch = EXCLUDED.branch, created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
        expires_at = EXCLUDED.expires_at, cost_per_month = EXCLUDED.cost_per_month, grantees = EXCLUDED.grantees,
        depends_on = EXCLUDED.depends_on, path = EXCLUDED.path,
        last_activity_at = CASE WHEN d.incarnation = EXCLUDED.incarnation
            THEN greatest(d.last_activity_at, EXCLUDED.last_activity_at) ELSE EXCLUDED.last_activity_at END,
        running = CASE WHEN d.incarnation = EXCLUDED.incarnation AND EXCLUDED.state <> 'deleted'
            THEN d.running ELSE 'unknown' END,
        deployment = CASE WHEN d.incarnation = EXCLUDED.incarnation THEN d.deployment ELSE 'none' END
"""  # noqa: S608 - constants
"""A data-modifying part of the fold's statement, after `moved`; takes `columns`."""


def columns(views: Iterable[EnvironmentView]) -> list[list[Any]]:
    """The parameters of `WRITE`, in the order of `views`."""
    rows = [_row(view) for view in views]
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(WIDTH)]


def _row(view: EnvironmentView) -> tuple[Any, ...]:
    found = entry(view)
    *plain, grantees, depends_on, path = found  # arrays of different lengths cannot be unnested: they travel as a text
    return (*plain, " ".join(grantees), " ".join(depends_on), path)

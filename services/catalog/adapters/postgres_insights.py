"""What insights and the audit are made of, read from the copies of the log and of the facts, and from the views.

A field is read from a body by its pattern: as JSON, Postgres would refuse a whole document that has \\u0000 in some
text, and one person's words would keep everybody from their insights. Within a text every quote is escaped, so that
none is taken for a field.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, get_args

from psycopg import sql
from psycopg.rows import dict_row
from pydantic import JsonValue, TypeAdapter

from chassis.database import Database
from contracts.insights import AuditAction, AuditEntry, AuditPage, FindAudit
from services.catalog.adapters.postgres import connection
from services.catalog.domain.audit import entry
from services.catalog.domain.insights import DeploymentFact, Occurrence, RunFact
from services.catalog.domain.steps import STEPS

_OBJECT: Final = TypeAdapter(dict[str, JsonValue])

_RUNS: Final = """
SELECT requested_at, state, document->>'kind', document->>'cause', total_seconds,
       infrastructure_seconds, secrets_seconds, pipeline_seconds
FROM runs
WHERE requested_at >= %(since)s AND (%(teams)s::text[] IS NULL OR team = ANY(%(teams)s))
  AND (%(golden_path)s::text IS NULL OR golden_path = %(golden_path)s)
"""
_DEPLOYMENTS: Final = r"""
SELECT s.time, s.environment, substring(said.text FROM '"deployment_id"\s*:\s*"((?:[^"\\]|\\.)*)"'),
       substring(said.text FROM '"state"\s*:\s*"([a-z]+)"')
FROM signals s
LEFT JOIN directory d ON d.name = s.environment
CROSS JOIN LATERAL (SELECT convert_from(s.body, 'UTF8') AS text) AS said
WHERE s.rejection IS NULL AND s.kind = 'deployment_recorded' AND s.time >= %(since)s
  AND (%(teams)s::text[] IS NULL OR d.team = ANY(%(teams)s))
"""
_OPINIONS: Final = r"""
SELECT time, CASE kind WHEN 'ticket_opened' THEN 'ticket' ELSE 'answer' END,
       CASE kind WHEN 'survey_answered'
            THEN substring(convert_from(body, 'UTF8') FROM '"score"\s*:\s*([1-5])')::double precision ELSE 0 END
FROM signals
WHERE rejection IS NULL AND kind IN ('ticket_opened', 'survey_answered') AND time >= %(since)s
"""
_ENDINGS: Final = """
SELECT e.time, CASE e.kind WHEN 'environment_expired' THEN 'expired' ELSE 'stalled' END,
       CASE e.kind WHEN 'environment_expired' THEN coalesce(d.cost_per_month, 0) ELSE 0 END
FROM events e
LEFT JOIN directory d ON d.name = e.environment
WHERE e.version IS NOT NULL AND e.kind IN ('environment_expired', 'run_stalled') AND e.time >= %(since)s
  AND (%(teams)s::text[] IS NULL OR d.team = ANY(%(teams)s))
"""
_FIRST_DEPLOYMENTS: Final = r"""
WITH deployed AS (
    SELECT substring(convert_from(s.body, 'UTF8') FROM '"author"\s*:\s*"([^"\\]*)"') AS person, min(s.time) AS at
    FROM signals s LEFT JOIN directory d ON d.name = s.environment
    WHERE s.rejection IS NULL AND s.kind = 'deployment_recorded'
      AND substring(convert_from(s.body, 'UTF8') FROM '"state"\s*:\s*"([a-z]+)"') = 'succeeded'
      AND (%(teams)s::text[] IS NULL OR d.team = ANY(%(teams)s))
    GROUP BY 1
), asked AS (
    SELECT document->>'requested_by' AS person, min(requested_at) AS at FROM runs GROUP BY 1
)
SELECT deployed.at, 'first_deployment', extract(epoch FROM deployed.at - asked.at)::double precision
FROM deployed JOIN asked USING (person)
WHERE deployed.at >= greatest(asked.at, %(since)s)
"""
_AUDIT: Final = sql.SQL("""
SELECT e.sequence, e.time, e.kind AS action, e.environment, e.run_id, e.body, coalesce(r.team, d.team) AS team
FROM events e
LEFT JOIN runs r ON r.id = e.run_id
LEFT JOIN directory d ON d.name = e.environment
WHERE e.version IS NOT NULL AND e.kind IN ({})
""").format(sql.SQL(", ").join(map(sql.Literal, get_args(AuditAction))))
"""The kinds stand in it as literals, so that the index of exactly these is found."""
_BY_PERSON: Final = r"""
AND substring(convert_from(e.body, 'UTF8') FROM '"requested_by"\s*:\s*"([^"\\]*)"') = %(person)s
"""


class PostgresInsights:
    """See `ports.Chronicle`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def runs(self, since: datetime, teams: Sequence[str] | None, golden_path: str | None = None) -> list[RunFact]:
        rows = await self._rows(_RUNS, since, teams, golden_path)
        return [
            RunFact(asked_at, state, kind, cause, total, dict(zip(STEPS, steps, strict=True)))
            for asked_at, state, kind, cause, total, *steps in rows
        ]

    async def deployments(self, since: datetime, teams: Sequence[str] | None) -> list[DeploymentFact]:
        return [DeploymentFact(*row) for row in await self._rows(_DEPLOYMENTS, since, teams)]

    async def occurrences(self, since: datetime, teams: Sequence[str] | None) -> list[Occurrence]:
        found = [
            row
            for statement in (_OPINIONS, _ENDINGS, _FIRST_DEPLOYMENTS)
            for row in await self._rows(statement, since, teams)
        ]
        return [Occurrence(*row) for row in found]

    async def audit(self, query: FindAudit) -> AuditPage:
        conditions: list[LiteralString] = []
        values: dict[str, Any] = {"limit": query.limit + 1}
        teams = None if query.teams is None else list(query.teams)
        for condition, name, value in (
            ("AND coalesce(r.team, d.team) = ANY(%(teams)s)", "teams", teams),
            (_BY_PERSON, "person", query.person),
            ("AND e.environment = %(environment)s", "environment", query.environment),
            ("AND e.kind = %(action)s", "action", query.action),
            ("AND e.sequence < %(before)s", "before", query.before_sequence),
        ):
            if value is not None:
                conditions.append(condition)
                values[name] = value
        statement = sql.SQL(" ").join(
            [
                _AUDIT,
                *map(sql.SQL, conditions),
                sql.SQL("ORDER BY e.sequence DESC LIMIT %(limit)s"),
            ]
        )
        async with connection(self._database) as database, database.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement, values)
            rows = await cursor.fetchall()
        items = [_entry(row) for row in rows[: query.limit]]
        return AuditPage(
            items=tuple(items), next_before=items[-1].sequence if items and len(rows) > query.limit else None
        )

    async def _rows(
        self, statement: LiteralString, since: datetime, teams: Sequence[str] | None, golden_path: str | None = None
    ) -> list[tuple[Any, ...]]:
        values = {"since": since, "teams": None if teams is None else list(teams), "golden_path": golden_path}
        async with connection(self._database) as database:
            cursor = await database.execute(statement, values)
            return await cursor.fetchall()


def _entry(row: dict[str, Any]) -> AuditEntry:
    event = _OBJECT.validate_json(row.pop("body"))
    return entry(event, **row)

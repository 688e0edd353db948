"""Who takes how much of which quota, in the table `places`. Taking is part of `PostgresRequests.claim`."""

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import DictRow

from chassis.database import Database
from services.gateway.adapters.statements import every, execute, one
from services.gateway.domain.policy import Place, Room, Usage, usage_of
from services.gateway.ports import TakenPlace


class PostgresPlaces:
    """Fulfils `ports.PlaceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def taken(self, *, team: str | None = None, repository: str | None = None) -> list[TakenPlace]:
        """See the port."""
        rows = await every(
            self._database,
            # What no request of ours began was found in the catalog, which has seen it.
            "SELECT places.*, CASE WHEN requests.id IS NULL THEN 0 ELSE requests.sequence END AS sequence"
            " FROM places LEFT JOIN requests ON requests.event_id = places.incarnation"
            " WHERE (%(team)s::text IS NULL OR team = %(team)s)"
            " AND (%(repository)s::text IS NULL OR (repository = %(repository)s AND kind = 'preview'))",
            {"team": team, "repository": repository},
        )
        return [_taken(row) for row in rows]

    async def usage(self, room: Room, environment: str) -> list[Usage]:
        """See the port."""
        row = await one(
            self._database,
            "WITH others AS (SELECT environment, max(cost_per_month) AS cost FROM places"
            " WHERE team = %(team)s AND environment <> %(environment)s GROUP BY environment)"
            " SELECT count(*) AS environments, coalesce(sum(cost), 0) AS cost_per_month,"
            " (SELECT count(DISTINCT environment) FROM places WHERE repository = %(repository)s"
            " AND kind = 'preview' AND environment <> %(environment)s) AS previews_of_repository FROM others",
            {"team": room.place.team, "repository": room.place.repository, "environment": environment},
        )
        found = row or {}
        return [
            usage_of(room, "environments", found.get("environments", 0)),
            usage_of(room, "previews_of_repository", found.get("previews_of_repository", 0)),
            usage_of(room, "cost_per_month", found.get("cost_per_month", 0)),
        ]

    async def release(self, incarnations: Sequence[UUID]) -> None:
        """See the port."""
        await execute(
            self._database, "DELETE FROM places WHERE incarnation = ANY(%(over)s)", {"over": list(incarnations)}
        )

    async def note(self, places: Sequence[TakenPlace]) -> None:
        """See the port."""
        await execute(
            self._database,
            "INSERT INTO places (incarnation, environment, team, repository, kind, cost_per_month)"
            " SELECT * FROM unnest(%(incarnations)s::uuid[], %(environments)s::text[], %(teams)s::text[],"
            " %(repositories)s::text[], %(kinds)s::text[], %(costs)s::numeric[])"
            " ON CONFLICT (incarnation) DO UPDATE SET team = excluded.team, repository = excluded.repository,"
            " kind = excluded.kind, cost_per_month = excluded.cost_per_month",
            {
                "incarnations": [taken.incarnation for taken in places],
                "environments": [taken.environment for taken in places],
                "teams": [taken.place.team for taken in places],
                "repositories": [taken.place.repository for taken in places],
                "kinds": [taken.place.kind for taken in places],
                "costs": [taken.place.cost_per_month for taken in places],
            },
        )


def _taken(row: DictRow) -> TakenPlace:
    place = Place(row["team"], row["repository"], row["kind"], row["cost_per_month"])
    return TakenPlace(row["incarnation"], row["environment"], place, row["sequence"])

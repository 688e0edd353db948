"""What GitHub told, in the tables `forge_events` and `pull_requests`; and who is a member, by the tables of who has
been let in."""

from psycopg.types.json import Jsonb

from chassis.database import Database
from services.gateway.adapters.statements import every, execute, one
from services.gateway.domain.forge_events import TOLD, DeploymentTold, KnownPull, PullAsk, line_of
from services.gateway.domain.people import Principal, member
from services.gateway.ports import KeptEvent


class PostgresForgeEvents:
    """Fulfils `ports.ForgeEvents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def know(self, pull: KnownPull) -> None:
        """See the port."""
        await execute(
            self._database,
            "WITH old AS (DELETE FROM pull_requests WHERE NOT (told->>'is_open')::boolean"
            "  AND changed_at < now() - interval '30 days'"
            "  AND (repository, number) <> (%(repository)s, %(number)s))"
            " INSERT INTO pull_requests (repository, number, told, changed_at)"
            " VALUES (%(repository)s, %(number)s, %(told)s, %(changed_at)s)"
            " ON CONFLICT (repository, number) DO UPDATE SET told = EXCLUDED.told, changed_at = EXCLUDED.changed_at"
            " WHERE pull_requests.changed_at <= EXCLUDED.changed_at",
            {
                "repository": pull.repository.lower(),
                "number": pull.number,
                "told": Jsonb(pull.model_dump(mode="json")),
                "changed_at": pull.changed_at,
            },
        )

    async def pull(self, repository: str, number: int) -> KnownPull | None:
        """See the port."""
        row = await one(
            self._database,
            "SELECT told FROM pull_requests WHERE repository = %(repository)s AND number = %(number)s",
            {"repository": repository.lower(), "number": number},
        )
        return KnownPull.model_validate(row["told"]) if row is not None else None

    async def keep(self, delivery: str, told: PullAsk | DeploymentTold) -> bool:
        """See the port."""
        kept = await execute(
            self._database,
            "WITH old AS (DELETE FROM forge_events WHERE done_at IS NOT NULL AND heard_at < now() - interval '30 days')"
            " INSERT INTO forge_events (delivery, line, told) VALUES (%(delivery)s, %(line)s, %(told)s)"
            " ON CONFLICT (delivery) DO NOTHING",
            {"delivery": delivery, "line": line_of(told), "told": Jsonb(told.model_dump(mode="json"))},
        )
        return kept == 1

    async def take(self, seconds: float) -> KeptEvent | None:
        """See the port."""
        row = await one(
            self._database,
            "UPDATE forge_events SET due_at = now() + make_interval(secs => %(seconds)s) WHERE position = ("
            " SELECT e.position FROM forge_events e WHERE e.done_at IS NULL AND e.due_at <= now() AND NOT EXISTS ("
            "  SELECT 1 FROM forge_events f WHERE f.line = e.line AND f.done_at IS NULL AND f.position < e.position)"
            " ORDER BY e.position LIMIT 1 FOR UPDATE SKIP LOCKED)"
            " RETURNING position, delivery, told, heard_at",
            {"seconds": seconds},
        )
        if row is None:
            return None
        return KeptEvent(row["position"], row["delivery"], TOLD.validate_python(row["told"]), row["heard_at"])

    async def done(self, position: int) -> None:
        """See the port."""
        await execute(self._database, "UPDATE forge_events SET done_at = now() WHERE position = %(p)s", {"p": position})

    async def later(self, position: int, seconds: float) -> None:
        """See the port."""
        await execute(
            self._database,
            "UPDATE forge_events SET due_at = now() + make_interval(secs => %(seconds)s) WHERE position = %(p)s",
            {"p": position, "seconds": seconds},
        )


class PostgresMembers:
    """Fulfils `ports.Members`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, person: str) -> Principal | None:
        """See the port."""
        rows = await every(
            self._database,
            "SELECT role, teams FROM tokens WHERE person = %(person)s AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > now())"
            " UNION ALL SELECT role, teams FROM sessions WHERE person = %(person)s AND expires_at > now()",
            {"person": person},
        )
        return member(person, [(row["role"], tuple(row["teams"])) for row in rows])

"""Which deliveries of webhooks were heard, in the table `deliveries`."""

from chassis.database import Database
from services.gateway.adapters.statements import execute, one


class PostgresDeliveries:
    """Fulfils `ports.Deliveries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_known(self, delivery: str) -> bool:
        """See the port."""
        statement = "SELECT 1 AS known FROM deliveries WHERE id = %(id)s"
        return await one(self._database, statement, {"id": delivery}) is not None

    async def note(self, delivery: str) -> None:
        """See the port."""
        await execute(
            self._database,
            "WITH old AS (DELETE FROM deliveries WHERE heard_at < now() - interval '30 days')"
            " INSERT INTO deliveries (id) VALUES (%(id)s) ON CONFLICT (id) DO NOTHING",
            {"id": delivery},
        )

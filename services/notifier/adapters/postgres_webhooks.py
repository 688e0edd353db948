"""Subscriptions to webhooks and their deliveries, in the notifier's schema of Postgres.

A delivery is claimed by a lease, not by a lock: the call to the receiver happens in no transaction, and what a killed
process had claimed is due again when the lease is over. What came of an attempt is written only where nobody else wrote
it since (`attempt_count` is what it was).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncCursor, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout
from pydantic import TypeAdapter

from chassis.database import Database
from chassis.failures import TransientError
from contracts.webhooks import Attempt, Delivery, FindNotifications, Notifications, SentNotification, Webhook
from services.notifier.domain.receivers import parse
from services.notifier.domain.webhooks import ATTEMPTS_KEPT, Consequence, Disabled
from services.notifier.ports import Due, NewDelivery, TooManyError

_ATTEMPTS: Final = TypeAdapter(tuple[Attempt, ...])
_CHANGEABLE: Final = frozenset({"url", "kinds", "environment", "golden_path", "description", "state"})
_OF_TEAMS: Final = "(%(teams)s::text[] IS NULL OR team = ANY (%(teams)s))"
_DELIVERY: Final = (
    "d.id, d.webhook_id, d.event_id, d.kind, d.environment, d.state, d.created_at, d.attempts, d.attempt_count,"
    " d.next_attempt_at"
)
_ADD: Final = """
INSERT INTO webhooks (id, team, url, kinds, environment, golden_path, description, state, created_by, created_at,
    updated_at)
SELECT %(id)s, %(team)s, %(url)s, %(kinds)s, %(environment)s, %(golden_path)s, %(description)s, %(state)s,
    %(created_by)s, %(created_at)s, %(updated_at)s
WHERE (SELECT count(*) FROM webhooks WHERE team = %(team)s) < %(most)s
ON CONFLICT (id) DO NOTHING
"""
_RECORD: Final = """
INSERT INTO webhook_deliveries (id, webhook_id, event_id, kind, environment, team, target, body, traceparent, state,
    created_at, next_attempt_at)
SELECT new.*, 'waiting', %(now)s, %(now)s
FROM unnest(%(ids)s::uuid[], %(hooks)s::uuid[], %(events)s::uuid[], %(kinds)s::text[], %(environments)s::text[],
    %(teams)s::text[], %(targets)s::text[], %(bodies)s::bytea[], %(traceparents)s::text[])
    AS new (id, webhook_id, event_id)
JOIN webhooks ON webhooks.id = new.webhook_id
ON CONFLICT (webhook_id, event_id) DO NOTHING
"""
_IS_DUE: Final = (
    "d.state = 'waiting' AND d.next_attempt_at <= %(now)s AND (d.leased_until IS NULL OR d.leased_until <= %(now)s)"
)
_CLAIM: Final = f"""
WITH due AS (
    SELECT d.id FROM webhook_deliveries AS d
    JOIN (
        SELECT found.id FROM webhooks AS w CROSS JOIN LATERAL (
            SELECT d.id FROM webhook_deliveries AS d WHERE d.webhook_id = w.id AND {_IS_DUE}
            ORDER BY d.next_attempt_at LIMIT greatest(0, %(of_each)s - (
                SELECT count(*) FROM webhook_deliveries AS b
                WHERE b.webhook_id = w.id AND b.state = 'waiting' AND b.leased_until > %(now)s))
        ) AS found WHERE w.state = 'active'
    ) AS candidate USING (id)
    WHERE {_IS_DUE}
    ORDER BY d.next_attempt_at LIMIT %(most)s FOR UPDATE OF d SKIP LOCKED
)
UPDATE webhook_deliveries AS d SET leased_until = %(until)s FROM due WHERE d.id = due.id
RETURNING {_DELIVERY}, d.tries, d.body, d.traceparent
"""  # noqa: S608 - constants
_SETTLE: Final = """
UPDATE webhook_deliveries SET state = %(state)s, next_attempt_at = %(next)s, leased_until = NULL,
    attempts = %(attempts)s, attempt_count = attempt_count + 1, tries = tries + 1
WHERE id = %(id)s AND state = 'waiting' AND attempt_count = %(seen)s
RETURNING webhook_id
"""
_NOTIFICATIONS: Final = """
SELECT * FROM (
    SELECT event_id::text || '/' || channel AS id, 'slack' AS way, channel AS target, NULL::uuid AS webhook_id,
        event_id, event_kind AS kind, nullif(environment, '') AS environment, nullif(team, '') AS team,
        CASE state WHEN 'unsent' THEN 'waiting' WHEN 'stale' THEN 'skipped' ELSE state END AS state, attempts,
        coalesce(first_begun_at, updated_at) AS at
    FROM sent
    UNION ALL
    SELECT id::text, 'webhook', target, webhook_id, event_id, kind, environment, team,
        CASE state WHEN 'delivered' THEN 'sent' ELSE state END, attempt_count, created_at
    FROM webhook_deliveries
) AS told
WHERE (%(teams)s::text[] IS NULL OR team = ANY (%(teams)s))
    AND (%(environment)s::text IS NULL OR environment = %(environment)s)
    AND (%(way)s::text IS NULL OR way = %(way)s)
    AND (%(at)s::timestamptz IS NULL OR (at, id COLLATE "C") < (%(at)s, %(id)s))
ORDER BY at DESC, id COLLATE "C" DESC LIMIT %(limit)s
"""


class PostgresWebhooks:
    """Fulfils `ports.WebhookStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self, teams: Sequence[str] | None = None) -> list[Webhook]:
        """See the port."""
        rows = await self._rows(
            f"SELECT * FROM webhooks WHERE {_OF_TEAMS} ORDER BY created_at DESC, id DESC",  # noqa: S608 - a constant
            {"teams": _listed(teams)},
        )
        return [Webhook.model_validate(row) for row in rows]

    async def find(self, hook_id: UUID, teams: Sequence[str] | None = None) -> Webhook | None:
        """See the port."""
        rows = await self._rows(
            f"SELECT * FROM webhooks WHERE id = %(id)s AND {_OF_TEAMS}",  # noqa: S608 - a constant
            {"id": hook_id, "teams": _listed(teams)},
        )
        return Webhook.model_validate(rows[0]) if rows else None

    async def add(self, hook: Webhook, most: int) -> Webhook:
        """See the port."""
        async with self._cursor() as cursor, cursor.connection.transaction():
            # One at a time for each team, or two at once could exceed what it may have.
            await cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks/' || %s, 0))", (hook.team,))
            await cursor.execute(_ADD, {**hook.model_dump(), "kinds": list(hook.kinds), "most": most})
            await cursor.execute("SELECT * FROM webhooks WHERE id = %s", (hook.id,))
            row = await cursor.fetchone()
        if row is None:
            raise TooManyError
        return Webhook.model_validate(row)

    async def change(
        self, hook_id: UUID, teams: Sequence[str] | None, changes: Mapping[str, Any], now: datetime
    ) -> Webhook | None:
        """See the port."""
        unknown = changes.keys() - _CHANGEABLE
        if unknown:
            raise ValueError(f"these cannot be changed: {sorted(unknown)}")
        setting = "".join(f", {name} = %({name})s" for name in sorted(changes))
        if changes.get("state") == "active":
            setting += ", state_reason = '', failing_since = NULL, disabled_at = NULL, told_at = NULL"
        return await self._one(
            f"UPDATE webhooks SET updated_at = %(now)s{setting} WHERE id = %(id)s AND {_OF_TEAMS} RETURNING *",  # noqa: S608 - names of columns
            {**{name: _written(value) for name, value in changes.items()}, "id": hook_id, "now": now},
            teams,
        )

    async def remove(self, hook_id: UUID, teams: Sequence[str] | None) -> Webhook | None:
        """See the port."""
        return await self._one(
            f"DELETE FROM webhooks WHERE id = %(id)s AND {_OF_TEAMS} RETURNING *",  # noqa: S608 - a constant
            {"id": hook_id},
            teams,
        )

    async def rotate(
        self, hook_id: UUID, teams: Sequence[str] | None, generation: int, now: datetime
    ) -> Webhook | None:
        """See the port."""
        rotated = await self._one(
            "UPDATE webhooks SET generation = generation + 1, rotated_at = %(now)s, updated_at = %(now)s"  # noqa: S608 - a constant
            f" WHERE id = %(id)s AND generation = %(generation)s AND {_OF_TEAMS} RETURNING *",
            {"id": hook_id, "generation": generation, "now": now},
            teams,
        )
        return rotated or await self.find(hook_id, teams)

    async def record(self, deliveries: Sequence[NewDelivery], now: datetime) -> int:
        """See the port."""
        if not deliveries:
            return 0
        async with self._cursor() as cursor:
            await cursor.execute(
                _RECORD,
                {
                    "ids": [one.id for one in deliveries],
                    "hooks": [one.hook.id for one in deliveries],
                    "events": [one.news.message.id for one in deliveries],
                    "kinds": [one.news.kind for one in deliveries],
                    "environments": [one.news.environment for one in deliveries],
                    "teams": [one.hook.team for one in deliveries],
                    "targets": [parse(one.hook.url).authority for one in deliveries],
                    "bodies": [one.news.body for one in deliveries],
                    "traceparents": [one.news.message.traceparent for one in deliveries],
                    "now": now,
                },
            )
            return cursor.rowcount

    async def claim(self, now: datetime, *, most: int, of_each: int, lease_seconds: float) -> list[Due]:
        """See the port."""
        values = {"now": now, "until": now + timedelta(seconds=lease_seconds), "most": most, "of_each": of_each}
        async with self._cursor() as cursor:
            await cursor.execute(_CLAIM, values)
            claimed = await cursor.fetchall()
            if not claimed:
                return []
            await cursor.execute(
                "SELECT * FROM webhooks WHERE id = ANY (%s)", ([row["webhook_id"] for row in claimed],)
            )
            hooks = {row["id"]: Webhook.model_validate(row) for row in await cursor.fetchall()}
        claimed.sort(key=lambda row: row["next_attempt_at"])
        return [
            Due(_delivery(row), row["tries"], bytes(row["body"]), hooks[row["webhook_id"]], row["traceparent"])
            for row in claimed
            if row["webhook_id"] in hooks
        ]

    async def settle(self, due: Due, consequence: Consequence, now: datetime) -> None:
        """See the port."""
        attempts = (*due.delivery.attempts, consequence.attempt)[-ATTEMPTS_KEPT:]
        async with self._cursor() as cursor, cursor.connection.transaction():
            await cursor.execute(
                _SETTLE,
                {
                    "id": due.delivery.id,
                    "state": consequence.state,
                    "next": consequence.next_attempt_at,
                    "attempts": _json(attempts),
                    "seen": due.delivery.attempt_count,
                },
            )
            if cursor.rowcount == 0:
                return
            hook_id = due.hook.id
            if consequence.arrived:
                await cursor.execute(
                    "UPDATE webhooks SET delivered_at = %s, failing_since = NULL WHERE id = %s", (now, hook_id)
                )
                return
            await cursor.execute(
                "UPDATE webhooks SET failing_since = %s WHERE id = %s AND failing_since IS NULL", (now, hook_id)
            )
            if consequence.disable is not None:
                await self._disable(cursor, hook_id, consequence.disable, now)

    @staticmethod
    async def _disable(cursor: AsyncCursor[DictRow], hook_id: UUID, reason: str, now: datetime) -> None:
        await cursor.execute(
            "UPDATE webhooks SET state = 'disabled', state_reason = %s, disabled_at = %s, updated_at = %s"
            " WHERE id = %s AND state = 'active'",
            (reason, now, now, hook_id),
        )
        if cursor.rowcount:
            await cursor.execute(
                "UPDATE webhook_deliveries SET state = 'failed', next_attempt_at = NULL"
                " WHERE webhook_id = %s AND state = 'waiting'",
                (hook_id,),
            )

    async def keep_test(self, delivery: Delivery, body: bytes) -> None:
        """See the port."""
        values = delivery.model_dump() | {"attempts": _json(delivery.attempts), "body": body}
        async with self._cursor() as cursor:
            await cursor.execute("SELECT team, url FROM webhooks WHERE id = %s", (delivery.webhook_id,))
            hook = await cursor.fetchone()
            if hook is None:  # taken away while it was tested
                return
            await cursor.execute(
                "INSERT INTO webhook_deliveries (id, webhook_id, event_id, kind, team, target, body, state,"
                " created_at, attempts, attempt_count, tries) VALUES (%(id)s, %(webhook_id)s, %(event_id)s, %(kind)s,"
                " %(team)s, %(target)s, %(body)s, %(state)s, %(created_at)s, %(attempts)s, %(attempt_count)s, 1)",
                values | {"team": hook["team"], "target": parse(hook["url"]).authority},
            )

    async def deliveries(self, hook_id: UUID, after: str | None, limit: int) -> tuple[list[Delivery], str | None]:
        """See the port."""
        at, last = _place(after)
        rows = await self._rows(
            f"SELECT {_DELIVERY} FROM webhook_deliveries AS d WHERE webhook_id = %(id)s"  # noqa: S608 - constants
            " AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(last)s::uuid))"
            " ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
            {"id": hook_id, "at": at, "last": last, "limit": limit + 1},
        )
        found = [_delivery(row) for row in rows[:limit]]
        return found, _next(found[-1].created_at, str(found[-1].id)) if len(rows) > limit else None

    async def ask_again(self, hook_id: UUID, delivery_id: UUID, now: datetime) -> Delivery | None:
        """See the port."""
        rows = await self._rows(
            "UPDATE webhook_deliveries AS d SET state = 'waiting', next_attempt_at = %(now)s, tries = 0"  # noqa: S608 - a constant
            f" WHERE id = %(id)s AND webhook_id = %(hook)s RETURNING {_DELIVERY}",
            {"id": delivery_id, "hook": hook_id, "now": now},
        )
        return _delivery(rows[0]) if rows else None

    async def disabled(self) -> list[Disabled]:
        """See the port."""
        rows = await self._rows(
            "SELECT *, md5(id::text || disabled_at::text)::uuid AS notice_id FROM webhooks"
            " WHERE state = 'disabled' AND disabled_at IS NOT NULL AND told_at IS NULL",
            {},
        )
        return [Disabled(Webhook.model_validate(row), row["notice_id"], row["disabled_at"]) for row in rows]

    async def told(self, disabled: Disabled) -> None:
        """See the port."""
        async with self._cursor() as cursor:
            await cursor.execute(
                "UPDATE webhooks SET told_at = now() WHERE id = %s AND disabled_at = %s",
                (disabled.hook.id, disabled.at),
            )

    async def prune(self, before: datetime) -> int:
        """See the port."""
        async with self._cursor() as cursor:
            await cursor.execute(
                "DELETE FROM webhook_deliveries WHERE state <> 'waiting' AND created_at < %s", (before,)
            )
            return cursor.rowcount

    async def notifications(self, question: FindNotifications) -> Notifications:
        """See the port."""
        at, last = _place(question.after)
        rows = await self._rows(
            _NOTIFICATIONS,
            {
                "teams": _listed(question.teams),
                "environment": question.environment,
                "way": question.way,
                "at": at,
                "id": last,
                "limit": question.limit + 1,
            },
        )
        found = tuple(SentNotification.model_validate(row) for row in rows[: question.limit])
        more = _next(found[-1].at, found[-1].id) if len(rows) > question.limit else None
        return Notifications(items=found, next_after=more)

    async def _one(self, statement: str, values: Mapping[str, Any], teams: Sequence[str] | None) -> Webhook | None:
        rows = await self._rows(statement, {**values, "teams": _listed(teams)})
        return Webhook.model_validate(rows[0]) if rows else None

    async def _rows(self, statement: str, values: Mapping[str, Any]) -> list[DictRow]:
        async with self._cursor() as cursor:
            await cursor.execute(statement.encode(), values)
            return await cursor.fetchall()

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[AsyncCursor[DictRow]]:
        """A database that does not answer is waited for."""
        try:
            async with (
                self._database.pool.connection() as connection,
                connection.cursor(row_factory=dict_row) as cursor,
            ):
                yield cursor
        except (OperationalError, PoolTimeout) as error:
            raise TransientError("the notifier's database does not answer") from error


def _delivery(row: DictRow) -> Delivery:
    return Delivery.model_validate(row)


def _json(attempts: tuple[Attempt, ...]) -> Jsonb:
    return Jsonb(_ATTEMPTS.dump_python(attempts, mode="json"))


def _listed(teams: Sequence[str] | None) -> list[str] | None:
    return list(teams) if teams is not None else None


def _written(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _next(at: datetime, last: str) -> str:
    return f"{at.isoformat()} {last}"


def _place(after: str | None) -> tuple[datetime | None, str | None]:
    """Where a page begins. Raises ValueError for what `_next` did not give."""
    if after is None:
        return None, None
    at, _, last = after.partition(" ")
    return datetime.fromisoformat(at), last

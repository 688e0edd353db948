"""What the gateway keeps of its own, in its schema of Postgres: accepted requests and tokens."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from chassis.database import Database
from chassis.failures import TransientError
from services.gateway.adapters.statements import every, execute, one
from services.gateway.adapters.together import Together
from services.gateway.domain.policy import Room, usage_of
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest, said
from services.gateway.domain.tokens import ApiToken
from services.gateway.ports import FullError, Unconfirmed

_CLAIM: Final = """
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(%(claims)s) AS given (
            id uuid, principal text, key text, fingerprint bytea, operation text, event_id uuid, incarnation uuid,
            environment text, visible_teams text[], asked jsonb, traceparent text, requested_at timestamptz,
            run_id uuid, team text, repository text, kind text, cost numeric, environments int, previews int,
            most_cost numeric
        )
    ), locked AS MATERIALIZED (
        SELECT count(pg_advisory_xact_lock(lock)) FROM (
            SELECT hashtextextended('team ' || team, 0) AS lock FROM given
                WHERE environments IS NOT NULL OR most_cost IS NOT NULL
            UNION SELECT hashtextextended('repository ' || repository, 0) FROM given WHERE previews IS NOT NULL
            ORDER BY lock
        ) AS locks
    )
    SELECT turn.id, claimed.outcome, claimed.used
        FROM (SELECT given.* FROM given, locked ORDER BY principal, key) AS turn,
        LATERAL claim_request(
            turn.id, principal, key, fingerprint, operation, event_id, incarnation, environment, visible_teams, asked,
            traceparent, requested_at, run_id, team, repository, kind, cost, environments, previews, most_cost
        ) AS claimed
"""
"""Claims one after the other, in one transaction. Everybody takes all locks first, in one order, and then the keys in
one order, so that no two wait for each other."""


class PostgresRequests:
    """Fulfils `ports.RequestStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claim = Together(self._claim_all)
        self._accept = Together(self._accept_all)

    async def find(self, principal: str, key: str) -> AcceptedRequest | None:
        """See the port."""
        row = await one(
            self._database,
            "SELECT * FROM requests WHERE principal = %(principal)s AND idempotency_key = %(key)s",
            {"principal": principal, "key": key},
        )
        return _request(row) if row else None

    async def claim(self, request: AcceptedRequest, room: Room | None = None) -> AcceptedRequest:
        """See the port."""
        outcome, used = await self._claim((request, room))
        if outcome == "claimed":
            return request
        if room is not None and outcome != "taken":
            raise FullError(usage_of(room, outcome, used))
        earlier = await self.find(request.principal, request.key)
        if earlier is None:  # rows are never deleted, so this cannot be
            raise TransientError("the request that has this key cannot be read")
        return earlier

    async def accept(self, request: AcceptedRequest, sequence: int) -> AcceptedRequest:
        """See the port."""
        if not await self._accept((request.id, sequence)):
            raise LookupError(f"there is no request {request.id}")
        return replace(request, state="accepted", sequence=sequence, refusal=None)

    async def refuse(self, request: AcceptedRequest, refusal: RecordedRefusal) -> AcceptedRequest:
        """See the port."""
        row = await one(
            self._database,
            "WITH refused AS (UPDATE requests SET state = 'refused', refusal = %(refusal)s"
            " WHERE id = %(id)s AND confirmed_at IS NULL RETURNING *),"
            # A life that never began takes no place; that of a change is noted anew when it is looked at next.
            " freed AS (DELETE FROM places USING refused"
            " WHERE places.incarnation = refused.incarnation AND refused.operation = 'create')"
            " SELECT * FROM refused",
            {"id": request.id, "refusal": Jsonb(refusal.model_dump(mode="json"))},
        )
        if row is None:
            row = await one(self._database, "SELECT * FROM requests WHERE id = %(id)s", {"id": request.id})
        if row is None:
            raise LookupError(f"there is no request {request.id}")
        return _request(row)

    async def confirm(self, event_ids: Sequence[UUID]) -> None:
        """See the port."""
        await execute(
            self._database,
            "UPDATE requests SET confirmed_at = now() WHERE event_id = ANY(%(ids)s) AND confirmed_at IS NULL",
            {"ids": list(event_ids)},
        )

    async def unconfirmed(self, limit: int) -> list[Unconfirmed]:
        """See the port."""
        rows = await every(
            self._database,
            "SELECT event_id, state = 'pending' AS pending, requested_at FROM requests"
            " WHERE confirmed_at IS NULL AND state <> 'refused' ORDER BY requested_at, id LIMIT %(limit)s",
            {"limit": limit},
        )
        return [Unconfirmed(**row) for row in rows]

    async def with_events(self, event_ids: Sequence[UUID]) -> list[AcceptedRequest]:
        """See the port."""
        rows = await every(
            self._database,
            "SELECT * FROM requests WHERE event_id = ANY(%(ids)s) ORDER BY requested_at, id",
            {"ids": list(event_ids)},
        )
        return [_request(row) for row in rows]

    async def floor(
        self, *, environment: str | None = None, event_id: UUID | None = None, principal: str | None = None
    ) -> int:
        """See the port."""
        row = await one(
            self._database,
            "SELECT coalesce(max(sequence), 0) AS floor FROM requests WHERE confirmed_at IS NULL AND state = 'accepted'"
            " AND (%(environment)s::text IS NULL OR environment = %(environment)s)"
            " AND (%(event_id)s::uuid IS NULL OR event_id = %(event_id)s)"
            " AND (%(principal)s::text IS NULL OR principal = %(principal)s)",
            {"environment": environment, "event_id": event_id, "principal": principal},
        )
        return int(row["floor"]) if row else 0

    async def _claim_all(self, claims: Sequence[tuple[AcceptedRequest, Room | None]]) -> list[tuple[Any, Decimal]]:
        rows = await every(self._database, _CLAIM, {"claims": Jsonb([_claim(*claim) for claim in claims], _dumps)})
        outcomes = {row["id"]: (row["outcome"], row["used"]) for row in rows}
        return [outcomes[request.id] for request, _ in claims]

    async def _accept_all(self, accepted: Sequence[tuple[UUID, int]]) -> list[bool]:
        """Not synced to disk: what a crash of Postgres forgets is only that an event was said, and saying it again is
        safe."""
        rows = await every(
            self._database,
            "UPDATE requests SET state = 'accepted', sequence = given.sequence, refusal = NULL"
            " FROM unnest(%(ids)s::uuid[], %(sequences)s::bigint[]) AS given (id, sequence),"
            " (SELECT set_config('synchronous_commit', 'off', true)) AS quick"
            " WHERE requests.id = given.id RETURNING requests.id",
            {"ids": [request_id for request_id, _ in accepted], "sequences": [sequence for _, sequence in accepted]},
        )
        found = {row["id"] for row in rows}
        return [request_id in found for request_id, _ in accepted]


class PostgresTokens:
    """Fulfils `ports.TokenStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, token_id: str) -> ApiToken | None:
        """See the port."""
        row = await one(self._database, "SELECT * FROM tokens WHERE id = %(id)s", {"id": token_id})
        return _token(row) if row else None

    async def add(self, token: ApiToken) -> bool:
        """See the port."""
        added = await execute(
            self._database,
            "INSERT INTO tokens (id, digest, name, person, role, teams, created_at, created_by, expires_at, revoked_at)"
            " VALUES (%(id)s, %(digest)s, %(name)s, %(person)s, %(role)s, %(teams)s, %(created_at)s, %(created_by)s,"
            " %(expires_at)s, %(revoked_at)s) ON CONFLICT (id) DO NOTHING",
            {
                "id": token.id,
                "digest": token.digest,
                "name": token.name,
                "person": token.person,
                "role": token.role,
                "teams": list(token.teams),
                "created_at": token.created_at,
                "created_by": token.created_by,
                "expires_at": token.expires_at,
                "revoked_at": token.revoked_at,
            },
        )
        return added == 1

    async def all(self, person: str | None) -> list[ApiToken]:
        """See the port."""
        rows = await every(
            self._database,
            "SELECT * FROM tokens WHERE %(person)s::text IS NULL OR person = %(person)s ORDER BY created_at DESC, id",
            {"person": person},
        )
        return [_token(row) for row in rows]

    async def revoke(self, token_id: str, at: datetime) -> None:
        """See the port."""
        await execute(
            self._database,
            "UPDATE tokens SET revoked_at = %(at)s WHERE id = %(id)s AND revoked_at IS NULL",
            {"id": token_id, "at": at},
        )


def _claim(request: AcceptedRequest, room: Room | None) -> dict[str, Any]:
    """A row of `_CLAIM`."""
    place = room.place if room is not None else None
    return {
        "id": request.id,
        "principal": request.principal,
        "key": request.key,
        "fingerprint": f"\\x{request.fingerprint.hex()}",
        "operation": request.operation,
        "event_id": request.event_id,
        "incarnation": request.incarnation,
        "environment": request.environment,
        "visible_teams": request.visible_teams,
        "asked": orjson.Fragment(request.asked.model_dump_json()),
        "traceparent": request.traceparent,
        "requested_at": request.requested_at,
        "run_id": request.run_id,
        "team": place.team if place is not None else None,
        "repository": place.repository if place is not None else None,
        "kind": place.kind if place is not None else None,
        "cost": str(place.cost_per_month) if place is not None else None,
        "environments": room.environments if room is not None else None,
        "previews": room.previews_per_repository if room is not None else None,
        "most_cost": str(room.cost_per_month) if room is not None and room.cost_per_month is not None else None,
    }


def _dumps(claims: list[dict[str, Any]]) -> bytes:
    return orjson.dumps(claims)


def _request(row: DictRow) -> AcceptedRequest:
    teams = row["visible_teams"]
    return AcceptedRequest(
        id=row["id"],
        principal=row["principal"],
        key=row["idempotency_key"],
        fingerprint=bytes(row["fingerprint"]),
        operation=row["operation"],
        event_id=row["event_id"],
        incarnation=row["incarnation"],
        environment=row["environment"],
        visible_teams=tuple(teams) if teams is not None else None,
        asked=said(row["operation"], row["asked"]),
        traceparent=row["traceparent"],
        requested_at=row["requested_at"],
        run_id=row["run_id"],
        state=row["state"],
        sequence=row["sequence"],
        refusal=RecordedRefusal.model_validate(row["refusal"]) if row["refusal"] is not None else None,
        confirmed=row["confirmed_at"] is not None,
    )


def _token(row: DictRow) -> ApiToken:
    return ApiToken(
        id=row["id"],
        digest=bytes(row["digest"]),
        name=row["name"],
        person=row["person"],
        role=row["role"],
        teams=tuple(row["teams"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )

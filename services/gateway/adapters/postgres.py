"""What the gateway keeps of its own, in its schema of Postgres: accepted requests and tokens."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from chassis.database import Database
from chassis.failures import TransientError
from services.gateway.adapters.statements import every, execute, one
from services.gateway.domain.policy import Room, usage_of
from services.gateway.domain.refusals import RecordedRefusal
from services.gateway.domain.requests import AcceptedRequest, Said, said
from services.gateway.domain.tokens import ApiToken
from services.gateway.ports import FullError, Unconfirmed


@dataclass
class _Accepting:
    """Notes acceptances: those that come while a statement is under way go together into the next one.

    They are not synced to disk: what a crash of Postgres forgets is only that an event was said, and saying it again is
    safe.
    """

    database: Database
    _waiting: dict[UUID, tuple[int, asyncio.Future[bool]]] = field(default_factory=dict)
    _writing: asyncio.Task[None] | None = None

    async def write(self, request_id: UUID, sequence: int) -> bool:
        """Whether there is such a request. Raises `TransientError`."""
        noted = asyncio.get_running_loop().create_future()
        if request_id in self._waiting:  # two who found the same: one word of it is enough
            noted = self._waiting[request_id][1]
        self._waiting[request_id] = (sequence, noted)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        return await asyncio.shield(noted)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                rows = await every(
                    self.database,
                    "UPDATE requests SET state = 'accepted', sequence = given.sequence, refusal = NULL"
                    " FROM unnest(%(ids)s::uuid[], %(sequences)s::bigint[]) AS given (id, sequence),"
                    " (SELECT set_config('synchronous_commit', 'off', true)) AS quick"
                    " WHERE requests.id = given.id RETURNING requests.id",
                    {"ids": list(batch), "sequences": [sequence for sequence, _ in batch.values()]},
                )
            except Exception as error:  # noqa: BLE001 - whoever waits hears of it, whatever it is
                for _, noted in batch.values():
                    noted.set_exception(error)
            else:
                found = {row["id"] for row in rows}
                for request_id, (_, noted) in batch.items():
                    noted.set_result(request_id in found)


class PostgresRequests:
    """Fulfils `ports.RequestStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accepting = _Accepting(database)

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
        place = room.place if room is not None else None
        row = await one(
            self._database,
            "SELECT * FROM claim_request(%(id)s, %(principal)s, %(key)s, %(fingerprint)s, %(operation)s, %(event_id)s,"
            " %(incarnation)s, %(environment)s, %(visible_teams)s, %(asked)s, %(traceparent)s, %(requested_at)s,"
            " %(run_id)s, %(team)s, %(repository)s, %(kind)s, %(cost)s, %(environments)s, %(previews)s,"
            " %(most_cost)s)",
            {
                "id": request.id,
                "principal": request.principal,
                "key": request.key,
                "fingerprint": request.fingerprint,
                "operation": request.operation,
                "event_id": request.event_id,
                "incarnation": request.incarnation,
                "environment": request.environment,
                "visible_teams": list(request.visible_teams) if request.visible_teams is not None else None,
                "asked": Jsonb(request.asked, _as_json),
                "traceparent": request.traceparent,
                "requested_at": request.requested_at,
                "run_id": request.run_id,
                "team": place.team if place is not None else None,
                "repository": place.repository if place is not None else None,
                "kind": place.kind if place is not None else None,
                "cost": place.cost_per_month if place is not None else None,
                "environments": room.environments if room is not None else None,
                "previews": room.previews_per_repository if room is not None else None,
                "most_cost": room.cost_per_month if room is not None else None,
            },
        )
        if row is not None and row["outcome"] == "claimed":
            return request
        if row is not None and room is not None and row["outcome"] != "taken":
            raise FullError(usage_of(room, row["outcome"], row["used"]))
        earlier = await self.find(request.principal, request.key)
        if earlier is None:  # rows are never deleted, so this cannot be
            raise TransientError("the request that has this key cannot be read")
        return earlier

    async def accept(self, request: AcceptedRequest, sequence: int) -> AcceptedRequest:
        """See the port."""
        if not await self._accepting.write(request.id, sequence):
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


def _as_json(value: Said) -> str:
    return value.model_dump_json()


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

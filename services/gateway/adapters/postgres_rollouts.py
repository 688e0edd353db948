"""Rollouts in the gateway's schema of Postgres: one row each, and one for each of their environments."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from psycopg import IntegrityError
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from chassis.database import Database
from chassis.failures import TransientError
from services.gateway.adapters.statements import every, execute, one
from services.gateway.domain.rollouts import Member, Rehearsal, Rollout
from services.gateway.ports import PathBusyError

_REHEARSAL: Final = TypeAdapter(Rehearsal | None)
_MEMBERS: Final = TypeAdapter(tuple[Member, ...])
_WRITE_MEMBERS: Final = (
    " INSERT INTO rollout_members (rollout_id, environment, incarnation, team, kind, version_before, state, rehearsal,"
    " batch, attempt, rehearsals, run_id, reason, waiting_since, begun_at, ended_at)"
    " SELECT kept.id, member.* FROM kept, jsonb_to_recordset(%(members)s) AS member (environment text,"
    " incarnation uuid, team text, kind text, version_before text, state text, rehearsal jsonb, batch int,"
    " attempt int, rehearsals int, run_id uuid, reason text, waiting_since timestamptz, begun_at timestamptz,"
    " ended_at timestamptz)"
    " ON CONFLICT (rollout_id, environment) DO UPDATE SET state = excluded.state, rehearsal = excluded.rehearsal,"
    " batch = excluded.batch, attempt = excluded.attempt, rehearsals = excluded.rehearsals,"
    " run_id = excluded.run_id, reason = excluded.reason,"
    " waiting_since = excluded.waiting_since, begun_at = excluded.begun_at, ended_at = excluded.ended_at"
)


class PostgresRollouts:
    """Fulfils `ports.RolloutStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rollout: Rollout) -> Rollout:
        """See the port."""
        try:
            await execute(
                self._database,
                "WITH kept AS (INSERT INTO rollouts (id, fingerprint, golden_path, version, requested_by, requested_at,"  # noqa: S608 - two constants
                " canaries, batch_size, kinds, include_replacing, pause_after_rehearsal, rehearse_only, status, phase,"
                " reason, ended_at) VALUES (%(id)s, %(fingerprint)s, %(golden_path)s, %(version)s, %(requested_by)s,"
                " %(requested_at)s, %(canaries)s, %(batch_size)s, %(kinds)s, %(include_replacing)s,"
                " %(pause_after_rehearsal)s, %(rehearse_only)s, %(status)s, %(phase)s, %(reason)s, %(ended_at)s)"
                " ON CONFLICT (id) DO NOTHING RETURNING id)" + _WRITE_MEMBERS,
                _values(rollout),
            )
        except IntegrityError as error:  # the golden path's place is taken
            row = await one(
                self._database,
                "SELECT id FROM rollouts WHERE golden_path = %(golden_path)s AND ended_at IS NULL",
                {"golden_path": rollout.golden_path},
            )
            if row is None:
                raise TransientError("another rollout ended at this moment") from error
            if row["id"] != rollout.id:
                raise PathBusyError(row["id"]) from error
        found = await self.find(rollout.id)
        if found is None:  # rows are never deleted, so this cannot be
            raise TransientError("the rollout cannot be read")
        return found

    async def find(self, rollout_id: UUID) -> Rollout | None:
        """See the port."""
        rows = await every(self._database, "SELECT * FROM rollouts WHERE id = %(id)s", {"id": rollout_id})
        return next(iter(await self._with_members(rows)), None)

    async def newest(self, limit: int) -> list[Rollout]:
        """See the port."""
        rows = await every(
            self._database,
            "SELECT * FROM rollouts ORDER BY requested_at DESC, id LIMIT %(limit)s",
            {"limit": limit},
        )
        return await self._with_members(rows)

    async def under_way(self) -> list[UUID]:
        """See the port."""
        rows = await every(
            self._database, "SELECT id FROM rollouts WHERE ended_at IS NULL ORDER BY requested_at, id", {}
        )
        return [row["id"] for row in rows]

    async def take(self, rollout_id: UUID, driver: UUID, seconds: float) -> Rollout | None:
        """See the port."""
        rows = await every(
            self._database,
            "UPDATE rollouts SET driver = %(driver)s, driven_until = now() + make_interval(secs => %(seconds)s)"
            " WHERE id = %(id)s AND ended_at IS NULL"
            " AND (driver IS NULL OR driver = %(driver)s OR driven_until < now()) RETURNING *",
            {"id": rollout_id, "driver": driver, "seconds": seconds},
        )
        return next(iter(await self._with_members(rows)), None)

    async def let_go(self, rollout_id: UUID, driver: UUID) -> None:
        """See the port."""
        await execute(
            self._database,
            "UPDATE rollouts SET driver = NULL, driven_until = NULL WHERE id = %(id)s AND driver = %(driver)s",
            {"id": rollout_id, "driver": driver},
        )

    async def save(self, rollout: Rollout, before: Rollout) -> bool:
        """See the port."""
        known = {member.environment: member for member in before.members}
        changed = tuple(member for member in rollout.members if known.get(member.environment) != member)
        row = await one(
            self._database,
            "WITH kept AS (UPDATE rollouts SET status = %(status)s, phase = %(phase)s, reason = %(reason)s,"  # noqa: S608 - two constants
            " ended_at = %(ended_at)s, revision = revision + 1 WHERE id = %(id)s AND revision = %(revision)s"
            " RETURNING id), written AS (" + _WRITE_MEMBERS + ") SELECT count(*) AS kept FROM kept",
            _values(rollout) | {"revision": before.revision, "members": _members(changed)},
        )
        return row is not None and row["kept"] == 1

    async def _with_members(self, rows: Sequence[DictRow]) -> list[Rollout]:
        members = await every(
            self._database,
            "SELECT * FROM rollout_members WHERE rollout_id = ANY(%(ids)s) ORDER BY environment",
            {"ids": [row["id"] for row in rows]},
        )
        return [_rollout(row, [member for member in members if member["rollout_id"] == row["id"]]) for row in rows]


def _values(rollout: Rollout) -> dict[str, Any]:
    plain = {name: value for name, value in vars(rollout).items() if name != "members"}
    return plain | {
        "kinds": list(rollout.kinds) if rollout.kinds is not None else None,
        "members": _members(rollout.members),
    }


def _members(members: tuple[Member, ...]) -> Jsonb:
    return Jsonb(_MEMBERS.dump_python(members, mode="json"))


def _rollout(row: DictRow, members: Sequence[DictRow]) -> Rollout:
    known = {name: value for name, value in row.items() if name not in {"driver", "driven_until"}}
    kinds = tuple(row["kinds"]) if row["kinds"] is not None else None
    known |= {"fingerprint": bytes(row["fingerprint"]), "kinds": kinds}
    return Rollout(**known, members=tuple(_member(member) for member in members))


def _member(row: DictRow) -> Member:
    known = {name: value for name, value in row.items() if name != "rollout_id"}
    return Member(**(known | {"rehearsal": _REHEARSAL.validate_python(row["rehearsal"])}))

"""The twin of the store of rollouts, for tests and rehearsals."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from chassis.clock import Clock
from services.gateway.domain.rollouts import Rollout
from services.gateway.ports import PathBusyError


@dataclass
class MemoryRollouts:
    """Twin of `ports.RolloutStore`."""

    clock: Clock
    rows: dict[UUID, Rollout] = field(default_factory=dict)
    drivers: dict[UUID, tuple[UUID, datetime]] = field(default_factory=dict)

    async def add(self, rollout: Rollout) -> Rollout:
        """See the port."""
        if rollout.id in self.rows:
            return self.rows[rollout.id]
        for other in self.rows.values():
            if other.golden_path == rollout.golden_path and other.ended_at is None and rollout.ended_at is None:
                raise PathBusyError(other.id)
        members = tuple(sorted(rollout.members, key=lambda member: member.environment))
        self.rows[rollout.id] = replace(rollout, members=members)
        return self.rows[rollout.id]

    async def find(self, rollout_id: UUID) -> Rollout | None:
        """See the port."""
        return self.rows.get(rollout_id)

    async def newest(self, limit: int) -> list[Rollout]:
        """See the port."""
        found = sorted(self.rows.values(), key=lambda rollout: rollout.id)
        return sorted(found, key=lambda rollout: rollout.requested_at, reverse=True)[:limit]

    async def under_way(self) -> list[UUID]:
        """See the port."""
        found = [rollout for rollout in self.rows.values() if rollout.ended_at is None]
        return [rollout.id for rollout in sorted(found, key=lambda rollout: (rollout.requested_at, rollout.id))]

    async def take(self, rollout_id: UUID, driver: UUID, seconds: float) -> Rollout | None:
        """See the port."""
        rollout, now = self.rows.get(rollout_id), self.clock.now()
        if rollout is None or rollout.ended_at is not None:
            return None
        other, until = self.drivers.get(rollout_id, (driver, now))
        if other != driver and until >= now:
            return None
        self.drivers[rollout_id] = (driver, now + timedelta(seconds=seconds))
        return rollout

    async def let_go(self, rollout_id: UUID, driver: UUID) -> None:
        """See the port."""
        if self.drivers.get(rollout_id, (None, None))[0] == driver:
            del self.drivers[rollout_id]

    async def save(self, rollout: Rollout, before: Rollout) -> bool:
        """See the port."""
        kept = self.rows.get(rollout.id)
        if kept is None or kept.revision != before.revision:
            return False
        self.rows[rollout.id] = replace(rollout, revision=before.revision + 1)
        return True

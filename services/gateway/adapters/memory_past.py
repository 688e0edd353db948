"""The twin of the past: the log's own twin, as far as it went at a time."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.history import Change, Difference, Moment
from contracts.queries import EnvironmentView
from services.gateway.adapters.memory_log import MemoryLog


@dataclass
class MemoryPast:
    """Twin of `ports.Past`. Compares whole top-level fields."""

    log: MemoryLog

    async def moment(self, name: str, at: datetime) -> Moment:
        """See the port."""
        then = replace(self.log, events_said=[event for event in self.log.events_said if event.time <= at], folded=None)
        view = await then.environment(name)
        run = await then.run(view.run_id) if view is not None else None
        return Moment(environment=view, run=run, events=sum(event.subject == name for event in then.events_said))

    async def difference(
        self, name: str, since: datetime, until: datetime, incarnation: UUID | None = None
    ) -> Difference:
        """See the port."""
        before, after = (await self.moment(name, since)).environment, (await self.moment(name, until)).environment
        if before is not None and incarnation not in {None, before.incarnation}:
            before = None
        was, now = _fields(before), _fields(after)
        changes = tuple(
            Change(field=field, before=was.get(field), after=now.get(field))
            for field in sorted(was.keys() | now.keys())
            if was.get(field) != now.get(field)
        )
        return Difference(before=before, after=after, changes=changes)


def _fields(view: EnvironmentView | None) -> dict[str, Any]:
    return view.model_dump(mode="json", exclude={"version", "last_sequence", "updated_at"}) if view else {}

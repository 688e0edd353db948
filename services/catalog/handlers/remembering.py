"""Telling the past: an environment at a moment, and what changed between two."""

from dataclasses import dataclass

from contracts.history import Compare, Difference, GetMoment, Moment
from services.catalog.domain.history import changes, folded
from services.catalog.ports import History


@dataclass(frozen=True)
class Remembering:
    """Answers from the events of one name: a handful, whatever the size of the log."""

    history: History

    async def moment(self, query: GetMoment) -> Moment:
        """The environment as it was."""
        messages = await self.history.until(query.environment, query.at)
        known = folded(messages)
        if known is None:
            return Moment(environment=None, run=None, events=0)
        return Moment(environment=known.environment, run=known.run, events=len(messages))

    async def difference(self, query: Compare) -> Difference:
        """What is another in the later of two moments."""
        messages = await self.history.until(query.environment, max(query.since, query.until))
        earlier = await self.history.until(query.environment, query.since)
        before, after = folded(earlier), folded(messages)
        was = before.environment if before else None
        if was is not None and query.incarnation not in {None, was.incarnation}:
            was = None
        now = after.environment if after else None
        return Difference(before=was, after=now, changes=changes(was, now))

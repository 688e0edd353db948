"""Telling the past: an environment at a moment, and what changed between two."""

from dataclasses import dataclass
from datetime import datetime

from contracts.history import Compare, Difference, GetMoment, Moment
from contracts.queries import EnvironmentView, RunView
from services.catalog.domain.history import changes, folded, with_facts
from services.catalog.ports import History


@dataclass(frozen=True)
class Remembering:
    """Answers from the events of one name and the facts about it: a handful, whatever the size of the log."""

    history: History

    async def moment(self, query: GetMoment) -> Moment:
        """The environment as it was."""
        environment, run, events = await self._at(query.environment, query.at)
        return Moment(environment=environment, run=run, events=events)

    async def difference(self, query: Compare) -> Difference:
        """What is another in the later of two moments."""
        was, _, _ = await self._at(query.environment, query.since)
        now, _, _ = await self._at(query.environment, max(query.since, query.until))
        if was is not None and query.incarnation not in {None, was.incarnation}:
            was = None
        return Difference(before=was, after=now, changes=changes(was, now))

    async def _at(self, name: str, at: datetime) -> tuple[EnvironmentView | None, RunView | None, int]:
        messages = await self.history.until(name, at)
        known = folded(messages)
        if known is None:
            return None, None, 0
        facts = await self.history.facts_until(name, known.environment.incarnation, at)
        return with_facts(known.environment, facts, at), known.run, len(messages)

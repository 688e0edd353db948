"""Telling the past of an environment, to whoever may see it.

Invariant: who does not see an environment today does not see its past; and a name may have been another team's before:
of earlier incarnations only those are told that are visible.
"""

from dataclasses import dataclass
from datetime import datetime

from contracts.history import Difference, Moment
from contracts.queries import EnvironmentView
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError, UnknownThingError
from services.gateway.handlers.reading import Reading
from services.gateway.ports import Past

_NOT_THERE_YET = "There was no such environment at that time. Its history: GET /api/v1/environments/{name}/events"


@dataclass(frozen=True)
class Remembering:
    """Answers what was."""

    reading: Reading
    past: Past

    async def moment(self, principal: Principal, name: str, at: datetime) -> Moment:
        """The environment at a time. Raises `UnknownThingError` where it was not there, or was another team's."""
        today = await self.reading.environment(principal, name)
        found = await self.past.moment(name, at)
        if found.environment is None or not _may_see(principal, found.environment, today):
            raise UnknownThingError(_NOT_THERE_YET)
        return found

    async def difference(self, principal: Principal, name: str, since: datetime, until: datetime) -> Difference:
        """What changed after `since`, up to `until`. Raises `InvalidError` for a time that ends before it begins, and
        `UnknownThingError` where it was not there at `until`, or was another team's."""
        if until < since:
            raise InvalidError([BrokenRule("until", "is not before since")])
        today = await self.reading.environment(principal, name)
        found = await self.past.difference(name, since, until)
        if found.after is None or not _may_see(principal, found.after, today):
            raise UnknownThingError(_NOT_THERE_YET)
        if found.before is not None and not _may_see(principal, found.before, today):
            # What was before belongs to somebody else: for this one everything began with its own environment.
            return await self.past.difference(name, since, until, found.after.incarnation)
        return found


def _may_see(principal: Principal, then: EnvironmentView, today: EnvironmentView) -> bool:
    return then.incarnation == today.incarnation or principal.sees(then.spec.owner.team)

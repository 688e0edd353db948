"""Quotas: who has room for what, and giving back the room of what is gone.

Invariants
- No limit is exceeded, however many ask at once: a place is taken in the transaction that keeps the request.
- A place is given back when the catalog says that its life is over, never on a guess: what was accepted and is not yet
  in the catalog keeps its place.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NoReturn
from uuid import UUID

import structlog

from chassis.failures import TransientError
from contracts.golden_path import GoldenPath
from contracts.queries import EnvironmentView, FindEnvironments
from contracts.values import EnvironmentSpec
from services.gateway.domain.obstacles import BUSY_STATES
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import (
    Policy,
    Room,
    Usage,
    place_of,
    room_for_change,
    room_for_new,
    takes_room,
)
from services.gateway.domain.refusals import Exceeded, QuotaExceededError
from services.gateway.ports import Catalog, GoldenPaths, PlaceStore, TakenPlace

_log = structlog.get_logger(__name__)

LOOKED_SECONDS: Final = 1.0
"""How long a look at what is gone counts for everybody who finds the same quota used up."""
PAGE: Final = 100
_REST: Final = 3
"""How many times as long as it works the look at everything rests, so that a large catalogue is not asked for it alone
and whoever else asks does not wait."""
CANDIDATES: Final = 3
_AT_ONCE: Final = 20
_WORDS: Final = {
    "environments": "environments of the team {scope}",
    "previews_of_repository": "previews of the repository {scope} at once",
    "cost_per_month": "a month for the team {scope}",
}


@dataclass(frozen=True)
class _Look:
    """What was found when a quota was used up."""

    at: float
    made_room: bool
    idle: tuple[tuple[str, str], ...]
    """Environments without a run under way, by name with their teams; the one that nobody touched for longest first."""


@dataclass(frozen=True)
class Quotas:
    """Knows what every team may have, and what it has."""

    places: PlaceStore
    catalog: Catalog
    golden_paths: GoldenPaths
    policy: Policy
    interval_seconds: float = 60.0
    now: Callable[[], float] = monotonic
    _looks: dict[tuple[str, str], _Look] = field(default_factory=dict)
    _looking: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)

    def room_for_new(self, spec: EnvironmentSpec, path: GoldenPath | None) -> Room:
        """The place that a new environment needs. Raises `NotAllowedError`."""
        return room_for_new(spec, path, self.policy.of(spec.owner.team))

    def room_for_change(self, spec: EnvironmentSpec, path: GoldenPath | None) -> Room:
        """The place that an environment needs in another state."""
        return room_for_change(spec, path, self.policy.of(spec.owner.team))

    async def usage(self, room: Room, environment: str) -> list[Usage]:
        """How much others than this environment use of each limit."""
        return await self.places.usage(room, environment)

    async def make_room(self, usage: Usage) -> bool:
        """Give back what is over of a quota that is used up; whether there was any. Many who ask at once look once."""
        key = (usage.what, usage.scope)
        async with self._looking.setdefault(key, asyncio.Lock()):
            known = self._looks.get(key)
            if known is None or self.now() - known.at >= LOOKED_SECONDS:
                known = self._looks[key] = await self._look_at(usage)
            return known.made_room

    async def _look_at(self, usage: Usage) -> _Look:
        of_repository = usage.what == "previews_of_repository"
        taken = await self.places.taken(
            team=None if of_repository else usage.scope, repository=usage.scope if of_repository else None
        )
        views = await self._seen(taken)
        over = _over(taken, views)
        if over:
            await self.places.release(over)
        idle = [view for view in views if view is not None and takes_room(view) and view.state not in BUSY_STATES]
        idle.sort(key=lambda view: view.last_activity_at or view.updated_at)
        return _Look(self.now(), bool(over), tuple((view.name, view.spec.owner.team) for view in idle))

    def refusal(self, principal: Principal, usage: Usage) -> QuotaExceededError:
        """Why there is no room, and which environments that the asker sees could be deleted: those that nobody has
        touched for longest."""
        known = self._looks.get((usage.what, usage.scope))
        idle = known.idle if known is not None else ()
        candidates = tuple(name for name, team in idle if principal.sees(team))[:CANDIDATES]
        what = _WORDS[usage.what].format(scope=usage.scope)
        advice = f" for instance {', '.join(candidates)}" if candidates else " of its environments"
        return QuotaExceededError(
            f"There is no room for this: {usage.used} of {usage.limit} {what} are used. Delete one first,{advice}, or"
            " ask the platform team for more. Nothing was changed.",
            Exceeded(
                what=usage.what,
                scope=usage.scope,
                used=str(usage.used),
                limit=str(usage.limit),
                delete_one_of=candidates,
            ),
        )

    async def run(self) -> NoReturn:
        """Hold the places against the catalog from time to time, until cancelled."""
        while True:
            try:
                await self.look()
            except TransientError as error:
                _log.warning("could not look after the quotas", error=str(error))
            await asyncio.sleep(self.interval_seconds)

    async def look(self) -> None:
        """Make the places what the catalog says: also for environments that were there before there were quotas, and
        for what a change that failed would have cost."""
        taken = await self.places.taken()
        await self.places.release(_over(taken, await self._seen(taken)))
        after: str | None = None
        while True:
            began = self.now()
            page = await self.catalog.environments(FindEnvironments(after=after, limit=PAGE))
            paths = {path.name: path for path in await self.golden_paths.all()}
            settled = [view for view in page.items if takes_room(view) and view.state not in BUSY_STATES]
            if settled:
                await self.places.note([_place(view, paths.get(view.spec.golden_path)) for view in settled])
            after = page.next_cursor
            if after is None:
                return
            await asyncio.sleep(_REST * (self.now() - began))

    async def _seen(self, taken: Sequence[TakenPlace]) -> list[EnvironmentView | None]:
        """What the catalog says of each; None also where it need not have heard of it yet."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def see(place: TakenPlace) -> EnvironmentView | None:
            if place.sequence is None:
                return None
            async with slots:
                return await self.catalog.environment(place.environment, place.sequence)

        return await asyncio.gather(*(see(place) for place in taken))


def _over(taken: Sequence[TakenPlace], views: Sequence[EnvironmentView | None]) -> list[UUID]:
    """The lives that are over. The catalog has seen their beginning, so another life of a name is a later one."""
    return [
        place.incarnation
        for place, view in zip(taken, views, strict=True)
        if view is not None and (view.incarnation != place.incarnation or not takes_room(view))
    ]


def _place(view: EnvironmentView, path: GoldenPath | None) -> TakenPlace:
    return TakenPlace(view.incarnation, view.name, place_of(view.spec, path), view.last_sequence)

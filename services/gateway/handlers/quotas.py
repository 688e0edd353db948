"""Quotas: who has room for what, and giving back the room of what is gone.

Invariants
- No limit is exceeded, however many ask at once: a place is taken in the transaction that keeps the request.
- A place is given back when the catalog says that its life is over, never on a guess: what was accepted and is not yet
  in the catalog keeps its place.
"""

import asyncio
from collections.abc import Callable, Iterable
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
PAGE: Final = 500
CANDIDATES: Final = 3
_AT_ONCE: Final = 20
_WORDS: Final = {
    "environments": "environments of the team {scope}",
    "previews_of_repository": "previews of the repository {scope} at once",
    "cost_per_month": "a month for the team {scope}",
}


@dataclass(frozen=True)
class Quotas:
    """Knows what every team may have, and what it has."""

    places: PlaceStore
    catalog: Catalog
    golden_paths: GoldenPaths
    policy: Policy
    interval_seconds: float = 60.0
    now: Callable[[], float] = monotonic
    _looked: dict[tuple[str, str], float] = field(default_factory=dict)
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

    async def make_room(self, usage: Usage) -> None:
        """Give back what is over of a quota that is used up. Many who ask at once look once."""
        key = (usage.what, usage.scope)
        async with self._looking.setdefault(key, asyncio.Lock()):
            if self.now() - self._looked.get(key, float("-inf")) < LOOKED_SECONDS:
                return
            of_repository = usage.what == "previews_of_repository"
            taken = await self.places.taken(
                team=None if of_repository else usage.scope, repository=usage.scope if of_repository else None
            )
            await self.places.release(await self._over(taken))
            self._looked[key] = self.now()

    async def refusal(self, principal: Principal, usage: Usage) -> QuotaExceededError:
        """Why there is no room, and which environments that the asker sees could be deleted: those that nobody has
        touched for longest."""
        of_repository = usage.what == "previews_of_repository"
        question = FindEnvironments(
            teams=principal.visible_teams if of_repository else (usage.scope,), include_deleted=False, limit=PAGE
        )
        views = [
            view
            for view in (await self.catalog.environments(question)).items
            if takes_room(view)
            and view.state not in BUSY_STATES
            and (not of_repository or (view.spec.repository, view.spec.kind) == (usage.scope, "preview"))
        ]
        views.sort(key=lambda view: view.last_activity_at or view.updated_at)
        candidates = tuple(view.name for view in views[:CANDIDATES])
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
        await self.places.release(await self._over(await self.places.taken()))
        after: str | None = None
        while True:
            page = await self.catalog.environments(FindEnvironments(after=after, limit=PAGE))
            paths = {path.name: path for path in await self.golden_paths.all()}
            settled = [view for view in page.items if takes_room(view) and view.state not in BUSY_STATES]
            if settled:
                await self.places.note([_place(view, paths.get(view.spec.golden_path)) for view in settled])
            after = page.next_cursor
            if after is None:
                return

    async def _over(self, taken: Iterable[TakenPlace]) -> list[UUID]:
        """The lives that are over."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def is_over(place: TakenPlace) -> bool:
            if place.sequence is None:
                return False
            async with slots:
                view = await self.catalog.environment(place.environment, place.sequence)
            # The catalog has seen its beginning, so another life of this name is a later one.
            return view is not None and (view.incarnation != place.incarnation or not takes_room(view))

        places = list(taken)
        found = await asyncio.gather(*(is_over(place) for place in places))
        return [place.incarnation for place, over in zip(places, found, strict=True) if over]


def _place(view: EnvironmentView, path: GoldenPath | None) -> TakenPlace:
    return TakenPlace(view.incarnation, view.name, place_of(view.spec, path), view.last_sequence)

"""Rollouts as people ask for them: begin one, look at them, pause, resume, cancel."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4, uuid5

from chassis.clock import Clock
from chassis.failures import TransientError
from contracts.golden_path import GoldenPath
from contracts.queries import EnvironmentView, FindEnvironments
from services.gateway.domain.admission import mark_of
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import (
    NO_SUCH_ROLLOUT,
    BrokenRule,
    InvalidError,
    KeyReusedError,
    RolloutUnderWayError,
    UnknownThingError,
)
from services.gateway.domain.rollouts import (
    Rollout,
    StartRollout,
    advanced,
    cancelled,
    is_due_for,
    member_of,
    paused,
    resumed,
)
from services.gateway.ports import Catalog, GoldenPaths, PathBusyError, RolloutStore

_IDS: Final = UUID("2f0c6a53-0f55-4d0a-8a0e-58a3d9d7c1b4")
_PAGE: Final = 200
_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Rollouts:
    """Accepts requests about rollouts; for admins only, because they touch everybody's environments."""

    store: RolloutStore
    catalog: Catalog
    golden_paths: GoldenPaths
    clock: Clock

    async def start(self, principal: Principal, ask: StartRollout, key: str | None) -> Rollout:
        """Begin one: the same for the same key. Raises `InvalidError`, `RolloutUnderWayError` and `KeyReusedError`."""
        principal.require("admin")
        mark = mark_of("rollout", ask)
        rollout_id = uuid5(_IDS, f"{principal.subject}\0{key}") if key is not None else uuid4()
        kept = await self.store.find(rollout_id)
        if kept is None:
            kept = await self._keep(await self._new(principal, ask, rollout_id, mark))
        if kept.fingerprint != mark:
            raise KeyReusedError(
                "This Idempotency-Key was used for another request. Make a new key for a new request. Nothing was"
                " changed."
            )
        return kept

    async def due(self, principal: Principal, path: GoldenPath, most: int) -> tuple[list[EnvironmentView], bool]:
        """Environments that a rollout of what a golden path offers would take along, of `most` that are looked at; and
        whether those were all."""
        principal.require("admin")
        page = await self.catalog.environments(FindEnvironments(golden_path=path.name, limit=most))
        return [view for view in page.items if is_due_for(view, path, None)], page.next_cursor is None

    async def find(self, principal: Principal, rollout_id: UUID) -> Rollout:
        """One of them. Raises `UnknownThingError`."""
        principal.require("admin")
        found = await self.store.find(rollout_id)
        if found is None:
            raise UnknownThingError(NO_SUCH_ROLLOUT)
        return found

    async def newest(self, principal: Principal, limit: int) -> list[Rollout]:
        """The newest."""
        principal.require("admin")
        return await self.store.newest(limit)

    async def pause(self, principal: Principal, rollout_id: UUID) -> Rollout:
        """Begin nothing more until it is resumed; what is under way ends by itself. Raises `RolloutEndedError`."""
        return await self._steer(principal, rollout_id, lambda rollout: paused(rollout, principal.person))

    async def resume(self, principal: Principal, rollout_id: UUID) -> Rollout:
        """Go on, also after it was stopped: what failed stays failed. Raises `RolloutEndedError`."""
        return await self._steer(principal, rollout_id, resumed)

    async def cancel(self, principal: Principal, rollout_id: UUID) -> Rollout:
        """End it; what is under way ends by itself. Raises `RolloutEndedError`."""
        now = self.clock.now()
        return await self._steer(principal, rollout_id, lambda rollout: cancelled(rollout, principal.person, now))

    async def _keep(self, rollout: Rollout) -> Rollout:
        try:
            return await self.store.add(rollout)
        except PathBusyError as error:
            raise RolloutUnderWayError(
                f"The rollout {error.rollout_id} of this golden path is not over. Resume it or cancel it first. Nothing"
                " was changed."
            ) from error

    async def _new(self, principal: Principal, ask: StartRollout, rollout_id: UUID, mark: bytes) -> Rollout:
        path = await self.golden_paths.find(ask.golden_path)
        if path is None:
            offered = ", ".join(found.name for found in await self.golden_paths.all())
            raise InvalidError([BrokenRule("golden_path", f"must be one of {offered}")])
        if ask.version not in {None, path.version}:
            raise InvalidError([BrokenRule("version", f"must be {path.version}, the version on offer")])
        kinds = tuple(ask.kinds) if ask.kinds is not None else None
        now = self.clock.now()
        rollout = Rollout(
            id=rollout_id,
            fingerprint=mark,
            golden_path=path.name,
            version=path.version,
            requested_by=principal.person,
            requested_at=now,
            canaries=ask.canaries,
            batch_size=ask.batch_size,
            kinds=kinds,
            include_replacing=ask.include_replacing,
            pause_after_rehearsal=ask.pause_after_rehearsal,
            rehearse_only=ask.rehearse_only,
            members=tuple(member_of(view) for view in await self._behind(path) if is_due_for(view, path, kinds)),
        )
        return advanced(rollout, (), now)  # over at once where there is nobody

    async def _behind(self, path: GoldenPath) -> list[EnvironmentView]:
        """Every environment of the golden path."""
        found: list[EnvironmentView] = []
        after: str | None = None
        while True:
            page = await self.catalog.environments(FindEnvironments(golden_path=path.name, after=after, limit=_PAGE))
            found += page.items
            after = page.next_cursor
            if after is None:
                return found

    async def _steer(self, principal: Principal, rollout_id: UUID, change: Callable[[Rollout], Rollout]) -> Rollout:
        for _ in range(_TRIES):
            before = await self.find(principal, rollout_id)
            after = change(before)
            if after == before or await self.store.save(after, before):
                return await self.find(principal, rollout_id)
            await asyncio.sleep(_PAUSE_SECONDS)  # it took a step at this moment
        raise TransientError("the rollout changes faster than it can be steered")

"""Asking for a run: create, update, upgrade, repair, delete. The same deeds for HTTP and for requests on the bus."""

from dataclasses import dataclass
from typing import Final

from contracts.events import Asked
from contracts.queries import EnvironmentView
from services.gateway.domain.admission import CreateEnvironment, fingerprint, mark_of
from services.gateway.domain.changes import ChangeEnvironment, UpgradeEnvironment, upgraded
from services.gateway.domain.obstacles import BUSY_STATES, exists, same_wish
from services.gateway.domain.people import Principal
from services.gateway.handlers.planning import Planning
from services.gateway.handlers.quotas import Quotas
from services.gateway.handlers.settling import Answered, Draft, Settling
from services.gateway.handlers.wishing import Wish, Wishing

_DEVELOPER: Final = "developer"


@dataclass(frozen=True)
class Asking:
    """Accepts requests for runs. Every deed raises as `Settling.carry_out`."""

    settling: Settling
    wishing: Wishing
    planning: Planning
    quotas: Quotas

    async def create(
        self, principal: Principal, ask: CreateEnvironment, key: str | None, *, mark: bytes | None = None
    ) -> Answered:
        """Ask for a new environment. `mark` is the fingerprint where it follows from more than `ask`."""
        principal.require(_DEVELOPER)
        mark = mark or mark_of("create", ask)
        # A plan that was agreed to is outdated as soon as its run has begun, so the key is looked at first.
        if ask.plan is not None and (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered

        async def draft() -> Draft:
            wish = await self.wishing.new(principal, ask)
            room = self.quotas.room_for_new(wish.spec, wish.path)
            await self.planning.check(wish, ask.plan)
            asked = Asked(spec=wish.spec, requested_by=principal.person, price=wish.price)
            return Draft("create", ask.name, asked, room=room)

        return await self.settling.carry_out(principal, key, mark, draft)

    async def update(
        self,
        principal: Principal,
        name: str,
        ask: ChangeEnvironment,
        key: str | None,
        *,
        mark: bytes | None = None,
    ) -> Answered | EnvironmentView:
        """Ask for another desired state; the environment itself where that is the one it has."""
        principal.require(_DEVELOPER)
        mark = mark or mark_of("update", ask, name=name)
        if (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered
        return await self._update(principal, key, mark, await self.wishing.change(principal, name, ask), ask.plan)

    async def upgrade(
        self, principal: Principal, name: str, ask: UpgradeEnvironment, key: str | None
    ) -> Answered | EnvironmentView:
        """Ask for the version of its golden path that is on offer; the environment itself where it has that."""
        principal.require(_DEVELOPER)
        mark = mark_of("upgrade", ask, name=name)
        if (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered
        view = await self.wishing.living(principal, name)
        path = await self.wishing.golden_paths.find(view.spec.golden_path)
        return await self._update(principal, key, mark, Wish(upgraded(view, path), view, path), ask.plan)

    async def repair(self, principal: Principal, name: str, key: str | None) -> Answered:
        """Ask for what exists to be made again what it should be."""
        principal.require(_DEVELOPER)
        mark = fingerprint("repair", {"name": name})
        if (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered

        async def draft() -> Draft:
            view = await self.wishing.living(principal, name)
            asked = Asked(spec=view.spec, previous=view.spec, requested_by=principal.person, cause="drift")
            return Draft("update", name, asked, view)

        return await self.settling.carry_out(principal, key, mark, draft)

    async def delete(self, principal: Principal, name: str, key: str | None) -> Answered:
        """Ask for an environment to be taken away; also for one that failed, to clean up again."""
        principal.require(_DEVELOPER)
        mark = fingerprint("delete", {"name": name})
        if (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered

        async def draft() -> Draft:
            view = await self.wishing.living(principal, name)
            principal.require_in(view, "admin")
            return Draft("delete", name, Asked(spec=view.spec, requested_by=principal.person), view)

        return await self.settling.carry_out(principal, key, mark, draft)

    async def _update(
        self, principal: Principal, key: str | None, mark: bytes, wish: Wish, plan: str | None
    ) -> Answered | EnvironmentView:
        view = wish.view
        if view is None:
            raise ValueError("an update is of something")
        if same_wish(wish.spec, view.spec) and view.state not in BUSY_STATES and exists(view):
            return view
        accepts_loss = await self.planning.check(wish, plan)
        is_upgrade = wish.spec.golden_path_version != view.spec.golden_path_version
        asked = Asked(
            spec=wish.spec,
            previous=view.spec,
            requested_by=principal.person,
            cause="upgrade" if is_upgrade else "person",
            accepts_loss=accepts_loss,
            price=wish.price,
        )

        async def draft() -> Draft:
            return Draft("update", view.name, asked, view, room=self.quotas.room_for_change(wish.spec, wish.path))

        return await self.settling.carry_out(principal, key, mark, draft)

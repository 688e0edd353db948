"""An environment's end: more time, no end at all, or an end again. And who else may use it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contracts.events import AccessChange, Expiry
from contracts.golden_path import GoldenPath
from contracts.queries import EnvironmentView
from services.gateway.domain.admission import ChangeAccess, fingerprint, mark_of
from services.gateway.domain.lifetime import ExtendEnvironment, KeepEnvironment, expiry, extended, let_go
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import BrokenRule, InvalidError
from services.gateway.domain.requests import Operation
from services.gateway.handlers.settling import Draft, Settling
from services.gateway.handlers.wishing import Wishing

_Decide = Callable[[EnvironmentView, GoldenPath | None, datetime], Expiry | None]


@dataclass(frozen=True)
class Living:
    """Accepts requests about how long an environment lives and for whom. Every deed raises as `Settling.carry_out`."""

    settling: Settling
    wishing: Wishing

    async def extend(self, principal: Principal, name: str, ask: ExtendEnvironment, key: str | None) -> EnvironmentView:
        """Give it more time, within the cap. Returns the environment."""

        def decide(view: EnvironmentView, path: GoldenPath | None, now: datetime) -> Expiry:
            return expiry(view, extended(view, path, ask.ttl, now, self.wishing.defaults), principal.person)

        return await self._move_end(principal, name, key, mark_of("extend", ask, name=name), decide)

    async def keep(self, principal: Principal, name: str, ask: KeepEnvironment, key: str | None) -> EnvironmentView:
        """Take its end away. Returns the environment."""

        def decide(view: EnvironmentView, _: GoldenPath | None, __: datetime) -> Expiry:
            return expiry(view, None, principal.person, ask.reason)

        return await self._move_end(principal, name, key, mark_of("keep", ask, name=name), decide)

    async def let_go(self, principal: Principal, name: str, key: str | None) -> EnvironmentView:
        """Give it an end again. Returns the environment, which stays as it is where it was not kept."""

        def decide(view: EnvironmentView, path: GoldenPath | None, now: datetime) -> Expiry | None:
            if view.kept_because is None:
                return None
            return expiry(view, let_go(view, path, now, self.wishing.defaults), principal.person)

        return await self._move_end(principal, name, key, fingerprint("unkeep", {"name": name}), decide)

    async def _move_end(
        self, principal: Principal, name: str, key: str | None, mark: bytes, decide: _Decide
    ) -> EnvironmentView:
        principal.require("developer")
        if await self.settling.earlier(principal, key, mark) is None:
            view = await self.wishing.living(principal, name)
            path = await self.wishing.golden_paths.find(view.spec.golden_path)
            said = decide(view, path, self.wishing.clock.now())
            if said is None:
                return view

            async def draft() -> Draft:
                return Draft("extend", name, said, view)

            await self.settling.carry_out(principal, key, mark, draft)
        return await self.wishing.reading.environment(principal, name)

    async def change_access(
        self, operation: Operation, principal: Principal, name: str, ask: ChangeAccess, key: str | None
    ) -> AccessChange:
        """Grant a role in an environment (`grant`), or take it away (`revoke`). It takes effect when the secrets
        service has done it."""
        principal.require("developer")
        if (ask.person is None) == (ask.team is None):
            raise InvalidError([BrokenRule("person", "or team: name exactly one of the two")])
        mark = mark_of(operation, ask, name=name)
        change = AccessChange(requested_by=principal.person, role=ask.role, person=ask.person, team=ask.team)
        if await self.settling.earlier(principal, key, mark) is not None:
            return change

        async def draft() -> Draft:
            view = await self.wishing.living(principal, name)
            principal.require_in(view, "admin")
            return Draft(operation, name, change, view)

        await self.settling.carry_out(principal, key, mark, draft)
        return change

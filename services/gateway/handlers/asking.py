"""Asking for a run: create and delete. The same deeds for HTTP and for requests on the bus."""

from dataclasses import dataclass

from chassis.clock import Clock
from contracts.events import Asked
from services.gateway.domain.admission import CreateEnvironment, Defaults, complete, fingerprint
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import NO_SUCH_ENVIRONMENT, BrokenRule, InvalidError, UnknownThingError
from services.gateway.handlers.settling import Answered, Draft, Settling
from services.gateway.ports import GoldenPaths


@dataclass(frozen=True)
class Asking:
    """Accepts requests for runs."""

    settling: Settling
    golden_paths: GoldenPaths
    clock: Clock
    defaults: Defaults

    async def create(self, principal: Principal, ask: CreateEnvironment, key: str | None) -> Answered:
        """Ask for a new environment. Raises as `Settling.carry_out`."""
        principal.require("developer")

        async def draft() -> Draft:
            path = await self.golden_paths.find(ask.golden_path)
            if path is None:
                offered = ", ".join(found.name for found in await self.golden_paths.all())
                raise InvalidError([BrokenRule("golden_path", f"must be one of {offered}")])
            spec = complete(ask, path, principal, self.clock.now(), self.defaults)
            return Draft("create", ask.name, Asked(spec=spec, requested_by=principal.person))

        return await self.settling.carry_out(principal, key, fingerprint("create", ask.model_dump(mode="json")), draft)

    async def delete(self, principal: Principal, name: str, key: str | None) -> Answered:
        """Ask for an environment to be taken away. Raises as `Settling.carry_out`."""
        principal.require("developer")
        mark = fingerprint("delete", {"name": name})
        if (answered := await self.settling.earlier(principal, key, mark)) is not None:
            return answered

        async def draft() -> Draft:
            floor = await self.settling.requests.floor(environment=name)
            view = await self.settling.catalog.environment(name, floor)
            if view is None or view.state == "deleted" or not principal.sees(view.spec.owner.team):
                raise UnknownThingError(NO_SUCH_ENVIRONMENT)
            return Draft("delete", name, Asked(spec=view.spec, requested_by=principal.person), view)

        return await self.settling.carry_out(principal, key, mark, draft)

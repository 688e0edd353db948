"""What people want, made complete: the desired state behind an ask, for whoever plans it and whoever begins it."""

from dataclasses import dataclass

from chassis.clock import Clock
from contracts.golden_path import GoldenPath
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec, HourlyPrice
from services.gateway.domain.admission import CreateEnvironment, Defaults, complete
from services.gateway.domain.changes import ChangeEnvironment, changed
from services.gateway.domain.lifetime import first_end
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import price_of
from services.gateway.domain.refusals import NO_SUCH_ENVIRONMENT, BrokenRule, InvalidError, UnknownThingError
from services.gateway.handlers.reading import Reading
from services.gateway.ports import GoldenPaths


@dataclass(frozen=True)
class Wish:
    """A complete desired state, and what there is now (None: nothing)."""

    spec: EnvironmentSpec
    view: EnvironmentView | None
    path: GoldenPath | None

    @property
    def price(self) -> HourlyPrice | None:
        """What it costs."""
        return price_of(self.path, self.spec.parameters)


@dataclass(frozen=True)
class Wishing:
    """Fills in what was not said."""

    reading: Reading
    golden_paths: GoldenPaths
    clock: Clock
    defaults: Defaults

    async def new(self, principal: Principal, ask: CreateEnvironment) -> Wish:
        """A new environment. Raises `InvalidError` and `ForbiddenError`."""
        path = await self.golden_paths.find(ask.golden_path)
        if path is None:
            offered = ", ".join(found.name for found in await self.golden_paths.all())
            raise InvalidError([BrokenRule("golden_path", f"must be one of {offered}")])
        now = self.clock.now()
        spec = complete(ask, path, principal, now, self.defaults)
        ends = first_end(spec, path, ask.ttl, now, self.defaults)
        return Wish(spec.model_copy(update={"expires_at": ends}), None, path)

    async def change(self, principal: Principal, name: str, ask: ChangeEnvironment) -> Wish:
        """Another state of an environment. Raises as `living`, and `InvalidError`."""
        view = await self.living(principal, name)
        path = await self.golden_paths.find(view.spec.golden_path)
        return Wish(changed(view, ask, path), view, path)

    async def living(self, principal: Principal, name: str) -> EnvironmentView:
        """An environment that the principal may change. Raises `UnknownThingError` and `ForbiddenError`."""
        view = await self.reading.environment(principal, name)
        if view.state == "deleted":
            raise UnknownThingError(NO_SUCH_ENVIRONMENT)
        principal.require_in(view, "developer")
        return view

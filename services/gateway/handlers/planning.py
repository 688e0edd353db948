"""What would happen: a plan, its cost, how long it takes and what is left of the quota, before anything does."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.plans import Plan
from contracts.queries import StepDuration
from services.gateway.domain.admission import CreateEnvironment
from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.domain.obstacles import BUSY_STATES, standing_of
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import Room, Usage
from services.gateway.domain.refusals import PlanOutdatedError
from services.gateway.handlers.quotas import Quotas
from services.gateway.handlers.wishing import Wish, Wishing
from services.gateway.ports import Planner


@dataclass(frozen=True)
class Planned:
    """A plan and what a person wants to know before they agree to it."""

    wish: Wish
    plan: Plan
    room: Room
    usages: Sequence[Usage]
    durations: Sequence[StepDuration]
    warnings: Sequence[str]


@dataclass(frozen=True)
class Planning:
    """Tells what would happen."""

    planner: Planner
    wishing: Wishing
    quotas: Quotas

    async def of_new(self, principal: Principal, ask: CreateEnvironment) -> Planned:
        """The plan of a new environment. Raises as `Wishing.new`, and `NotAllowedError`."""
        principal.require("developer")
        wish = await self.wishing.new(principal, ask)
        return await self._planned(wish, self.quotas.room_for_new(wish.spec, wish.path))

    async def of_change(self, principal: Principal, name: str, ask: ChangeEnvironment) -> Planned:
        """The plan of another state of an environment. Raises as `Wishing.change`."""
        principal.require("developer")
        wish = await self.wishing.change(principal, name, ask)
        return await self._planned(wish, self.quotas.room_for_change(wish.spec, wish.path))

    async def check(self, wish: Wish, agreed: str | None) -> bool:
        """Raise `PlanOutdatedError` where what would happen is no longer what was agreed to. Returns whether it was
        agreed to that data is lost."""
        if agreed is None:
            return False
        plan = await self._plan(wish)
        if plan.hash != agreed:
            raise PlanOutdatedError(
                "What would happen now is not what you agreed to: something has changed since. Plan again, and look at"
                " it. Nothing was changed.",
                standing_of(wish.view) if wish.view is not None else None,
            )
        return any(change.loses_data for change in plan.changes)

    async def _planned(self, wish: Wish, room: Room) -> Planned:
        plan = await self._plan(wish)
        usages = await self.quotas.usage(room, wish.spec.name)
        durations = await self.wishing.reading.durations(wish.spec.golden_path)
        return Planned(wish, plan, room, usages, durations, _warnings(wish, plan, room, usages))

    async def _plan(self, wish: Wish) -> Plan:
        # Its end follows from the moment of asking, and would make every plan another one.
        spec = wish.spec.model_copy(update={"expires_at": None})
        return await self.planner.plan(spec, wish.view.incarnation if wish.view is not None else None)


def _warnings(wish: Wish, plan: Plan, room: Room, usages: Sequence[Usage]) -> list[str]:
    found = [
        f"{change.resource.kind} {change.resource.id} is {'replaced' if change.action == 'replace' else 'destroyed'}:"
        " what is in it is lost."
        for change in plan.changes
        if change.action in {"replace", "destroy"}
    ]
    if wish.view is not None and wish.view.state in BUSY_STATES:
        found.append(f"The environment is {wish.view.state}: this can begin when that run has ended.")
    for usage in usages:
        needed = room.place.cost_per_month if usage.what == "cost_per_month" else 1
        if usage.left is not None and usage.left < needed:
            found.append(
                f"The quota {usage.what} of {usage.scope} has no room for this: {usage.used} of {usage.limit}."
            )
    return found

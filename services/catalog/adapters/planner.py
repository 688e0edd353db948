"""The provisioner, asked over the bus what differs between what exists and what shall be."""

from typing import Final
from uuid import UUID

from chassis.bus import Bus
from chassis.questions import ask
from contracts.plans import Plan, PlanEnvironment
from contracts.values import EnvironmentSpec, Resource

TIMEOUT_SECONDS: Final = 30.0


class BusPlanner:
    """See `ports.Planner`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def differing(self, spec: EnvironmentSpec, incarnation: UUID) -> tuple[Resource, ...]:
        question = PlanEnvironment(spec=spec, incarnation=incarnation)
        plan = await ask(self._bus, question, Plan, timeout_seconds=TIMEOUT_SECONDS)
        return tuple(dict.fromkeys(change.resource for change in plan.changes))

"""The provisioner, asked over the bus."""

from typing import Final
from uuid import UUID

from chassis import questions
from chassis.bus import Bus
from contracts.plans import CommittedState, DesiredState, Plan, PlanEnvironment
from contracts.values import EnvironmentSpec

PLAN_TIMEOUT_SECONDS: Final = 30.0
"""Terraform starts its providers and reads everything that exists."""


class BusProvisioner:
    """Fulfils `ports.Planner` and `ports.Repository`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def plan(self, spec: EnvironmentSpec, incarnation: UUID | None) -> Plan:
        """See the port."""
        question = PlanEnvironment(spec=spec, incarnation=incarnation)
        return await questions.ask(self._bus, question, Plan, timeout_seconds=PLAN_TIMEOUT_SECONDS)

    async def desired_state(self, environment: str) -> CommittedState:
        """See the port."""
        return await questions.ask(self._bus, DesiredState(environment=environment), CommittedState)

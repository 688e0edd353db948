"""Deaths of what is not ours: the bus, the database, the secret store, the forge, Terraform, its provider, and the
rest, each while a service has its hands on it."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from chassis.faults import Fault
from contracts.envelope import ServiceName
from tests.faults.caller import Caller
from tests.faults.cases import Cutter, Outcome
from tests.faults.platform import FaultPlatform
from tests.faults.points import VERDICTS, Operation, Story, hops

MOMENT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.005
TERRAFORM: Final = "terraform"
PROVIDER: Final = "terraform's provider"


@dataclass(frozen=True)
class Lane:
    """A part that is killed in each run of one environment: while `user` handles what it hears, and `after_seconds`
    later."""

    part: str
    user: ServiceName
    after_seconds: float
    leases: int = 1
    """How many logins there are to be revoked in the end."""
    once_there: bool = False
    """On the forge: killed as soon as the repository exists, or does no longer."""

    @property
    def environment(self) -> str:
        """Whose runs these are."""
        moment = "there" if self.once_there else f"{self.after_seconds * 1000:.0f}"
        return f"part-{self.part.split()[-1]}-{self.user}-{moment}"


LANES: Final = (
    Lane("nats", "provisioner", 0.0),
    Lane("nats", "secrets", 0.05),
    Lane("nats", "cicd", 0.2),
    Lane("postgres", "provisioner", 0.3),
    Lane("postgres", "secrets", 0.05),
    Lane("postgres", "cicd", 0.1),
    *(Lane("openbao", "secrets", after, leases=10) for after in (0.0, 0.04, 0.1)),
    Lane("forge", "provisioner", 0.05),
    Lane("forge", "cicd", 0.0),
    Lane("forge", "cicd", 0.15),
    Lane("forge", "cicd", 0.0, once_there=True),
    *(Lane(TERRAFORM, "provisioner", after) for after in (0.0, 0.06, 0.12)),
    *(Lane(PROVIDER, "provisioner", after) for after in (0.0, 0.06, 0.12)),
    Lane("caddy", "provisioner", 0.2),
    Lane("dns", "provisioner", 0.2),
    Lane("runtime", "provisioner", 0.2),
    Lane("inbox", "notifier", 0.0),
    Lane("traces", "secrets", 0.0),
)


async def kill_in(
    cutter: Cutter, caller: Caller, lane: Lane, operation: Operation, parameters: Mapping[str, Any] | None
) -> Outcome:
    """Kill the lane's part in one run of its environment."""
    story = Story(operation)
    tell = Fault(
        service=lane.user,
        kind=_heard_by(lane.user, story),
        point="before_effect",
        environment=lane.environment,
        action="tell",
    )
    what = f"{story}: {lane.part} {lane.after_seconds * 1000:.0f} ms into {lane.user}'s step"
    if lane.once_there:
        what = f"{story}: {lane.part} once the repository is {'gone' if operation == 'delete' else 'there'}"
    outcome = Outcome(story, lane.environment, what, part=lane.part)
    on = caller.on
    victims: list[psutil.Process] = []
    directory = _repository_of(caller, lane) if lane.once_there and operation == "delete" else None

    async def moment() -> bool:
        if lane.part in {TERRAFORM, PROVIDER} and not await _until(lambda: _found(on, lane.environment, victims)):
            return False
        if lane.once_there and operation == "create" and not await _until(lambda: _has_repository(caller, lane)):
            return False
        if directory is not None and not await _until(lambda: not directory.exists()):
            return False
        await asyncio.sleep(lane.after_seconds)
        return True

    def kill() -> None:
        if lane.part == TERRAFORM:
            for victim in victims:
                try:
                    os.kill(victim.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue  # it was done before we were
        else:
            on.kill("provisioner" if lane.part == PROVIDER else lane.part)

    supervised = {TERRAFORM: "", PROVIDER: "provisioner"}.get(lane.part, lane.part)
    return await cutter.kill_part(outcome, part=supervised, tell=tell, moment=moment, kill=kill, parameters=parameters)


def _heard_by(user: ServiceName, story: Story) -> str:
    """What a service hears in a story."""
    for hop in hops(story):
        if hop.service == user:
            return hop.hears.kind
    return VERDICTS[story.operation].kind


async def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + MOMENT_SECONDS
    while time.monotonic() < deadline:
        if await asyncio.to_thread(condition):
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


def _found(on: FaultPlatform, environment: str, victims: list[psutil.Process]) -> bool:
    victims[:] = on.terraforms(environment)
    return bool(victims)


def _repository_of(caller: Caller, lane: Lane) -> Path:
    """Where the forge keeps the environment's repository."""
    found = caller.outside.demo.forge("GET", f"/repos/acme/{lane.environment}").raise_for_status().json()
    return caller.on.home.data / "forge" / "repositories" / f"{found['id']}.git"


def _has_repository(caller: Caller, lane: Lane) -> bool:
    return caller.outside.demo.forge("GET", f"/repos/acme/{lane.environment}").status_code == 200

"""Evidence from the twins of the saga tests: a real bus, a real Postgres, six real services, and a world in memory.

What the checker can see here is a part of what it sees on a whole platform, in a tenth of the time: enough for the
bugs that no system outside is needed for.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.stage import ServiceProcess, Stage, stage
from chassis.bus import Bus
from chassis.faults import VARIABLE, Fault
from chassis.identity import EventKey
from contracts.topology import CONSUMERS, inbox_prefix
from deploy.embedded.processes import Launch
from deploy.streams import consumer_config
from tests.faults.bugs import VARIABLE as BUG_VARIABLE
from tests.faults.bugs import Bug
from tests.faults.evidence import Evidence, Told
from tests.faults.outside import read_log
from tests.saga.driver import EVERYTHING, Driver
from tests.saga.world import World, running_world
from tests.waiting import until

ACK_WAIT_SECONDS: Final = 3
"""How long a death delays a message: short, so that the tests are."""
FAILING: Final = {"provisioner": "infra", "secrets": "secrets", "cicd": "pipeline"}
"""By service, the word in an environment's name that makes its step fail (`tests.saga.world`)."""


@dataclass(frozen=True)
class CheapPlatform:
    """The stage, the world outside it, and where faults are laid."""

    on: Stage
    world: World
    faults: Path

    def connect(self) -> Bus:
        """The bus, with the rights of the provisioning job."""
        nats = self.on.nats
        return Bus(nats.url, name="deploy", nkey_file=nats.nkey_file("deploy"), inbox_prefix=inbox_prefix("deploy"))

    def arm(self, fault: Fault) -> Path:
        """Lay a fault; answers what is there once it has fired."""
        armed = self.faults / f"{fault.service}-{fault.environment}.armed"
        draft = armed.with_suffix(".draft")
        draft.write_text(fault.model_dump_json())
        draft.rename(armed)
        return armed.with_suffix(".fired")

    @contextmanager
    def bug(self, bug: Bug) -> Iterator[ServiceProcess]:
        """The bug's service with the bug in it, for as long as the block lasts."""
        service = self.on.services[bug.service]
        sound = service.launch
        python, _, module, *rest = sound.argv
        environment = {**sound.environment, BUG_VARIABLE: bug.name}
        self._become(service, Launch((python, "-m", "tests.faults.process", module, *rest), environment))
        try:
            yield service
        finally:
            self._become(service, sound)

    def _become(self, service: ServiceProcess, launch: Launch) -> None:
        service.kill()
        service.launch = launch
        service.begin()
        service.wait_ready()


@contextmanager
def cheap_platform(directory: Path) -> Iterator[CheapPlatform]:
    """Everything, ready for requests. Start it in the main thread."""
    faults = directory / "faults"
    faults.mkdir()
    settings = {
        "SLIPWAY_ACK_WAIT_SECONDS": str(ACK_WAIT_SECONDS),
        "SLIPWAY_CATALOG_SWEEP_SECONDS": "1",
        "SLIPWAY_GATEWAY_REPUBLISH_AFTER_SECONDS": "3",
        VARIABLE: str(faults),
    }
    # Nobody is traced by an exporter that has nowhere to export to; but every event has its trace.
    with running_world() as (world, socket):
        settings["SLIPWAY_WORLD_SOCKET"] = str(socket)
        with stage(directory, otlp_endpoint="http://127.0.0.1:9", twins="tests.saga.twins", settings=settings) as on:
            found = CheapPlatform(on, world, faults)
            asyncio.run(_shorten_ack_wait(found))
            yield found


async def _shorten_ack_wait(on: CheapPlatform) -> None:
    bus = on.connect()
    await bus.connect()
    for spec in CONSUMERS:
        config = consumer_config(replace(spec, ack_wait_seconds=ACK_WAIT_SECONDS), replicas=1)
        await bus.jetstream.add_consumer(spec.stream, config)
    await bus.close()


async def live(on: CheapPlatform, driver: Driver, bug: Bug | None) -> Evidence:
    """One run of the bug's story (or a plain creation) with the bug in it, and what is found afterwards."""
    fails_at = bug.story.fails_at if bug is not None else None
    name = driver.name(*([f"fail-{FAILING[fails_at]}"] if fails_at is not None else []))
    if bug is None:
        await driver.verdict(await driver.create(name))
        await driver.quiet()
    else:
        with on.bug(bug) as service:
            await _live_with(on, driver, bug, service, name)
    return await collect(on, driver, name)


async def _live_with(on: CheapPlatform, driver: Driver, bug: Bug, service: ServiceProcess, name: str) -> None:
    fired = None
    if bug.dies is not None:
        kind, point = bug.dies
        fired = on.arm(Fault(service=bug.service, kind=kind, point=point, environment=name))
    run_id = await driver.create(name)
    if fired is not None:
        await until(fired.exists, what=f"the death of {bug.service}")
        service.kill()
        service.begin()
    if bug.ends:
        await driver.verdict(run_id)
        await driver.quiet()
        return
    # What never ends shows as soon as the bus would have delivered again.
    deadline = time.monotonic() + (2 * ACK_WAIT_SECONDS if fired is not None else 1)
    await until(lambda: time.monotonic() > deadline, what="the end of patience")
    await driver.log.read_on(driver.bus)


async def collect(on: CheapPlatform, driver: Driver, name: str) -> Evidence:
    """Everything about one environment."""
    log = tuple(await read_log(driver.bus))
    repository, messages = on.world.repository, on.world.messages[name]
    return Evidence(
        names=(name,),
        log=log,
        derive=EventKey.from_file(on.on.event_key_file).derive,
        whole=EVERYTHING,
        things={name: frozenset(on.world.holdings(name))},
        told=[Told(name, event_id, "deployments") for event_id in messages],
        commits={name: frozenset(commit for commit, environment, _ in repository.versions if environment == name)},
    )

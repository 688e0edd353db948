"""Several replicas of each service on a bus of three servers: they share the work, and nobody is missed.

`SLIPWAY_CLUSTER_REPLICAS` and `SLIPWAY_CLUSTER_CREATIONS` say how much is asked of them. This takes minutes: it is
`make cluster-test` that collects it (see conftest.py).
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from benchmarks.stage import Stage
from contracts import subjects
from deploy.embedded.testing_cluster import RunningCluster
from tests.cluster.crew import ACK_WAIT_SECONDS, Crew, crew_of, everybody, running_crew
from tests.cluster.measured import MEASURED
from tests.saga.driver import Log
from tests.saga.world import World
from tests.waiting import until

REPLICAS = int(os.environ.get("SLIPWAY_CLUSTER_REPLICAS", "2"))
CREATIONS = int(os.environ.get("SLIPWAY_CLUSTER_CREATIONS", "200"))
IN_FLIGHT = 8
ENOUGH = 5
"""So many creations show that things go on."""
PACE_SECONDS = 0.05
"""How long each call to the outside takes before and after its effect: the time in which its caller can be killed."""
GOES_ON_WITHIN_SECONDS = 60.0
LOST = "nothing is folded any more"
"""What a catalog says that believes its log to be gone."""
RETRYABLE = {"503", "ConnectError", "ReadError", "RemoteProtocolError"}

pytestmark = pytest.mark.timeout(600)
Scene = tuple[Stage[RunningCluster], World, Log]


@pytest.fixture(scope="module")
def scene(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with running_crew(cluster, tmp_path_factory.mktemp("crew"), REPLICAS) as (on, world):
        yield on, world, Log()


@pytest.fixture
async def crew(scene: Scene) -> AsyncIterator[Crew]:
    on, world, log = scene
    async with crew_of(on, world, log) as found:
        yield found
    world.pace_seconds = 0.0


async def test_replicas_share_the_work_and_keep_the_order_of_each_environment(crew: Crew) -> None:
    slots = asyncio.Semaphore(4 * IN_FLIGHT)

    async def create() -> None:
        async with slots:
            await crew.create(crew.driver.name())

    await asyncio.gather(*(create() for _ in range(CREATIONS)))
    await crew.check_everything()
    shares: dict[str, Counter[str]] = {}
    for process in crew.on.services:
        if not process.startswith("gateway"):
            done = await crew.handled(process)
            assert done > 0, process
            shares.setdefault(process.partition("-")[0], Counter())[process] = int(done)
    assert len(crew.balanced.served) == REPLICAS
    MEASURED.note(
        f"{CREATIONS} creations, {REPLICAS} replicas: handled by each",
        ", ".join(f"{service} {'/'.join(map(str, share.values()))}" for service, share in shares.items()),
    )


async def test_any_replica_may_die_under_load(crew: Crew) -> None:
    crew.driver.world.pace_seconds = PACE_SECONDS
    stalls: dict[str, list[float]] = {}
    async with crew.load(IN_FLIGHT) as runs:
        await crew.goes_on(ENOUGH, within_seconds=GOES_ON_WITHIN_SECONDS)
        for process in everybody(REPLICAS):
            async with crew.stall(stalls.setdefault(process.partition("-")[0], [])):
                crew.on.services[process].kill()
                await crew.goes_on(ENOUGH, within_seconds=GOES_ON_WITHIN_SECONDS)
            crew.on.services[process].begin()
            await crew.driver.ready(process)
    assert runs
    await crew.check_everything()
    assert set(crew.balanced.answers) <= {"200", "202"} | RETRYABLE
    for service, found in stalls.items():
        MEASURED.note(f"a replica of {service} killed: longest time in which nothing came", f"{max(found):.1f} s")
    MEASURED.note(
        f"{len(runs)} creations meanwhile: the slowest",
        f"{max(ended - begun for begun, ended in crew.done):.1f} s ({ACK_WAIT_SECONDS} s until again)",
    )


async def test_any_server_of_the_bus_may_die_under_load_and_catches_up(crew: Crew) -> None:
    crew.driver.world.pace_seconds = PACE_SECONDS
    async with crew.load(IN_FLIGHT) as runs:
        await crew.goes_on(ENOUGH, within_seconds=GOES_ON_WITHIN_SECONDS)
        for server in crew.on.nats.servers:
            found: list[float] = []
            led = await until(lambda: asyncio.to_thread(crew.on.nats.leader, subjects.ENVIRONMENTS), what="a leader")
            async with crew.stall(found):
                server.part.kill()
                await crew.goes_on(ENOUGH, within_seconds=GOES_ON_WITHIN_SECONDS)
            # On the test's own thread: whoever starts a process takes it along when it ends.
            server.part.start()
            await asyncio.to_thread(crew.on.nats.wait_current)
            what = "the leader of the log" if led is server else "a follower"
            MEASURED.note(f"{server.name} killed ({what}): longest time in which nothing came", f"{found[0]:.1f} s")
    assert runs
    await crew.check_everything()
    assert set(crew.balanced.answers) <= {"200", "202"} | RETRYABLE
    await crew.driver.ready()
    for service in crew.on.services.values():
        assert LOST not in service.log.read_text(), service.name


async def test_everything_may_be_restarted_one_after_the_other(crew: Crew) -> None:
    crew.driver.world.pace_seconds = PACE_SECONDS
    found: list[float] = []
    async with crew.load(IN_FLIGHT) as runs, crew.stall(found):
        await crew.goes_on(ENOUGH, within_seconds=GOES_ON_WITHIN_SECONDS)
        for process in everybody(REPLICAS):
            await crew.restart(process)
        for server in crew.on.nats.servers:
            await asyncio.to_thread(server.part.stop)
            server.part.start()
            await asyncio.to_thread(crew.on.nats.wait_current)
        await crew.goes_on(ENOUGH, within_seconds=GOES_ON_WITHIN_SECONDS)
    assert runs
    await crew.check_everything()
    answers = crew.balanced.answers
    assert set(answers) <= {"200", "202"} | RETRYABLE
    refused = sum(times for answer, times in answers.items() if answer in RETRYABLE)
    MEASURED.note(
        "everything restarted in order, one after the other",
        f"longest time in which nothing came {found[0]:.1f} s; {refused} of {answers.total()} requests to be repeated",
    )

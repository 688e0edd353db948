"""Processes that are killed in the middle of everything: services, the bus, the database.

The world takes its time over each call here, so that kills hit processes before, within and after their effects.
"""

import asyncio
import random
from itertools import islice
from uuid import UUID

from contracts.events import EnvironmentDeleted, EnvironmentFailed, EnvironmentReady
from contracts.topology import SERVICES
from tests.saga.driver import CREATED, DELETED, Driver, failed_at

SEED = 20260101
KILLS = 12
TROUBLES = ((), (), (), ("busy-infra",), ("busy-secrets",), ("busy-pipeline",))
FAILURES = ("infra", "secrets", "pipeline")


async def test_kills_at_random_moments_change_nothing_but_the_time_it_takes(platform: Driver) -> None:
    chance = random.Random(SEED)  # noqa: S311 - it chooses victims, not keys
    platform.world.pace_seconds = 0.02
    failing = {platform.name(f"fail-{step}"): step for step in FAILURES for _ in range(2)}
    ending_well = [platform.name(*TROUBLES[number % len(TROUBLES)]) for number in range(24 + KILLS)]
    names = iter(chance.sample(both := [*ending_well, *failing], len(both)))
    asking = [asyncio.create_task(platform.create(name)) for name in islice(names, 30)]
    for _ in range(KILLS):
        asking.append(asyncio.create_task(platform.create(next(names))))
        await platform.progress(chance.randrange(1, 5))
        service = platform.service(chance.choice(SERVICES))
        service.kill()
        service.begin()
        if chance.random() < 0.5:
            await platform.ready(service.name)
    runs = await asyncio.gather(*asking)
    await platform.verdicts(runs, within_seconds=60)
    for name in ending_well:
        platform.check_chain(await platform.events(name), CREATED)
    for name, step in failing.items():
        platform.check_chain(await platform.events(name), failed_at(step))
    await platform.check_once([*ending_well, *failing])
    await platform.ready()


async def test_each_service_can_be_killed_while_runs_are_under_way(platform: Driver) -> None:
    platform.world.pace_seconds = 0.03
    names = [platform.name() for _ in range(10)]
    asking = [asyncio.create_task(platform.create(name)) for name in names]
    for service in SERVICES:
        names.append(platform.name())
        asking.append(asyncio.create_task(platform.create(names[-1])))
        await platform.progress(2)
        platform.service(service).kill()
        platform.service(service).begin()
        await platform.ready(service)
    runs = await asyncio.gather(*asking)
    verdicts = await platform.verdicts(runs, within_seconds=60)
    assert all(isinstance(verdict, EnvironmentReady) for verdict in verdicts.values())
    for name in names:
        platform.check_chain(await platform.events(name), CREATED)
    await platform.check_once(names)


async def test_a_deletion_survives_the_death_of_every_service_in_it(platform: Driver) -> None:
    victims = ("cicd", "secrets", "provisioner", "catalog")
    names = [platform.name() for _ in range(5 + len(victims))]
    await platform.verdicts(await asyncio.gather(*map(platform.create, names)))
    for name in names:
        await platform.settled(f"/environments/{name}", "ready")
    platform.world.pace_seconds = 0.05
    to_go = iter(names)
    asking = [asyncio.create_task(platform.delete(name)) for name in islice(to_go, 5)]
    for service in victims:
        asking.append(asyncio.create_task(platform.delete(next(to_go))))
        await platform.progress(2)
        platform.service(service).kill()
        platform.service(service).begin()
    runs = await asyncio.gather(*asking)
    verdicts = await platform.verdicts(runs, within_seconds=60)
    assert all(isinstance(verdict, EnvironmentDeleted) for verdict in verdicts.values())
    for name in names:
        platform.check_chain((await platform.events(name))[len(CREATED) :], DELETED)
    await platform.check_once(names)
    await platform.ready()


async def begin_some(platform: Driver) -> dict[str, asyncio.Task[UUID]]:
    """Ten runs under way, one of which will fail."""
    platform.world.pace_seconds = 0.03
    names = [platform.name("fail-pipeline"), *(platform.name() for _ in range(9))]
    asking = {name: asyncio.create_task(platform.create(name)) for name in names}
    await platform.progress(5)
    return asking


async def all_end(platform: Driver, asking: dict[str, asyncio.Task[UUID]]) -> None:
    """Every run ends as it should, and each event is there once."""
    runs = dict(zip(asking, await asyncio.gather(*asking.values()), strict=True))
    verdicts = await platform.verdicts([*runs.values()], within_seconds=60)
    for name, run_id in runs.items():
        fails = name.startswith("fail")
        assert isinstance(verdicts[run_id], EnvironmentFailed if fails else EnvironmentReady)
        platform.check_chain(await platform.events(name), failed_at("pipeline") if fails else CREATED)
    await platform.check_once(asking)
    await platform.ready()


async def test_the_bus_can_be_killed_in_the_middle_of_runs(platform: Driver) -> None:
    asking = await begin_some(platform)
    platform.on.nats.part.kill()
    asking |= {name: asyncio.create_task(platform.create(name)) for name in [platform.name()]}
    platform.on.nats.part.start()
    await all_end(platform, asking)


async def test_the_database_can_be_killed_in_the_middle_of_runs(platform: Driver) -> None:
    asking = await begin_some(platform)
    platform.on.postgres.part.kill()
    asking |= {name: asyncio.create_task(platform.create(name)) for name in [platform.name()]}
    platform.on.postgres.part.start()
    await all_end(platform, asking)

"""What comes twice, late, from another life of the name, or from a forger: the runs it speaks of do not notice."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from contracts import subjects
from contracts.envelope import Event
from contracts.events import RUN_REQUESTS, EnvironmentReady, EnvironmentRequested, InfraReady, SecretsStored
from contracts.topology import CONSUMERS, HEARS, SERVICES
from deploy.streams import consumer_config
from tests.saga.conftest import ACK_WAIT_SECONDS
from tests.saga.driver import CREATED, DELETED, EVERYTHING, Driver, failed_at
from tests.waiting import until


async def lives(platform: Driver) -> dict[str, tuple[str, ...]]:
    """Names of every fate, with the events each has: ready, failed at each step, deleted, and used again."""
    ready, deleted, again = platform.name(), platform.name(), platform.name()
    failed = {platform.name(f"fail-{step}"): failed_at(step) for step in ("infra", "secrets", "pipeline")}
    retaken = platform.name("fail-pipeline")
    first = [ready, deleted, again, *failed, retaken]
    await platform.verdicts(await asyncio.gather(*map(platform.create, first)))
    for name in (deleted, again):
        await platform.settled(f"/environments/{name}", "ready")
        await platform.verdict(await platform.delete(name))
    platform.world.mend(retaken)
    for name, state in ((again, "deleted"), (retaken, "failed")):
        await platform.settled(f"/environments/{name}", state)
        await platform.verdict(await platform.create(name))
    return {
        ready: CREATED,
        deleted: CREATED + DELETED,
        again: CREATED + DELETED + CREATED,
        retaken: failed_at("pipeline") + CREATED,
        **failed,
    }


def late_copy(event: Event) -> bytes:
    """An event as it arrives beyond the bus's window for duplicates. Its id follows from its cause, not from its
    time."""
    return event.model_copy(update={"time": event.time - timedelta(hours=1)}).to_json()


async def state(platform: Driver, names: dict[str, tuple[str, ...]]) -> dict[str, object]:
    """Everything there is to know of these names, but for how far the log has grown."""
    await platform.quiet()
    return {
        name: (
            await platform.get(f"/environments/{name}"),
            await platform.get(f"/environments/{name}/runs"),
            platform.world.holdings(name),
            list(platform.world.messages[name]),
        )
        for name in names
    }


async def test_a_dead_letter_that_is_replayed_without_need_changes_nothing(platform: Driver) -> None:
    names = await lives(platform)
    before, made = await state(platform, names), Counter(platform.world.made)
    length = len(platform.log.messages)
    for name in names:
        for event in platform.log.events(name):
            for service in SERVICES:
                if type(event) in HEARS[service]:
                    subject = subjects.replay(service, subjects.of(event))
                    await platform.store(subject, event.to_json(), stream=subjects.REPLAYS)
    assert await state(platform, names) == before
    assert len(platform.log.messages) == length
    assert platform.world.made == made
    await platform.check_once(names)


async def test_an_event_that_is_stored_twice_changes_nothing(platform: Driver) -> None:
    names = await lives(platform)
    before, made = await state(platform, names), Counter(platform.world.made)
    length, copies = len(platform.log.messages), 0
    for name in names:
        events = platform.log.events(name)
        used_again = len({event.incarnation for event in events}) > 1
        for event in events:
            # Only the gateway can store a request, and it does so on a condition that no copy fulfils.
            if not (used_again and type(event) in RUN_REQUESTS):
                await platform.store(subjects.of(event), late_copy(event))
                copies += 1
    assert await state(platform, names) == before
    assert len(platform.log.messages) == length + copies
    assert platform.world.made == made


async def test_the_whole_log_delivered_again_changes_nothing(platform: Driver) -> None:
    names = await lives(platform)
    before, made = await state(platform, names), Counter(platform.world.made)
    length = len(platform.log.messages)
    for spec in CONSUMERS:
        if spec.stream == subjects.ENVIRONMENTS:
            await platform.bus.jetstream.delete_consumer(spec.stream, spec.durable)
            config = consumer_config(replace(spec, ack_wait_seconds=ACK_WAIT_SECONDS), replicas=1)
            await platform.bus.jetstream.add_consumer(spec.stream, config)
    assert await state(platform, names) == before
    assert len(platform.log.messages) == length
    assert platform.world.made == made
    await platform.ready()


async def test_late_events_of_an_earlier_life_make_no_progress(platform: Driver) -> None:
    name = platform.name()
    first = await platform.create(name)
    await platform.verdict(first)
    await platform.settled(f"/environments/{name}", "ready")
    await platform.verdict(await platform.delete(name))
    await platform.settled(f"/environments/{name}", "deleted")
    old = await platform.events(name)
    with platform.world.held(name):
        second = await platform.create(name)
        for event in old:
            if type(event) not in RUN_REQUESTS:
                await platform.store(subjects.of(event), late_copy(event))
        neighbour = platform.name()
        await platform.verdict(await platform.create(neighbour))
        shown = await platform.get(f"/environments/{name}")
        assert (shown["state"], shown["run_id"]) == ("creating", str(second))
        assert [event for event in await platform.events(name) if event.run_id == second][1:] == []
    assert isinstance(await platform.verdict(second), EnvironmentReady)
    await platform.quiet()
    platform.check_chain([event for event in platform.log.events(name) if event.run_id == second], CREATED)
    assert platform.world.holdings(name) == EVERYTHING
    assert len(platform.world.messages[name]) == 3


async def test_a_forged_outcome_is_laid_aside_and_the_run_and_its_neighbours_go_on(platform: Driver) -> None:
    model = await platform.verdict(await platform.create(platform.name()))
    assert isinstance(model, EnvironmentReady)
    name, neighbour = platform.name(), platform.name()
    with platform.world.held(name):
        run_id = await platform.create(name)
        (requested,) = await platform.events(name)
        forged = InfraReady.model_validate(
            {
                **requested.model_dump(by_alias=True),
                "id": uuid4(),
                "source": "provisioner",
                "type": "slipway.InfraReady.v1",
                "causationid": requested.id,
                "data": {"spec": model.data.spec, "infrastructure": model.data.infrastructure},
            }
        )
        await platform.store(subjects.of(forged), forged.to_json())
        for service in ("secrets", "catalog"):
            letter = await platform.dead_letter(service, subjects.of(forged))
            assert letter["Slipway-Reason"] == "forged"
        await platform.verdict(await platform.create(neighbour))
        assert (await platform.get(f"/runs/{run_id}"))["steps"][0]["state"] == "running"
        assert platform.world.holdings(name) == set()
    assert isinstance(await platform.verdict(run_id), EnvironmentReady)
    genuine = [event for event in await platform.events(name) if event.id != forged.id]
    platform.check_chain(genuine, CREATED)
    assert (await platform.settled(f"/environments/{name}", "ready"))["infrastructure"]["namespace"] == name
    await platform.check_once([neighbour])


@pytest.mark.parametrize("kind", [SecretsStored, InfraReady, EnvironmentRequested])
@pytest.mark.parametrize("body", [b"", b"null", b'{"type":"slipway.SecretsStored.v1"}', b"\xff\xfe", b"[" * 5000])
async def test_a_malformed_message_within_a_run_is_laid_aside_and_the_run_goes_on(
    platform: Driver, kind: type[Event], body: bytes
) -> None:
    name = platform.name()
    subject = subjects.one_kind_of(name, kind.kind)
    with platform.world.held(name):
        run_id = await platform.create(name)
        await platform.store(subject, body)
        (hearer,) = (service for service in SERVICES if kind in HEARS[service])
        for service in (hearer, "catalog"):
            assert (await platform.dead_letter(service, subject))["Slipway-Reason"] == "malformed"
    assert isinstance(await platform.verdict(run_id), EnvironmentReady)
    await until(lambda: platform.world.messages[name])


async def test_rubbish_on_a_name_that_nobody_has_does_not_make_it_unusable(platform: Driver) -> None:
    name = platform.name()
    await platform.store(subjects.one_kind_of(name, InfraReady.kind), b"rubbish")
    run_id = await platform.create(name)
    assert isinstance(await platform.verdict(run_id), EnvironmentReady)

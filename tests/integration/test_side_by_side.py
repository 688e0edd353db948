"""A release beside its successor: processes of both read the same durable of a real bus, and what only one of them can
read is neither lost nor laid aside."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal
from uuid import uuid4

import pytest

from chassis.bus import Bus
from chassis.clock import SystemClock
from chassis.consuming import DELIVERIES_BEFORE_POISON, Consumer, GaveUp, Subscription
from chassis.failures import TransientError
from chassis.identity import EventKey
from chassis.publishing import Publisher
from contracts import subjects, upcasting
from contracts.envelope import Event, ServiceName, Value
from contracts.events import (
    ANY_EVENT,
    Asked,
    EnvironmentRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    InfraReadyData,
    SecretsRevoked,
    StepFailed,
    Undone,
    parse,
)
from contracts.topology import inbox_prefix
from contracts.values import Failure, Receipt
from deploy.embedded.testing import RunningNats, start_nats
from tests import samples
from tests.waiting import until

KEY = EventKey(b"k" * 32)


class AskedV2(Asked):
    """What the next release might demand."""

    region: str


class EnvironmentRequestedV2(Event):
    """The next version of a request."""

    kind = "environment_requested"
    type: Literal["slipway.EnvironmentRequested.v2"] = "slipway.EnvironmentRequested.v2"
    data: AskedV2


def from_v1(message: dict[str, Any]) -> dict[str, Any]:
    data = message["data"] | {"region": "here"}
    return message | {"type": "slipway.EnvironmentRequested.v2", "data": data}


def read_as_the_next_release(body: bytes) -> Event:
    """Its own version of a request, to which the one before is lifted; everything else as today."""

    def validate(body: bytes) -> Event:
        if json.loads(body).get("type") == "slipway.EnvironmentRequested.v1":
            ANY_EVENT.validate_json(b"{}")  # no type of that release: its models refuse it
        if json.loads(body).get("type") == "slipway.EnvironmentRequested.v2":
            return EnvironmentRequestedV2.model_validate_json(body)
        return ANY_EVENT.validate_json(body)

    return upcasting.read(validate, body, {"slipway.EnvironmentRequested.v1": from_v1})


class Release:
    """A provisioner of one release: its own way to read, and its own table."""

    def __init__(self, nats: RunningNats, *, is_next: bool) -> None:
        self.bus = connect(nats, "provisioner")
        self.done: list[str] = []
        self.trouble: list[Exception] = []
        self.left = 0
        request = EnvironmentRequestedV2 if is_next else EnvironmentRequested
        table: tuple[Subscription[Any], ...] = (
            Subscription(
                request,
                self.provision,
                says=InfraReady,
                or_else=InfraFailed,
                explain=explain,
                retry_delays_seconds=(0.05,),
            ),
        )
        if is_next:  # and hears a kind of event that its predecessor does not
            table += (Subscription(SecretsRevoked, self.destroy, says=InfraDestroyed),)
        self.consumer = Consumer(
            bus=self.bus,
            service="provisioner",
            key=KEY,
            publisher=Publisher(self.bus, "provisioner", KEY, SystemClock()),
            subscriptions=table,
            workers=4,
            fetch_batch=4,
            ack_wait_seconds=15,
            read=read_as_the_next_release if is_next else self.read_as_today,
            leave_seconds=0.02,
        )

    def read_as_today(self, body: bytes) -> Event:
        try:
            return parse(body)
        except ValueError:
            self.left += 1
            raise

    async def provision(self, event: EnvironmentRequested | EnvironmentRequestedV2) -> InfraReadyData:
        if self.trouble:
            raise self.trouble.pop()
        self.done.append(event.subject)
        return InfraReadyData(spec=event.data.spec, infrastructure=samples.infrastructure(event.subject))

    async def destroy(self, event: SecretsRevoked) -> Undone:
        self.done.append(event.subject)
        return Undone(spec=event.data.spec, receipt=Receipt())


def explain(event: EnvironmentRequested, gave_up: GaveUp) -> Value:
    error = gave_up.error
    failure = Failure(step="infrastructure", code=error.code, message=str(error), next_step=error.next_step, attempts=1)
    return StepFailed(spec=event.data.spec, failure=failure)


def connect(nats: RunningNats, user: ServiceName) -> Bus:
    return Bus(nats.url, name=user, nkey_file=nats.nkey_file(user), inbox_prefix=inbox_prefix(user))


@asynccontextmanager
async def running(nats: RunningNats, *, is_next: bool) -> AsyncIterator[Release]:
    release = Release(nats, is_next=is_next)
    await release.bus.connect()
    await release.bus.start()
    task = asyncio.create_task(release.consumer.run())
    try:
        yield release
    finally:
        await release.consumer.drain(0.2)
        task.cancel()
        await release.bus.close()


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    with start_nats(tmp_path_factory.mktemp("nats")) as started:
        yield started


@pytest.fixture
async def gateway(nats: RunningNats) -> AsyncIterator[Bus]:
    bus = connect(nats, "gateway")
    await bus.connect()
    yield bus
    await bus.close()


async def ask(gateway: Bus, version: int) -> str:
    """Say a request in a version, with a field in its spec that only a newer release knows; answers its name."""
    name = f"e{uuid4().hex[:12]}"
    event = samples.requested(KEY, name)
    message = json.loads(event.to_json()) | {"type": f"slipway.EnvironmentRequested.v{version}"}
    message["data"]["spec"]["accelerator"] = "gpu"
    if version > 1:
        message["data"]["region"] = "there"
    body = json.dumps(message).encode()
    await gateway.publish(subjects.of(event), body, stream=subjects.ENVIRONMENTS, message_id=str(event.id))
    return name


async def outcome(gateway: Bus, name: str) -> dict[str, Any] | None:
    last = await gateway.last(subjects.ENVIRONMENTS, subjects.every_event_of(name))
    found: dict[str, Any] = json.loads((last and last.data) or b"{}")
    return None if found.get("type", "").startswith("slipway.EnvironmentRequested") else found


async def ready(gateway: Bus, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = await until(lambda: outcome(gateway, name), what=f"an outcome for {name}")
    assert found is not None
    assert found["type"] == "slipway.InfraReady.v1"
    return found


async def dead_letters(gateway: Bus) -> int:
    messages: int = (await gateway.jetstream.stream_info(subjects.DEAD_LETTERS)).state.messages
    return messages


async def test_two_releases_share_a_durable_and_nothing_is_lost(nats: RunningNats, gateway: Bus) -> None:
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(running(nats, is_next=False))
        new = await stack.enter_async_context(running(nats, is_next=True))
        names = {version: [await ask(gateway, version) for _ in range(12)] for version in (1, 2)}

        said = [await ready(gateway, name) for version in names for name in names[version]]

        assert sorted(old.done + new.done) == sorted(names[1] + names[2])
        assert not set(old.done) & set(names[2])
        assert {event["data"]["spec"]["accelerator"] for event in said} == {"gpu"}, "lost by who does not know it"
    assert await dead_letters(gateway) == 0


async def test_what_was_left_for_long_has_all_its_attempts_before_it(nats: RunningNats, gateway: Bus) -> None:
    async with running(nats, is_next=False) as old:
        name = await ask(gateway, 2)
        await until(lambda: old.left > DELIVERIES_BEFORE_POISON, what="the old release giving way again and again")
        async with running(nats, is_next=True) as new:
            new.trouble.append(TransientError("away"))
            await ready(gateway, name)
            assert new.done == [name]
    assert await dead_letters(gateway) == 0


async def test_a_kind_that_only_the_successor_hears_waits_for_it(nats: RunningNats, gateway: Bus) -> None:
    secrets = connect(nats, "secrets")
    await secrets.connect()
    async with running(nats, is_next=False) as old:
        name = await ask(gateway, 1)
        # Not the last of all: the old release may have answered already.
        of_request = subjects.one_kind_of(name, EnvironmentRequested.kind)
        request = parse((await gateway.last(subjects.ENVIRONMENTS, of_request)).data or b"")  # type: ignore[union-attr]
        await ready(gateway, name)
        undone = Undone(spec=samples.spec(name), receipt=Receipt())
        await Publisher(secrets, "secrets", KEY, SystemClock()).say(SecretsRevoked, undone, request)

        def is_left() -> bool:
            return bool(old.consumer._leaving._tasks)

        await until(is_left, what="the old release giving way")
        async with running(nats, is_next=True):

            async def is_destroyed() -> bool:
                found = await outcome(gateway, name)
                return found is not None and found["type"] == "slipway.InfraDestroyed.v1"

            await until(is_destroyed, what="the undo")
    assert await dead_letters(gateway) == 0
    await secrets.close()

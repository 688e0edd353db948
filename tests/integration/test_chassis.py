"""The one way in and the one way out, on a real bus: what is retried, what is laid aside, what is never done twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from nats.js.api import RawStreamMsg

from chassis.bus import Bus, ConflictError
from chassis.clock import SystemClock
from chassis.consuming import Consumer, GaveUp, Subscription
from chassis.failures import PermanentError, TransientError
from chassis.identity import EventKey
from chassis.publishing import Publisher
from chassis.watchdog import Watchdog
from contracts import subjects
from contracts.envelope import ServiceName, Value
from contracts.events import (
    AccessChange,
    AccessRequested,
    Asked,
    EnvironmentRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    InfraReadyData,
    RunCancelRequested,
    RunCommand,
    SecretsRevoked,
    StepFailed,
    Undone,
)
from contracts.topology import inbox_prefix
from contracts.values import Failure, Receipt
from deploy.embedded.testing import RunningNats, start_nats
from tests import samples
from tests.waiting import until

KEY = EventKey(b"k" * 32)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    with start_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


def connect(nats: RunningNats, user: ServiceName) -> Bus:
    return Bus(nats.url, name=user, nkey_file=nats.nkey_file(user), inbox_prefix=inbox_prefix(user))


class Worker:
    """A provisioner whose effect is a list."""

    def __init__(self, nats: RunningNats) -> None:
        self.bus = connect(nats, "provisioner")
        self.publisher = Publisher(self.bus, "provisioner", KEY, SystemClock())
        self.begun: list[str] = []
        self.done: list[str] = []
        self.undone: list[str] = []
        self.trouble: dict[str, list[Exception]] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.consumer = Consumer(
            bus=self.bus,
            service="provisioner",
            key=KEY,
            publisher=self.publisher,
            subscriptions=(
                Subscription(
                    EnvironmentRequested,
                    self.provision,
                    says=InfraReady,
                    or_else=InfraFailed,
                    explain=self.explain,
                    retry_delays_seconds=(0.05, 0.05),
                ),
                Subscription(InfraFailed, self.destroy, says=InfraDestroyed),
                Subscription(SecretsRevoked, self.destroy, says=InfraDestroyed),
            ),
            workers=4,
            fetch_batch=4,
            ack_wait_seconds=15,
        )
        self.background: list[asyncio.Task[None]] = []

    async def provision(self, event: EnvironmentRequested) -> InfraReadyData:
        self.begun.append(event.subject)
        if trouble := self.trouble.get(event.subject):
            raise trouble.pop(0)
        if hold := self.hold.get(event.subject):
            await hold.wait()
        self.done.append(event.subject)
        return InfraReadyData(spec=event.data.spec, infrastructure=samples.infrastructure(event.subject))

    async def destroy(self, event: InfraFailed | SecretsRevoked) -> Undone:
        self.undone.append(event.subject)
        return Undone(spec=event.data.spec, receipt=Receipt())

    def explain(self, event: EnvironmentRequested, gave_up: GaveUp) -> Value:
        error = gave_up.error
        failure = Failure(
            step="infrastructure",
            code=error.code,
            message=str(error),
            next_step=error.next_step,
            attempts=gave_up.attempts,
        )
        return StepFailed(spec=event.data.spec, failure=failure)

    async def start(self) -> None:
        await self.bus.connect()
        await self.bus.start()
        self.background.append(asyncio.create_task(self.consumer.run()))

    async def stop(self) -> None:
        await self.consumer.drain(0.2)
        for task in self.background:
            task.cancel()
        await self.bus.close()


@pytest.fixture
async def worker(nats: RunningNats) -> AsyncIterator[Worker]:
    made = Worker(nats)
    yield made
    await made.stop()


@pytest.fixture
async def gateway(nats: RunningNats) -> AsyncIterator[Bus]:
    bus = connect(nats, "gateway")
    await bus.connect()
    yield bus
    await bus.close()


def name() -> str:
    return f"e{uuid4().hex[:12]}"


async def store(bus: Bus, event: EnvironmentRequested) -> int:
    stored = await bus.publish(
        subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id)
    )
    return stored.sequence


async def last(bus: Bus, environment: str, kind: str) -> RawStreamMsg | None:
    return await bus.last(subjects.ENVIRONMENTS, subjects.one_kind_of(environment, kind))


async def said(bus: Bus, environment: str, kind: str) -> dict[str, object]:
    message = await until(lambda: last(bus, environment, kind), what=f"{kind} of {environment}")
    assert message is not None
    assert message.data is not None
    found = json.loads(message.data)
    assert isinstance(found, dict)
    return found


async def dead_letter(bus: Bus, subject: str) -> RawStreamMsg:
    async def find() -> RawStreamMsg | None:
        raw = await bus.ask(
            f"$JS.API.DIRECT.GET.{subjects.DEAD_LETTERS}",
            json.dumps({"last_by_subj": subjects.dead_letter("provisioner", subject)}).encode(),
        )
        if (raw.headers or {}).get("Status") == "404":
            return None
        return RawStreamMsg(subject=subject, data=raw.data, headers=raw.headers)

    found = await until(find, what="a dead letter")
    assert found is not None
    return found


async def test_an_event_is_handled_and_its_outcome_follows_from_it(worker: Worker, gateway: Bus) -> None:
    await worker.start()
    event = samples.requested(KEY, name())
    await store(gateway, event)
    outcome = await said(gateway, event.subject, "infra_ready")
    assert outcome["id"] == str(KEY.derive(event.id, "infra_ready"))
    assert outcome["causationid"] == str(event.id)
    assert outcome["runid"] == str(event.run_id)


async def test_a_message_of_which_the_outcome_is_known_has_no_effect(worker: Worker, gateway: Bus) -> None:
    event = samples.requested(KEY, name())
    await store(gateway, event)
    await worker.bus.connect()
    data = InfraReadyData(spec=event.data.spec, infrastructure=samples.infrastructure(event.subject))
    await worker.publisher.say(InfraReady, data, event)
    await worker.start()
    after = samples.requested(KEY, name())
    await store(gateway, after)
    await said(gateway, after.subject, "infra_ready")
    assert event.subject not in worker.done


async def test_a_message_of_an_older_run_has_no_effect(worker: Worker, gateway: Bus) -> None:
    older = samples.requested(KEY, name())
    newer = samples.requested(KEY, older.subject)
    await store(gateway, older)
    await store(gateway, newer)
    await worker.start()
    outcome = await said(gateway, older.subject, "infra_ready")
    assert outcome["causationid"] == str(newer.id)
    assert worker.done.count(older.subject) == 1


async def test_a_transient_failure_is_tried_again_and_the_neighbours_go_on(worker: Worker, gateway: Bus) -> None:
    troubled, neighbour = samples.requested(KEY, name()), samples.requested(KEY, name())
    worker.trouble[troubled.subject] = [TransientError("busy"), TransientError("still busy")]
    await worker.start()
    await store(gateway, troubled)
    await store(gateway, neighbour)
    await said(gateway, neighbour.subject, "infra_ready")
    await said(gateway, troubled.subject, "infra_ready")
    assert worker.done.count(troubled.subject) == 1


async def test_a_permanent_failure_says_so_and_begins_the_undo(worker: Worker, gateway: Bus) -> None:
    event = samples.requested(KEY, name())
    worker.trouble[event.subject] = [PermanentError("quota", "no room left", next_step="Delete something.")]
    await worker.start()
    await store(gateway, event)
    failed = await said(gateway, event.subject, "infra_failed")
    data = failed["data"]
    assert isinstance(data, dict)
    assert data["failure"]["code"] == "quota"
    assert data["failure"]["next_step"] == "Delete something."
    await said(gateway, event.subject, "infra_destroyed")
    assert worker.undone.count(event.subject) == 1


async def test_a_failure_that_does_not_go_away_is_given_up_after_the_last_attempt(worker: Worker, gateway: Bus) -> None:
    event = samples.requested(KEY, name())
    worker.trouble[event.subject] = [TransientError("away") for _ in range(9)]
    await worker.start()
    await store(gateway, event)
    failed = await said(gateway, event.subject, "infra_failed")
    data = failed["data"]
    assert isinstance(data, dict)
    assert data["failure"]["attempts"] == 3


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"type":"slipway.InfraReady.v1"}', b"\xff\xfe"])
async def test_a_malformed_message_is_laid_aside_with_its_bytes(worker: Worker, gateway: Bus, body: bytes) -> None:
    await worker.start()
    subject = f"environment.{name()}.environment_requested"
    await gateway.publish(subject, body, stream=subjects.ENVIRONMENTS, message_id=uuid4().hex)
    letter = await dead_letter(gateway, subject)
    assert (letter.data or b"") == body
    assert letter.headers is not None
    assert letter.headers["Slipway-Reason"] == "malformed"
    neighbour = samples.requested(KEY, name())
    await store(gateway, neighbour)
    await said(gateway, neighbour.subject, "infra_ready")


async def test_an_event_whose_id_was_not_made_with_the_platforms_key_is_laid_aside(
    worker: Worker, gateway: Bus
) -> None:
    await worker.start()
    forged = samples.requested(EventKey(b"x" * 32), name())
    await store(gateway, forged)
    letter = await dead_letter(gateway, subjects.of(forged))
    assert letter.headers is not None
    assert letter.headers["Slipway-Reason"] == "forged"
    assert forged.subject not in worker.done


async def test_a_dead_letter_that_is_sent_back_is_handled(worker: Worker, gateway: Bus) -> None:
    event = samples.requested(KEY, name())
    await worker.start()
    await gateway.publish(
        subjects.replay("provisioner", subjects.of(event)),
        event.to_json(),
        stream=subjects.REPLAYS,
        message_id=uuid4().hex,
    )
    await said(gateway, event.subject, "infra_ready")
    assert worker.done.count(event.subject) == 1


async def test_stopping_hands_unfinished_work_back_at_once(worker: Worker, gateway: Bus, nats: RunningNats) -> None:
    event = samples.requested(KEY, name())
    worker.hold[event.subject] = asyncio.Event()
    await worker.start()
    await store(gateway, event)
    await until(lambda: worker.begun.count(event.subject) == 1)
    await worker.consumer.drain(0.05)
    second = Worker(nats)
    await second.start()
    try:
        await said(gateway, event.subject, "infra_ready")
        assert second.done.count(event.subject) == 1
    finally:
        await second.stop()


async def test_no_more_is_fetched_than_can_be_begun(worker: Worker, gateway: Bus) -> None:
    several = [samples.requested(KEY, name()) for _ in range(10)]
    for event in several:
        worker.hold[event.subject] = asyncio.Event()
        await store(gateway, event)
    await worker.start()
    await until(lambda: len(worker.begun) == worker.consumer.workers)
    (spec,) = [one for one in worker.consumer.durables if one.stream == subjects.ENVIRONMENTS]
    info = await worker.bus.jetstream.consumer_info(spec.stream, spec.durable)
    assert info.num_pending == len(several) - worker.consumer.workers
    for hold in worker.hold.values():
        hold.set()
    for event in several:
        await said(gateway, event.subject, "infra_ready")


async def test_only_one_of_two_requests_for_a_name_begins_a_run(gateway: Bus) -> None:
    publisher = Publisher(gateway, "gateway", KEY, SystemClock())
    environment = name()
    data = Asked(spec=samples.spec(environment), requested_by="ada")

    async def ask() -> object:
        return await publisher.begin_run(
            EnvironmentRequested, data, environment=environment, cause=uuid4(), last_sequence=0
        )

    results = await asyncio.gather(*(ask() for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert sum(isinstance(result, ConflictError) for result in results) == 19


async def test_asking_again_for_the_same_cause_finds_the_run_that_was_begun(gateway: Bus) -> None:
    publisher = Publisher(gateway, "gateway", KEY, SystemClock())
    environment, cause = name(), uuid4()
    data = Asked(spec=samples.spec(environment), requested_by="ada")
    first = await publisher.begin_run(EnvironmentRequested, data, environment=environment, cause=cause, last_sequence=0)
    again = await publisher.begin_run(EnvironmentRequested, data, environment=environment, cause=cause, last_sequence=0)
    assert again[0].id == first[0].id
    assert again[1] == first[1]


async def test_a_service_may_not_say_another_services_event(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.bus.PUBLISH_TIMEOUT_SECONDS", 0.3)
    await worker.bus.connect()
    event = samples.requested(KEY, name())
    with pytest.raises(PermanentError, match="may not use"):
        await worker.bus.publish(
            subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id)
        )


async def test_a_durable_that_is_deleted_makes_readiness_red_and_is_picked_up_again(
    worker: Worker, gateway: Bus, nats: RunningNats
) -> None:
    watchdog = Watchdog(worker.bus, worker.consumer.durables, interval_seconds=0.1)
    await worker.start()
    worker.background.append(asyncio.create_task(watchdog.run()))
    admin = connect_admin(nats)
    await admin.connect()
    await admin.jetstream.delete_consumer(subjects.ENVIRONMENTS, "provisioner")

    async def red() -> bool:
        try:
            await watchdog.check()
        except LookupError:
            return True
        return False

    await until(red, what="red readiness")
    await asyncio.to_thread(nats.provision_streams)
    await admin.close()
    await until(lambda: not watchdog._missing, what="green readiness")
    event = samples.requested(KEY, name())
    await store(gateway, event)
    await said(gateway, event.subject, "infra_ready")


async def test_a_restart_of_the_bus_loses_nothing(worker: Worker, gateway: Bus, nats: RunningNats) -> None:
    await worker.start()
    before = samples.requested(KEY, name())
    await store(gateway, before)
    await said(gateway, before.subject, "infra_ready")
    await asyncio.to_thread(nats.part.kill)
    nats.part.start()
    after = samples.requested(KEY, name())

    async def stored() -> bool:
        try:
            await store(gateway, after)
        except TransientError:
            return False
        return True

    await until(stored, within_seconds=40)
    await said(gateway, after.subject, "infra_ready")
    await said(gateway, before.subject, "infra_ready")


def connect_admin(nats: RunningNats) -> Bus:
    return Bus(nats.url, name="deploy", nkey_file=nats.nkey_file("deploy"), inbox_prefix=inbox_prefix("deploy"))


async def test_a_run_that_is_called_off_before_the_effect_turns_back_without_it(worker: Worker, gateway: Bus) -> None:
    event = samples.requested(KEY, name())
    await store(gateway, event)
    await cancel(gateway, event)
    await worker.start()
    failed = await said(gateway, event.subject, "infra_failed")
    data = failed["data"]
    assert isinstance(data, dict)
    assert data["failure"]["code"] == "called_off"
    await said(gateway, event.subject, "infra_destroyed")
    assert event.subject not in worker.done


async def test_a_run_that_is_called_off_during_the_effect_never_says_that_it_succeeded(
    worker: Worker, gateway: Bus
) -> None:
    event = samples.requested(KEY, name())
    worker.hold[event.subject] = asyncio.Event()
    await worker.start()
    await store(gateway, event)
    await until(lambda: worker.begun.count(event.subject) == 1)
    await cancel(gateway, event)
    worker.hold[event.subject].set()
    await said(gateway, event.subject, "infra_failed")
    await said(gateway, event.subject, "infra_destroyed")
    assert await last(gateway, event.subject, "infra_ready") is None
    # Others may be there too: what the test before this one had not acknowledged comes again.
    assert (worker.done.count(event.subject), worker.undone.count(event.subject)) == (1, 1)


async def test_what_happens_beside_a_run_does_not_hold_up_its_outcome(worker: Worker, gateway: Bus) -> None:
    event = samples.requested(KEY, name())
    worker.hold[event.subject] = asyncio.Event()
    await worker.start()
    await store(gateway, event)
    await until(lambda: worker.begun.count(event.subject) == 1)
    publisher = Publisher(gateway, "gateway", KEY, SystemClock())
    change = AccessChange(requested_by="ada", role="viewer", person="bob")
    await publisher.tell(
        AccessRequested, change, environment=event.subject, cause=uuid4(), incarnation=event.incarnation
    )
    worker.hold[event.subject].set()
    await said(gateway, event.subject, "infra_ready")


async def cancel(bus: Bus, event: EnvironmentRequested) -> None:
    publisher = Publisher(bus, "gateway", KEY, SystemClock())
    await publisher.tell(
        RunCancelRequested,
        RunCommand(requested_by="ada"),
        environment=event.subject,
        cause=uuid4(),
        incarnation=event.incarnation,
        run_id=event.run_id,
    )

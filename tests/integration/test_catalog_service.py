"""The catalog as processes of their own, between a real bus and a real Postgres."""

import asyncio
import hashlib
import json
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, LiteralString
from uuid import uuid4

import httpx
import pytest
from nats.aio.client import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from chassis import questions
from chassis.bus import Bus, Stored
from chassis.dead_letters import REASON_HEADER, SEQUENCE_HEADER
from chassis.failures import TransientError
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event
from contracts.events import EnvironmentReady, RunStalled, parse
from contracts.queries import (
    Durations,
    EnvironmentView,
    Events,
    FindRuns,
    GetDurations,
    GetEnvironment,
    GetEvents,
    GetPosition,
    Known,
    OneEnvironment,
    Position,
    Runs,
    RunView,
    WhichAreKnown,
)
from contracts.topology import User, inbox_prefix
from deploy.embedded.home import write_file
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, start_nats
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.catalog.domain import folding
from tests.stand_ins import Child, start_module
from tests.stories import Story
from tests.waiting import patiently, until

KEY = EventKey(b"s" * 32)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@dataclass
class Replica:
    """One catalog process."""

    child: Child
    health_port: int

    def failed_checks(self) -> dict[str, str] | None:
        """What `/readyz` complains of; None where nobody answers."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.health_port}/readyz", timeout=5)
        except httpx.TransportError:
            return None
        failed: dict[str, str] = answer.json()["failed"]
        return failed

    def is_ready(self) -> bool:
        return self.failed_checks() == {}


@dataclass
class Platform:
    """What the catalog stands on, and how to start it."""

    nats: RunningNats
    postgres: RunningPostgres
    directory: Path
    replicas: list[Replica] = field(default_factory=list)

    def start(self, *, otlp_endpoint: str = "", **settings: object) -> Replica:
        key, port = self.directory / "event-id.key", free_port()
        write_file(key, (b"s" * 32).hex())
        directory = self.directory / f"catalog-{len(self.replicas)}"
        directory.mkdir()
        environment = {
            "SLIPWAY_NATS_URL": self.nats.url,
            "SLIPWAY_NATS_NKEY_FILE": str(self.nats.nkey_file("catalog")),
            "SLIPWAY_EVENT_KEY_FILE": str(key),
            "SLIPWAY_HEALTH_PORT": str(port),
            "SLIPWAY_OTLP_ENDPOINT": otlp_endpoint,
            "SLIPWAY_DATABASE_URL": self.postgres.cluster.url("slipway_catalog", "slipway"),
            "SLIPWAY_DATABASE_PASSWORD_FILE": str(self.postgres.password_file("slipway_catalog")),
            **{f"SLIPWAY_CATALOG_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.replicas.append(Replica(start_module("services.catalog", environment, directory), port))
        return self.replicas[-1]

    def sql(self, statement: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        with self.postgres.connect() as connection:
            connection.execute("SET search_path = catalog")
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def position(self) -> int:
        ((found,),) = self.sql("SELECT sequence FROM log_position")
        return int(found)

    def state(self, name: str) -> str | None:
        found = self.sql("SELECT state FROM environments WHERE name = %s", name)
        return str(found[0][0]) if found else None

    def views(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Every projected document, as stored."""
        return (
            self.sql("SELECT name, document::text FROM environments ORDER BY name"),
            self.sql("SELECT id, document::text FROM runs ORDER BY id"),
        )


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("catalog")
    with ExitStack() as stack:
        nats = stack.enter_context(start_nats(directory / "nats"))
        yield Platform(nats, stack.enter_context(start_postgres(directory / "postgres")), directory)


@pytest.fixture
def platform(ground: Platform) -> Iterator[Platform]:
    yield ground
    for replica in ground.replicas:
        replica.child.kill()


class Log:
    """The log as a test writes and reads it, with the credential of the provisioning job, and the gateway's ear."""

    def __init__(self, deploy: Bus, gateway: Bus) -> None:
        self.deploy = deploy
        self.gateway = gateway

    async def tell(self, *events: Event) -> int:
        """Store events; the sequence of the last one."""
        sequence = 0
        for event in events:
            sequence = await self._store(subjects.of(event), event.to_json(), str(event.id))
        return sequence

    async def tell_raw(self, subject: str, body: bytes) -> int:
        return await self._store(subject, body, str(uuid4()))

    async def _store(self, subject: str, body: bytes, message_id: str) -> int:
        async def store() -> Stored:
            return await self.deploy.publish(subject, body, stream=subjects.ENVIRONMENTS, message_id=message_id)

        return (await patiently(store)).sequence

    async def last_sequence(self) -> int:
        return (await self.deploy.jetstream.stream_info(subjects.ENVIRONMENTS)).state.last_seq

    async def everything(self) -> list[tuple[int, str, bytes]]:
        """All messages of the log."""
        found = []
        for sequence in range(1, await self.last_sequence() + 1):
            message = await self.deploy.jetstream.get_msg(subjects.ENVIRONMENTS, seq=sequence)
            assert message.subject is not None
            found.append((sequence, message.subject, message.data or b""))
        return found

    async def said(self, kind: type[Event], name: str) -> list[Event]:
        """Every event of a kind about an environment."""
        subject = subjects.one_kind_of(name, kind.kind)
        return [parse(body) for _, at, body in await self.everything() if at == subject]

    async def environment(self, name: str, min_sequence: int = 0) -> EnvironmentView:
        question = GetEnvironment(environment=name, min_sequence=min_sequence)
        found = await questions.ask(self.gateway, question, OneEnvironment)
        assert found.environment is not None
        return found.environment


@pytest.fixture
async def log(platform: Platform) -> AsyncIterator[Log]:
    users: tuple[User, ...] = ("deploy", "gateway")
    buses = [
        Bus(platform.nats.url, name=user, nkey_file=platform.nats.nkey_file(user), inbox_prefix=inbox_prefix(user))
        for user in users
    ]
    for bus in buses:
        await bus.connect()
    yield Log(*buses)
    for bus in buses:
        await bus.close()


def _name(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


def _story(name: str) -> Story:
    return Story(KEY, name, time=datetime.now(UTC), traceparent=TRACEPARENT)


async def _caught_up(platform: Platform, log: Log) -> None:
    async def done() -> bool:
        return platform.position() == await log.last_sequence()

    await until(done, what="the copy being complete")


async def _copy_is_faithful(platform: Platform, log: Log) -> None:
    """Every message of the log is in the copy, the chain holds, versions have no gap, and the views are the fold."""
    rows = platform.sql("SELECT sequence, subject, body, hash, version, environment FROM events ORDER BY sequence")
    told = await log.everything()
    assert [(row[0], bytes(row[1]), bytes(row[2])) for row in rows] == [
        (sequence, subject.encode(), body) for sequence, subject, body in told
    ]
    before, counts, known = b"", dict[str, int](), dict[str, folding.Known]()
    for sequence, subject, body, found, version, environment in rows:
        before = hashlib.sha256(before + sequence.to_bytes(8, "big") + subject + b"\0" + body).digest()
        assert found == before
        name = subject.split(b".")[1].decode(errors="replace")
        if version is not None:
            counts[name] = counts.get(name, 0) + 1
            assert (version, environment) == (counts[name], name)
            after = folding.fold(known.get(name), parse(body), sequence)
            assert after is not None
            known[name] = after
        elif name in known:
            known[name] = folding.seen(known[name], sequence)
    views, runs = platform.views()
    assert views == [(name, known[name].environment.model_dump_json()) for name in sorted(known)]
    found_runs = {RunView.model_validate_json(document).id: document for _, document in runs}
    assert all(found_runs[one.run.id] == one.run.model_dump_json() for one in known.values())


async def test_a_creation_is_folded_answered_and_ends_ready(platform: Platform, log: Log) -> None:
    replica = platform.start()
    await until(replica.is_ready, what="readiness")
    name = _name("shop")
    story = _story(name)
    sequence = await log.tell(story.request)
    creating = await log.environment(name, min_sequence=sequence)
    assert (creating.state, creating.last_sequence) == ("creating", sequence)

    await log.tell(*story.create().events[1:])

    async def ready() -> EnvironmentView | None:
        found = await log.environment(name)
        return found if found.state == "ready" else None

    found = await until(ready, what="ready")
    assert (found.version, found.run_id) == (5, story.request.id)
    (verdict,) = await log.said(EnvironmentReady, name)
    assert verdict.id == KEY.derive(story.last.id, "environment_ready")
    assert verdict.traceparent is not None
    assert TRACE in verdict.traceparent

    (run,) = (await questions.ask(log.gateway, FindRuns(environment=name), Runs)).items
    assert (run.state, run.trace_id, run.last_sequence) == ("succeeded", TRACE, found.last_sequence)
    history = (await questions.ask(log.gateway, GetEvents(environment=name), Events)).items
    assert [one.event["id"] for one in history] == [str(event.id) for event in [*story.events, verdict]]
    asked = WhichAreKnown(ids=(verdict.id, uuid4()))
    assert (await questions.ask(log.gateway, asked, Known)).ids == (verdict.id,)
    durations = (await questions.ask(log.gateway, GetDurations(golden_path="nodejs-api"), Durations)).items
    assert [one.step for one in durations] == ["infrastructure", "secrets", "pipeline", "total"]
    position = await questions.ask(log.gateway, GetPosition(), Position)
    assert (position.sequence, position.lag_seconds) == (position.stream_sequence, 0)

    assert replica.child.stop() == 0


async def test_a_question_about_what_is_not_folded_is_refused_for_now(platform: Platform, log: Log) -> None:
    await until(platform.start().is_ready, what="readiness")
    with pytest.raises(TransientError):
        await log.environment("nobody", min_sequence=await log.last_sequence() + 1000)


async def test_replicas_share_the_work_and_one_may_be_killed_at_any_time(platform: Platform, log: Log) -> None:
    replicas = [platform.start(fetch_batch=7), platform.start(fetch_batch=7)]
    for replica in replicas:
        await until(replica.is_ready, what="readiness")
    stories = [_story(_name(f"many-{number}")).create() for number in range(40)]
    stories += [_story(_name(f"bad-{number}")).create("secrets").fail("pipeline") for number in range(10)]

    async def tell(story: Story) -> None:
        for event in story.events:
            await log.tell(event)

    for turn in range(5):
        begun = platform.position()
        telling = asyncio.gather(*(tell(story) for story in stories[turn::5]))
        await until(partial(_reached, platform, begun + 10), what="progress")
        replicas[turn % 2].child.kill()
        await telling
        replicas[turn % 2] = platform.start(fetch_batch=7)

    async def all_verdicts() -> bool:
        ((found,),) = platform.sql(
            "SELECT count(*) FROM environments WHERE name ~ '^(many|bad)-' AND state IN ('ready', 'failed')"
        )
        return bool(found == 50)

    await until(all_verdicts, what="every verdict")
    await _caught_up(platform, log)
    await _copy_is_faithful(platform, log)
    assert platform.sql("SELECT count(*) FROM events WHERE rejection IS NOT NULL AND environment ~ '^many-'") == [(0,)]
    assert platform.sql(
        "SELECT count(*), count(DISTINCT environment) FROM events"
        " WHERE kind IN ('environment_ready', 'environment_failed') AND environment ~ '^(many|bad)-'"
    ) == [(50, 50)]


def _reached(platform: Platform, sequence: int) -> bool:
    return platform.position() >= sequence


async def _stored(log: Log, sequence: int) -> bool:
    return await log.last_sequence() >= sequence


async def test_what_a_crash_of_the_database_takes_with_it_is_read_from_the_log(platform: Platform, log: Log) -> None:
    replica = platform.start(sweep_seconds=0.2)
    await until(replica.is_ready, what="readiness")
    names = [_name(f"crash-{number}") for number in range(3)]
    for name in names:
        last = await log.tell(*_story(name).create().events)
        await until(partial(_reached, platform, last), what="the fold")
        platform.postgres.part.kill()  # what it had not written yet is gone
        platform.postgres.part.start()

    await until(lambda: all(platform.state(name) == "ready" for name in names), what="every verdict")
    await _caught_up(platform, log)
    await _copy_is_faithful(platform, log)
    for name in names:
        assert len(await log.said(EnvironmentReady, name)) == 1


async def test_what_is_not_believed_is_laid_aside_and_its_neighbours_go_on(platform: Platform, log: Log) -> None:
    replica = platform.start()
    await until(replica.is_ready, what="readiness")
    name = _name("odd")
    story = _story(name)
    await log.tell(story.request)
    expected = {
        await log.tell_raw(f"environment.{name}.infra_ready", b"junk"): "malformed",
        await log.tell_raw(f"environment.{name}.infra_ready", story.request.to_json()): "misplaced",
        await log.tell_raw("environment.a\0b.infra_ready", b"{}"): "malformed",
        await log.tell(story.request.model_copy(update={"id": uuid4()})): "forged",
        await log.tell(_story(_name("ghost")).create("infrastructure").last): "orphaned",
    }
    # The server lets through what is no text; nothing of ours would publish it.
    raw: Client = log.deploy.client
    assert raw._transport is not None
    unreadable = 1 + await log.last_sequence()
    raw._transport.write(b"PUB environment.\xff\xfe.infra_ready 2\r\n{}\r\n")
    await raw.flush()
    # The client has an answer to its ping before the stream has the message.
    await until(partial(_stored, log, unreadable), what="what is no text")
    expected[unreadable] = "malformed"
    duplicate = await log.tell_raw(subjects.of(story.request), story.request.to_json())
    last = await log.tell(*story.create("infrastructure").events[1:])

    after = await log.environment(name, min_sequence=last)
    assert (after.state, after.version, after.last_sequence) == ("creating", 2, last)
    rejected = dict(platform.sql("SELECT sequence, rejection FROM events WHERE sequence >= %s", min(expected)))
    assert {key: value for key, value in rejected.items() if value} == expected | {duplicate: "duplicate"}

    async def laid_aside() -> dict[int, str] | None:
        found = [one for one in await _dead_letters(log) if one[0] in expected]
        return dict(found) if len(found) >= len(expected) else None

    assert await until(laid_aside, what="the dead letters") == expected
    assert len(await _dead_letters(log)) == len({sequence for sequence, _ in await _dead_letters(log)})
    assert replica.is_ready()


async def _dead_letters(log: Log) -> list[tuple[int, str]]:
    jetstream = log.deploy.jetstream
    last = (await jetstream.stream_info(subjects.DEAD_LETTERS)).state.last_seq
    found = []
    for sequence in range(1, last + 1):
        headers = (await jetstream.get_msg(subjects.DEAD_LETTERS, seq=sequence)).headers or {}
        found.append((int(headers[SEQUENCE_HEADER]), headers[REASON_HEADER]))
    return found


async def test_what_was_acknowledged_and_never_folded_is_read_from_the_log(platform: Platform, log: Log) -> None:
    name = _name("hole")
    story = _story(name).create()
    await log.tell(*story.events)
    inbox = log.deploy.client.new_inbox()
    subscription = await log.deploy.client.subscribe(inbox)
    ask = json.dumps({"batch": 1000, "no_wait": True}).encode()
    await log.deploy.client.publish("$JS.API.CONSUMER.MSG.NEXT.ENVIRONMENTS.catalog", ask, reply=inbox)
    while (message := await subscription.next_msg(timeout=5)).reply:
        if message.metadata.sequence.stream % 2:
            await message.ack()
        else:
            await message.nak()

    platform.start()

    async def ready() -> bool:
        return platform.state(name) == "ready"

    await until(ready, what="ready")
    await _caught_up(platform, log)


async def test_a_copy_made_anew_equals_the_live_one_and_says_nothing_twice(platform: Platform, log: Log) -> None:
    replica = platform.start()
    await until(replica.is_ready, what="readiness")
    name = _name("anew")
    await log.tell(*_story(name).create().events)
    # Else the verdict might be said between the look at the log and the end of the process.
    await until(lambda: platform.state(name) == "ready", what="the verdict in the copy")
    await _caught_up(platform, log)
    assert replica.child.stop() == 0
    live, last = platform.views(), await log.last_sequence()
    chain = platform.sql("SELECT sequence, hash FROM log_position")
    platform.postgres.make_anew("catalog")

    await until(platform.start(sweep_seconds=0.1).is_ready, what="readiness")

    async def complete() -> bool:
        return platform.sql("SELECT sequence, hash FROM log_position") == chain

    await until(complete, what="the same chain")
    assert platform.views() == live
    await until(lambda: platform.sql("SELECT count(*) FROM decisions") == [(0,)], what="nothing unsaid")
    assert await log.last_sequence() == last


async def test_a_stalled_run_is_said_once(platform: Platform, log: Log) -> None:
    platform.start(stall_after_seconds=0.5, sweep_seconds=0.1)
    name = _name("slow")
    await log.tell(*_story(name).create("infrastructure").events)

    async def stalled() -> list[Event]:
        return await log.said(RunStalled, name)

    (event,) = await until(stalled, what="RunStalled")
    assert isinstance(event, RunStalled)
    assert event.data.step == "secrets"
    view = await log.environment(name, min_sequence=await log.last_sequence())
    await until(lambda: platform.sql("SELECT count(*) FROM decisions") == [(0,)], what="nothing unsaid")
    assert len(await stalled()) == 1
    assert view.state == "creating"


class _Receiver(BaseHTTPRequestHandler):
    """An OTLP/HTTP receiver that remembers every span."""

    spans: ClassVar[list[Span]] = []

    def do_POST(self) -> None:
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_what_the_catalog_decides_and_shows_as_ended_is_in_the_runs_own_trace(
    platform: Platform, log: Log, receiver: str
) -> None:
    replica = platform.start(otlp_endpoint=receiver)
    name = _name("traced")
    story = _story(name).create()
    await log.tell(*story.events)
    await until(lambda: platform.state(name) == "ready", what="ready")
    (verdict,) = await log.said(EnvironmentReady, name)
    assert replica.child.stop() == 0

    def kind(span: Span) -> str:
        return str(next(one.value.string_value for one in span.attributes if one.key == "slipway.event"))

    found = {kind(span): span for span in _Receiver.spans if span.trace_id.hex() == TRACE}
    assert sorted(found) == ["environment_ready", "pipeline_created"]
    assert {span.name for span in found.values()} == {"catalog fold"}
    assert all(0 < span.end_time_unix_nano - span.start_time_unix_nano < 5e9 for span in found.values())
    assert found["pipeline_created"].parent_span_id.hex() == TRACEPARENT.split("-")[2]
    assert verdict.traceparent == f"00-{TRACE}-{found['pipeline_created'].span_id.hex()}-01"
    assert found["environment_ready"].parent_span_id == found["pipeline_created"].span_id


async def test_the_database_and_the_bus_may_go_away(platform: Platform, log: Log) -> None:
    replica = platform.start()
    await until(replica.is_ready, what="readiness")
    name = _name("outage")
    story = _story(name).create()

    platform.postgres.part.kill()
    await log.tell(*story.events[:2])
    await until(lambda: "database" in (replica.failed_checks() or {}), what="a red check")
    platform.postgres.part.start()  # here: it dies with the thread that starts it
    await until(replica.is_ready, what="readiness after the database came back")

    platform.nats.part.kill()
    platform.nats.part.start()
    await until(replica.is_ready, what="readiness after the bus came back")
    last = await log.tell(*story.events[2:])
    assert (await patiently(lambda: log.environment(name, min_sequence=last))).pipeline is not None
    assert replica.child.process.poll() is None


async def test_it_ends_cleanly_while_it_waits_for_the_database(platform: Platform) -> None:
    platform.postgres.part.kill()
    try:
        replica = platform.start()
        await until(lambda: b"waiting for the database" in replica.child.log.read_bytes(), what="waiting")
        replica.child.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(replica.child.process.wait, 60) == 0
    finally:
        platform.postgres.part.start()  # here: it dies with the thread that starts it


async def test_nothing_is_folded_over_a_lost_log_until_it_is_restored(platform: Platform, log: Log) -> None:
    replica = platform.start()
    await until(replica.is_ready, what="readiness")
    story = _story(_name("lost")).create()
    await log.tell(*story.events[:3])
    await _caught_up(platform, log)
    before = platform.position()

    platform.nats.part.kill()
    shutil.rmtree(platform.nats.store)
    platform.nats.part.start()
    await asyncio.to_thread(platform.nats.provision_streams)
    await until(lambda: "restore" in (replica.failed_checks() or {}).get("fold", ""), what="a red check")
    assert (await patiently(lambda: log.environment(story.request.subject))).name == story.request.subject
    assert platform.position() == before

    for subject, body in platform.sql("SELECT subject, body FROM events ORDER BY sequence"):
        await log.tell_raw(subject.decode(errors="surrogateescape").replace("\udcff\udcfe", "odd"), body)
    await until(replica.is_ready, what="readiness after the log was restored")
    await log.tell(*story.events[3:])
    await until(lambda: platform.state(story.request.subject) == "ready", what="the run's end")

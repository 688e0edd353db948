"""The notifier as a process: on a real bus, with Postgres, the inbox and the trace store beside it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.bus import Bus
from chassis.questions import answer_all
from chassis.signing import SigningKey
from contracts import subjects
from contracts.envelope import Event
from contracts.queries import EnvironmentView, GetEnvironment, OneEnvironment
from contracts.readers import Reader, ReaderList
from contracts.signals import Deployment, DeploymentRecorded
from contracts.topology import inbox_prefix
from contracts.webhooks import CreateWebhook, Delivery, FindDeliveries, FindNotifications, TestWebhook
from deploy.embedded.nats import reader_seed_file
from deploy.embedded.ports import free_port
from deploy.embedded.processes import PROJECT
from deploy.embedded.testing import RunningNats, start_nats
from deploy.embedded.testing_postgres import start_postgres
from deploy.readers import provision_readers
from services.gateway.adapters.notifier import BusNotifier
from tests import redelivery, samples
from tests.receivers import answer, receiving
from tests.stand_ins import Child, running, start, start_module
from tests.unit.notifier import events
from tests.waiting import until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TOKEN = "xoxb-process"
EXAMPLE = PROJECT / "docs" / "examples" / "read_events.py"


@dataclass(frozen=True)
class Company:
    """What the notifier runs with, and how to start it."""

    nats: RunningNats
    inbox_url: str
    traces_url: str
    directory: Path
    environment: dict[str, str]

    def start(self, **more: str) -> Child:
        return start_module("services.notifier", self.environment | more, self.directory)

    def is_ready(self) -> bool:
        return _answers(f"http://127.0.0.1:{self.environment['SLIPWAY_HEALTH_PORT']}/readyz")

    def let_read(self, readers: ReaderList) -> None:
        Path(self.environment["SLIPWAY_NOTIFIER_READERS_FILE"]).write_text(readers.model_dump_json())

    def told(self, event: Event) -> list[dict[str, Any]]:
        messages = httpx.get(f"{self.inbox_url}/api/channels/deployments/messages").json()["messages"]
        return [m for m in messages if m["metadata"]["event_payload"]["event_id"] == str(event.id)]

    def span_names(self) -> set[str]:
        answer = httpx.get(f"{self.traces_url}/api/traces/{TRACE_ID}").json()
        return {span["operationName"] for trace in answer["data"] or () for span in trace["spans"]}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    root = tmp_path_factory.mktemp("company")
    directories = {name: root / name for name in ("nats", "postgres", "inbox", "traces", "notifier")}
    for directory in directories.values():
        directory.mkdir()
    token, event_key, hook_key = root / "token", root / "event-id.key", root / "webhooks.key"
    token.write_text(TOKEN)
    event_key.write_text((b"k" * 32).hex())
    hook_key.write_text((b"w" * 32).hex())
    ports = {name: free_port() for name in ("inbox", "traces", "health")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    with ExitStack() as stack:
        nats = stack.enter_context(start_nats(directories["nats"]))
        redelivery.shorten_ack_wait(nats)
        postgres = stack.enter_context(start_postgres(directories["postgres"]))
        for name, extra in (("inbox", {"SLIPWAY_INBOX_TOKEN_FILE": str(token)}), ("traces", {})):
            prefix = f"SLIPWAY_{name.upper()}"
            own = {f"{prefix}_PORT": str(ports[name]), f"{prefix}_DATA": str(directories[name])}
            child = start_module(f"deploy.embedded.{name}", own | extra, directories[name])
            stack.enter_context(running(child, partial(_answers, f"{urls[name]}/readyz")))
        environment = redelivery.SETTINGS | {
            "SLIPWAY_NATS_URL": nats.url,
            "SLIPWAY_NATS_NKEY_FILE": str(nats.nkey_file("notifier")),
            "SLIPWAY_EVENT_KEY_FILE": str(event_key),
            "SLIPWAY_OTLP_ENDPOINT": urls["traces"],
            "SLIPWAY_HEALTH_PORT": str(ports["health"]),
            "SLIPWAY_DATABASE_URL": postgres.url("slipway_notifier", "slipway"),
            "SLIPWAY_DATABASE_PASSWORD_FILE": str(postgres.password_file("slipway_notifier")),
            "SLIPWAY_NOTIFIER_SLACK_URL": f"{urls['inbox']}/api/",
            "SLIPWAY_NOTIFIER_SLACK_TOKEN_FILE": str(token),
            "SLIPWAY_NOTIFIER_PLATFORM_URL": "http://127.0.0.1:8000",
            "SLIPWAY_NOTIFIER_READERS_FILE": str(root / "readers.json"),
            "SLIPWAY_NOTIFIER_WEBHOOKS_KEY_FILE": str(hook_key),
            "SLIPWAY_NOTIFIER_WEBHOOKS_ALLOW": '["127.0.0.0/8"]',
            # The samples' events are of a fixed day.
            "SLIPWAY_NOTIFIER_STALE_AFTER_HOURS": "1000000",
        }
        yield Company(nats, urls["inbox"], urls["traces"], directories["notifier"], environment)


async def say(company: Company, *said: Event) -> None:
    """As the catalog would."""
    user = "catalog"
    bus = Bus(company.nats.url, name=user, nkey_file=company.nats.nkey_file(user), inbox_prefix=inbox_prefix(user))
    await bus.connect()
    try:
        for event in said:
            await bus.publish(
                subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id)
            )
    finally:
        await bus.close()


async def test_a_verdict_reaches_the_channel_and_its_trace(company: Company) -> None:
    traced = events.ready("traced").model_copy(update={"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"})
    others = [
        events.failed("failing"),
        events.deleted("going"),
        events.stalled("waiting"),
        events.expiring("ending", expires_at=datetime.now(UTC) + timedelta(hours=2)),
        events.expired("ended"),
        events.drifted("adrift"),
    ]
    with running(company.start(), company.is_ready):
        await say(company, traced, *others)
        for event in (traced, *others):
            found = await until(partial(company.told, event), what=f"the news of {event.subject}")
            assert len(found) == 1
        spans = {"notifier announce", "slack chat.postMessage"}
        await until(lambda: spans <= company.span_names(), what="the spans of the notification")


async def test_kill_9_at_any_moment_leads_to_one_message_each(company: Company) -> None:
    news = [events.ready(f"env-{number}") for number in range(24)]
    for part in range(4):
        with running(company.start(), company.is_ready) as child:
            sending = asyncio.create_task(say(company, *news[part * 6 : part * 6 + 6]))
            await until(partial(company.told, news[part * 6]), what="the first of the news")
            child.kill()
            await sending
    with running(company.start(), company.is_ready):
        await until(
            lambda: all(company.told(event) for event in news), within_seconds=60, what="all the news after the kills"
        )
        assert [len(company.told(event)) for event in news] == [1] * len(news)


async def test_the_example_prints_its_teams_events_and_goes_on_where_it_stopped(company: Company) -> None:
    """docs/examples/read_events.py, as it stands there."""
    # A team of their own: what other tests have said is not for them.
    reader = Reader(name="ledger-ci", team="ledger")
    readers = ReaderList(readers=(reader,))
    # A feed keeps thirty days: these are of today.
    before, theirs, after = (
        events.ready(name, team=team).model_copy(update={"time": datetime.now(UTC)})
        for name, team in (("before", "ledger"), ("theirs", "search"), ("after", "ledger"))
    )
    environment = {
        "READER": reader.name,
        "NATS_URL": company.nats.url,
        "NATS_SEED_FILE": str(reader_seed_file(company.nats.keys, reader.name)),
    }
    await asyncio.to_thread(company.nats.set_readers, readers.readers)
    await provision_readers(company.nats.access, readers.readers)
    directory = company.directory.parent / "reader"
    directory.mkdir()

    def printed(child: Child) -> list[str]:
        whole, _, _ = child.log.read_text().rpartition("\n")  # the last line may be half written
        return [line.split()[1] for line in whole.splitlines()]

    async def read(*environments: str) -> None:
        child = start([sys.executable, str(EXAMPLE)], environment, directory)
        with running(child, lambda: True):
            await until(lambda: len(printed(child)) >= len(environments), what=f"the events of {environments}")
            assert printed(child) == list(environments)
            assert child.process.poll() is None
        child.log.unlink()

    with running(company.start(), company.is_ready):
        # While it runs: the next event finds the new list.
        company.let_read(readers)
        await say(company, theirs, before)
        await read("before")
        await say(company, after)
        await read("after")


@asynccontextmanager
async def speaking(company: Company, user: str) -> AsyncIterator[Bus]:
    """A connection with this credential."""
    bus = Bus(company.nats.url, name=user, nkey_file=company.nats.nkey_file(user), inbox_prefix=inbox_prefix(user))
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


async def owned_by_payments(question: GetEnvironment) -> OneEnvironment:
    """The catalog, as far as it is asked."""
    now = datetime.now(UTC)
    return OneEnvironment(
        environment=EnvironmentView(
            name=question.environment,
            incarnation=uuid4(),
            state="ready",
            spec=samples.spec(question.environment),
            created_at=now,
            updated_at=now,
            run_id=uuid4(),
            version=1,
            last_sequence=1,
        )
    )


async def test_two_replicas_tell_a_webhook_of_each_event_and_fact_once(company: Company) -> None:
    mark, key = uuid4().hex[:8], SigningKey(b"w" * 32)
    async with (
        receiving() as receiver,
        speaking(company, "gateway") as gateway,
        speaking(company, "catalog") as catalog,
    ):
        await answer_all(catalog, "catalog", {GetEnvironment: owned_by_payments})
        notifier = BusNotifier(gateway)
        receiver.answers = [answer(500, b"not now")]
        other = {"SLIPWAY_HEALTH_PORT": str(free_port())}
        answers = partial(_answers, f"http://127.0.0.1:{other['SLIPWAY_HEALTH_PORT']}/readyz")
        with running(company.start(), company.is_ready), running(company.start(**other), answers):
            wish = CreateWebhook(id=uuid4(), team="payments", url=receiver.url, created_by="ada")
            made = (await notifier.create_webhook(wish)).webhook
            assert made is not None
            secret = key.secret(made.id, 1).get_secret_value()
            tested = (await notifier.test_webhook(TestWebhook(id=made.id, requested_by="ada"))).delivery
            assert tested is not None
            assert (tested.state, tested.attempts[0].answer) == ("failed", "not now")

            now = datetime.now(UTC)
            news = [
                one.model_copy(update={"time": now})
                for one in (
                    events.ready(f"told-{mark}"),
                    events.drifted(f"adrift-{mark}"),
                    events.expired(f"ended-{mark}"),
                )
            ]
            theirs = events.ready(f"theirs-{mark}", team="search").model_copy(update={"time": now})
            deployment = Deployment(deployment_id="1", state="succeeded", commit="abcdef0", branch="main", author="ada")
            deployed = DeploymentRecorded(id=uuid4(), source="ci", subject=f"told-{mark}", time=now, data=deployment)
            await say(company, *news, theirs)
            await gateway.publish(
                subjects.of_signal(deployed), deployed.to_json(), stream=subjects.SIGNALS, message_id=str(deployed.id)
            )
            wanted = {str(one.id) for one in (*news, deployed)}

            def arrived() -> list[str]:
                got = [received.verified(secret)["id"] for received in receiver.received]
                return [one for one in got if one in wanted]

            await until(lambda: set(arrived()) == wanted, what="the news")
            last = events.ready(f"last-{mark}").model_copy(update={"time": now})
            for one in (*news, last):  # told again, as a log is that was put back
                await catalog.publish(
                    subjects.of(one), one.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(uuid4())
                )
            await until(
                lambda: str(last.id) in {got.headers["webhook-id"] for got in receiver.received}, what="the last"
            )
            page = await until(partial(every_delivery, notifier, made.id), what="the end of every delivery")
            assert sorted(arrived()) == sorted(wanted)
            assert str(theirs.id) not in {str(one.event_id) for one in page}
            told = (
                await notifier.notifications(FindNotifications(teams=("payments",), way="webhook", limit=200))
            ).items
            assert {(one.webhook_id, one.state) for one in told if str(one.event_id) in wanted} == {(made.id, "sent")}


async def every_delivery(notifier: BusNotifier, hook: UUID) -> tuple[Delivery, ...] | None:
    """What it was sent, once nothing waits any more."""
    found = (await notifier.deliveries(FindDeliveries(id=hook, limit=200))).items or ()
    return found if all(one.state != "waiting" for one in found) else None

"""The notifier as a process: on a real bus, with Postgres, the inbox and the trace store beside it."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.bus import Bus
from contracts import subjects
from contracts.envelope import Event
from contracts.topology import inbox_prefix
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, start_nats, start_postgres
from tests import redelivery
from tests.stand_ins import Child, running, start_module
from tests.unit.notifier import events
from tests.waiting import until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TOKEN = "xoxb-process"


@dataclass(frozen=True)
class Company:
    """What the notifier runs with, and how to start it."""

    nats: RunningNats
    inbox_url: str
    traces_url: str
    directory: Path
    environment: dict[str, str]

    def start(self) -> Child:
        return start_module("services.notifier", self.environment, self.directory)

    def is_ready(self) -> bool:
        return _answers(f"http://127.0.0.1:{self.environment['SLIPWAY_HEALTH_PORT']}/readyz")

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
    token, event_key = root / "token", root / "event-id.key"
    token.write_text(TOKEN)
    event_key.write_text((b"k" * 32).hex())
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
            await until(partial(company.told, news[part * 6]), within_seconds=40, what="the first of the news")
            child.kill()
            await sending
    with running(company.start(), company.is_ready):
        await until(
            lambda: all(company.told(event) for event in news), within_seconds=60, what="all the news after the kills"
        )
        assert [len(company.told(event)) for event in news] == [1] * len(news)

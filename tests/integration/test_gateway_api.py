"""The gateway as a process of its own, between real clients, a real bus, a real Postgres and the real catalog."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event
from contracts.events import EnvironmentRequested, parse
from contracts.topology import inbox_prefix
from deploy.embedded.home import write_file
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, RunningPostgres, start_nats, start_postgres
from tests.stand_ins import Child, start_module
from tests.waiting import until

KEY = EventKey(b"g" * 32)
GOLDEN_PATHS = Path(__file__).resolve().parents[2] / "golden_paths"


@dataclass
class Platform:
    """What the gateway stands on, and how to start it."""

    nats: RunningNats
    postgres: RunningPostgres
    directory: Path
    port: int
    health_port: int
    children: list[Child] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_token_file(self) -> Path:
        return self.directory / "keys" / "admin.token"

    @property
    def admin_token(self) -> str:
        return self.admin_token_file.read_text().strip()

    def start(self, service: str, **more: str) -> Child:
        key = self.directory / "event-id.key"
        write_file(key, (b"g" * 32).hex())
        directory = self.directory / f"{service}-{len(self.children)}"
        directory.mkdir()
        child = start_module(
            f"services.{service}",
            {
                "SLIPWAY_NATS_URL": self.nats.url,
                "SLIPWAY_NATS_NKEY_FILE": str(self.nats.nkey_file(service)),
                "SLIPWAY_EVENT_KEY_FILE": str(key),
                "SLIPWAY_DATABASE_URL": self.postgres.cluster.url(f"slipway_{service}", "slipway"),
                "SLIPWAY_DATABASE_PASSWORD_FILE": str(self.postgres.password_file(f"slipway_{service}")),
                **more,
            },
            directory,
        )
        self.children.append(child)
        return child

    def start_catalog(self) -> Child:
        return self.start("catalog")

    def start_gateway(self, **more: str) -> Child:
        return self.start(
            "gateway",
            SLIPWAY_HEALTH_PORT=str(self.health_port),
            SLIPWAY_GATEWAY_PORT=str(self.port),
            SLIPWAY_GATEWAY_ADMIN_TOKEN_FILE=str(self.admin_token_file),
            SLIPWAY_GATEWAY_GOLDEN_PATHS=str(GOLDEN_PATHS),
            SLIPWAY_GATEWAY_TRACES_URL="http://traces.test",
            SLIPWAY_GATEWAY_CARE_INTERVAL_SECONDS="0.2",
            SLIPWAY_GATEWAY_REPUBLISH_AFTER_SECONDS="1",
            SLIPWAY_GATEWAY_HEARTBEAT_SECONDS="0.5",
            # Nothing listens there: spans are made and go nowhere.
            SLIPWAY_OTLP_ENDPOINT=f"http://127.0.0.1:{self.health_port}",
            **more,
        )

    async def is_ready(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                health = await client.get(f"http://127.0.0.1:{self.health_port}/readyz")
                me = await client.get(
                    f"{self.url}/api/v1/environments", headers={"Authorization": f"Bearer {self.admin_token}"}
                )
            except (httpx.TransportError, OSError):
                return False
            return health.status_code == 200 and me.status_code == 200

    def logs(self) -> str:
        return "\n".join(child.log.read_text(errors="replace")[-3000:] for child in self.children)

    async def ready(self) -> None:
        try:
            await until(self.is_ready, what="the gateway")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("gateway")
    with start_nats(directory / "nats") as nats, start_postgres(directory / "postgres") as postgres:
        found = Platform(nats, postgres, directory, free_port(), free_port())
        found.start_catalog()
        found.start_gateway()
        yield found
        for child in found.children:
            child.kill()


@pytest.fixture
async def api(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The admin's client."""
    await platform.ready()
    headers = {"Authorization": f"Bearer {platform.admin_token}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    """Everybody else on the bus."""
    users = ("provisioner", "secrets", "cicd", "catalog", "gateway", "client")
    connected = {
        user: Bus(
            platform.nats.url, name=user, nkey_file=platform.nats.nkey_file(user), inbox_prefix=inbox_prefix(user)
        )
        for user in users
    }
    for bus in connected.values():
        await bus.connect()
        await bus.start()
    yield connected
    for bus in connected.values():
        await bus.close()


def name() -> str:
    return f"env-{uuid4().hex[:10]}"


def asked(environment: str, **more: Any) -> dict[str, Any]:
    return {"name": environment, "golden_path": "nodejs-api", **more}


async def say(buses: dict[str, Bus], event: Event) -> None:
    """Put another service's event on the log, with that service's own credential."""
    await buses[event.source].publish(
        subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id)
    )


async def events_of(bus: Bus, environment: str) -> list[Event]:
    """The log of one environment, read by position."""
    found: list[Event] = []
    sequence = 0
    while True:
        question = json.dumps({"seq": sequence + 1, "next_by_subj": subjects.every_event_of(environment)})
        answer = await bus.ask(f"$JS.API.DIRECT.GET.{subjects.ENVIRONMENTS}", question.encode())
        if (answer.headers or {}).get("Status"):
            return found
        sequence = int((answer.headers or {})["Nats-Sequence"])
        found.append(parse(answer.data))


async def test_an_accepted_environment_is_there_at_once(api: httpx.AsyncClient, buses: dict[str, Bus]) -> None:
    environment = name()
    answer = await api.post("/api/v1/environments", json=asked(environment))
    assert answer.status_code == 202, answer.text
    accepted = answer.json()
    shown = await api.get(accepted["links"]["self"])
    run = await api.get(accepted["links"]["run"])
    assert (shown.status_code, run.status_code) == (200, 200)
    assert shown.json()["state"] == "creating"
    assert run.json()["trace_id"] == accepted["trace_id"] == answer.headers["Slipway-Trace-Id"]
    assert accepted["links"]["trace"] == f"http://traces.test/trace/{accepted['trace_id']}"
    [event] = await events_of(buses["gateway"], environment)
    assert isinstance(event, EnvironmentRequested)
    assert event.data.spec.parameters == {"database": True, "instances": 1, "memory_mib": 256}
    assert str(event.id) == accepted["run"]["id"] == run.json()["id"]

"""The gateway as a process of its own on a real bus, a real Postgres and the real catalog: what its tests need."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event
from contracts.events import EnvironmentRequested, EnvironmentUpdateRequested, parse
from contracts.topology import SAYS, inbox_prefix
from deploy.embedded.home import write_file
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, start_nats
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from tests.stand_ins import Child, start_module
from tests.stories import Story
from tests.waiting import until

KEY = EventKey(b"g" * 32)
GOLDEN_PATHS = Path(__file__).resolve().parents[1] / "golden_paths"


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
            SLIPWAY_GATEWAY_GOLDEN_PATHS=more.pop("SLIPWAY_GATEWAY_GOLDEN_PATHS", str(GOLDEN_PATHS)),
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


@contextmanager
def gateway_platform(directory: Path, **settings: str) -> Iterator[Platform]:
    """A catalog and a gateway that run, with these settings of the gateway's."""
    with start_nats(directory / "nats") as nats, start_postgres(directory / "postgres") as postgres:
        found = Platform(nats, postgres, directory, free_port(), free_port())
        found.start_catalog()
        found.start_gateway(**settings)
        try:
            yield found
        finally:
            for child in found.children:
                child.kill()


@asynccontextmanager
async def admin_client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """The admin's client, once the gateway answers."""
    await platform.ready()
    headers = {"Authorization": f"Bearer {platform.admin_token}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=30) as client:
        yield client


@asynccontextmanager
async def everybody_on(platform: Platform) -> AsyncIterator[dict[str, Bus]]:
    """A connection with each credential."""
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
    source = next(service for service, kinds in SAYS.items() if type(event) in kinds)
    said = event.model_copy(update={"source": source})
    await buses[source].publish(
        subjects.of(said), said.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(said.id)
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


async def told_to_its_end(buses: dict[str, Bus], request: EnvironmentRequested | EnvironmentUpdateRequested) -> None:
    """Everything after the request, as the other services say it; the verdict is the real catalog's."""
    for event in Story.after(KEY, request).create().events[1:]:
        await say(buses, event)


async def created(api: httpx.AsyncClient, buses: dict[str, Bus]) -> EnvironmentRequested:
    """A new environment that is ready."""
    environment = name()
    answer = await api.post("/api/v1/environments", json=asked(environment))
    assert answer.status_code == 202, answer.text
    [request] = await events_of(buses["gateway"], environment)
    assert isinstance(request, EnvironmentRequested)
    await told_to_its_end(buses, request)

    async def is_ready() -> bool:
        shown = await api.get(f"/api/v1/environments/{environment}")
        return bool(shown.json()["state"] == "ready")

    await until(is_ready, what="the environment")
    return request


async def ask_bus(
    bus: Bus, request: str, body: Any, token: str | None, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await bus.ask(subjects.request(request), raw, headers=sent, timeout_seconds=20)
    told = dict(answer.headers or {})
    return int(told["Slipway-Status"]), json.loads(answer.data), told

"""The provisioner as a process of its own, between a real bus, a real forge and a real machine, as its tests use it."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event, ServiceName
from contracts.events import (
    EnvironmentRequested,
    SecretsRevoked,
    Undone,
)
from contracts.topology import inbox_prefix
from contracts.values import Receipt
from deploy.embedded.forge_access import (
    ENVIRONMENTS_REPOSITORY,
    PROVISIONER_LOGIN,
    ensure_repositories,
    forge_token_file,
    forge_tokens,
)
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import HttpError, answers, request_json
from deploy.embedded.ports import free_port
from deploy.embedded.terraform import embedded_terraform
from deploy.embedded.testing import RunningNats, start_nats
from tests import redelivery, samples
from tests.machines import RealMachine, start_machine
from tests.stand_ins import Child, running, start_module

KEY = EventKey(b"s" * 32)
E = TypeVar("E", bound=Event)
PARAMETERS = {"database": True, "instances": 1, "memory_mib": 256}


@dataclass
class Platform:
    """What the service stands on, and how to start it."""

    nats: RunningNats
    machine: RealMachine
    forge_url: str
    keys: Keys
    directory: Path
    health_port: int

    def start(self, **more: str) -> Child:
        """The service as a process; `more` are further variables of its environment."""
        key = self.directory / "event-id.key"
        write_file(key, (b"s" * 32).hex())
        access = {
            f"SLIPWAY_PROVISIONER_{name.upper()}": str(value)
            for name, value in self.machine.settings.model_dump(mode="json").items()
            if value is not None
        }
        return start_module(
            "services.provisioner",
            access
            | redelivery.SETTINGS
            | {
                "SLIPWAY_NATS_URL": self.nats.url,
                "SLIPWAY_NATS_NKEY_FILE": str(self.nats.nkey_file("provisioner")),
                "SLIPWAY_EVENT_KEY_FILE": str(key),
                "SLIPWAY_HEALTH_PORT": str(self.health_port),
                "SLIPWAY_PROVISIONER_REPOSITORY_URL": f"{self.forge_url}/{ENVIRONMENTS_REPOSITORY}.git",
                "SLIPWAY_PROVISIONER_REPOSITORY_USER": PROVISIONER_LOGIN,
                "SLIPWAY_PROVISIONER_REPOSITORY_TOKEN_FILE": str(forge_token_file(self.keys, PROVISIONER_LOGIN)),
                "SLIPWAY_PROVISIONER_FORGE_URL": self.forge_url,
                "SLIPWAY_PROVISIONER_DATA_DIRECTORY": str(self.directory / "data"),
                "SLIPWAY_PROVISIONER_SOCKETS_DIRECTORY": str(self.machine.knobs.sockets),
                "SLIPWAY_PROVISIONER_TERRAFORM": " ".join(embedded_terraform()),
                "SLIPWAY_PROVISIONER_INGRESS_PORT": str(self.machine.caddy.port),
            }
            | more,
            self.directory,
        )

    @contextmanager
    def running(self, **more: str) -> Iterator[Child]:
        """The service, ready, until the block ends."""
        child = self.start(**more)
        with running(child, self.is_ready):
            yield child

    def is_ready(self) -> bool:
        try:
            return bool(request_json("GET", f"http://127.0.0.1:{self.health_port}/readyz")["status"] == "ready")
        except (HttpError, OSError):
            return False

    def committed(self, *arguments: str) -> str:
        """What git says of the environments repository, asked as the provisioner."""
        token = forge_token_file(self.keys, PROVISIONER_LOGIN).read_text()
        header = f"http.extraHeader=Authorization: token {token}"
        clone = self.directory / f"look-{uuid4().hex}"
        url = f"{self.forge_url}/{ENVIRONMENTS_REPOSITORY}.git"
        subprocess.run(["git", "-c", header, "clone", "--quiet", url, str(clone)], check=True, capture_output=True)
        return subprocess.run(
            ["git", "-C", str(clone), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()


@contextmanager
def start_platform(directory: Path) -> Iterator[Platform]:
    """Everything but the service itself, below `directory`."""
    keys, port = Keys(directory / "keys"), free_port()
    url = f"http://127.0.0.1:{port}"
    write_file(directory / "tokens.json", forge_tokens(keys))
    environment = {
        "SLIPWAY_FORGE_PORT": str(port),
        "SLIPWAY_FORGE_URL": url,
        "SLIPWAY_FORGE_DATA": str(directory / "forge"),
        "SLIPWAY_FORGE_TOKENS_FILE": str(directory / "tokens.json"),
    }
    (directory / "forge-process").mkdir()
    forge = start_module("deploy.embedded.forge", environment, directory / "forge-process")
    with (
        running(forge, lambda: answers(f"{url}/readyz")),
        start_nats(directory / "nats") as nats,
        start_machine(directory / "machine") as machine,
    ):
        ensure_repositories(f"{url}/api/v3", keys)
        redelivery.shorten_ack_wait(nats)
        yield Platform(nats, machine, url, keys, directory, free_port())


@asynccontextmanager
async def connect(platform: Platform) -> AsyncIterator[dict[ServiceName, Bus]]:
    """The service's neighbours on the saga's road, and itself to look with."""
    users: tuple[ServiceName, ...] = ("gateway", "secrets", "provisioner")
    connected = {
        user: Bus(
            platform.nats.url, name=user, nkey_file=platform.nats.nkey_file(user), inbox_prefix=inbox_prefix(user)
        )
        for user in users
    }
    for bus in connected.values():
        await bus.connect()
    yield connected
    for bus in connected.values():
        await bus.close()


async def say(bus: Bus, event: Event) -> None:
    """Put an event on the log."""
    await bus.publish(subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id))


async def said(bus: Bus, kind: type[E], cause: Event) -> E | None:
    """The event of this kind that `cause` brought about, once there is one."""
    found = await bus.last(subjects.ENVIRONMENTS, subjects.one_kind_of(cause.subject, kind.kind))
    if found is None or found.data is None:
        return None
    event = kind.model_validate_json(found.data)
    return event if event.causation_id == cause.id else None


def requested(name: str) -> EnvironmentRequested:
    """Somebody asks for an environment with a database."""
    return samples.requested(KEY, name, parameters=PARAMETERS)


def revoked(request: EnvironmentRequested) -> SecretsRevoked:
    """The road back has come as far as the infrastructure."""
    data = Undone(spec=request.data.spec, receipt=Receipt())
    return samples.follows(KEY, SecretsRevoked, data, request, source="secrets")

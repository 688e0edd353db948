"""The stage for whole sagas: a real bus and a real Postgres on free ports, and six service processes, or several
replicas of each.

Invariant: whatever is started here dies with the thread that started it, so start a stage in the main thread.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol

from typing_extensions import TypeVar

from contracts.envelope import ServiceName
from contracts.topology import SERVICES
from deploy.embedded.local_http import answers
from deploy.embedded.ports import free_port
from deploy.embedded.processes import Launch
from deploy.embedded.testing import RunningNats, start_nats
from deploy.embedded.testing_part import Part
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres

QUICK = {"SLIPWAY_WORKERS": "100", "SLIPWAY_FETCH_BATCH": "100"}
"""Handling takes a few milliseconds here, so a fetch asks for many."""
WITHOUT_TWINS = frozenset({"catalog", "gateway"})
"""These have nothing outside but the bus and Postgres, so they run as they are."""


class Servers(Protocol):
    """The bus: one server, or a cluster of them."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        ...

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the running servers."""
        ...

    def nkey_file(self, user: str) -> Path:
        """The seed file of `user`."""
        ...


B = TypeVar("B", bound=Servers, default=RunningNats)


class ServiceProcess(Part):
    """One service, which can be killed and begun again in place: same ports, same everything."""

    def __init__(self, name: str, launch: Launch, url: str, directory: Path) -> None:
        """`url` is that of its health endpoint."""
        super().__init__(name, launch, directory, is_ready=lambda: answers(f"{url}/readyz", timeout_seconds=5))
        self.url = url


@dataclass(frozen=True)
class Stage(Generic[B]):
    """What a driver needs to know."""

    nats: B
    postgres: RunningPostgres
    directory: Path
    gateway_urls: tuple[str, ...]
    """Of every replica of the gateway."""
    services: Mapping[str, ServiceProcess]
    """By name; the second replica of the catalog is `catalog-2`, and so on."""

    @property
    def gateway_url(self) -> str:
        """Of the first gateway."""
        return self.gateway_urls[0]

    @property
    def admin_token_file(self) -> Path:
        """Where the gateway puts the platform's own token."""
        return self.directory / "admin.token"

    @property
    def event_key_file(self) -> Path:
        """The key from which the ids of events are derived."""
        return self.directory / "event.key"

    def cpu_seconds(self) -> float:
        """User and system time of the services and the bus so far."""
        return cpu_seconds_of([*(service.pid for service in self.services.values()), *self.nats.pids])


def cpu_seconds_of(pids: Iterable[int]) -> float:
    """User and system time of these processes so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / ticks
    return found


@contextmanager
def stage(
    directory: Path,
    *,
    otlp_endpoint: str = "",
    twins: str = "benchmarks.twins",
    settings: Mapping[str, str] | None = None,
    names: Sequence[ServiceName] = SERVICES,
) -> Iterator[Stage]:
    """Six services with twins for the outside, or those of `names`, ready for requests.

    `otlp_endpoint` turns tracing on; `twins` is the module that runs a service with its twins; `settings` are further
    variables of every service's environment.
    """
    with (
        start_nats(directory / "nats") as nats,
        staged(nats, directory, otlp_endpoint=otlp_endpoint, twins=twins, settings=settings, names=names) as on,
    ):
        yield on


@contextmanager
def staged(
    nats: B,
    directory: Path,
    *,
    otlp_endpoint: str = "",
    twins: str = "benchmarks.twins",
    settings: Mapping[str, str] | None = None,
    names: Sequence[ServiceName] = SERVICES,
    replicas: int = 1,
) -> Iterator[Stage[B]]:
    """The same on a bus that runs already, with so many replicas of each service. With the twins of `benchmarks.twins`
    each replica has an outside world of its own, which is enough for creations."""
    with ExitStack() as stack:
        postgres = stack.enter_context(start_postgres(directory / "postgres"))
        ports = [free_port() for _ in range(replicas)]
        urls = tuple(f"http://127.0.0.1:{port}" for port in ports)
        on = Stage(nats, postgres, directory, urls, services := {})
        on.event_key_file.write_text(os.urandom(32).hex())
        for number, gateway_port in enumerate(ports, start=1):
            for name in names:
                health_port = free_port()
                environment = _environment(name, on, health_port) | {
                    "SLIPWAY_OTLP_ENDPOINT": otlp_endpoint,
                    "SLIPWAY_GATEWAY_PORT": str(gateway_port),
                    **(settings or {}),
                }
                module = [f"services.{name}"] if name in WITHOUT_TWINS else [twins, name]
                launch = Launch((sys.executable, "-m", *module), environment)
                key = name if number == 1 else f"{name}-{number}"
                services[key] = ServiceProcess(key, launch, f"http://127.0.0.1:{health_port}", directory)
                stack.callback(services[key].stop)
                services[key].begin()
            # One of each after the other: so many at once would keep each other from ever becoming ready.
            for service in services.values():
                service.wait_ready()
        yield on


def _environment(name: str, on: Stage[B], health_port: int) -> dict[str, str]:
    environment = {
        **QUICK,
        "SLIPWAY_LOG_LEVEL": "WARNING",
        "SLIPWAY_NATS_URL": on.nats.url,
        "SLIPWAY_NATS_NKEY_FILE": str(on.nats.nkey_file(name)),
        "SLIPWAY_EVENT_KEY_FILE": str(on.event_key_file),
        "SLIPWAY_HEALTH_PORT": str(health_port),
        "SLIPWAY_GATEWAY_ADMIN_TOKEN_FILE": str(on.admin_token_file),
        "SLIPWAY_GATEWAY_REQUESTS_PER_SECOND": "1000000",
        "SLIPWAY_GATEWAY_REQUESTS_AT_ONCE": "1000000",
    }
    if name in {"gateway", "catalog", "notifier"}:
        role = f"slipway_{name}"
        environment["SLIPWAY_DATABASE_URL"] = on.postgres.cluster.url(role, "slipway")
        environment["SLIPWAY_DATABASE_PASSWORD_FILE"] = str(on.postgres.password_file(role))
    return environment

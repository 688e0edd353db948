"""Three servers of the bus on one machine, for tests and benchmarks of what a cluster is for: streams of three replicas
that go on when a server dies.

The configurations, users and permissions are those of the platform's one server. Every server dies with the thread
that started it, so start a cluster in the main thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import streams as streams_job
from deploy.embedded import nats
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import answers, request_json
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.processes import Launch, binary, spawn
from deploy.embedded.testing_part import Part

SERVERS = 3
_READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class ClusterServer:
    """One server of the cluster."""

    part: Part
    url: str
    monitor_url: str

    @property
    def name(self) -> str:
        """What the others call it."""
        return self.part.name

    def is_current(self) -> bool:
        """Whether it runs, knows the cluster's leader, and has caught up with every stream and durable it holds."""
        return answers(f"{self.monitor_url}/healthz")

    def status(self) -> dict[str, Any]:
        """What it says of JetStream and its streams. Raises OSError where it does not run."""
        found: dict[str, Any] = request_json("GET", f"{self.monitor_url}/jsz?streams=true")
        return found


@dataclass(frozen=True)
class RunningCluster:
    """A bus of three servers with one nkey user a name; every stream and durable has three replicas."""

    servers: tuple[ClusterServer, ...]
    keys: Keys
    directory: Path

    @property
    def url(self) -> str:
        """Where clients connect: every server, separated by commas."""
        return ",".join(server.url for server in self.servers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the running servers."""
        return tuple(server.part.pid for server in self.servers)

    @property
    def access(self) -> streams_job.BusAccess:
        """What the provisioning job needs."""
        return streams_job.BusAccess(self.url, self.nkey_file("deploy"), self.nkey_file(nats.SYSTEM_USER), SERVERS)

    def nkey_file(self, user: str) -> Path:
        """The seed file of `user`. Raises KeyError where there is none."""
        path = self.keys.path(f"nats-{user}.nk")
        if not path.exists():
            raise KeyError(user)
        return path

    def leader(self, stream: str) -> ClusterServer | None:
        """The server that leads a stream at this moment, as those that run see it; None while there is none."""
        for server in self.servers:
            try:
                accounts = server.status()["account_details"]
            except (OSError, KeyError):
                continue
            for found in (one for account in accounts for one in account.get("stream_detail", ())):
                name = found.get("cluster", {}).get("leader")
                if found["name"] == stream and name:
                    return next(one for one in self.servers if one.name == name)
        return None

    def wait_current(self) -> None:
        """Return when every server is there and has caught up. Raises RuntimeError where that takes too long."""
        _wait(lambda: all(server.is_current() for server in self.servers), "the servers have not caught up")


@contextmanager
def start_nats_cluster(directory: Path) -> Iterator[RunningCluster]:
    """Three servers under `directory`, with the platform's users, streams and durables."""
    keys = Keys(directory / "keys")
    routes = [free_port() for _ in range(SERVERS)]
    with ExitStack() as stack:
        servers = []
        for number, route in enumerate(routes, start=1):
            others = tuple(port for port in routes if port != route)
            servers.append(_server(directory, keys, nats.Member(f"nats-{number}", route, others)))
        for server in servers:
            server.part.start()
            stack.callback(server.part.stop)
        cluster = RunningCluster(tuple(servers), keys, directory)
        cluster.wait_current()
        _provision(cluster)
        cluster.wait_current()
        yield cluster


def _server(directory: Path, keys: Keys, member: nats.Member) -> ClusterServer:
    port, monitor_port = free_port(), free_port()
    config = directory / f"{member.name}.conf"
    text = nats.configuration(
        keys,
        nats.topology_users(),
        port=port,
        monitor_port=monitor_port,
        store=directory / member.name,
        member=member,
    )
    write_file(config, text)
    monitor_url = f"http://{HOST}:{monitor_port}"
    launch = Launch((binary("nats-server"), "-c", str(config)))
    # It is healthy only among others, so `start` waits for no more than that it answers.
    part = Part(member.name, launch, directory, lambda: answers(f"{monitor_url}/varz"))
    return ClusterServer(part, f"nats://{HOST}:{port}", monitor_url)


def _provision(cluster: RunningCluster) -> None:
    """Run the provisioning job in a process of its own: the caller may be inside a running event loop."""
    access = cluster.access
    told = {
        "SLIPWAY_NATS_URL": access.url,
        "SLIPWAY_NATS_NKEY_FILE": str(access.deploy_nkey_file),
        "SLIPWAY_NATS_SYS_NKEY_FILE": str(access.system_nkey_file),
        "SLIPWAY_NATS_REPLICAS": str(access.replicas),
    }
    log = cluster.directory / "streams.log"
    job = Launch((binary("python"), "-m", "deploy.streams"), told)
    if spawn(job, cluster.directory / "streams.launch.json", log).wait(_READY_SECONDS) != 0:
        raise RuntimeError(log.read_text())


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} within {_READY_SECONDS:g} s")
        time.sleep(_PAUSE_SECONDS)

"""Where things are when every part has a container: names, ports, directories. The rest is the embedded platform's.

Invariant: an address that people see and an address that a container uses are the same text. Names below
`platform.localhost` lead to this machine in a browser (RFC 6761), where the port is published, and to the container
itself inside, where they are its aliases. What dials by libcurl (git, curl) takes every such name for its own
loopback, so it is told a plain name instead.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from deploy.embedded import openbao, postgres
from deploy.embedded.caddy import Ingress
from deploy.embedded.home import Home
from deploy.embedded.parts import Setup
from deploy.embedded.ports import DEFAULT_BASE, Ports

ROOT = Path("/srv/slipway")
"""The home within every container. `keys/` is a volume of its own in each: it holds what that container may know."""
SHARES = ROOT / "shares"
"""In the jobs only: the volumes that the others see as `keys/`, by the name of the container."""
SOCKETS = ROOT / "sockets"
DOMAIN = "platform.localhost"
EVERYWHERE = "0.0.0.0"
SUBNET_VARIABLE = "SLIPWAY_SUBNET"
"""The addresses of the inner network, from which the platform's services log in to OpenBao."""
FORGE_FOR_GIT = "http://forge:8018"
GATEWAY_FOR_CURL = "http://gateway:8000"

_INNER = ("nats", "nats-monitor", "postgres", "openbao", "dns", "runtime")
"""Whom no browser asks: they have their plain names."""
HOSTS = MappingProxyType({name: name.removesuffix("-monitor") for name in _INNER})


@dataclass(frozen=True)
class ContainerPorts(Ports):
    """The embedded platform's own numbers, each on the container that serves it."""

    def host(self, name: str) -> str:
        """The name of the container that serves `name`."""
        return HOSTS.get(name, f"{name}.{DOMAIN}")

    def url(self, name: str) -> str:
        """The HTTP address of the server called `name`."""
        return f"http://{self.host(name)}:{self[name]}"


@dataclass(frozen=True)
class Containers(Setup):
    """What every part is built from, for containers."""

    subnet: str

    @classmethod
    def from_environment(cls, root: Path = ROOT) -> Containers:
        """The platform of `docker-compose.yml`. Raises KeyError where the environment lacks the subnet."""
        return cls(Home(root), ContainerPorts(DEFAULT_BASE), os.environ[SUBNET_VARIABLE])

    @property
    def cluster(self) -> postgres.Cluster:
        """The database server."""
        return postgres.Cluster(
            self.home.data / "postgres", self.ports["postgres"], self.keys, self.home.etc, host=HOSTS["postgres"]
        )

    @property
    def vault(self) -> openbao.Vault:
        """The secret store. Its configuration lies among its keys: one volume a container."""
        return openbao.Vault(
            self.ports["openbao"],
            self.cluster,
            self.keys,
            self.keys.directory,
            self.home.log,
            self.addresses,
            host=HOSTS["openbao"],
            listens_on=EVERYWHERE,
            clients=(self.subnet,),
        )

    @property
    def ingress(self) -> Ingress:
        """The way in to environments."""
        return Ingress(
            port=self.ports["ingress"],
            health_port=self.ports["caddy-health"],
            portal_url=self.ports.url("gateway"),
            admin_socket=SOCKETS / "caddy.sock",
            etc=self.home.etc,
            data=self.home.data / "caddy",
            host=EVERYWHERE,
        )

    @property
    def nats_url(self) -> str:
        """Where clients of the bus connect."""
        return f"nats://{HOSTS['nats']}:{self.ports['nats']}"

"""The ports of a platform, all counted from one base so that two platforms fit side by side.

Invariant: no port of a long-lived server is 32768 or above. The kernel hands those out as source
ports (`ip_local_port_range`), and a server that needs one then fails by chance.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from deploy.embedded.errors import PlatformError

BASE_VARIABLE = "SLIPWAY_PORT_BASE"
FREE_VARIABLE = "SLIPWAY_FREE_PORTS"
"""Which ports `free_port` and `free_base` choose from, first and last, such as `10000-17999`. Between the choice and
the server's start a port belongs to nobody: of several processes that choose at once, each needs ports of its own."""
DEFAULT_BASE = 8000
EPHEMERAL_START = 32768
HOST = "127.0.0.1"
ZONE = "slipway.localhost"  # resolved to this machine by every browser and by curl (RFC 6761)

# Offsets from the base. Services reach each other only through the bus; the rest is health.
OFFSETS = {
    "gateway": 0,
    "catalog": 1,
    "provisioner": 2,
    "secrets": 3,
    "cicd": 4,
    "notifier": 5,
    "gateway-health": 6,
    "nats": 10,
    "nats-monitor": 11,
    "postgres": 12,
    "openbao": 13,
    "ingress": 15,
    "caddy-health": 16,
    "dns": 17,
    "forge": 18,
    "inbox": 19,
    "traces": 20,
    "runtime": 21,
    "people": 22,
}


@dataclass(frozen=True)
class Ports:
    """Every port of the platform whose first port is `base`."""

    base: int

    @classmethod
    def parse(cls, text: str) -> Ports:
        """The ports counted from `text`, or an error that says which numbers will do."""
        highest = EPHEMERAL_START - 1 - max(OFFSETS.values())
        if not (text.isascii() and text.isdigit() and 1024 <= int(text) <= highest):
            raise PlatformError(
                f"{BASE_VARIABLE}={text!r} will not do: the base must be a number from 1024 to {highest}",
                remedy=f"ports from {EPHEMERAL_START} belong to outgoing connections; "
                f"try {BASE_VARIABLE}={DEFAULT_BASE + 1000}",
            )
        return cls(int(text))

    @classmethod
    def from_environment(cls, *, recorded: int | None = None) -> Ports:
        """SLIPWAY_PORT_BASE if set, else the base `recorded` at the last start, else 8000."""
        return cls.parse(os.environ.get(BASE_VARIABLE) or str(recorded or DEFAULT_BASE))

    def __getitem__(self, name: str) -> int:
        return self.base + OFFSETS[name]

    def url(self, name: str) -> str:
        """The HTTP address of the server called `name`."""
        return f"http://{HOST}:{self[name]}"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    return all(_can_bind(port, kind) for kind in kinds)


def _can_bind(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Who listens on `port`, as far as this user may see, such as "python3 (pid 123)"."""
    try:
        connections = psutil.net_connections(kind="inet4")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.pid and not connection.raddr:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return "another user's process"


def require_free(ports: Mapping[str, int]) -> None:
    """Refuse to start when one of the named `ports` is taken, saying by whom and the way out."""
    taken = {name: port for name, port in ports.items() if not is_free(port)}
    if taken:
        raise PlatformError(
            "; ".join(f"port {port} ({name}) is held by {holder(port)}" for name, port in taken.items()),
            remedy=f"stop it, or put the platform elsewhere: {BASE_VARIABLE}={suggested_base()} make up",
        )


def suggested_base() -> int:
    """A base at which every port is free now."""
    for base in range(DEFAULT_BASE + 1000, EPHEMERAL_START - 100, 100):
        if all(is_free(base + offset) for offset in OFFSETS.values()):
            return base
    return DEFAULT_BASE + 1000


def free_base() -> int:
    """A base chosen at random at which every port is free now. For tests, which run beside each other."""
    first, last = _to_choose_from()
    generator = random.SystemRandom()
    while True:
        base = generator.randrange(first, last - 99)
        ports = [base + offset for offset in OFFSETS.values()]
        if not set(ports) & set(_CHOSEN) and all(is_free(port) for port in ports):
            _CHOSEN.extend(ports)
            return base


def free_port() -> int:
    """A port free now, below the ephemeral range, that this process has not just chosen. For tests and single servers.
    Raises PlatformError where there is none."""
    first, last = _to_choose_from()
    generator = random.SystemRandom()
    for _ in range(1000):
        port = generator.randint(first, last)
        if port not in _CHOSEN and is_free(port):
            _CHOSEN.append(port)
            return port
    raise PlatformError(f"no free port between {first} and {last}")


_CHOSEN: deque[int] = deque(maxlen=500)
"""What this process chose last: whoever got it may not listen yet."""


def _to_choose_from() -> tuple[int, int]:
    first, _, last = os.environ.get(FREE_VARIABLE, f"10000-{EPHEMERAL_START - 1}").partition("-")
    return int(first), int(last)

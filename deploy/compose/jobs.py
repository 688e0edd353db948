"""The jobs that run once, at every `docker compose up`, between one part's start and the next.

Invariant: each may be run at any time and any number of times; what exists stays as it is. They do what `make up` does
for the embedded platform, with the same code.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import dns.exception
import dns.message
import dns.query
import dns.rcode

from deploy import migrations, streams
from deploy.compose import bind, shares
from deploy.compose.places import EVERYWHERE, HOSTS, SHARES, Containers
from deploy.embedded import nats, postgres
from deploy.embedded.errors import PlatformError
from deploy.embedded.forge_access import ensure_hook, ensure_repositories, webhook_secret_file
from deploy.embedded.home import write_file
from deploy.embedded.keys import new_password
from deploy.embedded.parts import runtime_token_file, runtime_webhook_file
from deploy.embedded.platform import make_keys
from deploy.embedded.ports import ZONE

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.2


def prepare(setup: Containers) -> list[str]:
    """Make every key and configuration, and give each container its own. Answers what changed, for a person."""
    keys = setup.keys
    make_keys(keys)
    keys.ensure("grafana-admin.password", new_password)
    for user in (*nats.USERS, nats.SYSTEM_USER):
        nats.seed_file(keys, user)
    for role in (postgres.SUPERUSER, *postgres.ROLES):
        postgres.password_file(keys, role)
    _ = webhook_secret_file(keys), runtime_token_file(keys), runtime_webhook_file(keys)
    _ = setup.vault.runtime_login.role_id_file, setup.vault.runtime_login.secret_id_file
    _configure(setup)
    return shares.share(keys, SHARES)


def _configure(setup: Containers) -> None:
    keys, ports = setup.keys, setup.ports
    text = nats.configuration(
        keys,
        nats.topology_users(),
        port=ports["nats"],
        monitor_port=ports["nats-monitor"],
        store=setup.home.data / "nats",
        host=EVERYWHERE,
    )
    write_file(keys.path(shares.NATS_CONFIGURATION), text)
    setup.vault.configure()
    zone_data = setup.home.data / "dns"
    write_file(
        keys.path(shares.NAMED_CONFIGURATION), bind.configuration(keys, port=ports["dns"], zone=ZONE, data=zone_data)
    )
    bind.ensure_zone(ZONE, zone_data)


def database(setup: Containers) -> list[str]:
    """What must exist in Postgres before OpenBao and the services start. Raises psycopg.Error and MigrationError."""
    postgres.provision(setup.cluster)
    setup.vault.prepare_storage()
    return [
        line
        for service in migrations.SERVICES
        for line in migrations.bring_up(service, setup.cluster.settings(service))
    ]


def provision(setup: Containers) -> list[str]:
    """Streams and durables, what OpenBao must know, repositories, and what the gateway gets from OpenBao. Raises
    PlatformError, StreamsError, HttpError and OSError."""
    changed = asyncio.run(streams.provision(setup.bus_access))
    setup.vault.finish()
    forge_url = setup.ports.url("forge")
    ensure_repositories(forge_url, setup.keys)
    ensure_hook(forge_url, setup.keys, setup.ports.url("gateway"))
    _wait("the DNS server does not answer for its zone", lambda: _answers_for_its_zone(setup))
    return [*changed, *shares.share(setup.keys, SHARES)]


def _wait(problem: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise PlatformError(problem, remedy="read its log: docker compose logs dns")
        time.sleep(_POLL_SECONDS)


def _answers_for_its_zone(setup: Containers) -> bool:
    question = dns.message.make_query(ZONE, "SOA")
    try:
        address = socket.gethostbyname(HOSTS["dns"])
        answer = dns.query.udp(question, address, port=setup.ports["dns"], timeout=1)
    except (OSError, dns.exception.DNSException):
        return False
    return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)

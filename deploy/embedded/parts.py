"""What the platform is made of: one table of parts, in the order that people read them.

Invariant: this table is the only place that knows which part needs which, where each answers, and what
each process is told. `up` follows it and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from contracts.readers import ReaderList
from deploy import streams
from deploy.embedded import nats, openbao, openbao_identity, postgres, readers
from deploy.embedded.caddy import Ingress
from deploy.embedded.errors import PlatformError
from deploy.embedded.forge_access import ensure_hook, ensure_repositories
from deploy.embedded.home import Home, write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import answers
from deploy.embedded.ports import HOST, ZONE, Ports
from deploy.embedded.processes import Launch, binary, python_module
from deploy.embedded.supervision import Supervisor


@dataclass(frozen=True)
class Part:
    """One supervised process: what it is, what it needs first, how to see that it is ready.

    `launch` says how to start it, and may make keys that it names; `prepare` runs before its start and only
    when it does not run; `finish` runs after it is ready at every `up`. All are safe to repeat.
    """

    name: str
    launch: Callable[[], Launch]
    is_ready: Callable[[], bool]
    ports: Mapping[str, int]
    needs: tuple[str, ...] = ()
    prepare: Callable[[], None] | None = None
    finish: Callable[[], None] | None = None
    start_seconds: float = 60.0
    address: str = ""
    """Where a person finds it, if there is anything to see."""
    is_service: bool = field(default=False)


@dataclass(frozen=True)
class Setup:
    """What every part is built from."""

    home: Home
    ports: Ports

    @property
    def keys(self) -> Keys:
        """The platform's secrets."""
        return Keys(self.home.keys)

    @property
    def cluster(self) -> postgres.Cluster:
        """The database server."""
        return postgres.Cluster(
            self.home.data / "postgres", self.ports["postgres"], self.keys, self.home.etc / "launch"
        )

    @property
    def vault(self) -> openbao.Vault:
        """The secret store."""
        return openbao.Vault(
            self.ports["openbao"], self.cluster, self.keys, self.home.etc, self.home.log, self.addresses
        )

    @property
    def addresses(self) -> openbao_identity.Addresses:
        """Where people sign in, and where they come back to."""
        return openbao_identity.Addresses(self.ports.url("people"), self.ports.url("gateway"))

    @property
    def ingress(self) -> Ingress:
        """The way in to environments."""
        return Ingress(
            port=self.ports["ingress"],
            health_port=self.ports["caddy-health"],
            portal_url=self.ports.url("gateway"),
            admin_socket=self.home.socket("caddy.sock"),
            etc=self.home.etc,
            data=self.home.data / "caddy",
        )

    @property
    def nats_url(self) -> str:
        """Where clients of the bus connect."""
        return f"nats://{HOST}:{self.ports['nats']}"

    @property
    def readers(self) -> readers.ReadersFile:
        """Which programs read which team's events."""
        return readers.ReadersFile(self.home.data / "readers.json")

    @property
    def bus_access(self) -> streams.BusAccess:
        """For the provisioning job."""
        return streams.BusAccess(
            self.nats_url, nats.seed_file(self.keys, "deploy"), nats.seed_file(self.keys, nats.SYSTEM_USER)
        )


def infrastructure(setup: Setup) -> tuple[Part, ...]:
    """The parts that are not Slipway's own services."""
    return (
        _bus(setup),
        _database(setup),
        _secret_store(setup),
        _ingress(setup),
        _dns(setup),
        _forge(setup),
        _stand_in(setup, "inbox", {"SLIPWAY_INBOX_TOKEN_FILE": str(setup.keys.path("inbox.token"))}),
        _stand_in(setup, "traces", {}),
        _people(setup),
        _runtime(setup),
    )


def _bus(setup: Setup) -> Part:
    config = setup.home.etc / "nats.conf"
    monitor = setup.ports["nats-monitor"]

    def configuration(who: ReaderList) -> str:
        return nats.configuration(
            setup.keys,
            nats.topology_users(),
            port=setup.ports["nats"],
            monitor_port=monitor,
            store=setup.home.data / "nats",
            readers=who.readers,
        )

    def launch() -> Launch:
        write_file(config, configuration(setup.readers.load()))
        # A newer topology gives other permissions: named here, a changed configuration restarts the server. Readers
        # come and go without.
        digest = hashlib.sha256(configuration(ReaderList()).encode()).hexdigest()
        return Launch((binary("nats-server"), "-c", str(config)), {"SLIPWAY_CONFIGURATION_SHA256": digest})

    def finish() -> None:
        readers.take_up(config, f"http://{HOST}:{monitor}", lambda: Supervisor(setup.home).states()["nats"].pid)
        try:
            asyncio.run(streams.provision(setup.bus_access))
        except streams.StreamsError as error:
            raise PlatformError(f"the streams could not be made: {error}") from error
        readers.provide(setup.bus_access, setup.readers.load())

    return Part(
        "nats",
        launch,
        lambda: answers(f"http://{HOST}:{monitor}/healthz"),
        {"nats": setup.ports["nats"], "nats-monitor": monitor},
        finish=finish,
    )


def _database(setup: Setup) -> Part:
    cluster = setup.cluster
    return Part(
        "postgres",
        cluster.launch,
        lambda: postgres.is_ready(cluster),
        {"postgres": cluster.port},
        prepare=cluster.initialise,
        finish=lambda: postgres.provision(cluster),
    )


def _secret_store(setup: Setup) -> Part:
    vault = setup.vault

    def prepare() -> None:
        vault.configure()
        vault.prepare_storage()

    return Part(
        "openbao",
        vault.launch,
        vault.is_ready,
        {"openbao": vault.port},
        needs=("postgres",),
        prepare=prepare,
        finish=vault.finish,
    )


def _ingress(setup: Setup) -> Part:
    ingress = setup.ingress
    return Part(
        "caddy",
        ingress.launch,
        lambda: answers(ingress.health_url),
        {"ingress": ingress.port, "caddy-health": ingress.health_port},
        prepare=ingress.configure,
    )


def _dns(setup: Setup) -> Part:
    port = setup.ports["dns"]
    environment = {
        "SLIPWAY_DNS_PORT": str(port),
        "SLIPWAY_DNS_ZONE": ZONE,
        "SLIPWAY_DNS_TSIG_FILE": str(setup.keys.path("dns-tsig.key")),
        "SLIPWAY_DNS_DATA": str(setup.home.data / "dns"),
    }
    return Part(
        "dns",
        lambda: python_module("deploy.embedded.dns", environment),
        lambda: _answers_soa(port),
        {"dns": port},
    )


def _answers_soa(port: int) -> bool:
    try:
        answer = dns.query.udp(dns.message.make_query(ZONE, "SOA"), HOST, port=port, timeout=1)
    except (OSError, dns.exception.DNSException):
        return False
    return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)


def _forge(setup: Setup) -> Part:
    environment = {
        "SLIPWAY_FORGE_TOKENS_FILE": str(setup.keys.path("forge-tokens.json")),
        # Workflows run on this machine, and what is in here is none of their business.
        "SLIPWAY_FORGE_ACTIONS_HIDDEN": os.pathsep.join((str(setup.home.root), str(setup.home.sockets))),
        "SLIPWAY_OTLP_ENDPOINT": setup.ports.url("traces"),
    }
    part = _stand_in(setup, "forge", environment)
    url, gateway_url = setup.ports.url("forge"), setup.ports.url("gateway")

    def finish() -> None:
        ensure_repositories(url, setup.keys)
        ensure_hook(url, setup.keys, gateway_url)

    return replace(part, finish=finish)


def _people(setup: Setup) -> Part:
    """The page where people sign in: OpenBao's own front for browsers, which the wheel does not bring."""
    more = {
        "SLIPWAY_PEOPLE_OPENBAO_URL": setup.vault.url,
        "SLIPWAY_PEOPLE_PORTAL_URL": setup.addresses.portal_url,
        "SLIPWAY_PEOPLE_PASSWORDS_FILE": str(openbao_identity.people_file(setup.keys)),
    }
    return replace(_stand_in(setup, "people", more), needs=("openbao",), address="")


def _runtime(setup: Setup) -> Part:
    """Where environments' applications run; it ends before what they stand on."""
    part = _stand_in(setup, "runtime", {})

    def launch() -> Launch:
        login = setup.vault.runtime_login
        told = {
            "PORT": setup.ports["runtime"],
            "DATA": setup.home.data / "runtime",
            "POINTERS": setup.home.sockets / "live",
            "TOKEN_FILE": runtime_token_file(setup.keys),
            "CADDY_SOCKET": setup.ingress.admin_socket,
            "OPENBAO_URL": setup.vault.url,
            "ROLE_ID_FILE": login.role_id_file,
            "SECRET_ID_FILE": login.secret_id_file,
            "DATABASE_PORT": setup.ports["postgres"],
            "DATABASE_NAME": postgres.APPS_DATABASE,
            "URL_TEMPLATE": f"http://{{name}}.{ZONE}:{setup.ports['ingress']}",
            "GATEWAY_URL": setup.ports.url("gateway"),
            "WEBHOOK_SECRET_FILE": runtime_webhook_file(setup.keys),
        }
        environment = {f"SLIPWAY_RUNTIME_{key}": str(value) for key, value in told.items()}
        return python_module("deploy.embedded.runtime", environment)

    return replace(part, launch=launch, needs=("openbao", "caddy", "postgres"), address="")


def runtime_token_file(keys: Keys) -> Path:
    """Holds what the gateway shows to the runtime."""
    return keys.ensure("runtime.token")


def runtime_webhook_file(keys: Keys) -> Path:
    """Holds the secret with which the runtime signs what it tells the gateway."""
    return keys.ensure("runtime-webhook.secret")


def _stand_in(setup: Setup, name: str, more: Mapping[str, str]) -> Part:
    """One of the servers that play an outside service: they answer /readyz on their own port."""
    port = setup.ports[name]
    url = setup.ports.url(name)
    prefix = f"SLIPWAY_{name.upper()}_"
    data: Path = setup.home.data / name
    environment = {f"{prefix}PORT": str(port), f"{prefix}URL": url, f"{prefix}DATA": str(data), **more}
    return Part(
        name,
        lambda: python_module(f"deploy.embedded.{name}", environment),
        lambda: answers(f"{url}/readyz"),
        {name: port},
        address=url,
    )

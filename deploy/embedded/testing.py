"""Single real parts of the platform on free ports, for tests: the bus, OpenBao, the provider, the ingress.

Each `start_*` is a context manager that yields where the part is and how to log in, and leaves nothing
behind. The programs, configurations and permissions are those of the platform itself. Every part dies with
the thread that started it, so start parts in the main thread (an ordinary fixture does).
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.readers import Reader
from contracts.topology import Permissions
from deploy import streams as streams_job
from deploy.embedded import caddy, nats, openbao, openbao_identity
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import answers
from deploy.embedded.openbao_identity import Addresses
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.processes import Launch, binary, python_module
from deploy.embedded.readers import take_up
from deploy.embedded.testing_part import READY_SECONDS, Part, started
from deploy.embedded.testing_postgres import RunningPostgres


@dataclass(frozen=True)
class RunningNats:
    """A bus with `sync_interval: always` and one nkey user a name."""

    part: Part
    url: str
    monitor_url: str
    keys: Keys
    store: Path
    set_readers: Callable[[Iterable[Reader]], bool]
    """Make these the readers, while it runs; answers whether they were others. Their durables are another matter."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the running servers: one."""
        return (self.part.pid,)

    def nkey_file(self, user: str) -> Path:
        """The seed file of `user`; the users are those of `permissions`, and `sys`."""
        path = self.keys.path(f"nats-{user}.nk")
        if not path.exists():
            raise KeyError(user)
        return path

    @property
    def access(self) -> streams_job.BusAccess:
        """What the provisioning job needs."""
        return streams_job.BusAccess(self.url, self.nkey_file("deploy"), self.nkey_file(nats.SYSTEM_USER))

    def provision_streams(self) -> list[str]:
        """Run the provisioning job; for tests without a running event loop."""
        return asyncio.run(streams_job.provision(self.access))


@contextmanager
def start_nats(
    directory: Path, permissions: Mapping[str, Permissions] | None = None, *, streams: bool = True
) -> Iterator[RunningNats]:
    """A nats-server under `directory`.

    `permissions` are the users (name to what it may do); None means exactly the platform's (the six
    services, `deploy`, `client`). With `streams` the topology's streams and durables are there.
    """
    users = dict(nats.topology_users() if permissions is None else permissions)
    if streams:
        users.setdefault("deploy", nats.topology_users()["deploy"])
    keys, store = Keys(directory / "keys"), directory / "nats"
    port, monitor_port = free_port(), free_port()
    config = directory / "nats.conf"

    def configure(readers: Iterable[Reader]) -> None:
        text = nats.configuration(keys, users, port=port, monitor_port=monitor_port, store=store, readers=readers)
        write_file(config, text)

    def set_readers(readers: Iterable[Reader]) -> bool:
        configure(readers)
        return take_up(config, monitor_url, lambda: part.pid)

    configure(())
    monitor_url = f"http://{HOST}:{monitor_port}"
    launch = Launch((binary("nats-server"), "-c", str(config)))
    part = Part("nats", launch, directory, lambda: answers(f"{monitor_url}/healthz"))
    with started(part):
        running = RunningNats(part, f"nats://{HOST}:{port}", monitor_url, keys, store, set_readers)
        if streams:
            # In a thread of its own: the caller may be inside a running event loop.
            with ThreadPoolExecutor(max_workers=1) as elsewhere:
                elsewhere.submit(running.provision_streams).result(READY_SECONDS)
        yield running


@dataclass(frozen=True)
class RunningOpenBao:
    """An initialised OpenBao: the secrets service's AppRole, the person `admin`, and no root token."""

    part: Part
    vault: openbao.Vault

    @property
    def url(self) -> str:
        """The address of its API."""
        return self.vault.url

    @property
    def role_id_file(self) -> Path:
        """AppRole of the secrets service: role id."""
        return self.vault.role_id_file

    @property
    def secret_id_file(self) -> Path:
        """AppRole of the secrets service: secret id."""
        return self.vault.secret_id_file

    @property
    def admin_password_file(self) -> Path:
        """Password of the userpass user `admin`."""
        return self.vault.admin_password_file


@contextmanager
def start_openbao(
    directory: Path, database: RunningPostgres, addresses: Addresses | None = None
) -> Iterator[RunningOpenBao]:
    """An OpenBao under `directory` with its storage in `database`, configured like the platform's.

    `addresses`: where its people sign in and come back to; None where nobody does."""
    log = directory / "log"
    log.mkdir(parents=True, exist_ok=True)
    addresses = addresses or Addresses(f"http://{HOST}:{free_port()}", f"http://{HOST}:{free_port()}")
    vault = openbao.Vault(free_port(), database.cluster, database.cluster.keys, directory, log, addresses)
    vault.configure()
    vault.prepare_storage()
    part = Part("openbao", vault.launch(), directory, vault.is_ready)
    with started(part):
        vault.finish()
        yield RunningOpenBao(part, vault)


@dataclass(frozen=True)
class RunningProvider:
    """OpenBao as an OpenID provider, with the page where its people sign in."""

    part: Part
    bao: RunningOpenBao
    addresses: Addresses

    @property
    def issuer(self) -> str:
        """The provider's name."""
        return self.addresses.issuer

    @property
    def client_id_file(self) -> Path:
        """Who the gateway is for it."""
        return openbao_identity.client_id_file(self.bao.vault.keys)

    @property
    def client_secret_file(self) -> Path:
        """How it shows that."""
        return openbao_identity.client_secret_file(self.bao.vault.keys)

    def password(self, person: str) -> str:
        """The first password of one of `openbao_identity.PEOPLE`."""
        lines = openbao_identity.people_file(self.bao.vault.keys).read_text().splitlines()
        return next(line.split()[1] for line in lines if line.split()[0] == person)


@contextmanager
def start_provider(directory: Path, database: RunningPostgres, portal_url: str) -> Iterator[RunningProvider]:
    """An OpenBao under `directory` that vouches for people, and its page. They come back to `portal_url`."""
    port = free_port()
    addresses = Addresses(f"http://{HOST}:{port}", portal_url)
    with start_openbao(directory / "openbao", database, addresses) as bao:
        told = {
            "SLIPWAY_PEOPLE_PORT": str(port),
            "SLIPWAY_PEOPLE_OPENBAO_URL": bao.url,
            "SLIPWAY_PEOPLE_PORTAL_URL": portal_url,
            "SLIPWAY_PEOPLE_PASSWORDS_FILE": str(openbao_identity.people_file(bao.vault.keys)),
        }
        launch = python_module("deploy.embedded.people", told)
        part = Part("people", launch, directory, lambda: answers(f"http://{HOST}:{port}/readyz"))
        with started(part):
            yield RunningProvider(part, bao, addresses)


@dataclass(frozen=True)
class RunningCaddy:
    """An ingress without any environment."""

    part: Part
    ingress: caddy.Ingress

    @property
    def url(self) -> str:
        """Where it serves; send the environment's host name in `Host`."""
        return self.ingress.url

    @property
    def port(self) -> int:
        """The port of `url`."""
        return self.ingress.port

    @property
    def admin_socket(self) -> Path:
        """The unix socket of its admin API."""
        return self.ingress.admin_socket


@contextmanager
def start_caddy(directory: Path) -> Iterator[RunningCaddy]:
    """A Caddy under `directory` with the server `slipway` and its last route, the 404 page."""
    directory.mkdir(parents=True, exist_ok=True)
    with _socket_directory() as sockets:
        ingress = caddy.Ingress(
            free_port(), free_port(), f"http://{HOST}", sockets / "caddy.sock", directory, directory / "caddy"
        )
        # Its routes are taken up again at each start, as `up` does.
        part = Part("caddy", ingress.launch(), directory, lambda: answers(ingress.health_url), ingress.configure)
        with started(part):
            yield RunningCaddy(part, ingress)


@contextmanager
def _socket_directory() -> Iterator[Path]:
    """A short private directory: test directories are often too long for a socket's path."""
    path = Path(tempfile.mkdtemp(prefix="slipway-test-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)

"""Single real parts of the platform on free ports, for tests: the bus, the database, OpenBao, the ingress.

Each `start_*` is a context manager that yields where the part is and how to log in, and leaves nothing
behind. The programs, configurations and permissions are those of the platform itself. Every part dies with
the thread that started it, so start parts in the main thread (an ordinary fixture does).
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from psycopg import sql

from contracts.readers import Reader
from contracts.topology import Permissions
from deploy import migrations
from deploy import streams as streams_job
from deploy.embedded import caddy, nats, openbao, openbao_identity, postgres
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import answers
from deploy.embedded.openbao_identity import Addresses
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.processes import Launch, binary, python_module, spawn
from deploy.embedded.readers import take_up

_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0


@dataclass
class Part:
    """One running program that can be killed and started again in place."""

    name: str
    launch: Launch
    directory: Path
    is_ready: Callable[[], bool]
    before_start: Callable[[], None] | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What the program printed."""
        return self.directory / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The pid of the running program. Raises RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers. Raises RuntimeError with the log's end when it does not."""
        if self.before_start:
            self.before_start()
        self._process = spawn(self.launch, self.directory / f"{self.name}.launch.json", self.log)
        deadline = time.monotonic() + _READY_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not become ready:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self, how: signal.Signals | None = None) -> None:
        """End it in order, or by another signal; kill it if that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(how or self.launch.death_signal)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP), as a machine under load would."""
        self._require().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._require().send_signal(signal.SIGCONT)

    def _require(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self._process

    def restart(self) -> None:
        """Stop if it runs, then start with the same data and port."""
        self.stop()
        self.start()


@contextmanager
def _running(part: Part) -> Iterator[None]:
    part.start()
    try:
        yield
    finally:
        part.stop()


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
    with _running(part):
        running = RunningNats(part, f"nats://{HOST}:{port}", monitor_url, keys, store, set_readers)
        if streams:
            # In a thread of its own: the caller may be inside a running event loop.
            with ThreadPoolExecutor(max_workers=1) as elsewhere:
                elsewhere.submit(running.provision_streams).result(_READY_SECONDS)
        yield running


@dataclass(frozen=True)
class RunningPostgres:
    """A Postgres with the platform's databases, roles and schemas."""

    part: Part
    cluster: postgres.Cluster
    _rows_as_new: dict[str, dict[str, list[bytes]]] = field(default_factory=dict, init=False, repr=False)
    """Of services whose schema was made anew: which rows each of its tables has then, as COPY writes them."""

    @property
    def port(self) -> int:
        """Its TCP port on 127.0.0.1."""
        return self.cluster.port

    def password_file(self, role: str) -> Path:
        """The file with the password of `role` (see `postgres.ROLES`, and `postgres` for the superuser)."""
        return postgres.password_file(self.cluster.keys, role)

    def password(self, role: str) -> str:
        """The password of `role`."""
        return self.password_file(role).read_text().strip()

    def url(self, role: str = postgres.SUPERUSER, database: str = postgres.SERVICES_DATABASE) -> str:
        """A complete URI, password included: for tests only."""
        return self.cluster.url(role, database).replace("@", f":{self.password(role)}@", 1)

    def connect(self, role: str = postgres.SUPERUSER, database: str = postgres.SERVICES_DATABASE) -> psycopg.Connection:
        """An autocommit connection."""
        return self.cluster.connect(role, database)

    def make_anew(self, service: str) -> None:
        """Drop a service's schema with all that is in it, and make it as it is today."""
        self.make_empty(service)
        migrations.bring_up(service, self.cluster.settings(service))

    def make_bare(self, service: str) -> None:
        """Take out of a service's schema what was put in since it was made. The first time it is made anew; after that
        this takes a tenth of the time, for tests that change no table itself."""
        if (rows := self._rows_as_new.get(service)) is not None:
            with self.connect() as connection, connection.transaction():
                connection.execute("SET LOCAL session_replication_role = replica")  # no trigger refuses it
                tables = sql.SQL(", ").join(sql.Identifier(service, name) for name in rows)
                connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
                for name, kept in rows.items():
                    with connection.cursor().copy(_copy("COPY {} FROM STDIN", service, name)) as copy:
                        for row in kept:
                            copy.write(row)
            return
        self.make_anew(service)
        with self.connect() as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [service]).fetchall()
            found: dict[str, list[bytes]] = {}
            for (name,) in names:
                with connection.cursor().copy(_copy("COPY {} TO STDOUT", service, name)) as copy:
                    found[name] = [bytes(row) for row in copy]
            self._rows_as_new[service] = found

    def make_empty(self, service: str) -> None:
        """Drop a service's schema with all that is in it."""
        with self.connect() as connection:
            connection.execute(f"DROP SCHEMA {service} CASCADE".encode())
            connection.execute(f"CREATE SCHEMA {service} AUTHORIZATION slipway_{service}".encode())


def _copy(statement: LiteralString, service: str, table: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(service, table))


@contextmanager
def start_postgres(directory: Path) -> Iterator[RunningPostgres]:
    """A Postgres under `directory`, provisioned like the platform's. Those of one process have the same passwords."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = postgres.Cluster(directory / "postgres", free_port(), Keys(directory / "keys"), directory)
    if not cluster.data.exists():
        _copy_new_postgres(cluster)
    cluster.initialise()
    part = Part("postgres", cluster.launch(), directory, lambda: postgres.is_ready(cluster))
    part.start()
    try:
        yield RunningPostgres(part, cluster)
    finally:
        part.stop(signal.SIGQUIT)  # at once: nobody reads its data any more


def _copy_new_postgres(cluster: postgres.Cluster) -> None:
    """A database server as new, with its passwords. To make one takes seconds, to copy one does not."""
    made = _new_postgres()
    shutil.copytree(made / "keys", cluster.keys.directory, dirs_exist_ok=True)
    shutil.copytree(made / "postgres", cluster.data)


@functools.cache
def _new_postgres() -> Path:
    """Where a database server lies that was provisioned like the platform's and stopped; it goes with this process."""
    for left in Path(tempfile.gettempdir()).glob("slipway-postgres-*-*"):
        owner = left.name.split("-")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):  # that process was killed
            shutil.rmtree(left, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f"slipway-postgres-{os.getpid()}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    cluster = postgres.Cluster(directory / "postgres", free_port(), Keys(directory / "keys"), directory)
    cluster.initialise()
    with _running(Part("postgres", cluster.launch(), directory, lambda: postgres.is_ready(cluster))):
        postgres.provision(cluster)
        for service in migrations.SERVICES:
            migrations.bring_up(service, cluster.settings(service))
    return directory


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
    with _running(part):
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
        with _running(part):
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
        with _running(part):
            yield RunningCaddy(part, ingress)


@contextmanager
def _socket_directory() -> Iterator[Path]:
    """A short private directory: test directories are often too long for a socket's path."""
    path = Path(tempfile.mkdtemp(prefix="slipway-test-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path)

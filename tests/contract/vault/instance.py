"""A database server that one environment has to itself, as RDS would make one: behind TLS, with a first user that is no
superuser and whose password Secrets Manager keeps."""

from __future__ import annotations

import ipaddress
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg import sql

from contracts.values import Database
from deploy.embedded import postgres
from deploy.embedded.keys import Keys
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.testing_part import Part
from services.secrets.domain import ENGINE_USER
from tests.moto import Moto, moto_server
from tests.unit.secrets.events import a_database

FIRST_USER: Final = "slipway"
_TLS_ASKED_FOR: Final = (8).to_bytes(4) + (80877103).to_bytes(4)
"""PostgreSQL's SSLRequest."""
needs_moto = pytest.mark.skipif(
    moto_server() is None, reason="moto_server is not installed: put it on PATH, or name it in SLIPWAY_MOTO_SERVER"
)


@dataclass
class Instance:
    """A running server. `empty` makes it as RDS hands it out."""

    part: Part
    cluster: postgres.Cluster
    port: int
    """Where it speaks TLS."""
    authority: Path
    """The certificate that vouches for it."""
    moto: Moto
    first_password: str = ""
    master_secret: str = ""

    def empty(self) -> None:
        """A new server: an empty database of the first user, whose password has been exchanged."""
        self.first_password = f"first-{free_port()}-{datetime.now(UTC).timestamp()}"
        with self._superuser("postgres") as session:
            session.execute("DROP DATABASE IF EXISTS apps WITH (FORCE)")
            found = session.execute("SELECT rolname FROM pg_roles WHERE oid > 16383").fetchall()
            for (role,) in found:
                session.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))
            for (role,) in found:
                session.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
            session.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                    sql.Identifier(FIRST_USER), sql.Literal(self.first_password)
                )
            )
            session.execute(sql.SQL("CREATE DATABASE apps OWNER {}").format(sql.Identifier(FIRST_USER)))
        kept = {"username": FIRST_USER, "password": self.first_password}
        self.master_secret = make_secret(self.moto, f"rds!db-{free_port()}-{id(kept):x}", kept)

    def database_of(self, name: str) -> Database:
        """What Terraform puts out of it."""
        return a_database(name, self.port).model_copy(update={"master_secret": self.master_secret})

    def lock_the_engine_out(self) -> None:
        """Its password becomes one that nobody has."""
        with self._superuser("postgres") as session:
            session.execute(sql.SQL("ALTER ROLE {} PASSWORD 'lost'").format(sql.Identifier(ENGINE_USER)))

    def roles(self) -> set[str]:
        """Whom somebody has made."""
        with self._superuser("postgres") as session:
            return {row[0] for row in session.execute("SELECT rolname FROM pg_roles WHERE oid > 16383")}

    def connect(self, user: str, password: str, database: str = "apps") -> psycopg.Connection[Any]:
        """A session over TLS."""
        return psycopg.connect(
            host=HOST,
            port=self.port,
            dbname=database,
            user=user,
            password=password,
            sslmode="verify-full",
            sslrootcert=str(self.authority),
            connect_timeout=5,
            autocommit=True,
        )

    def _superuser(self, database: str) -> psycopg.Connection[Any]:
        return self.cluster.connect(postgres.SUPERUSER, database)


def make_secret(moto: Moto, name: str, kept: Mapping[str, str]) -> str:
    """Have Secrets Manager keep something; answers its ARN."""
    credential = "Credential=testing/20260101/eu-central-1/secretsmanager/aws4_request"
    answer = httpx.post(
        f"{moto.url}/",
        json={"Name": name, "SecretString": json.dumps(dict(kept)), "ClientRequestToken": "a" * 32},
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "secretsmanager.CreateSecret",
            "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none",
        },
        timeout=30,
    )
    assert answer.is_success, answer.text
    return str(answer.json()["ARN"])


@contextmanager
def start_instance(directory: Path, moto: Moto) -> Iterator[Instance]:
    """A server under `directory` that dies with this process."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = postgres.Cluster(directory / "postgres", free_port(), Keys(directory / "keys"), directory)
    cluster.initialise()
    part = Part("postgres", cluster.launch(), directory, lambda: postgres.is_ready(cluster))
    authority = make_certificate(directory / "server")
    part.start()
    try:
        with _behind_tls(authority, authority.with_suffix(".key"), cluster.port) as port:
            yield Instance(part, cluster, port, authority, moto)
    finally:
        part.stop()


def make_certificate(path: Path) -> Path:
    """A certificate for the loopback interface that is its own authority; its key is beside it. Both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an instance")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.with_suffix(".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.with_suffix(".key").write_bytes(private)
    return path.with_suffix(".crt")


@contextmanager
def _behind_tls(certificate: Path, key: Path, port: int) -> Iterator[int]:
    """The embedded server cannot speak TLS: this does it in its place, and takes nobody without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(8, socket.MSG_WAITALL) != _TLS_ASKED_FOR:
                return
            self.request.sendall(b"S")
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection((HOST, port)) as server,
            ):
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server((HOST, 0), Front) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)

"""The golden path worker, against a real PostgreSQL: the tests of its skeleton that need one, and its own client with
the logins and the encryption that it will meet.
"""

import asyncio
import ipaddress
import json
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from contracts.values import Database
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.secrets import domain as secrets_domain
from tests.unit.golden_paths.samples import NODE, PATHS, needs_node, skeleton, written

pytestmark = needs_node


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a developer gets."""
    return written(asyncio.run(skeleton(golden_path="worker")), tmp_path_factory.mktemp("worker"))


def url_of(postgres: RunningPostgres) -> str:
    password = postgres.password_file("postgres").read_text().strip()
    return f"postgresql://postgres:{password}@127.0.0.1:{postgres.port}/apps"


def run(repository: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(NODE), *arguments],
        cwd=repository,
        env={"PATH": f"{Path(str(NODE)).parent}:/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


async def test_it_has_no_address_and_always_a_database() -> None:
    path = await PATHS.find("worker")
    assert path.runtime.port_variable is None
    assert [found.kind for found in path.dependencies_of(path.resolve("preview", {}))] == ["database"]
    assert "Ingress and DNS" not in [price.item for price in path.prices.items]


def test_all_of_its_tests_pass_with_a_database_and_none_is_left_out(
    repository: Path, postgres: RunningPostgres
) -> None:
    done = run(repository, "--test", TEST_DATABASE_URL=url_of(postgres))
    assert done.returncode == 0, done.stdout[-6000:]
    counted = dict(re.findall(r"^# (\w+) (\d+)$", done.stdout, re.MULTILINE))
    without = dict(re.findall(r"^# (\w+) (\d+)$", run(repository, "--test").stdout, re.MULTILINE))
    assert int(counted["pass"]) == int(counted["tests"]) >= int(without["tests"]) + 20
    with postgres.connect("postgres", "apps") as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'test\\_%'").fetchall()
    assert left == []


def test_it_works_with_a_leased_login_and_ends_when_the_lease_does(repository: Path, postgres: RunningPostgres) -> None:
    """With the very statements by which OpenBao makes a login."""
    names = secrets_domain.Names("demo-worker")
    place = Database(
        host="127.0.0.1",
        port=postgres.port,
        database="apps",
        schema_name="env_demo_worker",
        owner_role="env_demo_worker",
    )
    role = secrets_domain.database_role(names, place)
    lease = {"name": "v-leased", "password": "p-w/+=%", "expiration": "2099-01-01 00:00:00+00"}

    def leased(statement: str) -> str:
        for key, value in lease.items():
            statement = statement.replace(f"{{{{{key}}}}}", value)
        return statement

    with postgres.connect("postgres", "apps") as connection:
        connection.execute("CREATE ROLE env_demo_worker NOLOGIN")
        connection.execute("CREATE SCHEMA env_demo_worker AUTHORIZATION env_demo_worker")
        for statement in role.creation_statements:
            connection.execute(leased(statement).encode())
    url = f"postgresql://v-leased:p-w%2F%2B%3D%25@127.0.0.1:{postgres.port}/apps"

    added = run(repository, "src/enqueue.js", "greet", '{"name": "Ada"}', "ada", DATABASE_URL=url)
    assert json.loads(added.stdout) == {"id": "ada", "new": True}, added.stderr
    environment = {"PATH": "/usr/bin:/bin", "DATABASE_URL": url, "POLL_SECONDS": "0.05"}
    worker = subprocess.Popen(
        [str(NODE), "src/main.js"], cwd=repository, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert worker.stdout
        lines = (json.loads(line) for line in worker.stdout)
        assert next(line for line in lines if line["message"] == "job done")["job_id"] == "ada"
        with postgres.connect("postgres", "apps") as connection:
            owners = connection.execute(
                "SELECT DISTINCT schemaname, tableowner FROM pg_tables WHERE tablename = 'jobs'"
            )
            assert owners.fetchall() == [("env_demo_worker", "env_demo_worker")]
            connection.execute('ALTER ROLE "v-leased" NOLOGIN')
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'v-leased'"
            )
        assert "the database refuses the login" in [line["message"] for line in lines]
        assert worker.wait(30) == 1
    finally:
        worker.kill()
        worker.wait()
        with postgres.connect("postgres", "apps") as connection:
            connection.execute("DROP SCHEMA env_demo_worker CASCADE")
            connection.execute('DROP ROLE env_demo_worker, "v-leased"')


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a database")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


@pytest.fixture
def encrypting(postgres: RunningPostgres, certificate: Path) -> Iterator[int]:
    """The port of a PostgreSQL that offers TLS: the real one has none, so somebody in front of it does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        assert client.recv(8).hex() == "0000000804d2162f"
        client.sendall(b"S")
        with (
            suppress(OSError),
            context.wrap_socket(client, server_side=True) as inside,
            socket.create_connection(("127.0.0.1", postgres.port)) as server,
        ):
            back = threading.Thread(target=pass_on, args=(server, inside), daemon=True)
            back.start()
            pass_on(inside, server)
            back.join(10)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_where_tls_is_asked_for_the_certificate_is_checked(
    repository: Path, postgres: RunningPostgres, encrypting: int, certificate: Path, mode: str
) -> None:
    url = f"{url_of(postgres).replace(f':{postgres.port}/', f':{encrypting}/')}?sslmode={mode}"
    with postgres.connect("postgres", "apps") as connection:
        connection.execute("CREATE SCHEMA encrypted")
    url += "&options=-c%20search_path%3Dencrypted"
    try:
        refused = run(repository, "src/enqueue.js", "greet", DATABASE_URL=url)
        assert refused.returncode == 1
        assert "self-signed certificate" in refused.stderr
        added = run(repository, "src/enqueue.js", "greet", DATABASE_URL=url, NODE_EXTRA_CA_CERTS=str(certificate))
        assert json.loads(added.stdout)["new"] is True, added.stderr
        elsewhere = url.replace("127.0.0.1", "localhost")
        other = run(repository, "src/enqueue.js", "greet", DATABASE_URL=elsewhere, NODE_EXTRA_CA_CERTS=str(certificate))
        assert other.returncode == 1
        assert "localhost" in other.stderr
    finally:
        with postgres.connect("postgres", "apps") as connection:
            connection.execute("DROP SCHEMA encrypted CASCADE")

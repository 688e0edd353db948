"""The stage for the saga benchmarks: a real bus and a real Postgres on free ports, and six service processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, RunningPostgres, start_nats, start_postgres

READY_SECONDS = 60.0
QUICK = {"SLIPWAY_WORKERS": "100", "SLIPWAY_FETCH_BATCH": "100"}
"""Handling takes a few milliseconds here, so a fetch asks for many."""


@dataclass(frozen=True)
class Stage:
    """What a driver needs to know."""

    nats: RunningNats
    postgres: RunningPostgres
    directory: Path
    admin_token_file: Path
    health_urls: Mapping[str, str]
    pids: Mapping[str, int]

    def cpu_seconds(self) -> float:
        """User and system time of the services, the bus and Postgres so far."""
        ticks = os.sysconf("SC_CLK_TCK")
        found = 0.0
        for pid in (*self.pids.values(), self.nats.part.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found += (int(fields[11]) + int(fields[12])) / ticks
        return found


@contextmanager
def stage(directory: Path, *, otlp_endpoint: str = "") -> Iterator[Stage]:
    """Six services with twins for the outside, ready for requests. `otlp_endpoint` turns tracing on."""
    with ExitStack() as stack:
        nats = stack.enter_context(start_nats(directory / "nats"))
        postgres = stack.enter_context(start_postgres(directory / "postgres"))
        token_file, key_file = directory / "admin.token", directory / "event.key"
        key_file.write_text(os.urandom(32).hex())
        urls, pids = {}, {}
        for name in ("catalog", "gateway", "provisioner", "secrets", "cicd", "notifier"):
            port = free_port()
            environment = _environment(
                name, nats, postgres, key_file=key_file, port=port, otlp_endpoint=otlp_endpoint
            ) | {
                "SLIPWAY_GATEWAY_PORT": str(free_port()),
                "SLIPWAY_GATEWAY_ADMIN_TOKEN_FILE": str(token_file),
                "SLIPWAY_GATEWAY_REQUESTS_PER_SECOND": "1000000",
                "SLIPWAY_GATEWAY_REQUESTS_AT_ONCE": "1000000",
                "SLIPWAY_LOG_LEVEL": "WARNING",
            }
            real = name in {"catalog", "gateway"}
            module = [f"services.{name}"] if real else ["benchmarks.twins", name]
            process = stack.enter_context(
                _process([sys.executable, "-m", *module], environment, directory / f"{name}.log")
            )
            urls[name], pids[name] = f"http://127.0.0.1:{port}", process.pid
        for name, url in urls.items():
            _wait_ready(name, url, directory / f"{name}.log")
        yield Stage(nats, postgres, directory, token_file, urls, pids)


def _environment(
    name: str, nats: RunningNats, postgres: RunningPostgres, *, key_file: Path, port: int, otlp_endpoint: str
) -> dict[str, str]:
    environment = {**os.environ, **QUICK}
    environment |= {
        "SLIPWAY_NATS_URL": nats.url,
        "SLIPWAY_NATS_NKEY_FILE": str(nats.nkey_file(name)),
        "SLIPWAY_EVENT_KEY_FILE": str(key_file),
        "SLIPWAY_HEALTH_PORT": str(port),
        "SLIPWAY_OTLP_ENDPOINT": otlp_endpoint,
    }
    if name in {"gateway", "catalog", "notifier"}:
        role = f"slipway_{name}"
        environment["SLIPWAY_DATABASE_URL"] = postgres.cluster.url(role, "slipway")
        environment["SLIPWAY_DATABASE_PASSWORD_FILE"] = str(postgres.password_file(role))
    return environment


@contextmanager
def _process(argv: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(name: str, url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.05)
    raise RuntimeError(f"{name} did not become ready:\n{log.read_text()[-2000:]}")

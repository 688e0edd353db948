"""The embedded platform as a person runs it: commands in, processes and files out."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import psutil
import psycopg
import pytest

from deploy.embedded import leftovers, postgres, reader_commands
from deploy.embedded.errors import PlatformError
from deploy.embedded.home import Home
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import answers, request_json
from deploy.embedded.platform import Platform
from deploy.embedded.ports import EPHEMERAL_START, Ports, free_base
from deploy.embedded.processes import PROJECT

PARTS = "nats,postgres,openbao,caddy,dns"
_COMMAND_SECONDS = 150
_WAIT_SECONDS = 60


@dataclass
class OnThisMachine:
    """A home and a base, driven through the command line."""

    home: Home
    ports: Ports = field(default_factory=lambda: Ports(free_base()))

    def environment(self, **more: str) -> dict[str, str]:
        ours = {"SLIPWAY_HOME": str(self.home.root), "SLIPWAY_PORT_BASE": str(self.ports.base), "NO_COLOR": "1"}
        return os.environ | ours | more

    def begin(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.embedded", *arguments],
            env=self.environment(**more),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, str]:
        process = self.begin(*arguments, **more)
        output, _ = process.communicate(timeout=_COMMAND_SECONDS)
        return process.returncode, output

    def up(self, parts: str = PARTS) -> str:
        code, output = self.run("up", "--only", parts)
        assert code == 0, output
        return output

    @property
    def processes(self) -> list[psutil.Process]:
        return leftovers.find(self.home)

    @property
    def cluster(self) -> postgres.Cluster:
        return postgres.Cluster(
            self.home.data / "postgres", self.ports["postgres"], Keys(self.home.keys), self.home.etc
        )

    def pid_of(self, name: str) -> int | None:
        """The process of that name; None where none runs."""
        return next((process.pid for process in self.processes if _name(process) == name), None)

    @property
    def supervised(self) -> set[int]:
        """What the supervisor itself has started: below that, a database's own processes come and go."""
        supervisor = int((self.home.etc / "supervisord.pid").read_text())
        return {child.pid for child in psutil.Process(supervisor).children()}


def _connections(process: psutil.Process) -> list[Any]:
    """None of one that has ended meanwhile."""
    try:
        return list(process.net_connections(kind="inet"))
    except psutil.NoSuchProcess:
        return []


def _name(process: psutil.Process) -> str:
    """Nothing for one that has ended meanwhile."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def _at(path: Path) -> Iterator[OnThisMachine]:
    machine = OnThisMachine(Home.at(path))
    try:
        yield machine
    finally:
        if machine.home.root.exists():
            machine.run("reset", "-y")
        leftovers.end(machine.processes)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OnThisMachine]:
    with _at(tmp_path / "home") as machine:
        yield machine


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnThisMachine]:
    """A platform that the tests of this module only look at, in a home whose path is as awkward as may be."""
    path = tmp_path_factory.mktemp("long") / ("a" * 120) / "with space; % # 'quote' ünï"
    with _at(path) as machine:
        machine.up()
        yield machine


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {_WAIT_SECONDS} s until {what}"
        time.sleep(0.02)


def test_every_part_is_ready_in_a_home_with_a_long_and_awkward_path(running: OnThisMachine) -> None:
    _, table = running.run("status")
    for part in PARTS.split(","):
        assert any(line.split()[0:3:2] == [part, "yes"] for line in table.splitlines()), table


def test_a_reader_comes_and_goes_while_the_bus_runs(
    running: OnThisMachine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = running.pid_of("nats-server")
    seed = running.home.keys / "nats-reader-payments-ci.nk"
    code, output = running.run("readers", "add", "payments-ci", "--team", "payments")
    assert code == 0, output
    assert str(seed) in output
    assert seed.stat().st_mode & 0o777 == 0o600
    was = seed.read_text()
    assert asyncio.run(_may_connect(running, was))

    monkeypatch.setenv("SLIPWAY_HOME", str(running.home.root))
    platform = Platform.as_recorded()
    launches = {part.name: part.launch() for part in platform.parts if part.name == "nats"}
    assert not platform.supervisor.outdated(launches), "a reader is no reason to restart the bus"
    with pytest.raises(PlatformError, match="is a reader of payments"):
        reader_commands.add("payments-ci", "search")
    with pytest.raises(PlatformError, match="not a team"):
        reader_commands.add("search-ci", "search.>")
    reader_commands.show("json")
    assert json.loads(capsys.readouterr().out) == [{"name": "payments-ci", "team": "payments"}]

    reader_commands.remove("payments-ci")
    assert not asyncio.run(_may_connect(running, was))
    assert not seed.exists()
    with pytest.raises(PlatformError, match="no reader payments-ci"):
        reader_commands.remove("payments-ci")
    assert running.pid_of("nats-server") == bus


async def _may_connect(running: OnThisMachine, seed: str) -> bool:
    async def ignore(_: Exception) -> None: ...

    try:
        client = await nats.connect(
            f"nats://127.0.0.1:{running.ports['nats']}",
            nkeys_seed_str=seed,
            allow_reconnect=False,
            inbox_prefix=b"_INBOX_payments-ci",
            error_cb=ignore,
            connect_timeout=_WAIT_SECONDS,
        )
    except nats.errors.Error:
        return False
    try:
        await client.jetstream().pull_subscribe_bind("payments-ci", stream="FEEDS")
        return client.is_connected
    finally:
        await client.close()


def test_a_second_up_says_that_it_is_running_and_starts_nothing(running: OnThisMachine) -> None:
    before = running.supervised
    assert "already running" in running.up()
    assert running.supervised == before


def test_every_key_is_readable_by_its_owner_alone(running: OnThisMachine) -> None:
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in running.home.keys.iterdir()}
    assert set(modes.values()) == {"0o600"}, modes
    assert oct(running.home.keys.stat().st_mode & 0o777) == "0o700"


def test_no_secret_stands_in_an_environment_or_a_command_line(running: OnThisMachine) -> None:
    secrets = [path.read_text().strip() for path in running.home.keys.iterdir() if path.name != "bao-secrets.role-id"]
    looked_at = 0
    for process in running.processes:
        try:
            shown = " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.NoSuchProcess:
            continue  # one of the database's own, which come and go
        looked_at += 1
        assert not any(secret in shown for secret in secrets), process
    assert looked_at > len(PARTS.split(","))


def test_nothing_listens_but_on_loopback(running: OnThisMachine) -> None:
    listening = [
        connection.laddr.ip
        for process in running.processes
        for connection in _connections(process)
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}


def test_a_killed_process_is_started_again(running: OnThisMachine) -> None:
    killed = running.pid_of("nats-server")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    healthz = f"http://127.0.0.1:{running.ports['nats-monitor']}/healthz"
    _wait_until(lambda: answers(healthz) and running.pid_of("nats-server") not in {killed, None}, "the bus is back")


def test_doctor_names_what_is_not_running_and_how_to_mend_it(running: OnThisMachine) -> None:
    code, report = running.run("doctor")
    assert code == 1
    assert "MEND gateway" in report
    assert "make up" in report
    assert "ok   postgres" in report


def test_two_platforms_run_side_by_side(running: OnThisMachine, machine: OnThisMachine) -> None:
    machine.up("nats,caddy")
    assert machine.ports.base != running.ports.base
    assert machine.run("down")[0] == 0
    assert machine.processes == []
    assert "already running" in running.up()


def test_a_killed_supervisor_leaves_no_process(machine: OnThisMachine) -> None:
    machine.up()
    everything = machine.processes
    supervisor = int((machine.home.etc / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    _wait_until(lambda: not any(leftovers.is_alive(process) for process in everything), "every process has ended")


def test_down_leaves_no_process_and_every_port_free(machine: OnThisMachine) -> None:
    machine.up()
    everything = machine.processes
    assert len(everything) > len(PARTS.split(","))
    code, output = machine.run("down")
    assert code == 0, output
    assert not any(leftovers.is_alive(process) for process in everything)
    assert machine.processes == []
    assert "not running" in machine.run("down")[1]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_no_process(machine: OnThisMachine, stop: signal.Signals) -> None:
    up = machine.begin("up", "--only", PARTS)
    _wait_until(lambda: machine.pid_of("nats-server") is not None, "the bus has started")
    up.send_signal(stop)
    up.communicate(timeout=_COMMAND_SECONDS)
    assert up.returncode == 130
    assert machine.processes == []


def test_a_busy_port_is_named_with_its_holder_and_the_way_out(machine: OnThisMachine) -> None:
    with socket.create_server(("127.0.0.1", machine.ports["nats"])):
        code, output = machine.run("up", "--only", PARTS)
    assert code == 1
    assert f"port {machine.ports['nats']} (nats) is held by" in output
    assert f"(pid {os.getpid()})" in output
    assert "SLIPWAY_PORT_BASE=" in output
    assert not machine.home.root.exists()


@pytest.mark.parametrize("base", [str(EPHEMERAL_START - 5), "60000", "80", "-1", "eight", "8000 ", "٨٠٠٠"])
def test_a_base_that_would_collide_or_is_no_number_is_refused_with_one_that_will_do(base: str) -> None:
    with pytest.raises(PlatformError, match="will not do") as refused:
        Ports.parse(base)
    assert "SLIPWAY_PORT_BASE=9000" in refused.value.remedy


def test_a_refused_base_ends_the_command_before_anything_is_made(machine: OnThisMachine) -> None:
    code, output = machine.run("up", SLIPWAY_PORT_BASE=str(EPHEMERAL_START - 5))
    assert code == 1
    assert "What to do" in output
    assert not machine.home.root.exists()


@pytest.mark.slow
def test_a_part_that_cannot_start_shows_the_end_of_its_log(machine: OnThisMachine) -> None:
    machine.up("postgres")
    machine.run("down")
    (machine.home.data / "postgres" / "PG_VERSION").write_text("9\n")
    code, output = machine.run("up", "--only", "postgres")
    assert code == 1
    assert "postgres did not start" in output
    assert "was initialized by PostgreSQL version 9" in output
    assert "logs postgres" in output


def test_moved_to_other_ports_openbao_still_reaches_the_databases_of_environments(machine: OnThisMachine) -> None:
    machine.up("postgres,openbao")
    machine.run("down")
    machine.ports = Ports(machine.ports.base + 30)
    machine.up("postgres,openbao")
    headers = _login(machine)
    statements = ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"]
    role = {"db_name": "apps", "creation_statements": statements, "default_ttl": "1h"}
    vault = f"http://127.0.0.1:{machine.ports['openbao']}/v1"
    request_json("POST", f"{vault}/database/roles/env-moved", role, headers=headers)
    policy = {"policy": 'path "database/creds/env-moved" { capabilities = ["read"] }'}
    request_json("PUT", f"{vault}/sys/policies/acl/env-moved", policy, headers=headers)
    approle = f"{vault}/auth/approle/role/env-moved"
    request_json("POST", approle, {"token_policies": ["env-moved"]}, headers=headers)
    role_id = request_json("GET", f"{approle}/role-id", headers=headers)["data"]["role_id"]
    secret_id = request_json("POST", f"{approle}/secret-id", {}, headers=headers)["data"]["secret_id"]
    token = request_json("POST", f"{vault}/auth/approle/login", {"role_id": role_id, "secret_id": secret_id})
    lease = request_json(
        "GET", f"{vault}/database/creds/env-moved", headers={"X-Vault-Token": token["auth"]["client_token"]}
    )["data"]
    with psycopg.connect(
        machine.cluster.url(lease["username"], postgres.APPS_DATABASE), password=lease["password"]
    ) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_two_commands_do_not_change_a_platform_at_once(running: OnThisMachine) -> None:
    with running.home.locked():
        code, output = running.run("down")
    assert code == 1
    assert "under way" in output


def test_a_running_platform_is_not_moved(running: OnThisMachine) -> None:
    code, output = running.run("up", SLIPWAY_PORT_BASE=str(running.ports.base + 100))
    assert code == 1
    assert f"runs on ports from {running.ports.base}" in output


def test_a_home_is_found_from_a_directory_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = Home.at(tmp_path / ".slipway")
    above.prepare()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    monkeypatch.delenv("SLIPWAY_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "src" / "deep")
    assert Home.from_environment() == above
    above.sockets.rmdir()


def test_reset_deletes_nothing_that_is_not_a_home(machine: OnThisMachine) -> None:
    machine.home.root.mkdir()
    precious = machine.home.root / "thesis.txt"
    precious.write_text("the only copy")
    code, output = machine.run("reset", "-y")
    assert (code, precious.read_text()) == (3, "the only copy"), output
    assert "not empty" in machine.run("up", "--only", "nats")[1]


def test_reset_asks_first_and_then_leaves_nothing(machine: OnThisMachine) -> None:
    machine.up("nats")
    code, output = machine.run("reset")
    assert code == 3, output
    assert len(machine.processes) > 0
    code, output = machine.run("reset", SLIPWAY_YES="1")
    assert code == 0, output
    assert not machine.home.root.exists()
    assert not machine.home.sockets.exists()
    assert machine.processes == []


def _login(machine: OnThisMachine) -> dict[str, str]:
    keys = Keys(machine.home.keys)
    login = {"role_id": keys.value("bao-secrets.role-id"), "secret_id": keys.value("bao-secrets.secret-id")}
    url = f"http://127.0.0.1:{machine.ports['openbao']}/v1/auth/approle/login"
    return {"X-Vault-Token": request_json("POST", url, login)["auth"]["client_token"]}

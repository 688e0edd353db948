"""The provisioner as a process of its own, between a real bus, a real forge and a real machine."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from chassis.bus import Bus
from chassis.failures import PermanentError
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event, ServiceName
from contracts.events import (
    EnvironmentRequested,
    InfraDestroyed,
    InfraFailed,
    InfraReady,
    SecretsRevoked,
    Undone,
)
from contracts.topology import inbox_prefix
from contracts.values import Receipt
from deploy.embedded.forge_access import (
    ENVIRONMENTS_REPOSITORY,
    PROVISIONER_LOGIN,
    ensure_environments_repository,
    forge_token_file,
    forge_tokens,
)
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import HttpError, answers, request_json
from deploy.embedded.ports import free_port
from deploy.embedded.terraform import embedded_terraform
from deploy.embedded.testing import RunningNats, start_nats
from services.provisioner.adapters.git import GitEnvironments
from services.provisioner.adapters.git_command import GitKnobs
from services.provisioner.ports import Author, Change
from tests import redelivery, samples
from tests.machines import KINDS, RealMachine, schema_of, start_machine
from tests.stand_ins import Child, running, start_module
from tests.waiting import until

KEY = EventKey(b"s" * 32)
PARAMETERS = {"database": True, "instances": 1, "memory_mib": 256}


@dataclass
class Platform:
    """What the service stands on, and how to start it."""

    nats: RunningNats
    machine: RealMachine
    forge_url: str
    keys: Keys
    directory: Path
    health_port: int

    def start(self) -> Child:
        key = self.directory / "event-id.key"
        write_file(key, (b"s" * 32).hex())
        access = {
            f"SLIPWAY_PROVISIONER_{name.upper()}": str(value)
            for name, value in self.machine.settings.model_dump(mode="json").items()
            if value is not None
        }
        return start_module(
            "services.provisioner",
            access
            | redelivery.SETTINGS
            | {
                "SLIPWAY_NATS_URL": self.nats.url,
                "SLIPWAY_NATS_NKEY_FILE": str(self.nats.nkey_file("provisioner")),
                "SLIPWAY_EVENT_KEY_FILE": str(key),
                "SLIPWAY_HEALTH_PORT": str(self.health_port),
                "SLIPWAY_PROVISIONER_REPOSITORY_URL": f"{self.forge_url}/{ENVIRONMENTS_REPOSITORY}.git",
                "SLIPWAY_PROVISIONER_REPOSITORY_USER": PROVISIONER_LOGIN,
                "SLIPWAY_PROVISIONER_REPOSITORY_TOKEN_FILE": str(forge_token_file(self.keys, PROVISIONER_LOGIN)),
                "SLIPWAY_PROVISIONER_FORGE_URL": self.forge_url,
                "SLIPWAY_PROVISIONER_DATA_DIRECTORY": str(self.directory / "data"),
                "SLIPWAY_PROVISIONER_SOCKETS_DIRECTORY": str(self.machine.knobs.sockets),
                "SLIPWAY_PROVISIONER_TERRAFORM": " ".join(embedded_terraform()),
                "SLIPWAY_PROVISIONER_INGRESS_PORT": str(self.machine.caddy.port),
            },
            self.directory,
        )

    @contextmanager
    def running(self) -> Iterator[Child]:
        child = self.start()
        with running(child, self.is_ready):
            yield child

    def is_ready(self) -> bool:
        try:
            return bool(request_json("GET", f"http://127.0.0.1:{self.health_port}/readyz")["status"] == "ready")
        except (HttpError, OSError):
            return False

    def committed(self, *arguments: str) -> str:
        """What git says of the environments repository, asked as the provisioner."""
        token = forge_token_file(self.keys, PROVISIONER_LOGIN).read_text()
        header = f"http.extraHeader=Authorization: token {token}"
        clone = self.directory / f"look-{uuid4().hex}"
        url = f"{self.forge_url}/{ENVIRONMENTS_REPOSITORY}.git"
        subprocess.run(["git", "-c", header, "clone", "--quiet", url, str(clone)], check=True, capture_output=True)
        return subprocess.run(
            ["git", "-C", str(clone), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("provisioner")
    keys, port = Keys(directory / "keys"), free_port()
    url = f"http://127.0.0.1:{port}"
    write_file(directory / "tokens.json", forge_tokens(keys))
    environment = {
        "SLIPWAY_FORGE_PORT": str(port),
        "SLIPWAY_FORGE_URL": url,
        "SLIPWAY_FORGE_DATA": str(directory / "forge"),
        "SLIPWAY_FORGE_TOKENS_FILE": str(directory / "tokens.json"),
    }
    (directory / "forge-process").mkdir()
    forge = start_module("deploy.embedded.forge", environment, directory / "forge-process")
    with (
        running(forge, lambda: answers(f"{url}/readyz")),
        start_nats(directory / "nats") as nats,
        start_machine(directory / "machine") as machine,
    ):
        ensure_environments_repository(f"{url}/api/v3", keys)
        redelivery.shorten_ack_wait(nats)
        yield Platform(nats, machine, url, keys, directory, free_port())


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[ServiceName, Bus]]:
    """The service's neighbours on the saga's road, and itself to look with."""
    users: tuple[ServiceName, ...] = ("gateway", "secrets", "provisioner")
    connected = {
        user: Bus(
            platform.nats.url, name=user, nkey_file=platform.nats.nkey_file(user), inbox_prefix=inbox_prefix(user)
        )
        for user in users
    }
    for bus in connected.values():
        await bus.connect()
    yield connected
    for bus in connected.values():
        await bus.close()


async def _say(bus: Bus, event: Event) -> None:
    await bus.publish(subjects.of(event), event.to_json(), stream=subjects.ENVIRONMENTS, message_id=str(event.id))


async def _said(bus: Bus, kind: type[Event], cause: Event) -> Event | None:
    found = await bus.last(subjects.ENVIRONMENTS, subjects.one_kind_of(cause.subject, kind.kind))
    if found is None or found.data is None:
        return None
    event = kind.model_validate_json(found.data)
    return event if event.causation_id == cause.id else None


def _requested(name: str) -> EnvironmentRequested:
    return samples.requested(KEY, name, parameters=PARAMETERS)


def _revoked(request: EnvironmentRequested) -> SecretsRevoked:
    data = Undone(spec=request.data.spec, receipt=Receipt())
    return samples.follows(KEY, SecretsRevoked, data, request, source="secrets")


async def test_an_environment_is_made_and_removed_again(platform: Platform, buses: dict[ServiceName, Bus]) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    request = _requested(name)
    with platform.running() as child:
        await _say(buses["gateway"], request)
        ready = await until(lambda: _said(buses["provisioner"], InfraReady, request), what="InfraReady")
        assert isinstance(ready, InfraReady)
        made = ready.data.infrastructure
        assert all(platform.machine.is_healthy(kind, name) for kind in KINDS if kind != "namespace")
        assert platform.machine.get(name).status_code == 200
        assert {resource.kind for resource in made.resources} == set(KINDS)
        shown = platform.committed("log", "-1", "--format=%H %an %(trailers:key=Slipway-Run,valueonly)", made.commit)
        assert shown.split() == [made.commit, request.data.requested_by, str(request.run_id)]
        files = platform.committed("ls-tree", "-r", "--name-only", made.commit, f"environments/{name}/").split()
        assert f"environments/{name}/manifest.yaml" in files
        assert f"environments/{name}/modules/database/main.tf" in files

        revoked = _revoked(request)
        await _say(buses["secrets"], revoked)
        destroyed = await until(lambda: _said(buses["provisioner"], InfraDestroyed, revoked), what="InfraDestroyed")
        assert isinstance(destroyed, InfraDestroyed)
        assert set(destroyed.data.receipt.removed) == set(made.resources)
        assert not any(platform.machine.has(kind, name) for kind in KINDS)
        assert platform.committed("ls-tree", "--name-only", "HEAD", f"environments/{name}") == ""
        assert child.stop() == 0
    lines = [json.loads(line) for line in child.log.read_text().splitlines()]
    assert not [line for line in lines if line["level"] in ("error", "critical")]


async def test_a_provisioner_killed_in_mid_apply_goes_on_where_it_was(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    request = _requested(name)
    with platform.machine.postgres.connect("postgres", "apps") as lock:
        lock.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"slipway {schema_of(name)}"])
        with platform.running() as child:
            await _say(buses["gateway"], request)
            await until(lambda: platform.machine.has("dns_record", name), what="the first resources")
            below = psutil.Process(child.process.pid).children(recursive=True)
            child.kill()
            # Its Terraform does not outlive it.
            await until(lambda: not any(process.is_running() for process in below), what="the end of its children")
    with platform.running():
        ready = await until(
            lambda: _said(buses["provisioner"], InfraReady, request), what="InfraReady", within_seconds=60
        )
    assert isinstance(ready, InfraReady)
    assert {resource.kind for resource in ready.data.infrastructure.resources} == set(KINDS)


async def test_many_environments_at_once_are_made_at_the_first_attempt(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    requests = [_requested(f"shop-{uuid4().hex[:8]}") for _ in range(8)]
    with platform.running() as child:
        await asyncio.gather(*(_say(buses["gateway"], request) for request in requests))
        for request in requests:

            async def ready(request: EnvironmentRequested = request) -> Event | None:
                return await _said(buses["provisioner"], InfraReady, request)

            await until(ready, what="InfraReady", within_seconds=60)
    assert "waits for its next attempt" not in child.log.read_text()


async def test_a_name_that_somebody_else_has_fails_and_is_undone(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    platform.machine.occupy("dns_record", name)
    request = _requested(name)
    with platform.running():
        await _say(buses["gateway"], request)
        failed = await until(lambda: _said(buses["provisioner"], InfraFailed, request), what="InfraFailed")
        assert isinstance(failed, InfraFailed)
        assert failed.data.failure.code == "foreign_resource"
        destroyed = await until(lambda: _said(buses["provisioner"], InfraDestroyed, failed), what="InfraDestroyed")
    assert isinstance(destroyed, InfraDestroyed)
    assert destroyed.data.receipt.left_behind == ()
    assert [kind for kind in KINDS if platform.machine.has(kind, name)] == ["dns_record"]


async def test_a_token_that_the_forge_does_not_know_is_refused_for_good(platform: Platform, tmp_path: Path) -> None:
    write_file(tmp_path / "token", "not-a-token")
    url = f"{platform.forge_url}/{ENVIRONMENTS_REPOSITORY}.git"
    knobs = GitKnobs(url, "main", PROVISIONER_LOGIN, tmp_path / "token", tmp_path / "clone.git")
    with pytest.raises(PermanentError) as refused:
        await GitEnvironments(knobs).read("demo-api")
    assert refused.value.code == "environments_repository_refused"
    assert "not-a-token" not in str(refused.value)


async def test_commits_of_several_provisioners_all_reach_the_forge(platform: Platform, tmp_path: Path) -> None:
    url = f"{platform.forge_url}/{ENVIRONMENTS_REPOSITORY}.git"
    token = forge_token_file(platform.keys, PROVISIONER_LOGIN)
    clones = [
        GitEnvironments(GitKnobs(url, "main", PROVISIONER_LOGIN, token, tmp_path / f"{number}.git"))
        for number in range(3)
    ]
    names = [f"race-{number}" for number in range(6)]
    change = Change(Author("ann", "ann@example.test"), "Race", "run")
    await asyncio.gather(*(clones[i % 3].write(name, {"x": name.encode()}, change) for i, name in enumerate(names)))
    found = [await clones[0].read(name) for name in names]
    assert [committed.files["x"].decode() for committed in found if committed] == names

"""The secrets service as a process of its own, between a real bus and a real OpenBao."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest

from chassis.bus import Bus
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event, ServiceName, Value
from contracts.events import (
    AccessChange,
    AccessGranted,
    AccessRequested,
    AccessRevocationRequested,
    AccessRevoked,
    Asked,
    EnvironmentUpdateRequested,
    InfraReady,
    InfraReadyData,
    PipelineRemoved,
    SecretsRevoked,
    SecretsStored,
    Undone,
)
from contracts.topology import inbox_prefix
from contracts.values import Receipt
from deploy.embedded.home import write_file
from deploy.embedded.local_http import HttpError, request_json
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningNats, RunningOpenBao, start_nats, start_openbao
from deploy.embedded.testing_postgres import start_postgres
from tests import samples
from tests.contract.vault.instance import start_instance
from tests.moto import moto_server, start_moto
from tests.stand_ins import Child, start_module
from tests.waiting import until

KEY = EventKey(b"s" * 32)
E = TypeVar("E", bound=Event)


@dataclass
class Platform:
    """What the service stands on, and how to start it."""

    nats: RunningNats
    openbao: RunningOpenBao
    directory: Path
    health_port: int

    def start(self, settings: Mapping[str, str] | None = None) -> Child:
        key = self.directory / "event-id.key"
        write_file(key, (b"s" * 32).hex())
        return start_module(
            "services.secrets",
            {
                "SLIPWAY_NATS_URL": self.nats.url,
                "SLIPWAY_NATS_NKEY_FILE": str(self.nats.nkey_file("secrets")),
                "SLIPWAY_EVENT_KEY_FILE": str(key),
                "SLIPWAY_HEALTH_PORT": str(self.health_port),
                "SLIPWAY_SECRETS_OPENBAO_URL": self.openbao.url,
                "SLIPWAY_SECRETS_ROLE_ID_FILE": str(self.openbao.role_id_file),
                "SLIPWAY_SECRETS_SECRET_ID_FILE": str(self.openbao.secret_id_file),
                **(settings or {}),
            },
            self.directory,
        )

    def is_ready(self) -> bool:
        try:
            return bool(request_json("GET", f"http://127.0.0.1:{self.health_port}/readyz")["status"] == "ready")
        except (HttpError, OSError):
            return False


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    directory = tmp_path_factory.mktemp("secrets")
    with (
        start_nats(directory / "nats") as nats,
        start_postgres(directory / "postgres") as postgres,
        start_openbao(directory / "openbao", postgres) as openbao,
    ):
        yield Platform(nats, openbao, directory, free_port())


@pytest.fixture
async def buses(platform: Platform) -> AsyncIterator[dict[ServiceName, Bus]]:
    """The service's neighbours on the saga's road, and itself to look with."""
    users: tuple[ServiceName, ...] = ("gateway", "provisioner", "cicd", "secrets")
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


def _has_waited(child: Child, event: Event) -> bool:
    """Whether the step on `event` waits for its next attempt, or has."""
    lines = [json.loads(line) for line in child.log.read_text().splitlines()]
    waits = [line for line in lines if line["event"] == "a step waits for its next attempt"]
    return (event.kind, event.subject) in [(line["event_kind"], line["environment"]) for line in waits]


def _infra_ready(name: str) -> InfraReady:
    request = samples.requested(KEY, name)
    data = InfraReadyData(spec=request.data.spec, infrastructure=samples.infrastructure(name))
    return samples.follows(KEY, InfraReady, data, request)


async def test_the_process_stores_and_revokes_and_survives_a_kill(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    ready = _infra_ready(name)
    # Said before the service runs: nothing is missed.
    await _say(buses["provisioner"], ready)
    child = platform.start()
    try:
        await until(platform.is_ready, what="readiness")
        stored = await until(lambda: _said(buses["secrets"], SecretsStored, ready), what="SecretsStored")
        assert isinstance(stored, SecretsStored)
        assert stored.data.secrets.kv_path == f"kv/env/{name}/app"
    finally:
        child.kill()

    removed = samples.follows(
        KEY, PipelineRemoved, Undone(spec=stored.data.spec, receipt=Receipt()), ready, source="cicd"
    )
    await _say(buses["cicd"], removed)
    child = platform.start()
    try:
        revoked = await until(lambda: _said(buses["secrets"], SecretsRevoked, removed), what="SecretsRevoked")
        assert isinstance(revoked, SecretsRevoked)
        assert {one.kind for one in revoked.data.receipt.removed} >= {"secret", "policy", "database_role"}
        assert revoked.data.receipt.left_behind == ()
        assert child.stop() == 0
    finally:
        child.kill()
    lines = [json.loads(line) for line in child.log.read_text().splitlines()]
    assert any(line["event"] == "ready" for line in lines)
    assert not [line for line in lines if line["level"] in ("error", "critical")]


@pytest.mark.skipif(
    moto_server() is None, reason="moto_server is not installed: put it on PATH, or name it in SLIPWAY_MOTO_SERVER"
)
async def test_the_process_leases_from_an_instance_that_an_environment_has_to_itself(
    platform: Platform, buses: dict[ServiceName, Bus], tmp_path: Path
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    with (
        start_moto(moto_server() or "", tmp_path / "moto") as moto,
        start_instance(tmp_path / "instance", moto) as instance,
    ):
        instance.empty()
        ready = _infra_ready(name)
        infrastructure = ready.data.infrastructure.model_copy(update={"database": instance.database_of(name)})
        ready = ready.model_copy(update={"data": ready.data.model_copy(update={"infrastructure": infrastructure})})
        await _say(buses["provisioner"], ready)
        child = platform.start(
            {
                **moto.environment,
                "SLIPWAY_SECRETS_FIRST_LOGINS": "aws",
                "SLIPWAY_SECRETS_INSTANCE_CA_FILE": str(instance.authority),
                "SLIPWAY_SECRETS_OPENBAO_INSTANCE_CA_FILE": str(instance.authority),
            }
        )
        try:
            stored = await until(lambda: _said(buses["secrets"], SecretsStored, ready), what="SecretsStored")
            assert isinstance(stored, SecretsStored)
            assert "database_connection" in {one.kind for one in stored.data.secrets.resources}
            assert {"slipway_leases", instance.database_of(name).owner_role} <= instance.roles()
            assert instance.first_password not in child.log.read_text() + stored.model_dump_json()
        finally:
            child.kill()


async def test_while_openbao_is_away_the_process_waits_and_then_goes_on(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    ready = _infra_ready(f"shop-{uuid4().hex[:8]}")
    child = platform.start()
    try:
        await until(platform.is_ready, what="readiness")
        platform.openbao.part.kill()
        await _say(buses["provisioner"], ready)
        await until(lambda: _has_waited(child, ready), what="a wait")
        assert not platform.is_ready()
        assert await _said(buses["secrets"], SecretsStored, ready) is None
        platform.openbao.part.start()

        assert await until(lambda: _said(buses["secrets"], SecretsStored, ready), what="SecretsStored")
        await until(platform.is_ready, what="readiness")
    finally:
        child.kill()


async def test_access_is_given_and_taken_and_an_update_is_restored(
    platform: Platform, buses: dict[ServiceName, Bus]
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    ready = _infra_ready(name)
    asked = samples.follows(
        KEY, AccessRequested, AccessChange(requested_by="ada", role="viewer", person="bob"), ready, source="gateway"
    )
    child = platform.start()
    try:
        # Asked for before there is anything to be let in to: it waits.
        await _say(buses["gateway"], asked)
        await until(lambda: _has_waited(child, asked), what="a wait")
        await _say(buses["provisioner"], ready)
        granted = await until(lambda: _said(buses["secrets"], AccessGranted, asked), what="AccessGranted")
        assert isinstance(granted, AccessGranted)
        assert granted.data == asked.data

        gone = samples.follows(KEY, AccessRevocationRequested, asked.data, ready, source="gateway")
        await _say(buses["gateway"], gone)
        assert await until(lambda: _said(buses["secrets"], AccessRevoked, gone), what="AccessRevoked")

        before = ready.data.spec
        update = samples.follows(
            KEY,
            EnvironmentUpdateRequested,
            Asked(spec=before, previous=before, requested_by="ada"),
            ready,
            source="gateway",
        )
        update = update.model_copy(update={"run_id": update.id})
        bare = ready.data.infrastructure.model_copy(update={"database": None})
        begun = _of_run(update, InfraReady, InfraReadyData(spec=before, previous=before, infrastructure=bare))
        await _say(buses["gateway"], update)
        await _say(buses["provisioner"], begun)
        stored = await until(lambda: _said(buses["secrets"], SecretsStored, begun), what="SecretsStored")
        assert isinstance(stored, SecretsStored)
        assert (stored.data.previous, stored.data.secrets.database_role) == (before, None)

        removed = _of_run(update, PipelineRemoved, Undone(spec=before, previous=before, receipt=Receipt()))
        await _say(buses["cicd"], removed)
        revoked = await until(lambda: _said(buses["secrets"], SecretsRevoked, removed), what="SecretsRevoked")
        assert isinstance(revoked, SecretsRevoked)
        assert revoked.data.previous == before
        assert [one.kind for one in revoked.data.receipt.restored] == ["database_role"]
        assert revoked.data.receipt.removed == ()
    finally:
        child.kill()


def _of_run(request: Event, kind: type[E], data: Value) -> E:
    """An event of the run that `request` begins."""
    return samples.follows(KEY, kind, data, request, runid=request.id)

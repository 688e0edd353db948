"""What the provisioner does about an event, with the twins in place of the outside."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

import pytest

from chassis.consuming import GaveUp
from chassis.failures import PermanentError
from contracts.events import EnvironmentRequested, InfraFailed, SecretsRevoked
from contracts.values import Receipt, Resource
from services.provisioner.adapters.memory import (
    MemoryEnvironments,
    MemoryGoldenPaths,
    MemoryInfrastructure,
    MemoryStepLog,
    Thing,
)
from services.provisioner.domain import Platform
from services.provisioner.handlers import Handlers
from services.provisioner.subscriptions import explain_failure, explain_left_behind, subscriptions
from tests.machines import NAMESPACE, incarnation, spec_of

PLATFORM = Platform("slipway.localhost", "127.0.0.1", 8015, "127.0.0.1", 8012, "apps", "http://127.0.0.1:8018")


@dataclass
class World:
    repository: MemoryEnvironments = field(default_factory=MemoryEnvironments)
    infrastructure: MemoryInfrastructure = field(default_factory=MemoryInfrastructure)
    log: MemoryStepLog = field(default_factory=MemoryStepLog)

    @property
    def handlers(self) -> Handlers:
        paths = MemoryGoldenPaths({"nodejs-api": {"environment/main.tf": b"# the module\n"}})
        return Handlers(self.repository, self.infrastructure, paths, self.log, PLATFORM)


def said(kind: type, data: object, *, life: int = 1, run: int = 1) -> dict[str, object]:
    """The attributes of an event."""
    return {
        "id": uuid5(NAMESPACE, f"{kind.__name__} {life} {run}"),
        "source": "gateway",
        "type": f"slipway.{kind.__name__}.v1",
        "subject": "demo-api",
        "time": datetime(2026, 11, 23, tzinfo=UTC),
        "incarnation": incarnation(life),
        "runid": UUID(int=run),
        "correlationid": UUID(int=run),
        "causationid": UUID(int=0),
        "data": data,
    }


def requested(*, life: int = 1, run: int = 1, golden_path: str = "nodejs-api") -> EnvironmentRequested:
    spec = spec_of("demo-api").model_copy(update={"golden_path": golden_path})
    data = {"spec": spec, "requested_by": "ann"}
    return EnvironmentRequested.model_validate(said(EnvironmentRequested, data, life=life, run=run))


def revoked(*, life: int = 1, run: int = 1) -> SecretsRevoked:
    data = {"spec": spec_of("demo-api"), "receipt": {}}
    return SecretsRevoked.model_validate(said(SecretsRevoked, data, life=life, run=run))


def failed(*, life: int = 1, run: int = 1) -> InfraFailed:
    failure = {"step": "infrastructure", "code": "x", "message": "m", "next_step": "n"}
    data = {"spec": spec_of("demo-api"), "failure": failure}
    return InfraFailed.model_validate(said(InfraFailed, data, life=life, run=run))


async def test_the_commit_is_there_before_terraform_is_asked() -> None:
    world = World()
    world.infrastructure.things[Resource(kind="namespace", id="demo-api")] = Thing("somebody else", {})
    with pytest.raises(PermanentError):
        await world.handlers.provision(requested())
    assert await world.repository.read("demo-api") is not None


async def test_what_is_ready_names_the_commit_the_address_and_every_resource() -> None:
    world = World()
    ready = await world.handlers.provision(requested())
    committed = await world.repository.read("demo-api")
    assert committed is not None
    assert ready.infrastructure.commit == committed.commit
    assert ready.infrastructure.url == "http://demo-api.slipway.localhost:8015"
    assert {resource.kind for resource in ready.infrastructure.resources} == {
        "namespace",
        "database",
        "dns_record",
        "route",
    }
    assert ready.infrastructure.database is not None
    assert ready.infrastructure.database.owner_role == "env_demo_api"


async def test_a_repeated_request_says_the_same_and_commits_once() -> None:
    world = World()
    first = await world.handlers.provision(requested())
    again = await world.handlers.provision(requested())
    assert again == first
    assert len(world.repository.history) == 1


async def test_a_commit_is_made_in_the_name_of_who_asked() -> None:
    world = World()
    await world.handlers.provision(requested(run=7))
    _, change, _ = world.repository.history[0]
    assert (change.author.name, change.run_id) == ("ann", str(UUID(int=7)))


async def test_lines_reach_the_step_log_in_order() -> None:
    world = World()
    await world.handlers.provision(requested())
    assert [text.split()[0] for text, _ in world.log.lines] == ["The", "4"]


async def test_an_unknown_golden_path_fails_for_good_before_anything_is_written() -> None:
    world = World()
    with pytest.raises(PermanentError) as refused:
        await world.handlers.provision(requested(golden_path="nobody-has-it"))
    assert refused.value.code == "unknown_golden_path"
    assert world.repository.history == []


@pytest.mark.parametrize("undo", [failed, revoked])
async def test_an_undo_removes_everything_and_the_directory(undo: type) -> None:
    world = World()
    ready = await world.handlers.provision(requested())
    undone = await world.handlers.destroy(undo())
    assert set(undone.receipt.removed) == set(ready.infrastructure.resources)
    assert undone.receipt.left_behind == ()
    assert world.infrastructure.things == {}
    assert await world.repository.read("demo-api") is None


async def test_a_repeated_undo_tells_what_the_first_one_removed() -> None:
    world = World()
    await world.handlers.provision(requested())
    first = await world.handlers.destroy(revoked())
    assert await world.handlers.destroy(revoked()) == first


async def test_an_undo_of_what_was_never_begun_removes_nothing() -> None:
    undone = await World().handlers.destroy(failed())
    assert undone.receipt == Receipt()


async def test_a_late_undo_of_an_older_life_leaves_the_newer_one_alone() -> None:
    world = World()
    await world.handlers.provision(requested(life=2))
    undone = await world.handlers.destroy(revoked(life=1))
    assert undone.receipt.removed == ()
    assert len(world.infrastructure.things) == 4
    assert await world.repository.read("demo-api") is not None


async def test_a_late_request_of_another_life_changes_nothing_and_is_reported() -> None:
    world = World()
    await world.handlers.provision(requested(life=2))
    things, committed = dict(world.infrastructure.things), await world.repository.read("demo-api")
    with pytest.raises(PermanentError) as refused:
        await world.handlers.provision(requested(life=1))
    assert refused.value.code == "another_life"
    assert world.log.lines[-1][1] == "error"
    assert world.infrastructure.things == things
    assert await world.repository.read("demo-api") == committed


async def test_a_new_life_begins_where_nothing_is_left_of_the_older_one_but_its_directory() -> None:
    world = World()
    await world.handlers.provision(requested(life=1))
    world.infrastructure.things.clear()
    world.infrastructure.recorded.clear()
    await world.handlers.provision(requested(life=2))
    assert {thing.mark for thing in world.infrastructure.things.values()} == {f"demo-api {incarnation(2)}"}


async def test_an_undo_uses_the_committed_version() -> None:
    """What was made is described by the commit; today's golden path may know nothing of it."""
    world = World()
    await world.handlers.provision(requested())
    committed = world.repository.directories["demo-api"]
    variables = json.loads(committed.files["terraform.tfvars.json"])
    assert variables["database"] is True
    handlers = Handlers(world.repository, world.infrastructure, MemoryGoldenPaths({}), world.log, PLATFORM)
    undone = await handlers.destroy(revoked())
    assert len(undone.receipt.removed) == 4


async def test_what_an_undo_had_to_leave_is_told_to_whoever_waits() -> None:
    world = World()
    await world.handlers.provision(requested())
    world.infrastructure.things[Resource(kind="namespace", id="demo-api")] = Thing("somebody else", {})
    undone = await world.handlers.destroy(revoked())
    assert [left.resource.kind for left in undone.receipt.left_behind] == ["namespace"]
    assert any(level == "warning" and "namespace" in text for text, level in world.log.lines)


def test_a_failure_for_good_is_explained_to_the_person_who_asked() -> None:
    error = PermanentError("foreign_resource", "the schema exists", next_step="Choose another name.")
    explained = explain_failure(requested(), GaveUp(error, 2))
    assert explained.failure.step == "infrastructure"
    assert (explained.failure.code, explained.failure.attempts) == ("foreign_resource", 2)
    assert explained.failure.next_step == "Choose another name."


def test_an_undo_that_fails_for_good_says_that_everything_may_be_left() -> None:
    error = PermanentError("gave_up", "no answer", next_step="Look.")
    explained = explain_left_behind(revoked(), GaveUp(error, 5))
    assert [left.resource.id for left in explained.receipt.left_behind] == ["environments/demo-api"]
    assert "no answer" in explained.receipt.left_behind[0].reason


def test_every_event_it_hears_has_a_row() -> None:
    table = {row.hears: row.says for row in subscriptions(World().handlers)}
    assert {event.__name__: says.__name__ for event, says in table.items() if says} == {
        "EnvironmentRequested": "InfraReady",
        "EnvironmentUpdateRequested": "InfraReady",
        "InfraFailed": "InfraDestroyed",
        "SecretsRevoked": "InfraDestroyed",
    }

"""Update runs and their road back, plans and what is read back from Git, with the twins in place of the outside."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chassis.consuming import GaveUp
from chassis.failures import PermanentError
from contracts.events import EnvironmentUpdateRequested, InfraFailed, SecretsRevoked
from contracts.plans import DesiredState, PlanEnvironment
from contracts.values import EnvironmentSpec, Receipt, Resource
from services.provisioner.adapters.memory import MemoryGoldenPaths, Thing
from services.provisioner.domain import MANIFEST, asks_for_less_data, read_manifest
from services.provisioner.handlers import Handlers
from services.provisioner.ports import Author, Change
from services.provisioner.subscriptions import explain_failure, explain_left_behind
from tests.machines import incarnation, spec_of
from tests.unit.provisioner.test_handlers import PLATFORM, World, requested, revoked, said

DATABASE = Resource(kind="database", id="apps/env_demo_api")
BY_HAND = Change(Author("eve", "eve@example.test"), "By hand", "")
WITHOUT = {"database": False}


def wanted(**changes: Any) -> EnvironmentSpec:
    parameters = changes.pop("parameters", None)
    return spec_of("demo-api", parameters=parameters).model_copy(update=changes)


def update(
    spec: EnvironmentSpec, previous: EnvironmentSpec | None = None, *, run: int = 2, life: int = 1
) -> EnvironmentUpdateRequested:
    data = {"spec": spec, "previous": previous, "requested_by": "bob"}
    attributes = said(EnvironmentUpdateRequested, data, life=life, run=run)
    return EnvironmentUpdateRequested.model_validate(attributes)


def update_failed(spec: EnvironmentSpec, previous: EnvironmentSpec, *, run: int = 2, life: int = 1) -> InfraFailed:
    failure = {"step": "infrastructure", "code": "x", "message": "m", "next_step": "n"}
    data = {"spec": spec, "previous": previous, "failure": failure}
    return InfraFailed.model_validate(said(InfraFailed, data, life=life, run=run))


def update_revoked(spec: EnvironmentSpec, previous: EnvironmentSpec, *, run: int = 2) -> SecretsRevoked:
    data = {"spec": spec, "previous": previous, "receipt": {}}
    return SecretsRevoked.model_validate(said(SecretsRevoked, data, run=run))


async def created(parameters: dict[str, Any] | None = None) -> World:
    """A world with the environment in it."""
    world = World()
    event = requested()
    spec = event.data.spec.model_copy(update={"parameters": event.data.spec.parameters | (parameters or {})})
    await world.handlers.provision(event.model_copy(update={"data": event.data.model_copy(update={"spec": spec})}))
    return world


def commits(world: World) -> list[str]:
    return [change.summary for _, change, _ in world.repository.history]


async def test_an_update_commits_in_the_name_of_who_asked_and_carries_on_what_was_before() -> None:
    world = await created()
    ready = await world.handlers.provision(update(wanted(branch="next"), wanted()))
    assert (ready.spec.branch, ready.previous) == ("next", wanted())
    _, change, _ = world.repository.history[-1]
    assert (change.author.name, change.summary, change.run_id) == ("bob", "Update demo-api", str(UUID(int=2)))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert ready.infrastructure.commit == head.commit
    assert world.infrastructure.things[Resource(kind="route", id="env-demo-api")].properties["branch"] == "next"


async def test_an_update_keeps_the_golden_path_it_was_made_with_and_an_upgrade_takes_todays() -> None:
    world = await created()
    today = MemoryGoldenPaths({"nodejs-api": {"environment/main.tf": b"# of today\n"}})
    handlers = Handlers(world.repository, world.infrastructure, today, world.log, PLATFORM)
    await handlers.provision(update(wanted(branch="next"), wanted()))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert head.files["modules/environment/main.tf"] == b"# the module\n"

    upgraded = wanted(branch="next", golden_path_version="1.1.0")
    await handlers.provision(update(upgraded, wanted(branch="next"), run=3))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert head.files["modules/environment/main.tf"] == b"# of today\n"
    assert commits(world)[-1] == "Update demo-api to nodejs-api 1.1.0"


async def test_a_run_for_what_is_committed_already_makes_no_commit_and_repairs() -> None:
    world = await created()
    del world.infrastructure.things[DATABASE]
    ready = await world.handlers.provision(update(wanted(), wanted()))
    assert len(commits(world)) == 1
    assert DATABASE in world.infrastructure.things
    head = await world.repository.read("demo-api")
    assert head is not None
    assert ready.infrastructure.commit == head.commit


async def test_a_commit_that_a_person_pushed_is_adopted_as_it_stands() -> None:
    world = await created()
    handlers = world.handlers
    head = await world.repository.read("demo-api")
    assert head is not None
    files = await handlers._render_on(head, wanted(branch="next"), incarnation(1))
    pushed = await world.repository.write("demo-api", {**files, MANIFEST: b"# mine\n" + files[MANIFEST]}, BY_HAND)
    ready = await handlers.provision(update(wanted(branch="next"), wanted()))
    assert ready.infrastructure.commit == pushed.commit
    assert len(commits(world)) == 2


async def test_an_edit_of_the_manifest_alone_is_followed_by_the_files_that_are_rendered_from_it() -> None:
    world = await created()
    head = await world.repository.read("demo-api")
    assert head is not None
    edited = head.files[MANIFEST].replace(b"branch: main", b"branch: next")
    await world.repository.write("demo-api", {**head.files, MANIFEST: edited}, BY_HAND)
    await world.handlers.provision(update(wanted(branch="next"), wanted()))
    assert commits(world)[-1] == "Update demo-api"
    assert world.infrastructure.things[Resource(kind="route", id="env-demo-api")].properties["branch"] == "next"


@pytest.mark.parametrize("undo", [update_failed, update_revoked])
async def test_the_road_back_restores_what_was_before_in_git_and_on_the_machine(undo: Any) -> None:
    world = await created(WITHOUT)
    before, after = wanted(parameters=WITHOUT), wanted(branch="next")
    there = {resource: thing.properties for resource, thing in world.infrastructure.things.items()}
    first = await world.repository.read("demo-api")
    assert first is not None
    await world.handlers.provision(update(after, before))
    assert DATABASE in world.infrastructure.things

    undone = await world.handlers.undo(undo(after, before))

    assert undone.receipt.removed == (DATABASE,)
    assert {one.kind for one in undone.receipt.restored} == {"route", "namespace"}
    assert undone.receipt.left_behind == ()
    assert (undone.spec, undone.previous) == (after, before)
    assert {resource: thing.properties for resource, thing in world.infrastructure.things.items()} == there
    head = await world.repository.read("demo-api")
    assert head is not None
    assert dict(head.files) == dict(first.files)
    _, change, _ = world.repository.history[-1]
    assert (change.summary, change.author.name) == ("Restore demo-api after a failed update", "ann")
    assert change.run_id == str(UUID(int=2))


async def test_a_repeated_road_back_tells_the_same_and_commits_once() -> None:
    world = await created(WITHOUT)
    before, after = wanted(parameters=WITHOUT), wanted()
    await world.handlers.provision(update(after, before))
    first = await world.handlers.undo(update_failed(after, before))
    assert await world.handlers.undo(update_failed(after, before)) == first
    assert len(commits(world)) == 3


async def test_data_that_an_update_destroyed_is_said_to_be_gone() -> None:
    world = await created()
    before, after = wanted(), wanted(parameters=WITHOUT)
    await world.handlers.provision(update(after, before))
    assert any("destroys the database apps/env_demo_api" in text for text, _ in world.log.lines)
    undone = await world.handlers.undo(update_failed(after, before))
    assert DATABASE in world.infrastructure.things
    assert undone.receipt.restored == (DATABASE,)
    assert [left.resource for left in undone.receipt.left_behind] == [DATABASE]


async def test_the_road_back_of_an_upgrade_uses_the_version_from_before() -> None:
    world = await created()
    today = MemoryGoldenPaths({"nodejs-api": {"environment/main.tf": b"# of today\n"}})
    handlers = Handlers(world.repository, world.infrastructure, today, world.log, PLATFORM)
    upgraded = wanted(golden_path_version="1.1.0")
    await handlers.provision(update(upgraded, wanted()))
    await handlers.undo(update_failed(upgraded, wanted()))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert head.files["modules/environment/main.tf"] == b"# the module\n"


async def test_a_road_back_after_an_extension_still_finds_the_version_from_before() -> None:
    """The end of an environment's time moves without a commit, so what was before is committed nowhere."""
    world = await created()
    today = MemoryGoldenPaths({"nodejs-api": {"environment/main.tf": b"# of today\n"}})
    handlers = Handlers(world.repository, world.infrastructure, today, world.log, PLATFORM)
    upgraded, before = wanted(golden_path_version="1.1.0"), wanted(expires_at=datetime(2026, 12, 1, tzinfo=UTC))
    await handlers.provision(update(upgraded, before))
    await handlers.undo(update_failed(upgraded, before))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert head.files["modules/environment/main.tf"] == b"# the module\n"
    assert read_manifest(head.files, "demo-api").spec == before


async def test_a_run_that_never_began_leaves_everything_as_it_is() -> None:
    """Called off before its first step."""
    world = await created()
    there = dict(world.infrastructure.things)
    undone = await world.handlers.undo(update_failed(wanted(branch="next"), wanted()))
    assert undone.receipt == Receipt()
    assert world.infrastructure.things == there
    assert len(commits(world)) == 1


async def test_a_late_road_back_of_an_older_life_leaves_the_newer_one_alone() -> None:
    world = await created()
    undone = await world.handlers.undo(update_failed(wanted(branch="next"), wanted(), life=2))
    assert undone.receipt == Receipt()
    assert len(commits(world)) == 1


async def test_an_update_that_does_not_tell_what_was_before_is_never_undone_by_destroying() -> None:
    world = await created()
    event = update(wanted(branch="next"))
    failed = explain_failure(event, GaveUp(PermanentError("x", "y", next_step="z"), 1))
    assert failed.previous == wanted(branch="next")
    ready = await world.handlers.provision(event)
    assert ready.previous == wanted(branch="next")
    await world.handlers.undo(update_failed(failed.spec, failed.previous))
    assert len(world.infrastructure.things) == 4


def test_an_undo_that_fails_for_good_carries_on_what_was_before() -> None:
    error = PermanentError("gave_up", "no answer", next_step="Look.")
    explained = explain_left_behind(update_revoked(wanted(branch="next"), wanted()), GaveUp(error, 5))
    assert explained.previous == wanted()


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        (wanted(parameters=WITHOUT), True),
        (wanted(golden_path="frontend"), True),
        (wanted(golden_path_version="2.0.0"), False),
        (wanted(branch="next"), False),
        (wanted(), False),
    ],
)
def test_data_is_lost_only_where_somebody_chose_it(spec: EnvironmentSpec, asked: bool) -> None:
    assert asks_for_less_data(update(spec, wanted())) is asked


def test_data_is_lost_where_somebody_agreed_to_a_plan_that_says_so() -> None:
    upgrade = update(wanted(golden_path_version="2.0.0"), wanted())
    agreed = upgrade.model_copy(update={"data": upgrade.data.model_copy(update={"accepts_loss": True})})
    assert asks_for_less_data(agreed)


async def test_an_upgrade_that_would_lose_data_is_refused_before_anything_is_changed() -> None:
    world = await created()
    without = wanted(parameters=WITHOUT)
    # As a new version of the golden path would that has no database any more.
    previous = wanted(parameters=WITHOUT, golden_path_version="0.9.0")
    there = dict(world.infrastructure.things)
    with pytest.raises(PermanentError) as refused:
        await world.handlers.provision(update(without, previous))
    assert refused.value.code == "would_lose_data"
    assert world.infrastructure.things == there


async def test_what_somebody_else_has_taken_in_the_meantime_is_left() -> None:
    world = await created(WITHOUT)
    before, after = wanted(parameters=WITHOUT), wanted()
    await world.handlers.provision(update(after, before))
    world.infrastructure.things[DATABASE] = Thing("somebody else", {})
    undone = await world.handlers.undo(update_failed(after, before))
    assert [left.resource for left in undone.receipt.left_behind] == [DATABASE]
    assert DATABASE in world.infrastructure.things


# -- a directory that somebody has broken or removed -------------------------------------------------------------------


async def test_a_directory_that_was_removed_by_hand_is_still_destroyed_as_it_last_was() -> None:
    world = await created()
    await world.repository.remove("demo-api", Receipt(), BY_HAND)
    undone = await world.handlers.undo(revoked())
    assert len(undone.receipt.removed) == 4
    assert world.infrastructure.things == {}


@pytest.mark.parametrize("broken", [b"]", b"", b"a: &a [*a]"])
async def test_a_manifest_that_was_broken_by_hand_does_not_keep_an_undo_from_its_work(broken: bytes) -> None:
    world = await created()
    head = await world.repository.read("demo-api")
    assert head is not None
    await world.repository.write("demo-api", {**head.files, MANIFEST: broken}, BY_HAND)
    undone = await world.handlers.undo(revoked())
    assert len(undone.receipt.removed) == 4
    assert await world.repository.read("demo-api") is None


@pytest.mark.parametrize("broken", [None, b"]"])
async def test_an_update_after_that_still_has_the_golden_path_it_was_made_with(broken: bytes | None) -> None:
    world = await created()
    head = await world.repository.read("demo-api")
    assert head is not None
    if broken is None:
        await world.repository.remove("demo-api", Receipt(), BY_HAND)
    else:
        await world.repository.write("demo-api", {**head.files, MANIFEST: broken}, BY_HAND)
    today = MemoryGoldenPaths({"nodejs-api": {"environment/main.tf": b"# of today\n"}})
    handlers = Handlers(world.repository, world.infrastructure, today, world.log, PLATFORM)
    await handlers.provision(update(wanted(branch="next"), wanted()))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert head.files["modules/environment/main.tf"] == b"# the module\n"


async def test_a_road_back_brings_back_a_directory_that_was_removed_by_hand() -> None:
    world = await created()
    await world.handlers.provision(update(wanted(branch="next"), wanted()))
    await world.repository.remove("demo-api", Receipt(), BY_HAND)
    await world.handlers.undo(update_failed(wanted(branch="next"), wanted()))
    head = await world.repository.read("demo-api")
    assert head is not None
    assert read_manifest(head.files, "demo-api").spec == wanted()


# -- questions ---------------------------------------------------------------------------------------------------------


async def test_a_plan_of_a_new_environment_creates_everything_and_changes_nothing() -> None:
    world = World()
    plan = await world.handlers.plan(PlanEnvironment(spec=wanted()))
    assert {(change.action, change.resource.kind) for change in plan.changes} == {
        ("create", kind) for kind in ("database", "dns_record", "namespace", "route")
    }
    assert plan.commit is None
    assert world.repository.history == []
    assert world.infrastructure.things == {}


async def test_the_hash_of_a_plan_moves_with_the_state_the_commit_and_the_world() -> None:
    world = await created()
    question = PlanEnvironment(spec=wanted(branch="next"), incarnation=incarnation(1))
    plan = await world.handlers.plan(question)
    assert (await world.handlers.plan(question)) == plan
    assert {(change.action, change.resource.kind) for change in plan.changes} == {
        ("update", "namespace"),
        ("update", "route"),
    }
    hashes = {plan.hash}
    hashes.add((await world.handlers.plan(PlanEnvironment(spec=wanted(), incarnation=incarnation(1)))).hash)
    del world.infrastructure.things[DATABASE]
    hashes.add((await world.handlers.plan(question)).hash)
    await world.handlers.provision(update(wanted(branch="next"), wanted()))
    hashes.add((await world.handlers.plan(question)).hash)
    assert len(hashes) == 4
    assert len(commits(world)) == 2


async def test_drift_is_the_plan_of_what_is_committed() -> None:
    world = await created()
    question = PlanEnvironment(spec=wanted(), incarnation=incarnation(1))
    assert (await world.handlers.plan(question)).changes == ()
    world.infrastructure.things[Resource(kind="route", id="env-demo-api")].properties["branch"] = "elsewhere"
    del world.infrastructure.things[DATABASE]
    plan = await world.handlers.plan(question)
    assert [(change.action, change.resource.kind, change.detail) for change in plan.changes] == [
        ("create", "database", ""),
        ("update", "route", "branch"),
    ]
    head = await world.repository.read("demo-api")
    assert head is not None
    assert plan.commit == head.commit


async def test_a_plan_of_an_unknown_golden_path_says_so() -> None:
    with pytest.raises(PermanentError) as refused:
        await World().handlers.plan(PlanEnvironment(spec=wanted(golden_path="nobody-has-it")))
    assert refused.value.code == "unknown_golden_path"


async def test_the_desired_state_is_what_the_manifest_says_at_a_commit() -> None:
    world = await created()
    first = (await world.handlers.desired_state(DesiredState(environment="demo-api"))).commit
    await world.handlers.provision(update(wanted(branch="next"), wanted()))
    now = await world.handlers.desired_state(DesiredState(environment="demo-api"))
    assert (now.spec, now.incarnation) == (wanted(branch="next"), incarnation(1))
    assert now.commit != first
    then = await world.handlers.desired_state(DesiredState(environment="demo-api", commit=first))
    assert (then.spec, then.commit) == (wanted(), first)


async def test_what_is_not_there_has_no_desired_state() -> None:
    world = await created()
    for question in (
        DesiredState(environment="other-api"),
        DesiredState(environment="demo-api", commit="0" * 40),
    ):
        answer = await world.handlers.desired_state(question)
        assert (answer.spec, answer.commit, answer.refused) == (None, None, "")


async def test_a_manifest_that_is_refused_says_why() -> None:
    world = await created()
    pushed = await world.repository.write("demo-api", {MANIFEST: b"kind: !!python/object:x {}\n"}, BY_HAND)
    answer = await world.handlers.desired_state(DesiredState(environment="demo-api"))
    assert (answer.spec, answer.commit) == (None, pushed.commit)
    assert "tags" in answer.refused
    assert "push again" in answer.refused

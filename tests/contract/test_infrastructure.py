"""What the provisioner may rely on from whatever makes infrastructure real: asked of the twin and of Terraform."""

import zlib
from collections.abc import Iterator

import pytest

from chassis.failures import PermanentError
from contracts.values import Receipt, Resource
from services.provisioner.domain import infrastructure_of
from services.provisioner.ports import Line
from tests.machines import (
    KINDS,
    Kind,
    Machine,
    RealMachine,
    TwinMachine,
    files_of,
    identifier,
    no_report,
    start_machine,
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMachine]:
    with start_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


@pytest.fixture(params=["twin", "terraform"])
def machine(request: pytest.FixtureRequest) -> Machine:
    if request.param == "twin":
        return TwinMachine()
    found: RealMachine = request.getfixturevalue("real")
    return found


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of its own for each test: they share a machine."""
    return f"env-{zlib.crc32(request.node.name.encode()):08x}"


def everything(name: str) -> set[Resource]:
    return {Resource(kind=kind, id=identifier(kind, name)) for kind in KINDS}


def one(kind: Kind, name: str) -> Resource:
    return Resource(kind=kind, id=identifier(kind, name))


async def test_an_apply_makes_everything_and_tells_of_it(machine: Machine, name: str) -> None:
    lines: list[Line] = []
    applied = await machine.infrastructure.apply(name, await files_of(machine, name), lines.append)
    assert set(applied.resources) == set(applied.created) == everything(name)
    assert applied.changed == applied.destroyed == ()
    assert all(machine.is_healthy(kind, name) for kind in KINDS)
    told = infrastructure_of(applied, "0" * 40)
    assert told.url == f"http://{name}.slipway.localhost:{machine.platform.ingress_port}"
    assert told.hostname == f"{name}.slipway.localhost"
    assert told.database is not None
    assert told.database.schema_name == told.database.owner_role == f"env_{name.replace('-', '_')}"
    assert lines


async def test_an_apply_called_twice_changes_nothing_and_tells_the_same(machine: Machine, name: str) -> None:
    files = await files_of(machine, name)
    first = await machine.infrastructure.apply(name, files, no_report)
    again = await machine.infrastructure.apply(name, files, no_report)
    assert again.created == again.changed == again.destroyed == ()
    assert (again.outputs, set(again.resources)) == (first.outputs, set(first.resources))


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_changed_by_hand_is_found_and_put_right(machine: Machine, name: str, kind: Kind) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    machine.spoil(kind, name)
    assert not machine.is_healthy(kind, name)
    planned = await machine.infrastructure.plan(name, files, new=False)
    assert [(change.action, change.resource) for change in planned] == [("update", one(kind, name))]
    assert planned[0].detail
    applied = await machine.infrastructure.apply(name, files, no_report, keep_data=True)
    assert [resource.kind for resource in applied.changed] == [kind]
    assert applied.created == applied.destroyed == ()
    assert machine.is_healthy(kind, name)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_removed_by_hand_is_made_again(machine: Machine, name: str, kind: Kind) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    machine.lose(kind, name)
    planned = await machine.infrastructure.plan(name, files, new=False)
    assert [(change.action, change.resource) for change in planned] == [("create", one(kind, name))]
    applied = await machine.infrastructure.apply(name, files, no_report, keep_data=True)
    assert [resource.kind for resource in applied.created] == [kind]
    assert machine.is_healthy(kind, name)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_thing_of_somebody_else_is_refused_and_left_alone(machine: Machine, name: str, kind: Kind) -> None:
    machine.occupy(kind, name)
    files = await files_of(machine, name)
    with pytest.raises(PermanentError) as refused:
        await machine.infrastructure.apply(name, files, no_report)
    assert refused.value.code == "foreign_resource"
    receipt = await machine.infrastructure.destroy(name, files, no_report)
    assert machine.has(kind, name)
    assert all(resource.kind != kind for resource in receipt.removed)
    assert receipt.left_behind == ()
    machine.vacate(kind, name)
    assert not any(machine.has(other, name) for other in KINDS)


async def test_another_life_of_the_same_name_is_refused(machine: Machine, name: str) -> None:
    await machine.infrastructure.apply(name, await files_of(machine, name, life=1), no_report)
    machine.forget_records(name)
    with pytest.raises(PermanentError) as refused:
        await machine.infrastructure.apply(name, await files_of(machine, name, life=2), no_report)
    assert refused.value.code == "foreign_resource"


async def test_what_was_made_without_being_recorded_is_adopted(machine: Machine, name: str) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    machine.forget_records(name)
    applied = await machine.infrastructure.apply(name, files, no_report)
    assert set(applied.resources) == everything(name)
    assert all(machine.is_healthy(kind, name) for kind in KINDS)


async def test_a_change_of_branch_changes_things_in_place(machine: Machine, name: str) -> None:
    await machine.infrastructure.apply(name, await files_of(machine, name), no_report)
    applied = await machine.infrastructure.apply(name, await files_of(machine, name, branch="next"), no_report)
    assert {resource.kind for resource in applied.changed} == {"namespace", "route"}
    assert applied.created == applied.destroyed == ()


async def test_a_parameter_that_is_turned_off_takes_its_thing_away(machine: Machine, name: str) -> None:
    await machine.infrastructure.apply(name, await files_of(machine, name), no_report)
    without = await files_of(machine, name, parameters={"database": False})
    applied = await machine.infrastructure.apply(name, without, no_report)
    assert [resource.kind for resource in applied.destroyed] == ["database"]
    assert infrastructure_of(applied, "0" * 40).database is None
    assert not machine.has("database", name)


async def test_a_destroy_removes_everything_and_tells_of_it(machine: Machine, name: str) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    receipt = await machine.infrastructure.destroy(name, files, no_report)
    assert set(receipt.removed) == everything(name)
    assert receipt.left_behind == ()
    assert not any(machine.has(kind, name) for kind in KINDS)


async def test_a_destroy_called_twice_tells_the_same(machine: Machine, name: str) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    first = await machine.infrastructure.destroy(name, files, no_report)
    again = await machine.infrastructure.destroy(name, files, no_report)
    assert set(again.removed) == set(first.removed)
    assert again.left_behind == ()


async def test_a_destroy_finds_what_was_made_without_being_recorded(machine: Machine, name: str) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    machine.forget_records(name)
    receipt = await machine.infrastructure.destroy(name, files, no_report)
    assert set(receipt.removed) == everything(name)
    assert not any(machine.has(kind, name) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_destroy_leaves_what_somebody_else_has_taken(machine: Machine, name: str, kind: Kind) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    machine.occupy(kind, name)
    receipt = await machine.infrastructure.destroy(name, files, no_report)
    assert machine.has(kind, name)
    assert [left.resource for left in receipt.left_behind] == [Resource(kind=kind, id=identifier(kind, name))]
    assert receipt.left_behind[0].reason
    assert set(receipt.removed) == everything(name) - {Resource(kind=kind, id=identifier(kind, name))}
    machine.vacate(kind, name)


async def test_a_destroy_of_what_was_never_made_is_quiet(machine: Machine, name: str) -> None:
    receipt = await machine.infrastructure.destroy(name, await files_of(machine, name), no_report)
    assert receipt == Receipt()


async def test_a_forgotten_name_can_be_used_again(machine: Machine, name: str) -> None:
    for life in (1, 2):
        files = await files_of(machine, name, life=life)
        await machine.infrastructure.apply(name, files, no_report)
        receipt = await machine.infrastructure.destroy(name, files, no_report)
        assert set(receipt.removed) == everything(name)
        await machine.infrastructure.forget(name)
        await machine.infrastructure.forget(name)


# -- plans -------------------------------------------------------------------------------------------------------------


async def test_a_plan_of_a_new_environment_creates_everything_and_makes_nothing(machine: Machine, name: str) -> None:
    planned = await machine.infrastructure.plan(name, await files_of(machine, name), new=True)
    assert {change.resource for change in planned} == everything(name)
    assert {change.action for change in planned} == {"create"}
    assert not any(machine.has(kind, name) for kind in KINDS)


async def test_a_plan_of_what_exists_is_empty(machine: Machine, name: str) -> None:
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    assert await machine.infrastructure.plan(name, files, new=False) == ()


async def test_a_plan_names_what_differs_and_changes_nothing(machine: Machine, name: str) -> None:
    await machine.infrastructure.apply(name, await files_of(machine, name), no_report)
    wanted = await files_of(machine, name, branch="next", parameters={"database": False})
    planned = await machine.infrastructure.plan(name, wanted, new=False)
    assert [(change.action, change.resource.kind) for change in planned] == [
        ("destroy", "database"),
        ("update", "namespace"),
        ("update", "route"),
    ]
    assert all(change.resource.id == identifier(change.resource.kind, name) for change in planned)  # type: ignore[arg-type]
    assert "branch" in planned[2].detail
    assert "next" not in "".join(change.detail for change in planned)
    assert await machine.infrastructure.plan(name, await files_of(machine, name), new=False) == ()


# -- data --------------------------------------------------------------------------------------------------------------


async def test_data_is_kept_where_nobody_asked_to_lose_it(machine: Machine, name: str) -> None:
    await machine.infrastructure.apply(name, await files_of(machine, name), no_report)
    without = await files_of(machine, name, branch="next", parameters={"database": False})
    with pytest.raises(PermanentError) as refused:
        await machine.infrastructure.apply(name, without, no_report, keep_data=True)
    assert refused.value.code == "would_lose_data"
    assert all(machine.is_healthy(kind, name) for kind in KINDS)
    assert await machine.infrastructure.plan(name, await files_of(machine, name), new=False) == ()


async def test_data_that_is_lost_as_asked_is_told(machine: Machine, name: str) -> None:
    lines: list[Line] = []
    await machine.infrastructure.apply(name, await files_of(machine, name), no_report)
    without = await files_of(machine, name, parameters={"database": False})
    await machine.infrastructure.apply(name, without, lines.append)
    told = [line.text for line in lines if line.level == "warning"]
    assert told == [f"This destroys the database {identifier('database', name)} and everything in it, as asked."]


# -- the road back of an update ----------------------------------------------------------------------------------------


async def test_a_restore_removes_what_the_update_added_and_puts_back_what_it_changed(
    machine: Machine, name: str
) -> None:
    before = await files_of(machine, name, parameters={"database": False})
    failed = await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, failed, no_report)
    receipt = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    assert receipt.removed == (one("database", name),)
    assert set(receipt.restored) == {one("namespace", name), one("route", name)}
    assert receipt.left_behind == ()
    assert not machine.has("database", name)
    assert await machine.infrastructure.plan(name, before, new=False) == ()


async def test_a_restore_called_twice_tells_the_same(machine: Machine, name: str) -> None:
    before = await files_of(machine, name, parameters={"database": False})
    failed = await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, failed, no_report)
    first = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    again = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    assert (again.removed, set(again.restored)) == (first.removed, set(first.restored))
    another = await machine.infrastructure.restore(name, failed, before, "another run", no_report)
    assert another == Receipt()


async def test_a_restore_makes_anew_what_the_update_destroyed_and_says_that_its_data_is_gone(
    machine: Machine, name: str
) -> None:
    before, failed = await files_of(machine, name), await files_of(machine, name, parameters={"database": False})
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, failed, no_report)
    receipt = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    assert receipt.removed == ()
    assert receipt.restored == (one("database", name),)
    assert [left.resource for left in receipt.left_behind] == [one("database", name)]
    assert "gone" in receipt.left_behind[0].reason
    assert machine.is_healthy("database", name)


async def test_a_restore_of_an_update_that_did_nothing_does_nothing(machine: Machine, name: str) -> None:
    before, failed = await files_of(machine, name), await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    assert await machine.infrastructure.restore(name, failed, before, "run", no_report) == Receipt()
    assert all(machine.is_healthy(kind, name) for kind in KINDS)


async def test_a_restore_leaves_what_somebody_else_has_taken(machine: Machine, name: str) -> None:
    before = await files_of(machine, name, parameters={"database": False})
    failed = await files_of(machine, name)
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, failed, no_report)
    machine.occupy("database", name)
    receipt = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    assert receipt.removed == ()
    assert [left.resource for left in receipt.left_behind] == [one("database", name)]
    assert machine.has("database", name)
    machine.vacate("database", name)


async def test_what_cannot_be_put_back_is_left_with_its_reason_and_the_rest_is_restored(
    machine: Machine, name: str
) -> None:
    before = await files_of(machine, name, parameters={"database": False})
    failed = await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, failed, no_report)
    machine.occupy("dns_record", name)
    receipt = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    left = {left.resource: left.reason for left in receipt.left_behind}
    # The route is told the record's name, so Terraform may leave it for the same reason.
    assert {one("dns_record", name)} <= left.keys() <= {one("dns_record", name), one("route", name)}
    assert all(left.values())
    assert one("database", name) in receipt.removed
    assert one("namespace", name) in receipt.restored
    machine.vacate("dns_record", name)
    again = await machine.infrastructure.restore(name, failed, before, "run", no_report)
    assert again.left_behind == ()
    assert await machine.infrastructure.plan(name, before, new=False) == ()


async def test_an_environment_can_be_destroyed_after_a_restore(machine: Machine, name: str) -> None:
    before, failed = await files_of(machine, name), await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, failed, no_report)
    await machine.infrastructure.restore(name, failed, before, "run", no_report)
    receipt = await machine.infrastructure.destroy(name, before, no_report)
    assert set(receipt.removed) == everything(name)
    assert not any(machine.has(kind, name) for kind in KINDS)

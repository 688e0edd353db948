"""Updates of an environment, their road back and plans of them, by Terraform on a real machine when things go wrong."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from chassis.failures import PermanentError, TransientError
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.adapters.terraform_workspace import copy_state, locked, remove_stale_scratch
from services.provisioner.ports import Line
from tests.integration.terraform_trouble import (
    PROCESSES_A_COMMAND,
    held_database,
    is_waited_for,
    killed_in_mid_apply,
    terraform_processes,
    until,
    waiting_for,
)
from tests.machines import KINDS, RealMachine, files_of, no_report, start_machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMachine]:
    with start_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


async def test_an_update_that_is_killed_in_mid_apply_is_made_good_by_a_repeat(machine: RealMachine) -> None:
    before = await files_of(machine, "killed-update", parameters={"database": False})
    after = await files_of(machine, "killed-update", branch="next")
    await machine.infrastructure.apply("killed-update", before, no_report)
    await killed_in_mid_apply(machine, "killed-update", after)
    applied = await machine.infrastructure.apply("killed-update", after, no_report)
    assert len(applied.resources) == len(KINDS)
    assert all(machine.is_healthy(kind, "killed-update") for kind in KINDS)


async def test_the_road_back_of_an_update_that_was_killed_removes_what_no_state_knows(machine: RealMachine) -> None:
    name = "killed-and-restored"
    before = await files_of(machine, name, parameters={"database": False})
    after = await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await killed_in_mid_apply(machine, name, after)
    assert machine.has("database", name)
    receipt = await machine.infrastructure.restore(name, after, before, "run", no_report)
    assert [resource.kind for resource in receipt.removed] == ["database"]
    assert receipt.left_behind == ()
    assert not machine.has("database", name)
    assert await machine.infrastructure.plan(name, before, new=False) == ()


async def test_a_road_back_that_is_killed_itself_is_finished_by_a_repeat_that_tells_all_of_it(
    machine: RealMachine,
) -> None:
    name = "killed-restore"
    before = await files_of(machine, name, parameters={"database": False})
    after = await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, after, no_report)

    planned: list[Line] = []
    restoring = asyncio.create_task(machine.infrastructure.restore(name, after, before, "run", planned.append))
    await until(lambda: any("which the update had made" in line.text for line in planned))
    async with held_database(machine, name) as connection:
        await until(lambda: is_waited_for(connection) or not machine.has("database", name) or restoring.done())
        for process in terraform_processes("apply", name):
            process.send_signal(signal.SIGKILL)
    await asyncio.wait([restoring])
    assert restoring.exception() is None or isinstance(restoring.exception(), TransientError)

    receipt = await machine.infrastructure.restore(name, after, before, "run", no_report)
    assert [resource.kind for resource in receipt.removed] == ["database"]
    assert {resource.kind for resource in receipt.restored} == {"namespace", "route"}
    assert not machine.has("database", name)
    assert await machine.infrastructure.plan(name, before, new=False) == ()


async def test_a_road_back_that_is_cancelled_leaves_no_process_and_a_repeat_goes_on(machine: RealMachine) -> None:
    name = "cancelled-restore"
    before, after = await files_of(machine, name), await files_of(machine, name, branch="next")
    await machine.infrastructure.apply(name, before, no_report)
    await machine.infrastructure.apply(name, after, no_report)
    async with held_database(machine, name) as connection:
        restoring = asyncio.create_task(machine.infrastructure.restore(name, after, before, "run", no_report))
        await until(lambda: is_waited_for(connection))
        restoring.cancel()
        await until(lambda: restoring.cancelling() > 0)
    with pytest.raises(asyncio.CancelledError):
        await restoring
    assert not terraform_processes("plan", name)
    receipt = await machine.infrastructure.restore(name, after, before, "run", no_report)
    assert {resource.kind for resource in receipt.restored} == {"namespace", "route"}


async def test_a_state_that_terraform_could_not_save_is_put_back_before_a_restore(machine: RealMachine) -> None:
    name = "errored-restore"
    before = await files_of(machine, name, parameters={"database": False})
    after = await files_of(machine, name)
    await machine.infrastructure.apply(name, before, no_report)
    directory = machine.knobs.directory / name
    older = (directory / "terraform.tfstate").read_text()
    await machine.infrastructure.apply(name, after, no_report)
    # As if the disk had been full when the update's state was to be saved.
    newest = directory / "configuration" / "errored.tfstate"
    newest.write_text((directory / "terraform.tfstate").read_text())
    (directory / "terraform.tfstate").write_text(older)
    receipt = await machine.infrastructure.restore(name, after, before, "run", no_report)
    assert [resource.kind for resource in receipt.removed] == ["database"]
    assert not machine.has("database", name)
    assert not newest.exists()


# -- plans -------------------------------------------------------------------------------------------------------------


async def test_a_plan_leaves_no_trace(machine: RealMachine) -> None:
    await machine.infrastructure.apply("planned", await files_of(machine, "planned"), no_report)
    directory = machine.knobs.directory / "planned"
    kept = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    machine.spoil("dns_record", "planned")
    assert await machine.infrastructure.plan("planned", await files_of(machine, "planned", branch="x"), new=False)
    assert await machine.infrastructure.plan("planned", await files_of(machine, "planned", life=2), new=True)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == kept
    assert not machine.is_healthy("dns_record", "planned")
    assert list((machine.knobs.directory / ".plans").iterdir()) == []


async def test_a_plan_neither_waits_for_a_run_nor_holds_one_up(machine: RealMachine) -> None:
    name = "planned-beside"
    files = await files_of(machine, name)
    await machine.infrastructure.apply(name, files, no_report)
    with locked(machine.knobs.directory / name):
        assert await machine.infrastructure.plan(name, files, new=False) == ()
    async with held_database(machine, name) as connection:
        planning = asyncio.create_task(machine.infrastructure.plan(name, files, new=False))
        await until(lambda: is_waited_for(connection))
        # The plan is under way, and whoever wants to work on the environment can.
        with locked(machine.knobs.directory / name):
            assert not planning.done()
    await planning


async def test_two_plans_are_made_at_once_and_no_more(machine: RealMachine) -> None:
    names = [f"plans-{number}" for number in range(4)]
    files = {name: await files_of(machine, name) for name in names}
    await asyncio.gather(*(machine.infrastructure.apply(name, files[name], no_report) for name in names))
    async with AsyncExitStack() as held:
        for name in names:
            connection = await held.enter_async_context(held_database(machine, name))
        plans = [asyncio.create_task(machine.infrastructure.plan(name, files[name], new=False)) for name in names]
        await until(lambda: waiting_for(connection) == 2)
        assert sum(len(terraform_processes("plan", name)) for name in names) <= 2 * PROCESSES_A_COMMAND
    assert [await plan for plan in plans] == [(), (), (), ()]


async def test_too_many_plans_are_refused_at_once(machine: RealMachine) -> None:
    few = TerraformInfrastructure(replace(machine.knobs, plans_at_once=1, plans_waiting=1), machine.access)
    files = await files_of(machine, "crowded")
    await machine.infrastructure.apply("crowded", files, no_report)
    async with held_database(machine, "crowded"):
        plans = [asyncio.create_task(few.plan("crowded", files, new=False)) for _ in range(2)]
        await until(lambda: bool(terraform_processes("plan", "crowded")))
        with pytest.raises(TransientError, match="at once"):
            await few.plan("crowded", files, new=False)
    assert [await plan for plan in plans] == [(), ()]
    await few.close()


async def test_a_plan_of_what_terraform_refuses_says_why(machine: RealMachine) -> None:
    files = await files_of(machine, "refused-plan", parameters={"instances": "many"})
    with pytest.raises(PermanentError) as refused:
        await machine.infrastructure.plan("refused-plan", files, new=True)
    assert refused.value.code == "terraform_refused"
    assert "instances" in str(refused.value)
    assert list((machine.knobs.directory / ".plans").iterdir()) == []


def test_a_state_that_is_being_written_is_read_again_and_never_half(tmp_path: Path) -> None:
    source, target = tmp_path / "live", tmp_path / "copy"
    copy_state(source, target)
    assert not target.exists()
    source.write_text('{"resources": [')
    with pytest.raises(TransientError):
        copy_state(source, target)
    source.write_text('{"resources": []}')
    copy_state(source, target)
    assert target.read_text() == '{"resources": []}'


def test_what_a_killed_process_left_of_its_plans_is_removed(machine: RealMachine) -> None:
    left = machine.knobs.directory / ".plans" / "4194303-abcdef01" / "demo"
    ours = machine.knobs.directory / ".plans" / f"{os.getpid()}-abcdef01"
    for directory in (left, ours):
        directory.mkdir(parents=True)
    remove_stale_scratch(machine.knobs)
    assert (left.parent.exists(), ours.exists()) == (False, True)
    ours.rmdir()

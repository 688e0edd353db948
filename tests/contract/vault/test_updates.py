"""What an update does to an environment's secrets, and what its road back puts back, in both worlds."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.values import EnvironmentSpec, Receipt
from services.secrets import domain
from services.secrets.domain import Names
from tests import samples
from tests.contract.vault.dying import Dying, dies
from tests.contract.vault.sagas import Saga
from tests.contract.vault.worlds import World
from tests.unit.secrets.events import access_requested, infra_ready, owned_by, pipeline_removed, secrets_failed


@pytest.fixture
def saga(world: World) -> Saga:
    return Saga(world)


def everything(name: str, *, with_database: bool = True) -> set[Any]:
    return set(domain.belongings(Names(name), with_database=with_database))


def before(name: str) -> EnvironmentSpec:
    return owned_by("ada", name)


async def updated(saga: Saga, name: str, life: UUID, *, bare: bool, **how: Any) -> UUID:
    """Store what an update run asks for; the run."""
    run = uuid4()
    said = await saga.store(name, life, bare=bare, previous=before(name), run=run, **how)
    assert said.previous == before(name)
    return run


async def test_an_update_keeps_the_secret_and_who_was_let_in(saga: Saga, name: str) -> None:
    life = uuid4()
    first = await saga.store(name, life, person="ada")
    await saga.handlers.grant(access_requested(name, life, person="bob"))
    value = saga.world.value(name)

    said = await saga.store(name, life, person="ada", previous=before(name), run=uuid4())

    assert said.secrets == first.secrets
    assert saga.world.value(name) == value
    assert saga.world.members(name) == {"ada", "bob"}
    assert saga.world.existing(name) == everything(name)


async def test_an_update_mends_what_somebody_removed(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    for resource in domain.belongings(Names(name), with_database=True)[:-1]:
        await saga.world.vault.remove(resource)
    await updated(saga, name, life, bare=False)
    assert saga.world.existing(name) == everything(name)


async def test_without_its_database_an_environment_leases_nothing_any_more(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, database=saga.world.make_database(name))
    login = saga.world.lease(name)
    await updated(saga, name, life, bare=True)
    assert saga.world.existing(name) == everything(name, with_database=False)
    assert not saga.world.can_log_in(login)
    assert saga.world.value(name)


async def test_the_road_back_takes_away_the_database_role_that_the_update_added(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, bare=True)
    value = saga.world.value(name)
    run = await updated(saga, name, life, bare=False, database=saga.world.make_database(name))
    login = saga.world.lease(name)

    undone = await saga.restore(name, life, run, before(name))

    assert undone.receipt == Receipt(removed=(domain.leasing_role(Names(name)),))
    assert undone.previous == before(name)
    assert saga.world.existing(name) == everything(name, with_database=False)
    assert not saga.world.can_log_in(login)
    assert saga.world.value(name) == value


async def test_the_road_back_brings_back_the_database_role_that_the_update_took(saga: Saga, name: str) -> None:
    life = uuid4()
    database = saga.world.make_database(name)
    await saga.store(name, life, database=database)
    run = await updated(saga, name, life, bare=True)

    undone = await saga.restore(name, life, run, before(name))

    assert undone.receipt == Receipt(restored=(domain.leasing_role(Names(name)),))
    assert saga.world.existing(name) == everything(name)
    assert saga.world.can_log_in(saga.world.lease(name))


async def test_the_road_back_of_an_update_that_touched_no_database_removes_nothing(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    run = await updated(saga, name, life, bare=False)
    assert (await saga.restore(name, life, run, before(name))).receipt == Receipt()
    assert saga.world.existing(name) == everything(name)


async def test_an_update_that_never_came_this_far_has_nothing_to_restore(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    undone = await saga.handlers.undo(secrets_failed(name, life, previous=before(name), run=uuid4()))
    assert undone.receipt == Receipt()
    assert saga.world.existing(name) == everything(name)


async def test_a_new_owner_is_let_in_and_out_again(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, person="ada")
    run = await updated(saga, name, life, bare=False, person="bob")
    assert saga.world.members(name) == {"bob"}
    await saga.restore(name, life, run, before(name))
    assert saga.world.members(name) == {"ada"}


async def test_a_repeated_road_back_gives_the_same_receipt(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, bare=True)
    run = await updated(saga, name, life, bare=False)
    first = await saga.restore(name, life, run, before(name))
    assert await saga.restore(name, life, run, before(name)) == first


async def test_after_a_road_back_the_next_update_starts_from_what_was_restored(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, bare=True)
    failed = await updated(saga, name, life, bare=False)
    await saga.restore(name, life, failed, before(name))
    run = await updated(saga, name, life, bare=False)
    assert saga.world.existing(name) == everything(name)
    await saga.restore(name, life, run, before(name))
    assert saga.world.existing(name) == everything(name, with_database=False)


async def test_a_restored_environment_is_alive_to_whoever_wants_its_name(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    run = await updated(saga, name, life, bare=False)
    await saga.restore(name, life, run, before(name))
    assert not await saga.history.is_undone(name, life)
    assert await saga.history.stored(name, life) is not None


async def test_a_deletion_after_a_road_back_tells_what_there_was(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, bare=True)
    run = await updated(saga, name, life, bare=False)
    await saga.restore(name, life, run, before(name))
    undone = await saga.handlers.undo(pipeline_removed(name, life))
    assert undone.receipt.removed == domain.belongings(Names(name), with_database=False)
    assert saga.world.existing(name) == set()


async def test_a_late_road_back_of_an_earlier_life_touches_nothing(saga: Saga, name: str) -> None:
    earlier, alive = uuid4(), uuid4()
    await saga.store(name, alive)
    undone = await saga.handlers.undo(pipeline_removed(name, earlier, previous=samples.spec(name), run=uuid4()))
    assert undone.receipt == Receipt()
    assert saga.world.existing(name) == everything(name)


@pytest.mark.parametrize("adds", [True, False], ids=["adds a database", "takes it away"])
async def test_a_crash_at_any_step_of_a_road_back_is_mended_by_a_repeat(
    saga: Saga, fresh_name: Callable[[], str], adds: bool
) -> None:
    died, calls = True, 0
    while died:
        calls += 1
        name, life = fresh_name(), uuid4()
        await saga.store(name, life, bare=adds)
        run = await updated(saga, name, life, bare=not adds)
        undo = pipeline_removed(name, life, previous=before(name), run=run)
        died = await dies(saga.with_vault(Dying(saga.world.vault, calls, after_effect=True)), "undo", undo)

        undone = await saga.handlers.undo(undo)

        role = (domain.leasing_role(Names(name)),)
        assert (undone.receipt.removed, undone.receipt.restored) == ((role, ()) if adds else ((), role))
        assert saga.world.existing(name) == everything(name, with_database=not adds)
    assert calls > 6


@pytest.mark.parametrize("adds", [True, False], ids=["adds a database", "takes it away"])
async def test_an_update_cut_short_at_any_step_is_restored(
    saga: Saga, fresh_name: Callable[[], str], adds: bool
) -> None:
    died, calls = True, 0
    while died:
        calls += 1
        name, life, run = fresh_name(), uuid4(), uuid4()
        await saga.store(name, life, bare=adds)
        event = infra_ready(name, life, bare=not adds, previous=before(name), run=run)
        died = await dies(saga.with_vault(Dying(saga.world.vault, calls, after_effect=True)), "store", event)

        await saga.handlers.undo(secrets_failed(name, life, previous=before(name), run=run))

        assert saga.world.existing(name) == everything(name, with_database=not adds)
    assert calls > 8

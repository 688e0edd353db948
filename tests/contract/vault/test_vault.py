"""What storing and revoking promise, in the twin's world and in the real one."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from chassis.failures import PermanentError, TransientError
from services.secrets import domain
from services.secrets.domain import Names
from tests.contract.vault.dying import Dying, dies
from tests.contract.vault.sagas import Saga
from tests.contract.vault.worlds import World
from tests.unit.secrets.events import infra_ready, pipeline_removed, secrets_failed


@pytest.fixture
def saga(world: World) -> Saga:
    return Saga(world)


def everything(name: str, *, with_database: bool = True) -> set[Any]:
    return set(domain.belongings(Names(name), with_database=with_database))


async def test_storing_makes_everything_and_says_paths_versions_and_names_only(saga: Saga, name: str) -> None:
    said = await saga.store(name, uuid4())

    assert saga.world.existing(name) == everything(name)
    assert set(said.secrets.resources) == everything(name)
    assert said.secrets.model_dump(exclude={"resources"}) == {
        "kv_path": f"kv/env/{name}/app",
        "kv_version": 1,
        "names": ("APP_SECRET", "SESSION_KEY"),
        "database_role": f"env-{name}",
        "policy": f"env-{name}",
        "workload_role": f"env-{name}",
        "access_group": f"env:{name}:developer",
    }
    value = saga.world.value(name)
    assert value is not None
    assert sorted(value) == ["APP_SECRET", "SESSION_KEY"]
    assert all(len(one) >= 43 and one not in said.model_dump_json() for one in value.values())


async def test_storing_twice_keeps_the_first_secret(saga: Saga, name: str) -> None:
    incarnation = uuid4()
    first = await saga.store(name, incarnation)
    value = saga.world.value(name)

    assert await saga.store(name, incarnation) == first
    assert saga.world.value(name) == value
    assert saga.world.existing(name) == everything(name)


async def test_an_environment_without_a_database_gets_no_database_role(saga: Saga, name: str) -> None:
    said = await saga.store(name, uuid4(), bare=True)

    assert said.secrets.database_role is None
    assert saga.world.existing(name) == everything(name, with_database=False)


async def test_the_owner_is_in_the_group_even_before_their_first_login(
    saga: Saga, fresh_name: Callable[[], str]
) -> None:
    known, unknown = fresh_name(), fresh_name()
    await saga.store(known, uuid4(), person=saga.world.person)
    await saga.store(unknown, uuid4(), person="nobody-yet")

    assert saga.world.members(known) == {saga.world.person}
    assert saga.world.members(unknown) == {"nobody-yet"}


async def test_a_secret_deleted_by_hand_is_made_again_as_the_next_version(saga: Saga, name: str) -> None:
    incarnation = uuid4()
    await saga.store(name, incarnation)
    saga.world.delete_secret_by_hand(name)

    assert (await saga.store(name, incarnation)).secrets.kv_version == 2
    assert saga.world.value(name)


async def test_revoking_leaves_nothing_and_the_receipt_lists_what_is_gone(saga: Saga, name: str) -> None:
    incarnation = uuid4()
    await saga.store(name, incarnation)

    undone = await saga.handlers.revoke(pipeline_removed(name, incarnation))

    assert undone.receipt.removed == domain.belongings(Names(name), with_database=True)
    assert undone.receipt.left_behind == ()
    assert saga.world.existing(name) == set()
    assert saga.world.value(name) is None


async def test_revoking_twice_changes_nothing_and_gives_the_same_receipt(saga: Saga, name: str) -> None:
    incarnation = uuid4()
    await saga.store(name, incarnation, bare=True)

    first = await saga.handlers.revoke(pipeline_removed(name, incarnation))

    assert await saga.handlers.revoke(pipeline_removed(name, incarnation)) == first
    assert first.receipt.removed == domain.belongings(Names(name), with_database=False)


async def test_revoking_what_never_was_removes_nothing(saga: Saga, name: str) -> None:
    undone = await saga.handlers.revoke(secrets_failed(name, uuid4()))

    assert undone.receipt.removed == ()
    assert undone.receipt.left_behind == ()


async def test_a_leased_login_ends_with_the_environment_and_only_with_its_own(saga: Saga, name: str) -> None:
    neighbour = f"{name}-b"
    incarnations = {one: uuid4() for one in (name, neighbour)}
    logins = {}
    for one, incarnation in incarnations.items():
        await saga.store(one, incarnation, database=saga.world.make_database(one))
        logins[one] = saga.world.lease(one)
    assert all(saga.world.can_log_in(login) for login in logins.values())

    await saga.revoke(name, incarnations[name])

    assert not saga.world.can_log_in(logins[name])
    assert saga.world.can_log_in(logins[neighbour])
    assert saga.world.existing(neighbour) == {*everything(neighbour), domain.leases(Names(neighbour))}


async def test_a_living_environments_secrets_are_refused_to_another(saga: Saga, name: str) -> None:
    await saga.store(name, uuid4())
    value = saga.world.value(name)

    with pytest.raises(PermanentError) as refused:
        await saga.handlers.store(infra_ready(name, uuid4()))

    assert refused.value.code == "secrets_of_another"
    assert saga.world.value(name) == value
    assert saga.world.existing(name) == everything(name)


async def test_what_an_undone_run_left_is_replaced(saga: Saga, name: str) -> None:
    dead, alive = uuid4(), uuid4()
    await saga.store(name, dead, person=saga.world.person)
    old = saga.world.value(name)
    saga.history.note_revoked(name, dead)

    said = await saga.store(name, alive)

    assert said.secrets.kv_version == 1
    assert saga.world.value(name) not in (old, None)
    assert saga.world.members(name) == {"ada"}, "a member of the dead environment's group got into the living one's"


async def test_a_claim_that_never_got_a_secret_is_replaced(saga: Saga, name: str) -> None:
    await saga.world.vault.claim(Names(name), uuid4(), domain.Record())

    await saga.store(name, uuid4())

    assert saga.world.existing(name) == everything(name)


async def test_a_name_is_claimed_once(saga: Saga, name: str) -> None:
    await saga.world.vault.claim(Names(name), uuid4(), domain.Record())

    with pytest.raises(TransientError):
        await saga.world.vault.claim(Names(name), uuid4(), domain.Record())


async def test_a_late_undo_of_an_earlier_life_touches_nothing(saga: Saga, name: str) -> None:
    earlier, alive = uuid4(), uuid4()
    await saga.store(name, earlier)
    await saga.revoke(name, earlier)
    await saga.store(name, alive)
    value = saga.world.value(name)

    undone = await saga.handlers.revoke(pipeline_removed(name, earlier))

    assert undone.receipt.removed == ()
    assert saga.world.value(name) == value
    assert saga.world.existing(name) == everything(name)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_of_storing_is_mended_by_a_repeat(
    saga: Saga, fresh_name: Callable[[], str], after_effect: bool
) -> None:
    died, calls = True, 0
    while died:
        calls += 1
        name, incarnation = fresh_name(), uuid4()
        died = await _dies(saga, calls, after_effect, "store", infra_ready(name, incarnation))

        said = await saga.store(name, incarnation)

        assert said.secrets.kv_version == 1
        assert saga.world.existing(name) == everything(name)
    assert calls > 8


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_of_revoking_is_mended_by_a_repeat(
    saga: Saga, fresh_name: Callable[[], str], after_effect: bool
) -> None:
    died, calls = True, 0
    while died:
        calls += 1
        name, incarnation = fresh_name(), uuid4()
        await saga.store(name, incarnation)
        died = await _dies(saga, calls, after_effect, "revoke", pipeline_removed(name, incarnation))

        undone = await saga.handlers.revoke(pipeline_removed(name, incarnation))

        assert undone.receipt.removed == domain.belongings(Names(name), with_database=True)
        assert saga.world.existing(name) == set()
    assert calls > 6


async def test_a_store_cut_short_at_any_step_is_undone_without_a_trace(
    saga: Saga, fresh_name: Callable[[], str]
) -> None:
    died, calls = True, 0
    while died:
        calls += 1
        name, incarnation = fresh_name(), uuid4()
        died = await _dies(saga, calls, True, "store", infra_ready(name, incarnation))
        made = saga.world.existing(name)

        undone = await saga.handlers.revoke(secrets_failed(name, incarnation))

        assert set(undone.receipt.removed) == made
        assert saga.world.existing(name) == set()


async def _dies(saga: Saga, calls: int, after_effect: bool, deed: str, event: Any) -> bool:
    """Whether the process died before the deed was done."""
    return await dies(saga.with_vault(Dying(saga.world.vault, calls, after_effect=after_effect)), deed, event)

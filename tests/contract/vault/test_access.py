"""Who may use an environment, in the twin's world and in the real one."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.failures import PermanentError, TransientError
from services.secrets import domain
from services.secrets.adapters.memory import MemoryJournal
from services.secrets.domain import ROLES, AccessGroup, AccessRole, Names
from tests import samples
from tests.contract.vault.dying import Dying, dies
from tests.contract.vault.sagas import Saga
from tests.contract.vault.worlds import World
from tests.unit.secrets.events import access_requested, access_withdrawn, pipeline_removed

LATER = samples.AT + timedelta(seconds=1)


@pytest.fixture
def saga(world: World) -> Saga:
    return Saga(world)


def lines(saga: Saga) -> str:
    assert isinstance(saga.handlers.journal, MemoryJournal)
    return "\n".join(text for _, text in saga.handlers.journal.lines)


@pytest.mark.parametrize("role", ROLES)
async def test_a_person_who_never_logged_in_is_in_the_group_of_their_role(
    saga: Saga, name: str, role: AccessRole
) -> None:
    life, person = uuid4(), f"bob-{name}"
    await saga.store(name, life, person="ada")
    event = access_requested(name, life, role=role, person=person)

    assert await saga.handlers.grant(event) == event.data
    assert person in saga.world.members(name, role)
    assert all(person not in saga.world.members(name, other) for other in ROLES if other != role)
    assert f"{person} is in env:{name}:{role}" in lines(saga)


async def test_a_grant_that_is_heard_twice_and_a_store_after_it_change_nothing(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, person="ada")
    event = access_requested(name, life, person="bob")
    for _ in range(2):
        await saga.handlers.grant(event)
    await saga.store(name, life, person="ada")
    assert saga.world.members(name) == {"ada", "bob"}


async def test_a_person_is_shut_out_and_the_others_stay(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, person="ada")
    for person in ("bob", "cy"):
        await saga.handlers.grant(access_requested(name, life, person=person))

    for _ in range(2):
        event = access_withdrawn(name, life, LATER, person="bob")
        assert await saga.handlers.withdraw(event) == event.data
    assert saga.world.members(name) == {"ada", "cy"}


async def test_an_owner_can_be_shut_out_and_stays_out(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life, person="ada")
    await saga.handlers.withdraw(access_withdrawn(name, life, LATER, person="ada"))
    await saga.store(name, life, person="ada")
    assert saga.world.members(name) == set()
    assert f"ada, is not in env:{name}:developer" in lines(saga)


async def test_an_older_grant_that_comes_again_lets_nobody_back_in(saga: Saga, name: str) -> None:
    """A message that was said and never acknowledged is delivered again, maybe long after."""
    life = uuid4()
    await saga.store(name, life, person="ada")
    granted = access_requested(name, life, person="bob")
    await saga.handlers.grant(granted)
    await saga.handlers.withdraw(access_withdrawn(name, life, LATER, person="bob"))

    await saga.handlers.grant(granted)

    assert saga.world.members(name) == {"ada"}


async def test_a_team_is_in_as_a_group(saga: Saga, name: str) -> None:
    life, team = uuid4(), f"web-{name}"
    await saga.store(name, life, person="ada")
    saga.world.make_team(team)
    await saga.handlers.grant(access_requested(name, life, team=team))
    assert saga.world.members(name) == {"ada", f"team:{team}"}
    await saga.handlers.withdraw(access_withdrawn(name, life, LATER, team=team))
    assert saga.world.members(name) == {"ada"}


async def test_a_team_without_a_group_is_remembered_and_taken_in_later(saga: Saga, name: str) -> None:
    life, team = uuid4(), f"web-{name}"
    await saga.store(name, life, person="ada")
    event = access_requested(name, life, team=team)

    assert await saga.handlers.grant(event) == event.data
    assert saga.world.members(name) == {"ada"}
    assert f"does not know the team {team} yet" in lines(saga)

    saga.world.make_team(team)
    await saga.store(name, life, person="ada")
    assert saga.world.members(name) == {"ada", f"team:{team}"}


async def test_where_people_may_not_be_made_known_their_grant_waits(saga: Saga, name: str) -> None:
    life, person = uuid4(), f"bob-{name}"
    await saga.store(name, life, person=saga.world.person)
    saga.world.forbid_introductions()
    strict = saga.with_vault(saga.world.vault)
    event = access_requested(name, life, person=person)

    assert await strict.grant(event) == event.data
    assert saga.world.members(name) == {saga.world.person}
    assert isinstance(strict.journal, MemoryJournal)
    assert any(f"does not know {person} yet" in text for _, text in strict.journal.lines)


async def test_grants_at_the_same_moment_all_take_effect(saga: Saga, name: str) -> None:
    life, people = uuid4(), [f"p{number}" for number in range(4)]
    await saga.store(name, life, person="ada")
    replicas = [saga.with_vault(saga.world.vault) for _ in people]
    await asyncio.gather(
        *(
            replica.grant(access_requested(name, life, person=person))
            for replica, person in zip(replicas, people, strict=True)
        )
    )
    assert saga.world.members(name) == {"ada", *people}


async def test_a_deletion_takes_all_groups_and_policies_and_later_grants_make_none(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    for role in ROLES:
        await saga.handlers.grant(access_requested(name, life, role=role, person="bob"))
    await saga.revoke(name, life)
    assert saga.world.existing(name) == set()

    with pytest.raises(PermanentError) as refused:
        await saga.handlers.grant(access_requested(name, life, person="cy"))
    assert refused.value.code == "environment_gone"
    event = access_withdrawn(name, life, LATER, person="cy")
    assert await saga.handlers.withdraw(event) == event.data
    assert saga.world.existing(name) == set()


async def test_a_grant_for_an_earlier_life_of_the_name_lets_nobody_into_the_next(saga: Saga, name: str) -> None:
    earlier, alive = uuid4(), uuid4()
    await saga.store(name, earlier)
    await saga.revoke(name, earlier)
    await saga.store(name, alive, person="ada")

    with pytest.raises(PermanentError):
        await saga.handlers.grant(access_requested(name, earlier, person="bob"))

    assert saga.world.members(name) == {"ada"}


async def test_before_the_secrets_are_stored_a_grant_waits(saga: Saga, name: str) -> None:
    life = uuid4()
    for deed in (
        saga.handlers.grant(access_requested(name, life, person="bob")),
        saga.handlers.withdraw(access_withdrawn(name, life, person="bob")),
    ):
        with pytest.raises(TransientError):
            await deed
    assert saga.world.existing(name) == set()


@pytest.mark.parametrize("deed", ["grant", "withdraw"])
async def test_a_crash_at_any_step_is_mended_by_a_repeat(saga: Saga, fresh_name: Callable[[], str], deed: str) -> None:
    died, calls = True, 0
    while died:
        calls += 1
        name, life = fresh_name(), uuid4()
        await saga.store(name, life, person="ada")
        event: Any = access_requested(name, life, person="bob")
        if deed == "withdraw":
            await saga.handlers.grant(event)
            event = access_withdrawn(name, life, LATER, person="bob")
        dying = saga.with_vault(Dying(saga.world.vault, calls, after_effect=True))
        died = await dies(dying, deed, event)

        await getattr(saga.handlers, deed)(event)

        assert saga.world.members(name) == ({"ada", "bob"} if deed == "grant" else {"ada"})
    assert calls > 5


class _Overtaken:
    """A vault in which the environment is deleted while a grant is about to write its groups."""

    def __init__(self, saga: Saga, name: str, life: UUID) -> None:
        self._saga, self._name, self._life = saga, name, life
        self._done = False

    def __getattr__(self, method: str) -> Any:
        return getattr(self._saga.world.vault, method)

    async def write_group(self, group: AccessGroup, incarnation: UUID) -> None:
        if not self._done:
            self._done = True
            await self._saga.handlers.revoke(pipeline_removed(self._name, self._life))
            self._saga.history.note_revoked(self._name, self._life)
        await self._saga.world.vault.write_group(group, incarnation)


async def test_a_grant_that_a_deletion_overtakes_leaves_no_group(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    with pytest.raises(PermanentError) as refused:
        await saga.with_vault(_Overtaken(saga, name, life)).grant(access_requested(name, life, person="bob"))
    assert refused.value.code == "environment_gone"
    assert saga.world.existing(name) == set()


class _GroupsLast:
    """A vault in which a group is written the moment before the claim goes."""

    def __init__(self, world: World, name: str, life: UUID) -> None:
        self._world, self._name, self._life = world, name, life

    def __getattr__(self, method: str) -> Any:
        return getattr(self._world.vault, method)

    async def remove(self, resource: Any) -> bool:
        if resource.kind == "secret":
            names = Names(self._name)
            group = AccessGroup(names.access_group, (names.policy_of("developer"),))
            await self._world.vault.write_group(group, self._life)
        return await self._world.vault.remove(resource)


async def test_a_deletion_that_a_grant_overtakes_leaves_no_group(saga: Saga, name: str) -> None:
    life = uuid4()
    await saga.store(name, life)
    undone = await saga.with_vault(_GroupsLast(saga.world, name, life)).revoke(pipeline_removed(name, life))
    assert saga.world.existing(name) == set()
    assert undone.receipt.removed == domain.belongings(Names(name), with_database=True)

"""The deeds over the twins: what is told, what is refused, what counts when several things fail at once."""

from collections.abc import Mapping
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from chassis.failures import PermanentError, TransientError
from contracts.values import Resource
from services.secrets import domain
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal, MemoryVault
from services.secrets.domain import Claim, Names, Policy, StoredSecret
from services.secrets.handlers import Handlers
from tests.unit.secrets.events import access_requested, infra_ready, pipeline_removed

SHOP = Names("demo-api")


def handlers_over(vault: MemoryVault) -> Handlers:
    return Handlers(vault=vault, history=MemoryHistory(), journal=MemoryJournal())


class _Troubled(MemoryVault):
    """Policies cannot be written for now, and secrets never."""

    async def write_policy(self, policy: Policy) -> None:
        raise TransientError(f"{policy.name} later")

    async def keep_secret(self, names: Names, values: Mapping[str, SecretStr]) -> StoredSecret:
        raise PermanentError("openbao_denied", f"{names.kv_path}: no {len(values)} values", next_step="ask")


async def test_a_permanent_failure_speaks_louder_than_a_transient_one_beside_it() -> None:
    with pytest.raises(PermanentError) as failed:
        await handlers_over(_Troubled()).store(infra_ready("demo-api", uuid4()))
    assert failed.value.code == "openbao_denied"


async def test_storing_waits_while_the_store_is_away() -> None:
    vault = MemoryVault()
    handlers, event = handlers_over(vault), infra_ready("demo-api", uuid4())
    vault.away = True
    for deed in (handlers.store(event), handlers.revoke(pipeline_removed("demo-api", uuid4()))):
        with pytest.raises(TransientError):
            await deed
    vault.away = False

    assert (await handlers.store(event)).secrets.kv_version == 1


async def test_a_foreign_schema_is_refused_before_anything_is_made() -> None:
    vault = MemoryVault()
    foreign = infra_ready("demo-api", uuid4()).data.infrastructure.database
    with pytest.raises(PermanentError) as refused:
        await handlers_over(vault).store(infra_ready("other", uuid4(), database=foreign))
    assert refused.value.code == "foreign_schema"
    assert vault.resources() == set()


async def test_a_secret_made_by_hand_is_never_adopted_or_removed() -> None:
    vault = MemoryVault()
    await vault.claim(SHOP, uuid4(), domain.Record())
    await vault.keep_secret(SHOP, {"MINE": SecretStr("precious")})
    vault.secrets[SHOP.kv_path].incarnation = None
    there = vault.resources()

    with pytest.raises(PermanentError) as refused:
        await handlers_over(vault).store(infra_ready("demo-api", uuid4()))
    assert refused.value.code == "secrets_of_another"
    await handlers_over(vault).revoke(pipeline_removed("demo-api", uuid4()))
    assert vault.resources() == there


class _Stubborn(MemoryVault):
    """Groups cannot be removed."""

    async def remove(self, resource: Resource) -> bool:
        if resource.kind == "access_group":
            raise PermanentError("openbao_denied", "the policy lacks it.", next_step="Mend it.")
        return await super().remove(resource)


async def test_what_will_not_go_is_left_with_its_reason_and_the_rest_goes() -> None:
    handlers, incarnation = handlers_over(_Stubborn()), uuid4()
    await handlers.store(infra_ready("demo-api", incarnation))

    receipt = (await handlers.revoke(pipeline_removed("demo-api", incarnation))).receipt

    groups = domain.access_groups(SHOP)
    assert receipt.removed == domain.belongings(SHOP, with_database=True)[len(groups) :]
    assert [(left.resource, left.reason) for left in receipt.left_behind] == [
        (group, "the policy lacks it. Mend it.") for group in groups
    ]


async def test_leftovers_that_will_not_go_keep_the_name_from_the_next() -> None:
    vault = _Stubborn()
    handlers, dead = handlers_over(vault), uuid4()
    await handlers.store(infra_ready("demo-api", dead))
    assert isinstance(handlers.history, MemoryHistory)
    handlers.history.note_revoked("demo-api", dead)

    with pytest.raises(PermanentError) as refused:
        await handlers.store(infra_ready("demo-api", uuid4()))
    assert refused.value.code == "leftovers_remain"


async def test_the_journal_tells_where_things_are_and_no_value() -> None:
    vault = MemoryVault({"ada": "entity-1"})
    handlers = handlers_over(vault)
    await handlers.store(infra_ready("demo-api", uuid4()))

    assert isinstance(handlers.journal, MemoryJournal)
    told = "\n".join(text for _, text in handlers.journal.lines)
    assert "kv/env/demo-api/app" in told
    assert "database/creds/env-demo-api" in told
    assert "ada is a member of env:demo-api:developer" in told
    assert not any(value in told for value in (vault.value(SHOP) or {}).values())


class _ComesMeanwhile(MemoryVault):
    """The environment's secrets are stored just after somebody has looked for them."""

    def __init__(self, incarnation: UUID) -> None:
        super().__init__()
        self._incarnation: UUID | None = incarnation

    async def claim_of(self, names: Names) -> Claim | None:
        found = await super().claim_of(names)
        if self._incarnation is not None:
            incarnation, self._incarnation = self._incarnation, None
            await handlers_over(self).store(infra_ready(names.environment, incarnation))
        return found


async def test_access_to_what_comes_while_we_look_is_given_later_and_never_refused() -> None:
    incarnation = uuid4()
    vault = _ComesMeanwhile(incarnation)
    asked = access_requested("demo-api", incarnation, person="bob")
    with pytest.raises(TransientError):
        await handlers_over(vault).grant(asked)
    await handlers_over(vault).grant(asked)
    assert "person-bob" in vault.groups[SHOP.group_of("developer")][1].members

"""Logins of namespaces: for whom they are made, and what is said where they are not."""

from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from chassis.failures import PermanentError, TransientError
from contracts.clusters import NamespaceAccess, RequestNamespaceAccess
from services.secrets.adapters.memory import MemoryClusters, MemoryVault
from services.secrets.domain import Names, Record
from services.secrets.handlers.doorkeeper import Doorkeeper


def question(incarnation: UUID, environment: str = "shop") -> RequestNamespaceAccess:
    return RequestNamespaceAccess(environment=environment, incarnation=incarnation, namespace=environment, person="ada")


async def claimed(incarnation: UUID) -> MemoryVault:
    vault = MemoryVault()
    await vault.claim(Names("shop"), incarnation, Record())
    return vault


async def test_a_login_is_made_for_the_life_that_holds_the_name() -> None:
    incarnation, clusters = uuid4(), MemoryClusters("shop")
    doorkeeper = Doorkeeper(await claimed(incarnation), clusters)
    with capture_logs() as lines:
        answer = await doorkeeper.namespace_access(question(incarnation))
    assert answer.login is not None
    assert answer.login.server == "https://cluster.test"
    token = clusters.wrapped[answer.login.wrapping_token].get_secret_value()
    (line,) = lines
    assert (line["person"], line["environment"], line["namespace"]) == ("ada", "shop", "shop")
    for secret in (token, answer.login.wrapping_token):
        assert secret not in str(lines)
        assert secret not in repr(answer)
    assert token not in answer.model_dump_json()


async def test_another_life_and_an_unclaimed_name_get_none() -> None:
    clusters = MemoryClusters("shop", "other")
    doorkeeper = Doorkeeper(await claimed(uuid4()), clusters)
    gone = NamespaceAccess(refused="environment_gone")
    assert await doorkeeper.namespace_access(question(uuid4())) == gone
    assert await doorkeeper.namespace_access(question(uuid4(), "other")) == gone
    assert clusters.wrapped == {}


async def test_a_platform_without_a_cluster_says_so() -> None:
    doorkeeper = Doorkeeper(MemoryVault(), None)
    assert await doorkeeper.namespace_access(question(uuid4())) == NamespaceAccess(refused="no_cluster")


async def test_a_store_that_is_away_is_worth_another_try_and_a_foreign_namespace_is_not() -> None:
    incarnation, clusters = uuid4(), MemoryClusters()
    doorkeeper = Doorkeeper(await claimed(incarnation), clusters)
    with pytest.raises(PermanentError):
        await doorkeeper.namespace_access(question(incarnation))
    clusters.away = True
    with pytest.raises(TransientError):
        await doorkeeper.namespace_access(question(incarnation))

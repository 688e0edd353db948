"""What applications are given at a real OpenBao and a real Postgres: their own login, for as long as they run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hvac import exceptions

from deploy.embedded.testing import RunningOpenBao, start_openbao
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.secrets.domain import Names
from tests.contract.vault.sagas import Saga
from tests.contract.vault.worlds import Login, RealWorld, a_session, logged_in
from tests.runtimes import Client, RuntimeUnderTest, client_of, host, order, program, runtime_beside_caddy
from tests.waiting import until


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory, postgres: RunningPostgres) -> Iterator[RunningOpenBao]:
    with start_openbao(tmp_path_factory.mktemp("openbao"), postgres) as running:
        yield running


@pytest.fixture(scope="module")
def runtime(
    tmp_path_factory: pytest.TempPathFactory, openbao: RunningOpenBao, postgres: RunningPostgres
) -> Iterator[RuntimeUnderTest]:
    login = openbao.vault.runtime_login
    settings = {
        "OPENBAO_URL": openbao.url,
        "ROLE_ID_FILE": str(login.role_id_file),
        "SECRET_ID_FILE": str(login.secret_id_file),
        "DATABASE_PORT": str(postgres.port),
    }
    with runtime_beside_caddy(tmp_path_factory.mktemp("runtime"), **settings) as found:
        yield found


@pytest.fixture
async def client(runtime: RuntimeUnderTest) -> AsyncIterator[Client]:
    async with client_of(runtime) as found:
        yield found


@pytest.fixture
async def world(postgres: RunningPostgres, openbao: RunningOpenBao) -> AsyncIterator[RealWorld]:
    session = a_session(openbao)
    yield RealWorld(postgres, openbao, session)
    await session.close()


async def with_secrets(world: RealWorld, name: str) -> None:
    """As the secrets service leaves an environment with a database."""
    await Saga(world).store(name, uuid4(), database=world.make_database(name))


async def login_of(client: Client, name: str) -> Login:
    """What the application that is live was given."""
    seen = await client.text(name, "/environment")
    return Login(seen["PGUSER"], seen["PGPASSWORD"])


async def test_an_application_gets_its_own_secret_and_login_and_they_end_with_it(
    runtime: RuntimeUnderTest, client: Client, world: RealWorld
) -> None:
    await with_secrets(world, "vault-a")
    mark = runtime.make_slot("vault-a")
    telling = "print('my password is', os.environ['PGPASSWORD'], flush=True)"
    outcome = await client.deploy("vault-a", order("a1", with_database=True), program("a", more=telling))
    assert outcome.state == "succeeded", outcome

    seen = await client.text("vault-a", "/environment")
    value = world.value("vault-a")
    assert value is not None
    assert {name: seen[name] for name in value} == value
    first = Login(seen["PGUSER"], seen["PGPASSWORD"])
    assert f":{first.password}@" in seen["DATABASE_URL"]
    with world.connect(first) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("env_vault_a",)
    # In memory and nowhere else.
    written = b"".join(path.read_bytes() for path in runtime.directory.rglob("*") if path.is_file())
    assert first.password.encode() not in written
    assert all(secret.encode() not in written for secret in value.values())
    assert "my password is ********" in (await client.http.get("/slots/vault-a/logs")).text

    await client.deploy("vault-a", order("a2", with_database=True), program("b"))
    second = await login_of(client, "vault-a")
    assert second.user != first.user

    async def first_is_revoked() -> bool:
        return not await asyncio.to_thread(world.can_log_in, first)

    await until(first_is_revoked, what="the end of the first login")
    assert world.can_log_in(second)

    await asyncio.to_thread(runtime.remove_slot, mark)

    async def second_is_revoked() -> bool:
        return not await asyncio.to_thread(world.can_log_in, second)

    await until(second_is_revoked, what="the end of the second login")


async def test_before_its_login_ends_an_application_is_replaced_without_a_gap(
    runtime: RuntimeUnderTest, client: Client, world: RealWorld
) -> None:
    await with_secrets(world, "vault-b")
    runtime.make_slot("vault-b")
    role = f"database/roles/{Names('vault-b').role}"
    kept = world.service.adapter.get(f"/v1/{role}")["data"]
    world.service.adapter.post(f"/v1/{role}", json={**kept, "default_ttl": 6, "max_ttl": 8})
    await client.deploy("vault-b", order("b1", with_database=True), program("b"))
    first = await login_of(client, "vault-b")
    statuses = []

    async def has_another() -> bool:
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(f"{client.ingress}/environment", headers={"Host": host("vault-b")})
        statuses.append(answer.status_code)
        return answer.status_code == 200 and answer.json()["PGUSER"] != first.user

    await until(has_another, what="another login", within_seconds=30)
    assert set(statuses) == {200}
    world.service.adapter.post(f"/v1/{role}", json=kept)
    assert world.can_log_in(await login_of(client, "vault-b"))


async def test_a_release_without_secrets_to_read_is_refused_and_says_so(
    runtime: RuntimeUnderTest, client: Client
) -> None:
    runtime.make_slot("vault-none")
    outcome = await client.deploy("vault-none", order("n1", with_database=True), program("n"))
    assert (outcome.state, outcome.code) == ("failed", "secrets_refused")


async def test_the_runtimes_own_login_opens_no_secret_and_no_other_role(
    openbao: RunningOpenBao, world: RealWorld, tmp_path: Path
) -> None:
    await with_secrets(world, "vault-c")
    login = openbao.vault.runtime_login
    own = logged_in(openbao.url, login.role_id_file.read_text(), login.secret_id_file.read_text())

    def ask(method: str, path: str) -> Any:
        return own.adapter.request(method, f"/v1/{path}", json={} if method == "POST" else None)

    assert ask("GET", "auth/approle/role/env-vault-c/role-id")["data"]["role_id"]
    for method, path in (
        ("GET", "kv/data/env/vault-c/app"),
        ("GET", "kv/metadata/env/vault-c/app"),
        ("GET", "database/creds/env-vault-c"),
        ("GET", "auth/approle/role/slipway-secrets/role-id"),
        ("POST", "auth/approle/role/slipway-secrets/secret-id"),
        ("POST", "auth/approle/role/slipway-runtime/secret-id"),
        ("POST", "auth/approle/role/slipway-runtime"),
        ("GET", "auth/approle/role/env-vault-c"),
        ("POST", "auth/approle/role/env-vault-c"),
        ("POST", "auth/approle/role/env-vault-c/policies"),
        ("POST", "auth/approle/role/env-vault-c/custom-secret-id"),
        ("POST", "sys/policies/acl/env-vault-c"),
        ("POST", "auth/token/create"),
        ("GET", "sys/auth"),
    ):
        with pytest.raises(exceptions.Forbidden):
            ask(method, path)

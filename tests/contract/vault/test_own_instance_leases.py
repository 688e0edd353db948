"""Leases from an instance that an environment has to itself: the twin, and OpenBao over a second real Postgres behind
TLS whose first login Secrets Manager (moto's) keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from hvac import exceptions
from pydantic import SecretStr
from structlog.testing import capture_logs

from chassis.failures import PermanentError, TransientError
from contracts.values import Database
from services.secrets import domain
from services.secrets.adapters.aws import AwsFirstLogins
from services.secrets.adapters.instances import PostgresInstances
from services.secrets.adapters.memory import MemoryHistory, MemoryInstances, MemoryJournal
from services.secrets.adapters.vault import OpenBaoVault
from services.secrets.domain import InstanceLogin, Names
from services.secrets.handlers import Handlers
from services.secrets.handlers.own_instances import OwnInstances
from tests.contract.vault.dying import DeadError, dies
from tests.contract.vault.instance import Instance, make_certificate, needs_moto
from tests.contract.vault.worlds import Login, RealWorld, TwinWorld, World
from tests.unit.secrets.events import a_database, infra_ready, owned_by, pipeline_removed

STEPS = ("mend_connection", "read", "prepare", "write_connection", "rotate_login")


class Own(Protocol):
    """A world in which an environment has an instance of its own, which is new at the start of each test."""

    @property
    def world(self) -> World:
        """OpenBao, or its twin."""
        ...

    @property
    def way_in(self) -> OwnInstances:
        """The service's."""
        ...

    def make_instance(self, name: str) -> Database:
        """What Terraform puts out of the instance."""
        ...

    def lock_the_engine_out(self) -> None:
        """OpenBao's password becomes a wrong one."""
        ...

    def works(self, login: Login) -> bool:
        """Whether a leased login lets somebody in."""
        ...


class OwnTwin:
    """In memory."""

    def __init__(self) -> None:
        self.world = TwinWorld()
        self.instances = MemoryInstances()
        self.world.vault.instances = self.instances

    @property
    def way_in(self) -> OwnInstances:
        return OwnInstances(self.world.vault, self.instances, self.instances)

    def make_instance(self, name: str) -> Database:
        self.instances.tenants.clear()
        self.instances.first["rds"] = InstanceLogin("slipway", SecretStr("first"))
        return a_database(name).model_copy(update={"master_secret": "rds"})

    def lock_the_engine_out(self) -> None:
        host, (tenant, _) = next(iter(self.instances.tenants.items()))
        self.instances.tenants[host] = tenant, SecretStr("lost")

    def works(self, login: Login) -> bool:
        return self.world.can_log_in(login)


class OwnReal:
    """OpenBao, a server behind TLS, and moto."""

    def __init__(self, world: RealWorld, instance: Instance) -> None:
        self.world = world
        self.instance = instance
        self.world.vault = OpenBaoVault(
            world.session,
            database_connection="apps",
            people_mounts=("userpass", "oidc"),
            instance_ca_file=instance.authority,
        )

    @property
    def way_in(self) -> OwnInstances:
        first_logins = AwsFirstLogins(self.instance.moto.environment)
        return OwnInstances(self.world.vault, first_logins, PostgresInstances(self.instance.authority))

    def make_instance(self, name: str) -> Database:
        self.instance.empty()
        return self.instance.database_of(name)

    def lock_the_engine_out(self) -> None:
        self.instance.lock_the_engine_out()

    def works(self, login: Login) -> bool:
        try:
            with self.instance.connect(login.user, login.password):
                return True
        except psycopg.OperationalError:
            return False


@pytest.fixture
async def real_own(instance: Instance, real: RealWorld) -> OwnReal:
    return OwnReal(real, instance)


@pytest.fixture(params=["twin", pytest.param("real", marks=needs_moto)])
def own(request: pytest.FixtureRequest) -> Own:
    found: Own = OwnTwin() if request.param == "twin" else request.getfixturevalue("real_own")
    return found


def handlers_of(own: Own, way_in: Any = None, vault: Any = None) -> Handlers:
    return Handlers(
        vault=vault or own.world.vault,
        history=MemoryHistory(),
        journal=MemoryJournal(),
        own_instances=way_in or own.way_in,
    )


def everything(name: str) -> set[Any]:
    return set(domain.belongings(Names(name), with_database=True, own_instance=True))


class Dying:
    """A port of a process that dies once one method has taken effect."""

    def __init__(self, port: Any, method: str) -> None:
        self._port = port
        self._method = method

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any) -> Any:
            result = await getattr(self._port, method)(*arguments)
            if method == self._method:
                raise DeadError
            return result

        return call


async def test_logins_are_leased_from_the_own_instance_and_everything_goes_with_the_environment(
    own: Own, name: str
) -> None:
    database, incarnation = own.make_instance(name), uuid4()
    handlers = handlers_of(own)

    said = await handlers.store(infra_ready(name, incarnation, database=database))
    again = await handlers.store(infra_ready(name, incarnation, database=database))
    login = own.world.lease(name)

    assert said == again
    assert set(said.secrets.resources) == own.world.existing(name) - {domain.leases(Names(name))} == everything(name)
    assert own.works(login)

    undone = await handlers.undo(pipeline_removed(name, incarnation))

    assert set(undone.receipt.removed) == everything(name)
    assert not undone.receipt.left_behind
    assert own.world.existing(name) == set()
    assert not own.works(login)


@pytest.mark.parametrize("step", STEPS)
async def test_a_process_that_dies_after_any_step_leaves_what_a_repeat_finishes(own: Own, name: str, step: str) -> None:
    database, incarnation = own.make_instance(name), uuid4()
    vault = Dying(own.world.vault, step)
    whole = own.way_in
    dying = OwnInstances(vault, Dying(whole.first_logins, step), Dying(whole.instances, step))
    event = infra_ready(name, incarnation, database=database)

    assert await dies(handlers_of(own, dying, vault), "store", event)
    await handlers_of(own).store(event)

    assert own.works(own.world.lease(name))


async def test_an_engine_that_is_locked_out_is_let_in_again(own: Own, name: str) -> None:
    database, incarnation = own.make_instance(name), uuid4()
    await handlers_of(own).store(infra_ready(name, incarnation, database=database))
    own.lock_the_engine_out()

    await handlers_of(own).store(infra_ready(name, incarnation, database=database))

    assert own.works(own.world.lease(name))


async def test_the_instance_of_another_environment_is_refused_and_stays_as_it_is(
    own: Own, fresh_name: Callable[[], str]
) -> None:
    mine, theirs = fresh_name(), fresh_name()
    database = own.make_instance(theirs)
    await handlers_of(own).store(infra_ready(theirs, uuid4(), database=database))
    stolen = a_database(mine).model_copy(
        update={"host": database.host, "port": database.port, "master_secret": database.master_secret}
    )

    with pytest.raises(PermanentError) as refused:
        await handlers_of(own).store(infra_ready(mine, uuid4(), database=stolen))

    assert refused.value.code == "foreign_instance"
    assert domain.leasing_connection(Names(mine)) not in own.world.existing(mine)
    assert own.works(own.world.lease(theirs))


async def test_an_update_that_gets_an_instance_and_is_undone_leases_from_the_shared_one_again(
    own: Own, name: str
) -> None:
    incarnation, run, previous = uuid4(), uuid4(), owned_by("ada", name)
    handlers = handlers_of(own)
    await handlers.store(infra_ready(name, incarnation, database=own.world.make_database(name)))
    before = own.world.lease(name)
    database = own.make_instance(name)

    await handlers.store(infra_ready(name, incarnation, database=database, previous=previous, run=run))
    assert not own.world.can_log_in(before)
    moved = own.world.lease(name)
    assert own.works(moved)
    undone = await handlers.undo(pipeline_removed(name, incarnation, previous=previous, run=run))

    assert undone.receipt.removed == (domain.leasing_connection(Names(name)),)
    assert not own.works(moved)
    assert own.world.can_log_in(own.world.lease(name))


# -- what only the real ones can show ----------------------------------------------------------------------------------


@needs_moto
async def test_a_leased_login_makes_tables_in_its_schema_and_nothing_elsewhere(real_own: OwnReal, name: str) -> None:
    database = real_own.make_instance(name)
    await handlers_of(real_own).store(infra_ready(name, uuid4(), database=database))
    login = real_own.world.lease(name)

    with real_own.instance.connect(login.user, login.password) as session:
        session.execute("CREATE TABLE orders (id int)")
        session.execute("ALTER TABLE orders ADD COLUMN paid boolean")
        found = session.execute("SELECT schemaname, tableowner FROM pg_tables WHERE tablename = 'orders'").fetchone()
        assert found == (database.schema_name, database.owner_role)
        for statement in (
            "CREATE SCHEMA other",
            "CREATE TABLE public.other (id int)",
            "CREATE TEMPORARY TABLE other (id int)",
            "CREATE ROLE other",
            "GRANT slipway_leases TO CURRENT_USER",
            "SELECT * FROM pg_authid",
            "COMMENT ON DATABASE apps IS 'mine'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)


@needs_moto
async def test_only_openbao_knows_the_password_it_leases_with_and_nothing_tells_the_first_one(
    real_own: OwnReal, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[InstanceLogin] = []
    make = domain.engine_login

    def remembering() -> InstanceLogin:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(domain, "engine_login", remembering)
    database = real_own.make_instance(name)
    with capture_logs() as logged:
        said = await handlers_of(real_own).store(infra_ready(name, uuid4(), database=database))

    (login,) = made
    assert not real_own.works(Login(login.user, login.password.get_secret_value()))
    config = real_own.world.service.adapter.get(f"/v1/database/config/env-{name}")
    for secret in (login.password.get_secret_value(), real_own.instance.first_password):
        assert secret not in f"{logged} {said.model_dump_json()} {config}"


@needs_moto
async def test_the_service_may_not_touch_the_shared_connection(real_own: OwnReal) -> None:
    for path in ("database/config/apps", "database/rotate-root/apps", "database/reset/env-x", "database/creds/env-x"):
        with pytest.raises(exceptions.Forbidden):
            real_own.world.service.adapter.post(f"/v1/{path}", json={})


@needs_moto
async def test_an_instance_that_another_authority_vouches_for_is_not_spoken_to(
    real_own: OwnReal, name: str, tmp_path: Path
) -> None:
    database = real_own.make_instance(name)
    other = make_certificate(tmp_path / "other")
    connection = domain.own_connection(Names(name), database)
    instances, first = PostgresInstances(other), InstanceLogin("slipway", SecretStr("sent-to-nobody"))
    strict = OpenBaoVault(real_own.world.session, database_connection="apps", people_mounts=(), instance_ca_file=other)

    with pytest.raises(TransientError, match="certificate verify failed"):
        await instances.prepare(connection, domain.tenant_of(Names(name), uuid4()), first, None)
    first = InstanceLogin("slipway", SecretStr(real_own.instance.first_password))
    with pytest.raises(TransientError, match="OpenBao cannot log in"):
        await strict.write_connection(connection, first)
    # With the right one it is the same address and the same login.
    await real_own.world.vault.write_connection(connection, first)
    await real_own.world.vault.remove(domain.leasing_connection(Names(name)))

"""Each real part of the embedded platform, alone: what a credential may do, and what survives a crash."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import hvac
import nats
import psycopg
import pytest
from hvac import exceptions
from nats.aio.client import Client
from nats.js import api
from psycopg import sql

from contracts.topology import CONSUMERS, STREAMS, inbox_prefix
from deploy import streams
from deploy.embedded import postgres
from deploy.embedded.testing import RunningCaddy, RunningNats, RunningOpenBao, start_caddy, start_nats, start_openbao
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres

pytestmark = pytest.mark.filterwarnings("ignore:The raise_on_deleted_version parameter:DeprecationWarning")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with start_postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory, database: RunningPostgres) -> Iterator[RunningOpenBao]:
    with start_openbao(tmp_path_factory.mktemp("openbao"), database) as running:
        yield running


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNats]:
    with start_nats(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture
def secrets(vault: RunningOpenBao) -> hvac.Client:
    client = hvac.Client(vault.url)
    client.auth.approle.login(vault.role_id_file.read_text(), vault.secret_id_file.read_text())
    return client


# --- Postgres


@pytest.mark.parametrize("owner", postgres.SERVICE_SCHEMAS)
def test_a_service_reads_its_own_schema_and_no_other(database: RunningPostgres, owner: str) -> None:
    with database.connect(f"slipway_{owner}") as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS private AS SELECT 1 AS one")
    for other in set(postgres.SERVICE_SCHEMAS) - {owner}:
        with database.connect(f"slipway_{other}") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql.SQL("SELECT * FROM {}.private").format(sql.Identifier(owner)))


@pytest.mark.parametrize("role", ["slipway_catalog", "slipway_provisioner", "slipway_leases"])
def test_no_role_but_its_own_enters_openbaos_storage(database: RunningPostgres, role: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        database.connect(role, postgres.OPENBAO_DATABASE)


def test_a_wrong_password_is_refused(database: RunningPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.cluster.url("slipway_catalog", "slipway"), password="guess")


def test_provisioning_the_database_again_changes_nothing(database: RunningPostgres) -> None:
    def shape() -> list[tuple[object, ...]]:
        with database.connect() as connection:
            roles = connection.execute(
                "SELECT rolname, rolsuper, rolcreaterole, rolconfig::text FROM pg_roles ORDER BY 1"
            ).fetchall()
            grants = connection.execute("SELECT datname, datacl::text FROM pg_database ORDER BY 1").fetchall()
            schemas = connection.execute("SELECT nspname, nspacl::text FROM pg_namespace ORDER BY 1").fetchall()
        return roles + grants + schemas

    before = shape()
    postgres.provision(database.cluster)
    assert shape() == before


# --- OpenBao


def test_the_root_token_was_revoked_and_never_used_again(vault: RunningOpenBao) -> None:
    entries = [json.loads(line) for line in (vault.vault.log / "openbao-audit.log").read_text().splitlines()]
    by_root = [entry for entry in entries if "root" in entry.get("auth", {}).get("policies", [])]
    assert by_root[-1]["request"]["path"] == "auth/token/revoke-self"
    assert "error" not in by_root[-1]
    kept = [path.read_text() for path in vault.vault.keys.directory.iterdir()]
    assert not any(text.startswith(("s.", "hvs.")) for text in kept)


def test_the_secrets_service_writes_values_and_reads_none(secrets: hvac.Client) -> None:
    secrets.secrets.kv.v2.create_or_update_secret("env/one/app", {"KEY": "value"}, mount_point="kv")
    with pytest.raises(exceptions.Forbidden):
        secrets.secrets.kv.v2.read_secret_version("env/one/app", mount_point="kv")
    metadata = secrets.secrets.kv.v2.read_secret_metadata("env/one/app", mount_point="kv")["data"]
    assert list(metadata["versions"]) == ["1"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "sys/policies/acl/slipway-secrets"),
        ("PUT", "sys/policies/acl/root"),
        ("POST", "auth/approle/role/slipway-secrets"),
        ("POST", "auth/approle/role/other"),
        ("POST", "auth/token/create"),
        ("POST", "auth/userpass/users/mallory"),
        ("POST", "identity/group/name/operators"),
        ("POST", "kv/data/other/app"),
        ("GET", "kv/data/env/one/app"),
        ("GET", "database/creds/env-one"),
        ("GET", "database/config/apps"),
        ("POST", "sys/leases/revoke-prefix/auth/"),
        ("POST", "sys/leases/revoke-prefix/database/creds/other"),
        ("GET", "sys/policies/acl/slipway-operator"),
        ("PUT", "sys/seal"),
    ],
)
def test_the_secrets_service_may_do_nothing_outside_environments(secrets: hvac.Client, method: str, path: str) -> None:
    with pytest.raises(exceptions.Forbidden):
        secrets.adapter.request(method.lower(), f"/v1/{path}", json={"policy": "", "policies": "root"})


def test_a_person_in_an_environments_group_reads_its_secret(vault: RunningOpenBao, secrets: hvac.Client) -> None:
    secrets.secrets.kv.v2.create_or_update_secret("env/two/app", {"KEY": "value"}, mount_point="kv")
    person = hvac.Client(vault.url)
    password = vault.admin_password_file.read_text()
    person.auth.userpass.login("admin", password)
    with pytest.raises(exceptions.Forbidden):
        person.secrets.kv.v2.read_secret_version("env/two/app", mount_point="kv")

    policy = 'path "kv/data/env/two/app" { capabilities = ["read"] }'
    secrets.sys.create_or_update_acl_policy("env-two-developer", policy)
    entity = secrets.secrets.identity.read_entity_by_name("admin")["data"]["id"]
    secrets.secrets.identity.create_or_update_group_by_name(
        "env:two:developer", policies=["env-two-developer"], member_entity_ids=[entity]
    )
    person.auth.userpass.login("admin", password)
    assert person.secrets.kv.v2.read_secret_version("env/two/app", mount_point="kv")["data"]["data"] == {"KEY": "value"}


def test_a_leased_login_sees_its_environments_schema_and_ends_with_its_lease(
    database: RunningPostgres, vault: RunningOpenBao, secrets: hvac.Client
) -> None:
    with database.connect(postgres.PROVISIONER_ROLE, postgres.APPS_DATABASE) as connection:
        for name in ("env_three", "env_four"):
            connection.execute(f"CREATE ROLE {name} NOLOGIN")
            connection.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}")
            connection.execute(f"GRANT {name} TO slipway_leases WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    secrets.secrets.database.create_role(
        "env-three",
        "apps",
        ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE env_three"],
    )
    workload = _workload(vault, secrets, "env-three", 'path "database/creds/env-three" { capabilities = ["read"] }')
    lease = workload.secrets.database.generate_credentials("env-three")["data"]
    url = database.cluster.url(lease["username"], postgres.APPS_DATABASE)
    with psycopg.connect(url, password=lease["password"], autocommit=True) as connection:
        connection.execute("CREATE TABLE env_three.mine (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE env_four.theirs (id int)")
        connection.execute("DROP TABLE env_three.mine")
    secrets.adapter.request("post", "/v1/sys/leases/revoke-prefix/database/creds/env-three", json={"sync": True})
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, password=lease["password"])


def _workload(vault: RunningOpenBao, secrets: hvac.Client, role: str, policy: str) -> hvac.Client:
    secrets.sys.create_or_update_acl_policy(role, policy)
    secrets.auth.approle.create_or_update_approle(role, token_policies=[role])
    role_id = secrets.auth.approle.read_role_id(role)["data"]["role_id"]
    secret_id = secrets.auth.approle.generate_secret_id(role)["data"]["secret_id"]
    workload = hvac.Client(vault.url)
    workload.auth.approle.login(role_id, secret_id)
    return workload


def test_openbao_killed_comes_back_unsealed_with_its_secrets(vault: RunningOpenBao, secrets: hvac.Client) -> None:
    secrets.secrets.kv.v2.create_or_update_secret("env/kept/app", {"KEY": "value"}, mount_point="kv")
    vault.part.kill()
    vault.part.start()
    assert secrets.secrets.kv.v2.read_secret_metadata("env/kept/app", mount_point="kv")["data"]["versions"]


def test_a_first_start_cut_short_is_started_over(tmp_path: Path, database: RunningPostgres) -> None:
    """Half-made storage (here: sealed with a key that is gone) that no start ever finished is thrown away."""
    with start_postgres(tmp_path / "pg") as fresh, fresh.connect("openbao", postgres.OPENBAO_DATABASE) as connection:
        connection.execute("CREATE TABLE openbao_kv_store (parent_path text, path text, key text, value bytea)")
        connection.execute("INSERT INTO openbao_kv_store VALUES ('', '/', 'core', 'half')")
        with start_openbao(tmp_path / "bao", fresh) as vault:
            assert vault.vault.is_ready()


# --- the bus


async def _connected(bus: RunningNats, user: str, errors: asyncio.Queue[str] | None = None) -> Client:
    async def note(error: Exception) -> None:
        if errors is not None:
            errors.put_nowait(str(error))

    return await nats.connect(
        bus.url, nkeys_seed=str(bus.nkey_file(user)), inbox_prefix=inbox_prefix(user).encode(), error_cb=note
    )


async def test_the_streams_and_consumers_are_those_of_the_topology(bus: RunningNats) -> None:
    client = await _connected(bus, "deploy")
    jetstream = client.jetstream()
    assert {found.config.name for found in await jetstream.streams_info()} == {spec.name for spec in STREAMS}
    for spec in CONSUMERS:
        found = (await jetstream.consumer_info(spec.stream, spec.durable)).config
        assert found.max_deliver == -1
        assert set(found.filter_subjects or [found.filter_subject]) == set(spec.filter_subjects)
    await client.close()


async def test_provisioning_the_bus_again_changes_nothing(bus: RunningNats) -> None:
    assert await streams.provision(bus.access) == []


async def test_what_was_changed_by_hand_is_put_back_and_what_is_foreign_is_left(bus: RunningNats) -> None:
    client = await _connected(bus, "deploy")
    jetstream = client.jetstream()
    spec = next(spec for spec in CONSUMERS if spec.durable == "notifier" and spec.stream == "ENVIRONMENTS")
    wanted = streams.consumer_config(spec, 1)
    await jetstream.add_consumer(spec.stream, replace(wanted, ack_wait=99))
    await jetstream.add_consumer(spec.stream, replace(wanted, durable_name="retired"))
    await jetstream.add_consumer(spec.stream, api.ConsumerConfig(durable_name="foreign"))
    step_logs = (await jetstream.stream_info("STEP_LOGS")).config
    await jetstream.update_stream(replace(step_logs, max_age=3600))

    assert set(await streams.provision(bus.access)) == {
        "stream STEP_LOGS changed",
        "consumer ENVIRONMENTS/notifier changed",
        "consumer ENVIRONMENTS/retired removed",
    }
    assert (await jetstream.consumer_info(spec.stream, "notifier")).config.ack_wait == spec.ack_wait_seconds
    assert await jetstream.consumer_info(spec.stream, "foreign")
    await jetstream.delete_consumer(spec.stream, "foreign")
    await client.close()


async def test_a_jetstream_that_acknowledges_before_it_syncs_is_refused(tmp_path: Path) -> None:
    with start_nats(tmp_path, streams=False) as unsynced:
        unsynced.nkey_file("deploy")
        config = tmp_path / "nats.conf"
        config.write_text(config.read_text().replace('"always"', '"2m"'))
        unsynced.part.restart()
        with pytest.raises(streams.StreamsError, match="sync_interval: always"):
            await streams.provision(unsynced.access)


@pytest.mark.parametrize(
    "subject",
    ["environment.a.environment_requested", "environment.a.secrets_stored", "$JS.API.CONSUMER.CREATE.ENVIRONMENTS"],
)
async def test_a_service_cannot_say_what_is_not_its_own(bus: RunningNats, subject: str) -> None:
    errors: asyncio.Queue[str] = asyncio.Queue()
    client = await _connected(bus, "provisioner", errors)
    await client.publish(subject, b"{}")
    assert "permissions violation" in (await asyncio.wait_for(errors.get(), 60)).lower()
    await client.close()


# --- the ingress


@pytest.fixture
def ingress(tmp_path: Path) -> Iterator[RunningCaddy]:
    with start_caddy(tmp_path) as running:
        yield running


def _get(ingress: RunningCaddy, host: str) -> tuple[int, str]:
    answer = httpx.get(ingress.url, headers={"Host": host}, trust_env=False)
    return answer.status_code, answer.text


def test_an_address_without_an_environment_gets_a_page_that_says_so(ingress: RunningCaddy) -> None:
    status, page = _get(ingress, "nobody.slipway.localhost")
    assert status == 404
    assert "No environment here" in page


def test_a_route_survives_a_kill_and_comes_before_the_last_page(ingress: RunningCaddy) -> None:
    route = {
        "@id": "env-five",
        "match": [{"host": ["five.slipway.localhost"]}],
        "handle": [{"handler": "static_response", "body": "hello from five"}],
        "terminal": True,
    }
    transport = httpx.HTTPTransport(uds=str(ingress.admin_socket))
    with httpx.Client(transport=transport, base_url="http://localhost") as admin:
        admin.put("/config/apps/http/servers/slipway/routes/0", json=route).raise_for_status()
    assert _get(ingress, "five.slipway.localhost") == (200, "hello from five")
    ingress.part.kill()
    ingress.part.start()
    assert _get(ingress, "five.slipway.localhost") == (200, "hello from five")
    assert _get(ingress, "six.slipway.localhost")[0] == 404

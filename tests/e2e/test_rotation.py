"""Credentials given anew while environments are made: no run fails, and what was exchanged opens nothing."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import httpx
import hvac
import nats
import psycopg
import pytest

from deploy.embedded.ports import HOST
from tests.e2e.outside import DEMO_NAME, GOLDEN_PATH, Demo
from tests.stand_ins import wait_until

OPENS = (
    "nats-cicd.nk", "pg-slipway_catalog.password", "pg-openbao.password", "pg-slipway_leases.password",
    "bao-secrets.secret-id", "forge-slipway-cicd.token",
)  # fmt: skip
SETTLED_SECONDS = 120
TEAM = "rotation"


@contextmanager
def _creations(demo: Demo) -> Iterator[list[str]]:
    """One creation after the other; answers their names as they are asked for."""
    names: list[str] = []
    over = threading.Event()

    def create() -> None:
        while not over.is_set():
            name = f"rotated-{len(names)}"
            names.append(name)
            # The gateway is away for moments: what it did not take is asked for again.
            asked = ("create", name, "--template", GOLDEN_PATH, "--team", TEAM)
            while demo.slipway(*asked).code != 0 and not _is_known(demo, name):
                over.wait(0.2)

    creating = threading.Thread(target=create)
    creating.start()
    try:
        yield names
    finally:
        over.set()
        creating.join()


def _is_known(demo: Demo, name: str) -> bool:
    return demo.slipway("show", name).code == 0


def _is_settled(demo: Demo, name: str) -> bool:
    return bool(demo.show(name)["state"] != "creating")


def _opens(demo: Demo, file: str, value: str) -> bool:
    """Whether one of the keys `OPENS` still lets its holder in."""
    match file.partition("-")[0]:
        case "nats":
            return asyncio.run(_bus_opens(demo, value))
        case "pg":
            role = file.removeprefix("pg-").removesuffix(".password")
            database = "openbao" if role == "openbao" else "apps" if role.endswith("leases") else "slipway"
            try:
                psycopg.connect(
                    host=HOST, port=demo.ports["postgres"], user=role, password=value, dbname=database
                ).close()
            except psycopg.OperationalError:
                return False
            return True
        case "bao":
            client = hvac.Client(url=demo.ports.url("openbao"))
            try:
                client.auth.approle.login(demo.key("bao-secrets.role-id"), value)
            except hvac.exceptions.InvalidRequest:
                return False
            return True
        case _:
            headers = {"Authorization": f"token {value}"}
            return httpx.get(f"{demo.ports.url('forge')}/user", headers=headers, trust_env=False).status_code == 200


async def _bus_opens(demo: Demo, seed: str) -> bool:
    async def ignore(_: Exception) -> None: ...

    try:
        client = await nats.connect(
            f"nats://{HOST}:{demo.ports['nats']}",
            nkeys_seed_str=seed,
            allow_reconnect=False,
            error_cb=ignore,
            connect_timeout=30,
        )
    except nats.errors.Error:
        return False
    await client.close()
    return True


def test_every_kind_of_credentials_is_given_anew_and_no_run_fails(demo: Demo) -> None:
    before = {file: demo.key(file) for file in OPENS}
    assert all(_opens(demo, file, value) for file, value in before.items())

    with _creations(demo) as names:
        said = demo.slipway("admin", "rotate", "all")
        if said.code != 0:
            pytest.fail(f"{said.out}\n{said.err}")

    assert names
    for name in names:
        wait_until(partial(_is_settled, demo, name), seconds=SETTLED_SECONDS)
        assert [run["state"] for run in demo.runs(name)] == ["succeeded"], name
    after = {file: demo.key(file) for file in OPENS}
    assert [file for file in OPENS if _opens(demo, file, before[file])] == []
    assert [file for file in OPENS if not _opens(demo, file, after[file])] == []
    assert not list(demo.home.keys.glob("*.next.nk"))
    assert "already running" in demo.make("up").out, "whoever was told of a new key need not start again"
    assert demo.lease(DEMO_NAME)
    removed = demo.slipway("rm", "--all", "--team", TEAM, "--confirm", str(len(names)))
    assert removed.code == 0, removed


def test_what_cannot_be_given_anew_says_why(demo: Demo) -> None:
    said = demo.slipway("admin", "rotate", "event-ids")
    assert said.code == 2
    assert "event-id.key stays" in demo.run(sys.executable, "-m", "deploy.embedded", "rotate", "--help").out

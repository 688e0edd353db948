"""The chart's bus, for real: three servers with the rendered configuration, and the rendered job on them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from contracts.readers import Reader
from contracts.topology import CONSUMERS, STREAMS, inbox_prefix
from deploy.embedded import nats as embedded
from deploy.embedded.home import write_file
from deploy.embedded.keys import Keys, new_user_seed, public_user_key
from deploy.embedded.local_http import answers, request_json
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.processes import Launch, binary
from deploy.embedded.testing_part import Part
from deploy.helm import bus
from tests.deploy.charts import PARTS, Json, Rendered, containers, example, made_keys, rendered, variables
from tests.waiting import until

READER = "billing"
SERVERS = ("slipway-nats-0", "slipway-nats-1", "slipway-nats-2")


@dataclass(frozen=True)
class Bus:
    """Three servers that run as the chart says."""

    chart: Rendered
    parts: dict[str, Part]
    urls: dict[str, str]
    monitor_urls: dict[str, str]
    directory: Path
    reader_seed: str

    def run(self, container: Json) -> subprocess.CompletedProcess[str]:
        """A container of the job, on this machine."""
        told = {name: self._here(value) for name, value in variables(container).items()}
        command = [self._here(part) for part in container["command"]]
        return subprocess.run(
            [sys.executable, *command[1:]],
            env={"PATH": os.environ["PATH"]} | told,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def succeeds(self, container: Json) -> bool:
        """Whether it ends well this time."""
        return self.ended_well(container) is not None

    def ended_well(self, container: Json) -> subprocess.CompletedProcess[str] | None:
        """What it said, where it ends well this time: what it asks may be without a leader for a moment."""
        done = self.run(container)
        return done if done.returncode == 0 else None

    def _here(self, value: str) -> str:
        found = value.replace("nats://slipway-nats:4222", ",".join(self.urls.values()))
        return str(self.directory) if found == "/tmp" else found.replace("/srv/slipway", str(self.directory))


def seeds() -> dict[str, str]:
    """The seed of every user."""
    known = {part: json.loads((made_keys() / "openbao" / f"{part}.json").read_text()) for part in PARTS}
    found = {part: secret["nats.nk"] for part, secret in known.items() if "nats.nk" in secret}
    found |= {"deploy": known["deploy"]["nats-deploy.nk"], "sys": known["deploy"]["nats-sys.nk"]}
    return found | {"client": (made_keys() / "client.nk").read_text()}


@pytest.fixture(scope="module")
def reader_seed() -> str:
    return new_user_seed()


@pytest.fixture(scope="module")
def chart(reader_seed: str) -> Rendered:
    values = example("required")
    values["readers"] = [{"name": READER, "team": "payments", "nkey": public_user_key(reader_seed)}]
    return rendered({"bus": values})["bus"]


@pytest.fixture(scope="module")
def running(chart: Rendered, reader_seed: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    directory = tmp_path_factory.mktemp("bus")
    _write_for_the_job(chart, directory)
    ports = {name: (free_port(), free_port(), free_port()) for name in SERVERS}
    routes = {name: route for name, (_, _, route) in ports.items()}
    with ExitStack() as stack:
        parts = {name: _server(chart, directory / name, name, ports[name], routes) for name in SERVERS}
        for part in parts.values():
            part.start()
            stack.callback(part.stop)
        yield Bus(
            chart,
            parts,
            {name: f"nats://{HOST}:{client}" for name, (client, _, _) in ports.items()},
            {name: f"http://{HOST}:{monitor}" for name, (_, monitor, _) in ports.items()},
            directory,
            reader_seed,
        )


def _write_for_the_job(chart: Rendered, directory: Path) -> None:
    keys = directory / "keys"
    keys.mkdir()
    for name, value in json.loads((made_keys() / "openbao" / "deploy.json").read_text()).items():
        (keys / name).write_text(value)
    listed = directory / "etc" / "readers" / "readers.json"
    listed.parent.mkdir(parents=True)
    listed.write_text(chart.one("ConfigMap", "slipway-readers")["data"]["readers.json"])


def _server(chart: Rendered, home: Path, name: str, ports: tuple[int, int, int], routes: dict[str, int]) -> Part:
    """A pod's files and command, with this machine's addresses in the place of the cluster's."""
    client, monitor, route = ports
    told = chart.one("ConfigMap", "slipway-nats")["data"]
    secret = json.loads((made_keys() / "openbao" / "nats.json").read_text())["cluster.conf"]
    for other, port in routes.items():
        assert f"@{other}.slipway-nats-cluster:6222" in secret
        secret = secret.replace(f"{other}.slipway-nats-cluster:6222", f"{HOST}:{port}")
    files = {
        "etc/nats.conf": told["nats.conf"]
        .replace("0.0.0.0:6222", f"{HOST}:{route}")
        .replace("/run/slipway", str(home / "run")),
        "etc/server.json": told["server.json"]
        .replace("0.0.0.0:4222", f"{HOST}:{client}")
        .replace("0.0.0.0:8222", f"{HOST}:{monitor}")
        .replace("/srv/slipway/data/nats", str(home / "data")),
        "keys/cluster.conf": secret,
        "run/.keep": "",
    }
    for path, text in files.items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
    (container,) = chart.pod("nats")["containers"]
    command = [part.replace("/srv/slipway", str(home)).replace("$(POD_NAME)", name) for part in container["command"]]
    assert command[0] == "nats-server"
    launch = Launch((binary("nats-server"), *command[1:]))
    return Part(name, launch, home, lambda: answers(f"http://{HOST}:{monitor}/varz"))


def test_users_and_permissions_are_those_of_the_embedded_bus(chart: Rendered, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    for user, seed in seeds().items():
        write_file(keys.path(f"nats-{user}.nk"), seed)
    listed = [Reader(name=READER, team="payments")]
    text = embedded.configuration(
        keys, embedded.topology_users(), port=4222, monitor_port=8222, store=bus.STORE, readers=listed, host="0.0.0.0"
    )
    wanted, found = json.loads(text), json.loads(chart.one("ConfigMap", "slipway-nats")["data"]["server.json"])
    wanted["accounts"]["READERS"]["users"][0]["nkey"] = found["accounts"]["READERS"]["users"][0]["nkey"]
    del wanted["server_name"]
    assert found["jetstream"].pop("domain") == "slipway"
    assert found["jetstream"]["sync_interval"] == "always"
    assert found == wanted


def test_the_server_takes_the_configuration(running: Bus) -> None:
    for name, part in running.parts.items():
        done = subprocess.run([*part.launch.argv, "-t"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stderr}"


async def test_three_servers_form_a_cluster_on_which_the_job_makes_streams_of_three_replicas(running: Bus) -> None:
    (container,) = running.chart.pod("nats")["containers"]
    probes = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    for url in running.monitor_urls.values():
        for path in probes:
            await until(partial(answers, f"{url}{path}"), what=path)

    for job in containers(running.chart.pod("deploy")):
        # As Kubernetes does: in its place, until it succeeds.
        await until(partial(running.succeeds, job), what=job["name"])
        again = await until(partial(running.ended_well, job), what=f"{job['name']} again")
        assert again.stdout == "nothing to change\n", again.stderr

    for url in running.monitor_urls.values():
        await until(partial(_has_every_stream, url), what=f"every stream at {url}")
    url = next(iter(running.monitor_urls.values()))
    assert {one["config"]["num_replicas"] for one in _streams(url)} == {3}
    await until(partial(_has_every_durable, url), what="every durable, and no other")

    await _publish(running, "before")
    await _read_as_the_reader(running)
    _leave(running, SERVERS[0])
    await _publish(running, "after")


def _streams(url: str) -> list[Any]:
    found = request_json("GET", f"{url}/jsz?streams=true&config=true&consumers=true")
    return [stream for account in found["account_details"] for stream in account.get("stream_detail", ())]


def _has_every_stream(url: str) -> bool:
    return {one["name"] for one in _streams(url)} == {spec.name for spec in STREAMS}


def _has_every_durable(url: str) -> bool:
    """A server hears of a durable a moment after the one that made it."""
    durables = {(one["name"], found["name"]) for one in _streams(url) for found in one.get("consumer_detail", ())}
    return durables == {(spec.stream, spec.durable) for spec in CONSUMERS} | {("FEEDS", READER)}


async def _publish(running: Bus, name: str) -> None:
    """As the gateway says it, acknowledged by the majority's disks."""
    client = await _connected(list(running.urls.values()), seeds()["gateway"], inbox_prefix("gateway"))
    try:
        found = await until(partial(_acknowledged, client, name), what="a leader that acknowledges")
        assert (found["stream"], found["domain"]) == ("ENVIRONMENTS", "slipway")
    finally:
        await client.close()


async def _acknowledged(client: Client, name: str) -> Json | None:
    """What the stream's leader answers, or None while there is none: a service says it again then, too."""
    subject, once = f"environment.{name}.environment_requested", {"Nats-Msg-Id": name}
    try:
        answer = await client.request(subject, b"{}", timeout=10, headers=once)
    except nats.errors.Error:
        return None
    found: Json = json.loads(answer.data)
    return found


async def _read_as_the_reader(running: Bus) -> None:
    client = await _connected(list(running.urls.values()), running.reader_seed, f"_INBOX_{READER}")
    try:
        answered = await until(partial(_next_of_feed, client), what="the durable's leader")
        assert answered["Status"] == "404"  # there is nothing in the feed; the durable has answered
    finally:
        await client.close()


async def _next_of_feed(client: Client) -> dict[str, str] | None:
    """How the durable answers, or None while it has no leader: a reader asks again then."""
    asked = json.dumps({"batch": 1, "no_wait": True}).encode()
    try:
        answer = await client.request(f"$JS.API.CONSUMER.MSG.NEXT.FEEDS.{READER}", asked, timeout=10)
    except nats.errors.Error:
        return None
    return answer.headers


def _leave(running: Bus, name: str) -> None:
    """What the pod's `preStop` does."""
    (container,) = running.chart.pod("nats")["containers"]
    command = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "nats-server"
    home = running.directory / name
    told = [part.replace("/run/slipway", str(home / "run")) for part in command[1:]]
    subprocess.run([binary("nats-server"), *told], check=True, capture_output=True)


async def _connected(urls: list[str], seed: str, inbox: str) -> Client:
    async def told(_: Exception) -> None:
        await asyncio.sleep(0)

    return await nats.connect(
        urls,
        nkeys_seed_str=seed,
        inbox_prefix=inbox.encode(),
        error_cb=told,
        connect_timeout=10,
    )

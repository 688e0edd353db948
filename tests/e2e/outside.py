"""A platform as a person sees it from outside: its commands, and what stands in each system that it wrote to.

Invariant: nothing here asks the platform about itself; the systems are asked (DNS, Postgres, OpenBao, the ingress, Git,
the disk), each with credentials that a person or an operator has.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import httpx
import hvac
import psycopg
import pytest

from deploy.embedded.home import Home
from deploy.embedded.ports import HOST, OFFSETS, ZONE, Ports, free_base
from deploy.embedded.processes import PROJECT, binary
from tests.stand_ins import wait_until

DEMO_NAME = "demo-api"
GOLDEN_PATH = "nodejs-api"
_COMMAND_SECONDS = 150
_QUERY_SECONDS = 30
"""Only what fails takes so long."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed for a program."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Demo:
    """One platform; `said` is what the `make demo` that made it printed."""

    home: Home
    ports: Ports
    said: Said

    @property
    def ports_used(self) -> Mapping[str, int]:
        """Every port of the platform by its name."""
        return {name: self.ports[name] for name in OFFSETS}

    def run(self, *argv: str | Path, cwd: Path = PROJECT, more: Mapping[str, str] | None = None) -> Said:
        """Run a program as the platform's operator, away from any other platform on this machine."""
        return _run(self.home, self.ports, *argv, cwd=cwd, more=more or {})

    def make(self, target: str, **more: str) -> Said:
        """`make target`, with the environment that runs these tests."""
        return self.run("make", target, f"VENV={sys.prefix}", more=more)

    def slipway(self, *arguments: str, **more: str) -> Said:
        """`slipway arguments`."""
        return self.run(binary("slipway"), *arguments, more=more)

    def show(self, name: str) -> Any:
        """`slipway -o json show name`."""
        return self.slipway("-o", "json", "show", name).json

    def runs(self, name: str) -> Any:
        """`slipway -o json runs name`."""
        return self.slipway("-o", "json", "runs", name).json

    def create(self, name: str, *arguments: str) -> Json:
        """`slipway create`, which must succeed."""
        said = self.slipway("-o", "json", "create", name, "--template", GOLDEN_PATH, *arguments)
        assert said.code == 0, said
        created: Json = said.json
        return created

    def key(self, name: str) -> str:
        """The content of a file of the operator's keys."""
        return (self.home.keys / name).read_text().strip()

    def get(self, url: str) -> httpx.Response:
        """GET a URL whose host this machine need not resolve: browsers and curl resolve it by themselves."""
        asked = httpx.URL(url)
        headers = {"Host": asked.netloc.decode()}
        return httpx.get(asked.copy_with(host=HOST), headers=headers, trust_env=False, timeout=_QUERY_SECONDS)

    def look_up(self, hostname: str, *, tcp: bool = False) -> list[str]:
        """The addresses the DNS server gives for a name."""
        query = dns.message.make_query(hostname, "A")
        ask = dns.query.tcp if tcp else dns.query.udp
        answer = ask(query, HOST, port=self.ports["dns"], timeout=_QUERY_SECONDS)
        assert answer.rcode() in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
        return [str(record) for rrset in answer.answer for record in rrset if rrset.rdtype == dns.rdatatype.A]

    def events_in_log(self) -> int:
        """How many events the bus has in its log of environments."""
        server = httpx.get(
            f"{self.ports.url('nats-monitor')}/jsz?streams=true", trust_env=False, timeout=_QUERY_SECONDS
        ).json()
        streams = [stream for account in server["account_details"] for stream in account["stream_detail"]]
        return int(next(stream["state"]["messages"] for stream in streams if stream["name"] == "ENVIRONMENTS"))

    def messages(self, environment: str) -> list[Json]:
        """What the team's channel was told of an environment, once it was told anything."""
        url = f"{self.ports.url('inbox')}/api/channels/deployments/messages"

        def told() -> list[Json]:
            found = httpx.get(url, trust_env=False, timeout=_QUERY_SECONDS).json()["messages"]
            return [one for one in found if one["metadata"]["event_payload"]["environment"] == environment]

        wait_until(lambda: bool(told()))
        return told()

    # The database server, as its superuser.

    def database(self, role: str, password: str) -> psycopg.Connection:
        """A connection to the database of the environments, as anybody."""
        return psycopg.connect(
            host=HOST, port=self.ports["postgres"], dbname="apps", user=role, password=password, autocommit=True
        )

    def in_database(self, query: str, *values: str) -> list[Any]:
        """The first column of what the superuser finds."""
        with self.database("postgres", self.key("pg-postgres.password")) as connection:
            return [row[0] for row in connection.execute(query, values)]

    # OpenBao, as the person of the embedded platform, and as the one service that may list.

    def person(self) -> hvac.Client:
        """The owner of what `make demo` made: the person `admin`."""
        client = hvac.Client(url=self.ports.url("openbao"))
        client.auth.userpass.login("admin", self.key("bao-admin.password"))
        return client

    def secrets_of(self, name: str) -> dict[str, str]:
        """An environment's secrets, read by that person."""
        kv = self.person().secrets.kv.v2
        found: dict[str, str] = kv.read_secret_version(
            f"env/{name}/app", mount_point="kv", raise_on_deleted_version=True
        )["data"]["data"]
        return found

    def lease(self, name: str) -> tuple[str, str]:
        """A login to an environment's database, leased by that person."""
        leased = self.person().secrets.database.generate_credentials(f"env-{name}")["data"]
        return leased["username"], leased["password"]

    def _in_openbao(self, path: str) -> list[str]:
        client = hvac.Client(url=self.ports.url("openbao"))
        client.auth.approle.login(self.key("bao-secrets.role-id"), self.key("bao-secrets.secret-id"))
        return list(((client.list(path) or {}).get("data") or {}).get("keys") or ())

    # The forge.

    def forge(self, method: str, path: str, body: Json | None = None, login: str = "slipway-cicd") -> httpx.Response:
        """A call of the forge's API."""
        headers = {"Authorization": f"token {self.key(f'forge-{login}.token')}"}
        url = f"{self.ports.url('forge')}{path}"
        return httpx.request(method, url, json=body, headers=headers, trust_env=False, timeout=_QUERY_SECONDS)

    def clone(self, url: str, into: Path) -> None:
        """`git clone` as a developer, whose token Git is given the way a credential helper gives it."""
        helper = (
            f'!f() {{ echo username=developer; echo "password=$(cat {self.home.keys}/forge-developer.token)"; }}; f'
        )
        said = self.run("git", "-c", f"credential.helper={helper}", "clone", "--quiet", url, into)
        assert said.code == 0, said

    @cached_property
    def _environments_repository(self) -> str:
        return f"{self.ports.url('forge')}/platform/environments.git"

    def clone_environments(self, into: Path) -> Path:
        """The environments repository, cloned as a developer."""
        self.clone(self._environments_repository, into)
        return into

    def things_of(self, name: str) -> set[str]:
        """Every kind of thing that lives anywhere under an environment's name, its repository left out."""
        schema, role = f"env_{name.replace('-', '_')}", f"env-{name}"
        config = self.home.data / "terraform" / "environments" / name
        desired = self.forge("GET", f"/repos/platform/environments/contents/environments/{name}")
        looks = {
            "schema": self.in_database("SELECT nspname FROM pg_namespace WHERE nspname = %s", schema),
            "owner role": self.in_database("SELECT rolname FROM pg_roles WHERE rolname = %s", schema),
            "DNS record": self.look_up(f"{name}.{ZONE}"),
            "route": self.get(f"http://{name}.{ZONE}:{self.ports['ingress']}").status_code != 404,
            "slot": (self.home.data / "runtime" / name).exists(),
            "Terraform state": config.exists() and '"mode": "managed"' in (config / "terraform.tfstate").read_text(),
            "desired state": desired.status_code != 404,
            "secret": f"{name}/" in self._in_openbao("kv/metadata/env"),
            "policies": [one for one in self._in_openbao("sys/policies/acl") if one.partition(":")[0] == role],
            "database role": role in self._in_openbao("database/roles"),
            "workload's login": role in self._in_openbao("auth/approle/role"),
            "grant": [one for one in self._in_openbao("identity/group/name") if one.startswith(f"env:{name}:")],
            "lease": self._in_openbao(f"sys/leases/lookup/database/creds/{role}"),
        }
        return {kind for kind, found in looks.items() if found}


def _run(home: Home, ports: Ports, *argv: str | Path, cwd: Path, more: Mapping[str, str]) -> Said:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
    ours = {"SLIPWAY_HOME": str(home.root), "SLIPWAY_PORT_BASE": str(ports.base), "NO_COLOR": "1"}
    ended = subprocess.run(
        [str(one) for one in argv],
        env=inherited | ours | dict(more),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)


def begin_demo(directory: Path) -> Demo:
    """`make demo` in an empty home on free ports. Fails with what it printed."""
    home, ports = Home.at(directory), Ports(free_base())
    demo = Demo(home, ports, Said(0, "", ""))
    # A test never installs into the environment that it runs in; `make test` has done so before.
    if demo.run("make", "--question", "install", f"VENV={sys.prefix}").code != 0:
        pytest.fail("run `make install` first", pytrace=False)
    said = demo.make("demo")
    if said.code != 0:
        demo.make("reset", SLIPWAY_YES="1")
        pytest.fail(f"make demo ended with {said.code}:\n{said.out}\n{said.err}", pytrace=False)
    return Demo(home, ports, said)


def printed(pattern: str, text: str) -> str:
    """The one group of `pattern` in what was printed."""
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in:\n{text}"
    return found[1]

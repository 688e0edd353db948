"""The machine that environments are made on, as tests handle it: the provisioner's port, and hands that break things.

Two of them with the same hands: the twin in memory, and a real one with Postgres, Caddy, a DNS server and Terraform.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID, uuid5

import dns.message
import dns.query
import dns.tsigkeyring
import dns.update
import httpx
from psycopg import sql

from contracts.values import EnvironmentSpec, Owner, Resource
from deploy.embedded.keys import Keys, new_base64_key
from deploy.embedded.ports import HOST, free_port
from deploy.embedded.terraform import find_terraform
from deploy.embedded.testing import RunningCaddy, start_caddy
from deploy.embedded.testing_postgres import RunningPostgres, start_postgres
from services.provisioner.adapters.golden_paths import DirectoryGoldenPaths
from services.provisioner.adapters.infrastructure import TerraformInfrastructure
from services.provisioner.adapters.memory import MemoryInfrastructure, Thing
from services.provisioner.adapters.terraform_provider.access import Access, access_from
from services.provisioner.adapters.terraform_workspace import TerraformKnobs
from services.provisioner.domain import Platform, render
from services.provisioner.ports import Files, Infrastructure, Line
from services.provisioner.settings import AccessSettings
from tests.stand_ins import running, start_module

PROJECT = Path(__file__).resolve().parents[1]
GOLDEN_PATHS = DirectoryGoldenPaths(PROJECT / "golden_paths", PROJECT / "deploy" / "terraform", "local")
ZONE = "slipway.localhost"
NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

Kind = Literal["namespace", "database", "dns_record", "route"]
KINDS: tuple[Kind, ...] = ("namespace", "database", "dns_record", "route")


def incarnation(life: int) -> UUID:
    """The id of an environment's nth life."""
    return uuid5(NAMESPACE, str(life))


def spec_of(name: str, *, branch: str = "main", parameters: Mapping[str, Any] | None = None) -> EnvironmentSpec:
    """What somebody asks for who says nothing but a name."""
    return EnvironmentSpec(
        name=name,
        kind="preview",
        golden_path="nodejs-api",
        golden_path_version="1.0.0",
        owner=Owner(person="ann", team="web"),
        repository=f"acme/{name}",
        branch=branch,
        parameters={"database": True, "instances": 1, "memory_mib": 256} | dict(parameters or {}),
    )


def schema_of(name: str) -> str:
    """The schema of an environment, which is also its owner's name."""
    return f"env_{name.replace('-', '_')}"


def no_report(line: Line) -> None:
    """For runs whose output nobody reads."""


class Machine(Protocol):
    """What a test can do with a machine, be it real or not."""

    @property
    def infrastructure(self) -> Infrastructure:
        """The port under test."""
        ...

    @property
    def platform(self) -> Platform:
        """What environments are told of it."""
        ...

    def has(self, kind: Kind, name: str) -> bool:
        """Whether such a thing exists, whoever made it."""
        ...

    def is_healthy(self, kind: Kind, name: str) -> bool:
        """Whether it is as the environment's files say."""
        ...

    def spoil(self, kind: Kind, name: str) -> None:
        """Change it behind the platform's back."""
        ...

    def lose(self, kind: Kind, name: str) -> None:
        """Remove it behind the platform's back."""
        ...

    def occupy(self, kind: Kind, name: str) -> None:
        """Let somebody else have a thing of that name (in place of ours, if there is one)."""
        ...

    def vacate(self, kind: Kind, name: str) -> None:
        """Take away what `occupy` put there."""
        ...

    def forget_records(self, name: str) -> None:
        """Lose the record of what was made, as a kill between deed and record does."""
        ...


async def files_of(
    machine: Machine, name: str, *, life: int = 1, branch: str = "main", parameters: Mapping[str, Any] | None = None
) -> Files:
    """The environment's directory, as the provisioner renders it for this machine."""
    spec = spec_of(name, branch=branch, parameters=parameters)
    return render(spec, incarnation(life), await GOLDEN_PATHS.modules("nodejs-api"), machine.platform)


class TwinMachine:
    """The twin: a machine that is a dictionary."""

    def __init__(self) -> None:
        self.infrastructure = MemoryInfrastructure()
        self.platform = Platform(ZONE, HOST, 8015, HOST, 8012, "apps", "http://127.0.0.1:8018")

    def has(self, kind: Kind, name: str) -> bool:
        return self._resource(kind, name) in self.infrastructure.things

    def is_healthy(self, kind: Kind, name: str) -> bool:
        found = self.infrastructure.things.get(self._resource(kind, name))
        return found is not None and "spoiled" not in found.properties

    def spoil(self, kind: Kind, name: str) -> None:
        self.infrastructure.things[self._resource(kind, name)].properties["spoiled"] = True

    def lose(self, kind: Kind, name: str) -> None:
        resource = self._resource(kind, name)
        del self.infrastructure.things[resource]
        self.infrastructure.recorded[name].discard(resource)

    def occupy(self, kind: Kind, name: str) -> None:
        self.infrastructure.things[self._resource(kind, name)] = Thing("somebody else", {})

    def vacate(self, kind: Kind, name: str) -> None:
        del self.infrastructure.things[self._resource(kind, name)]

    def forget_records(self, name: str) -> None:
        self.infrastructure.recorded.pop(name)

    def _resource(self, kind: Kind, name: str) -> Resource:
        return Resource(kind=kind, id=identifier(kind, name))


def identifier(kind: Kind, name: str) -> str:
    """What a thing is called where it lives."""
    return {
        "namespace": name,
        "database": f"apps/{schema_of(name)}",
        "dns_record": f"{name}.{ZONE}/A",
        "route": f"env-{name}",
    }[kind]


@dataclass
class RealMachine:
    """Postgres, Caddy, a DNS server, a directory for the runtime, and Terraform."""

    directory: Path
    postgres: RunningPostgres
    caddy: RunningCaddy
    dns_port: int
    settings: AccessSettings
    access: Access
    knobs: TerraformKnobs
    infrastructure: TerraformInfrastructure
    platform: Platform

    @property
    def runtime(self) -> Path:
        """Where the namespaces are."""
        return self.directory / "runtime"

    def has(self, kind: Kind, name: str) -> bool:
        match kind:
            case "namespace":
                return (self.runtime / name).exists()
            case "database":
                counted = self._sql(
                    "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = %(n)s)"
                    " + (SELECT count(*) FROM pg_namespace WHERE nspname = %(n)s)",
                    {"n": schema_of(name)},
                )
                return bool(counted)
            case "dns_record":
                return self.lookup(name) is not None
            case "route":
                return self.route(f"env-{name}") is not None

    def is_healthy(self, kind: Kind, name: str) -> bool:
        match kind:
            case "namespace":
                return '"owner": "ann"' in (self.runtime / name / ".slipway.json").read_text()
            case "database":
                query = "SELECT has_schema_privilege('public', %(n)s, 'USAGE')"
                return self._sql(query, {"n": schema_of(name)}) is False
            case "dns_record":
                return self.lookup(name) == HOST
            case "route":
                found = self.route(f"env-{name}")
                return found is not None and found["match"] == [{"host": [f"{name}.{ZONE}"]}]

    def spoil(self, kind: Kind, name: str) -> None:
        match kind:
            case "namespace":
                marker = self.runtime / name / ".slipway.json"
                marker.write_text(marker.read_text().replace('"owner": "ann"', '"owner": "eve"'))
            case "database":
                self._execute("GRANT USAGE ON SCHEMA {} TO PUBLIC", schema_of(name))
            case "dns_record":
                self._update_dns(name, "127.0.0.66")
            case "route":
                self._caddy("PATCH", f"/id/env-{name}/match", [{"host": ["elsewhere.test"]}])

    def lose(self, kind: Kind, name: str) -> None:
        match kind:
            case "namespace":
                shutil.rmtree(self.runtime / name)
            case "database":
                self._execute("DROP SCHEMA {} CASCADE", schema_of(name))
                self._execute("DROP OWNED BY {0}; DROP ROLE {0}", schema_of(name))
            case "dns_record":
                self._update_dns(name, None)
            case "route":
                self._caddy("DELETE", f"/id/env-{name}", None)

    def occupy(self, kind: Kind, name: str) -> None:
        if self.has(kind, name):
            self.lose(kind, name)
        match kind:
            case "namespace":
                (self.runtime / name).mkdir(parents=True)
                (self.runtime / name / "precious").write_text("somebody else's")
            case "database":
                self._execute("CREATE ROLE {}", schema_of(name))
            case "dns_record":
                self._update_dns(name, "127.0.0.99")
            case "route":
                route = {"@id": f"env-{name}", "match": [{"host": ["theirs.test"]}], "handle": []}
                self._caddy("PUT", "/config/apps/http/servers/slipway/routes/0", route)

    def vacate(self, kind: Kind, name: str) -> None:
        if kind == "database":
            self._execute("DROP ROLE {}", schema_of(name))
        else:
            self.lose(kind, name)

    def forget_records(self, name: str) -> None:
        (self.knobs.directory / name / "terraform.tfstate").unlink()

    def lookup(self, name: str, kind: str = "A") -> str | None:
        """What the DNS server answers for `<name>.<zone>`."""
        query = dns.message.make_query(f"{name}.{ZONE}", kind)
        answer = dns.query.tcp(query, HOST, timeout=5, port=self.dns_port).answer
        return answer[0][0].to_text().strip('"') if answer else None

    def route(self, route_id: str) -> dict[str, Any] | None:
        """A route as Caddy has it."""
        answer = self._caddy("GET", f"/id/{route_id}", None)
        return None if answer.is_error else json.loads(answer.text)

    def get(self, name: str) -> httpx.Response:
        """What the environment's host answers at the ingress."""
        return httpx.get(self.caddy.url, headers={"Host": f"{name}.{ZONE}:{self.caddy.port}"})

    def _sql(self, query: str, values: Mapping[str, Any]) -> Any:
        with self.postgres.connect("postgres", "apps") as connection:
            row = connection.execute(query, values).fetchone()
        return row[0] if row else None

    def _execute(self, statement: str, name: str) -> None:
        with self.postgres.connect("postgres", "apps") as connection:
            for part in statement.split(";"):
                connection.execute(sql.SQL(part).format(sql.Identifier(name)))

    def _update_dns(self, name: str, address: str | None) -> None:
        if self.access.dns is None:
            raise AssertionError("this machine has DNS")
        keyring = dns.tsigkeyring.from_text({self.access.dns.key_name: self.access.dns.key_secret.get_secret_value()})
        update = dns.update.UpdateMessage(ZONE, keyring=keyring)
        if address is None:
            update.delete(name)
            update.delete(f"_slipway.{name}")
        else:
            update.replace(name, 60, "A", address)
        dns.query.tcp(update, HOST, timeout=5, port=self.dns_port)

    def _caddy(self, method: str, path: str, body: object) -> httpx.Response:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.caddy.admin_socket)), timeout=5) as client:
            return client.request(method, f"http://127.0.0.1{path}", json=body)


@contextmanager
def start_machine(directory: Path) -> Iterator[RealMachine]:
    """A real machine below `directory`; nothing of it is left at the end."""
    with ExitStack() as stack:
        postgres = stack.enter_context(start_postgres(directory / "postgres"))
        caddy = stack.enter_context(start_caddy(directory / "caddy"))
        key = Keys(directory / "keys").ensure("dns-tsig.key", lambda: f"slipway:hmac-sha256:{new_base64_key()}")
        dns_port = free_port()
        environment = {
            "SLIPWAY_DNS_PORT": str(dns_port),
            "SLIPWAY_DNS_TSIG_FILE": str(key),
            "SLIPWAY_DNS_DATA": str(directory / "dns"),
        }
        server = start_module("deploy.embedded.dns", environment, directory)
        stack.enter_context(running(server, lambda: _answers(dns_port)))
        settings = AccessSettings(
            postgres_port=postgres.port,
            postgres_password_file=postgres.password_file("slipway_provisioner"),
            dns_port=dns_port,
            dns_key_file=key,
            caddy_socket=caddy.admin_socket,
            runtime_directory=directory / "runtime",
        )
        access = access_from(settings)
        knobs = TerraformKnobs(
            argv=tuple(find_terraform()),
            directory=directory / "environments",
            sockets=caddy.admin_socket.parent,
            stop_grace_seconds=10,
        )
        platform = Platform(ZONE, HOST, caddy.port, HOST, postgres.port, "apps", "http://127.0.0.1:8018")
        infrastructure = TerraformInfrastructure(knobs, access)
        yield RealMachine(directory, postgres, caddy, dns_port, settings, access, knobs, infrastructure, platform)


def _answers(port: int) -> bool:
    try:
        dns.query.udp(dns.message.make_query(ZONE, "SOA"), HOST, timeout=0.2, port=port)
    except (dns.exception.DNSException, OSError):
        return False
    return True

"""Evidence of a real platform, collected from each system that it writes to.

Invariant: the platform is asked only for what it is judged by (what the gateway shows, what the catalog copied);
everything else comes from the systems themselves, with credentials that an operator has.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import dns.message
import dns.query
import httpx
import hvac
import psutil
import psycopg

from chassis.bus import Bus
from chassis.identity import EventKey
from chassis.pulling import LogMessage, read
from chassis.tracing import trace_id_of
from contracts import subjects
from contracts.events import RUN_REQUESTS
from contracts.queries import EnvironmentView
from contracts.topology import inbox_prefix
from deploy.embedded import leftovers, postgres
from deploy.embedded.nats import seed_file
from deploy.embedded.ports import HOST, ZONE
from services.secrets.domain import Names
from tests.e2e.outside import Demo, Said
from tests.faults.evidence import Evidence, Recovery, Span, Told
from tests.faults.invariants import canonical
from tests.faults.platform import FaultPlatform
from tests.faults.searching import leaks

WHOLE: Final = frozenset(
    {
        "schema", "owner role", "DNS record", "route", "slot", "Terraform state", "desired state", "secret",
        "policies", "database role", "workload's login", "grant", "repository",
    }
)  # fmt: skip
"""The kinds of things that an environment of the golden path nodejs-api has, with a database."""
_ALL: Final = 10_000


def connect(on: FaultPlatform) -> Bus:
    """The bus, with the rights of the provisioning job: it may read anything."""
    seed = seed_file(on.platform.setup.keys, "deploy")
    return Bus(on.platform.setup.nats_url, name="deploy", nkey_file=seed, inbox_prefix=inbox_prefix("deploy"))


async def read_log(bus: Bus, after: int = 0) -> list[LogMessage]:
    """The history of every environment after a sequence."""
    found: list[LogMessage] = []
    while new := await read(bus, subjects.ENVIRONMENTS, after + len(found) + 1, 500):
        found += new
    return found


@dataclass
class Outside:
    """The systems around one platform."""

    on: FaultPlatform
    leased: dict[str, list[str]] = field(default_factory=dict)
    """By environment, the logins to its database that were given out."""
    values: dict[str, set[str]] = field(default_factory=dict)
    """By environment, the values that only OpenBao may know."""

    @cached_property
    def demo(self) -> Demo:
        """The ways in that the end-to-end tests have."""
        return Demo(self.on.home, self.on.ports, Said(0, "", ""))

    @cached_property
    def key(self) -> EventKey:
        """From which ids are derived."""
        return EventKey.from_file(self.on.home.keys / "event-id.key")

    # -- as a person -------------------------------------------------------------------------------------------------

    def use(self, name: str, *, lease: bool) -> None:
        """Read an environment's secrets, and lease a login to its database, as its owner does."""
        person = self.demo.person()
        found = person.secrets.kv.v2.read_secret_version(
            f"env/{name}/app", mount_point="kv", raise_on_deleted_version=True
        )["data"]["data"]
        self.values.setdefault(name, set()).update(found.values())
        if lease:
            leased = person.secrets.database.generate_credentials(f"env-{name}")["data"]
            self.leased.setdefault(name, []).append(leased["username"])
            self.values[name].add(leased["password"])

    # -- collecting --------------------------------------------------------------------------------------------------

    async def collect(
        self,
        bus: Bus,
        names: Iterable[str],
        *,
        recoveries: Sequence[Recovery] = (),
        traced: Iterable[str] = (),
        search: bool = False,
    ) -> Evidence:
        """Everything about these environments. `traced` are those whose traces must be whole; `search` looks for the
        values of secrets everywhere."""
        judged = tuple(names)
        log = tuple(await read_log(bus))
        things, marks, records = self._things(judged)
        dead = await bus.jetstream.stream_info(subjects.DEAD_LETTERS, subjects_filter=">")
        waiting = {}
        for info in await bus.jetstream.consumers_info(subjects.ENVIRONMENTS):
            waiting[info.name] = (info.num_pending or 0) + (info.num_ack_pending or 0)
        bare = Evidence(judged, log, self.key.derive, WHOLE, things)
        return Evidence(
            names=judged,
            log=log,
            derive=self.key.derive,
            whole=WHOLE,
            things=things,
            told=self._told(),
            commits=self._commits(),
            records=records,
            marks=marks,
            copy=self._copy(),
            documents=self._documents(),
            shown=self._shown(judged),
            pending_requests=self.pending_requests(),
            waiting=waiting,
            dead_letters=sorted(dead.state.subjects or ()),
            strays=self._strays(),
            leaks=list(leaks(self.on, self.demo, self.values)) if search else (),
            traces={name: list(self._spans(bare, name)) for name in traced},
            recoveries=tuple(recoveries),
        )

    def _things(
        self, names: Sequence[str]
    ) -> tuple[dict[str, frozenset[str]], dict[str, dict[str, str]], dict[str, frozenset[str]]]:
        """Of each environment: the kinds of things that live, whose each is, and what Terraform remembers."""
        schemas = set(self.demo.in_database("SELECT nspname::text FROM pg_namespace"))
        roles = set(self.demo.in_database("SELECT rolname::text FROM pg_roles"))
        desired = set(self._git("ls-tree", "-d", "--name-only", "main:environments").split())
        vault = self.vault()
        kept = {one.rstrip("/") for one in _list(vault, "kv/metadata/env")}
        policies = {one.partition(":")[0] for one in _list(vault, "sys/policies/acl")}
        leasing, logins = set(_list(vault, "database/roles")), set(_list(vault, "auth/approle/role"))
        groups = {one.split(":")[1] for one in _list(vault, "identity/group/name") if one.startswith("env:")}
        running = self._running()
        things, marks, records = {}, {}, {}
        for name in names:
            ours = Names(name)
            owner = f"env_{name.replace('-', '_')}"
            records[name], stated = self._recorded(name)
            repository = self.demo.forge("GET", f"/repos/acme/{name}")
            lives = {
                "schema": owner in schemas,
                "owner role": owner in roles,
                "DNS record": bool(self._records_of(name, "A")),
                "route": self.demo.get(f"http://{name}.{ZONE}:{self.on.ports['ingress']}").headers.get(
                    "X-Slipway-Ingress"
                )
                != "no-environment",
                "slot": (self.on.home.data / "runtime" / name).exists(),
                "running application": name in running,
                "Terraform state": (self.on.home.data / "terraform" / "environments" / name).exists(),
                "desired state": name in desired,
                "secret": name in kept,
                "policies": ours.role in policies,
                "database role": ours.role in leasing,
                "workload's login": ours.role in logins,
                "grant": name in groups,
                "repository": repository.status_code != 404,
                "lease": bool(_list(vault, f"sys/leases/lookup/{ours.credentials_path}")),
                "leased login": bool(roles & set(self.leased.get(name, ()))),
            }
            things[name] = frozenset(kind for kind, found in lives.items() if found)
            marks[name] = {
                "Terraform's state": stated,
                "the secret": _incarnation_of(vault, name) if name in kept else "",
                "the slot": self._slot_mark(name),
                "the DNS record": self._dns_mark(name),
                "the repository": self._repository_mark(name) if lives["repository"] else "",
            }
            marks[name] = {where: mark for where, mark in marks[name].items() if mark}
        return things, marks, records

    def vault(self) -> hvac.Client:
        client = hvac.Client(url=self.on.ports.url("openbao"))
        client.auth.approle.login(self.demo.key("bao-secrets.role-id"), self.demo.key("bao-secrets.secret-id"))
        return client

    def _recorded(self, name: str) -> tuple[frozenset[str], str]:
        """The ids in an environment's Terraform state, and the incarnation that it is marked with."""
        path = self.on.home.data / "terraform" / "environments" / name / "terraform.tfstate"
        try:
            state = json.loads(path.read_text())
        except FileNotFoundError:
            return frozenset(), ""
        found = [
            instance["attributes"]
            for resource in state["resources"]
            if resource["mode"] == "managed"
            for instance in resource["instances"]
        ]
        marks = sorted({one["incarnation"] for one in found if "incarnation" in one})
        return frozenset(one["id"] for one in found), " and ".join(marks)

    def _slot_mark(self, name: str) -> str:
        try:
            marker = json.loads((self.on.home.data / "runtime" / name / ".slipway.json").read_text())
        except FileNotFoundError:
            return ""
        return _marked(marker["mark"])

    def _records_of(self, name: str, kind: str) -> list[str]:
        query = dns.message.make_query(f"{name}.{ZONE}", kind)
        answer = dns.query.tcp(query, HOST, port=self.on.ports["dns"], timeout=5).answer
        return [record.to_text().strip('"') for rrset in answer for record in rrset]

    def _dns_mark(self, name: str) -> str:
        return next(map(_marked, self._records_of(f"_slipway.{name}", "TXT")), "")

    def _repository_mark(self, name: str) -> str:
        found = self.demo.forge("GET", f"/repos/acme/{name}/actions/variables/SLIPWAY_MADE_FOR")
        return str(found.json()["value"]).split("/")[1] if found.status_code == 200 else ""

    @cached_property
    def _environments_repository(self) -> Path:
        found = self.demo.forge("GET", "/repos/platform/environments", login="slipway-provisioner").json()
        return self.on.home.data / "forge" / "repositories" / f"{found['id']}.git"

    def _git(self, *arguments: str) -> str:
        said = self.demo.run("git", "-c", "safe.directory=*", "-C", self._environments_repository, *arguments)
        return said.out if said.code == 0 else ""

    def _commits(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        commit = ""
        for line in self._git("log", "--format=commit %H", "--name-only", "main").splitlines():
            if line.startswith("commit "):
                commit = line.removeprefix("commit ")
            elif line.startswith("environments/"):
                found[line.split("/")[1]].add(commit)
        return {name: frozenset(commits) for name, commits in found.items()}

    def _told(self) -> list[Told]:
        """Every message in every channel, from the inbox's own database: its page shows only the latest."""
        path = self.on.home.data / "inbox" / "inbox.sqlite3"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            rows = database.execute("SELECT channel_id, metadata FROM messages WHERE metadata IS NOT NULL").fetchall()
        payloads = [(channel, json.loads(metadata)["event_payload"]) for channel, metadata in rows]
        return [
            Told(payload["environment"], payload["event_id"], channel)
            for channel, payload in payloads
            if payload["event_kind"] in {"environment_ready", "environment_failed", "environment_deleted"}
        ]

    def _services_database(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=HOST,
            port=self.on.ports["postgres"],
            dbname=postgres.SERVICES_DATABASE,
            user="postgres",
            password=self.demo.key("pg-postgres.password"),
        )

    def _copy(self) -> tuple[LogMessage, ...]:
        with self._services_database() as database:
            rows = database.execute("SELECT sequence, subject, body FROM catalog.events ORDER BY sequence").fetchall()
        return tuple(LogMessage(sequence, bytes(subject), bytes(body)) for sequence, subject, body in rows)

    def _documents(self) -> dict[str, str]:
        with self._services_database() as database:
            rows = database.execute("SELECT name, document::text FROM catalog.environments").fetchall()
        return {
            name: canonical(EnvironmentView.model_validate_json(text).model_dump(mode="json")) for name, text in rows
        }

    def pending_requests(self) -> list[str]:
        query = "SELECT environment FROM gateway.requests WHERE confirmed_at IS NULL AND state <> 'refused'"
        with self._services_database() as database:
            return [str(row[0]) for row in database.execute(query).fetchall()]

    def _shown(self, names: Sequence[str]) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.demo.key('admin.token')}"}
        with httpx.Client(base_url=self.on.ports.url("gateway"), headers=headers, trust_env=False) as gateway:
            answers = {name: gateway.get(f"/api/v1/environments/{name}") for name in names}
        return {name: answer.json().get("state", str(answer.status_code)) for name, answer in answers.items()}

    def _running(self) -> set[str]:
        """The environments of which an application runs: its directory is its slot's."""
        found: set[str] = set()
        for child in psutil.Process(self.on.pid("runtime")).children(recursive=True):
            try:
                below = Path(child.cwd()).relative_to(self.on.home.data / "runtime")
            except (psutil.Error, OSError, ValueError):
                continue  # it has ended, or is no application
            found.update(below.parts[:1])
        return found

    def _strays(self) -> list[str]:
        """Processes that are neither supervised nor a server's own workers."""
        supervisor = self.on.platform.supervisor
        allowed = {state.pid for state in supervisor.states().values()} | {supervisor.pid}
        for server in ("postgres", "runtime"):
            allowed |= {child.pid for child in psutil.Process(self.on.pid(server)).children(recursive=True)}
        # The forge reads each repository that was asked for through one Git, for as long as there is the repository.
        for child in psutil.Process(self.on.pid("forge")).children():
            repository = next((word for word in _line_of(child) if word.startswith("--git-dir=")), "")
            if repository and Path(repository.removeprefix("--git-dir=")).exists():
                allowed.add(child.pid)
        strays = [process for process in leftovers.find(self.on.home) if process.pid not in allowed]
        # What is on its way out is none.
        return [f"{one.pid} {' '.join(_line_of(one))[:160]}" for one in leftovers.wait_until_gone(strays, 3.0)]

    def _spans(self, evidence: Evidence, name: str) -> Iterator[Span]:
        requests = [event for event in evidence.of(name) if isinstance(event, RUN_REQUESTS)]
        for trace in sorted({trace_id_of(event.traceparent) or "" for event in requests}):
            url = f"{self.on.ports.url('traces')}/api/traces/{trace}"
            for found in httpx.get(url, trust_env=False).json().get("data") or ():
                for span in found["spans"]:
                    parents = [one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"]
                    service = found["processes"][span["processID"]]["serviceName"]
                    yield Span(span["spanID"], next(iter(parents), None), service)


def _line_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def _marked(text: str) -> str:
    """The incarnation in one of the provisioner's marks."""
    return dict(part.partition("=")[::2] for part in text.split()).get("incarnation", "")


def _list(vault: hvac.Client, path: str) -> list[str]:
    return list(((vault.list(path) or {}).get("data") or {}).get("keys") or ())


def _incarnation_of(vault: hvac.Client, name: str) -> str:
    found = vault.read(f"kv/metadata/env/{name}/app")
    labels = ((found or {}).get("data") or {}).get("custom_metadata") or {}
    return str(labels.get("incarnation", ""))

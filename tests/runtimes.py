"""The local runtime as a process of its own beside a real ingress, slots as the provisioner makes them, and releases of
a few lines."""

import asyncio
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from contracts.deployments import RELEASE_HEADER, DeploymentOutcome, ReleaseOrder, SlotView
from contracts.runtime import Runtime, StaticFiles
from deploy.embedded.home import write_file
from deploy.embedded.ports import free_port
from deploy.embedded.testing import RunningCaddy, start_caddy
from services.provisioner.adapters.terraform_provider.access import Access
from services.provisioner.adapters.terraform_provider.caddy import CaddyAdmin
from services.provisioner.adapters.terraform_provider.marks import Mark
from services.provisioner.adapters.terraform_provider.namespace import NamespaceResource
from services.provisioner.adapters.terraform_provider.provider import SlipwayProvider
from services.provisioner.adapters.terraform_provider.route import RouteResource
from tests.stand_ins import Child, start_module
from tests.waiting import until

TOKEN = "the-runtimes-token"
SERVER = Runtime(language="python", version="3.11", start=("python3", "main.py"))
WORKER = Runtime(
    language="python",
    version="3.11",
    start=("python3", "main.py"),
    port_variable=None,
    health_path=None,
    ready_path=None,
    heartbeat_variable="HEARTBEAT_FILE",
    heartbeat_seconds=5,
)
SITE = Runtime(
    kind="static",
    language="nodejs",
    version="20",
    start=("node", "server.js"),
    static=StaticFiles(
        directory="dist", not_found="404.html", forever="/assets/", headers={"X-Content-Type-Options": "nosniff"}
    ),
)
PROGRAM = """
import http.server, json, os, signal, sys, threading, time

TEXT = {text!r}

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.5)
        if self.path == "/exit":
            os._exit(3)
        told = dict(os.environ) if self.path == "/environment" else TEXT
        body = json.dumps(told).encode()
        self.send_response({status} if self.path == "/readyz" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
server.daemon_threads = False
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print("serving", TEXT, flush=True)
{more}
server.serve_forever()
print("ended in order", flush=True)
"""


def program(text: str, *, more: str = "", status: int = 200) -> dict[str, str]:
    """A server that answers with `text`, as the files of a release."""
    return {"main.py": PROGRAM.format(text=text, more=more, status=status)}


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A release of these files, packed as the pipelines pack them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def crafted(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of exactly these entries."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry, data in entries:
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return gzip.compress(packed.getvalue())


@dataclass
class RuntimeUnderTest:
    """A runtime that runs, and what it stands on."""

    directory: Path
    caddy: RunningCaddy
    settings: dict[str, str]
    port: int = field(default_factory=free_port)
    child: Child | None = None
    starts: int = 0

    @property
    def data(self) -> Path:
        return self.directory / "slots"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        token = self.directory / "token"
        write_file(token, TOKEN)
        self.starts += 1
        directory = self.directory / f"runtime-{self.starts}"
        directory.mkdir()
        environment = {
            "PORT": str(self.port),
            "DATA": str(self.data),
            "POINTERS": str(self.caddy.admin_socket.parent / "live"),
            "TOKEN_FILE": str(token),
            "CADDY_SOCKET": str(self.caddy.admin_socket),
            "WATCH_SECONDS": "0.3",
            "DRAIN_SECONDS": "0.2",
            "PROBE_INTERVAL_SECONDS": "0.1",
            "RESTART_SECONDS": "0.05",
            "HEALTHY_WITHIN_SECONDS": "10",
            "GRACE_SECONDS": "1",
            "LOOK_INTERVAL_SECONDS": "0.05",
            "MEND_INTERVAL_SECONDS": "0.2",
            **self.settings,
        }
        self.child = start_module(
            "deploy.embedded.runtime",
            {f"SLIPWAY_RUNTIME_{key}": value for key, value in environment.items()},
            directory,
        )

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()

    def stop(self) -> None:
        if self.child is not None and self.child.process.poll() is None:
            self.child.stop()

    @property
    def provider(self) -> SlipwayProvider:
        return SlipwayProvider(Access(runtime=self.data, ingress=CaddyAdmin(self.caddy.admin_socket)))

    def make_slot(self, environment: str, *, incarnation: str | None = None, route: bool = True, **labels: str) -> Mark:
        """As Terraform makes it: the namespace, and the route; of a life of its own, or of `incarnation`."""
        mark = Mark(environment, incarnation or str(uuid4()))
        NamespaceResource(self.provider).ensure(mark, {"name": environment, "labels": labels})
        if route:
            wanted = {"hostname": host(environment), "clone_url": "http://forge.test/a.git", "branch": "main"}
            RouteResource(self.provider).ensure(mark, wanted)
        return mark

    def change_labels(self, mark: Mark, **labels: str) -> None:
        """As an update of the environment does."""
        NamespaceResource(self.provider).ensure(mark, {"name": mark.environment, "labels": labels})

    def make_route_again(self, mark: Mark) -> None:
        """As a repair of drift does: the route is gone, and comes back with its first page."""
        wanted = {"hostname": host(mark.environment), "clone_url": "http://forge.test/a.git", "branch": "main"}
        RouteResource(self.provider).remove(mark, wanted)
        RouteResource(self.provider).ensure(mark, wanted)

    def remove_slot(self, mark: Mark) -> None:
        NamespaceResource(self.provider).remove(mark, {"name": mark.environment})


def host(environment: str) -> str:
    return f"{environment}.slipway.localhost"


def order(deployment_id: str, runtime: Runtime = SERVER, **more: Any) -> ReleaseOrder:
    commit = hashlib.sha1(deployment_id.encode(), usedforsecurity=False).hexdigest()
    given: dict[str, Any] = {"commit": commit, "branch": "main", "author": "ada"}
    return ReleaseOrder(deployment_id=deployment_id, runtime=runtime, **(given | more))


@dataclass
class Client:
    """The gateway's side of the runtime, and a browser's."""

    http: httpx.AsyncClient
    ingress: str

    async def deploy(
        self, environment: str, wanted: ReleaseOrder, files: Mapping[str, str | bytes] | bytes
    ) -> DeploymentOutcome:
        content = files if isinstance(files, bytes) else archive(files)
        answer = await self.http.put(
            f"/slots/{environment}/releases/{wanted.deployment_id}",
            content=content,
            headers={RELEASE_HEADER: wanted.model_dump_json()},
        )
        assert answer.status_code == 200, answer.text
        return DeploymentOutcome.model_validate_json(answer.content)

    async def view(self, environment: str) -> SlotView:
        answer = await self.http.get(f"/slots/{environment}")
        assert answer.status_code == 200, answer.text
        return SlotView.model_validate_json(answer.content)

    async def browse(self, environment: str, path: str = "/", **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=20) as browser:
            return await browser.get(f"{self.ingress}{path}", headers={"Host": host(environment), **headers})

    async def text(self, environment: str, path: str = "/") -> Any:
        return json.loads((await self.browse(environment, path)).text)


@contextmanager
def runtime_beside_caddy(directory: Path, **settings: str) -> Iterator[RuntimeUnderTest]:
    """A runtime without secrets, unless the settings name an OpenBao."""
    directory.mkdir(exist_ok=True)
    with start_caddy(directory / "caddy") as caddy:
        found = RuntimeUnderTest(directory, caddy, settings)
        found.data.mkdir()
        found.start()
        try:
            yield found
        finally:
            found.stop()


@asynccontextmanager
async def ending(client: "Client", name: str) -> AsyncIterator[None]:
    """An application that ends again and again while this lasts: whoever follows its output may have begun to listen a
    moment after the answer to that began."""

    async def end() -> None:
        while True:
            with suppress(httpx.HTTPError):
                await client.browse(name, "/exit")
            await asyncio.sleep(0.5)

    task = asyncio.create_task(end())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def client_of(runtime: RuntimeUnderTest) -> AsyncIterator[Client]:
    """A client, once the runtime answers."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=runtime.url, headers=headers, timeout=60) as http:

        async def is_ready() -> bool:
            try:
                return (await http.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        try:
            await until(is_ready, what="the runtime")
        except AssertionError as error:
            said = runtime.child.log.read_text(errors="replace")[-3000:] if runtime.child else ""
            raise AssertionError(f"{error}\n{said}") from error
        yield Client(http, runtime.caddy.url)

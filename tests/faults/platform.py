"""A whole embedded platform in a home of its own, of which anything can be killed.

Invariant: what runs is what `make up` starts. The services differ by one variable, `SLIPWAY_FAULTS`, which opens their
fault points, and for a deliberate bug by the module that puts it in (`tests.faults.process`). Nothing is left running.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import psutil

from chassis.faults import VARIABLE, Fault
from contracts.envelope import ServiceName
from deploy.embedded import leftovers, lifecycle
from deploy.embedded.home import Home
from deploy.embedded.parts import Part, infrastructure
from deploy.embedded.platform import Platform
from deploy.embedded.ports import Ports, free_base
from deploy.embedded.processes import Launch, python_module
from deploy.embedded.progress import PlainProgress
from deploy.embedded.service_parts import services
from tests.faults.bugs import VARIABLE as BUG_VARIABLE

READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
SETTINGS: Final = {
    "SLIPWAY_GATEWAY_REQUESTS_PER_SECOND": "1000000",
    "SLIPWAY_GATEWAY_REQUESTS_AT_ONCE": "1000000",
    "SLIPWAY_GATEWAY_REPUBLISH_AFTER_SECONDS": "5",
}
"""One caller asks for everything here, and asks often."""


class Silent(PlainProgress):
    """For output that only a program reads."""

    def starting(self, name: str) -> None:
        """Nobody listens."""

    def ready(self, name: str, seconds: float) -> None:
        """Nobody listens."""

    def failed(self, name: str) -> None:
        """The error that follows says it."""


@dataclass(frozen=True)
class Armed:
    """A fault that waits for its process to come by."""

    path: Path
    fault: Fault

    @property
    def fired_at(self) -> float | None:
        """Unix time of the death; None where nobody came by yet."""
        try:
            return self.path.with_suffix(".fired").stat().st_ctime
        except FileNotFoundError:
            return None

    def disarm(self) -> bool:
        """Take it away; False where it has fired."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True


@dataclass
class FaultPlatform:
    """One platform, and the ways to break it."""

    platform: Platform
    faults: Path
    bugs: dict[str, str] = field(default_factory=dict)
    """By service, the deliberate bug that it was last started with."""

    @property
    def home(self) -> Home:
        """Where it lives."""
        return self.platform.home

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        return self.platform.ports

    @property
    def parts(self) -> tuple[Part, ...]:
        """Every part, the services with their fault points open."""
        setup = self.platform.setup
        others = [_without_workflows(part) if part.name == "forge" else part for part in infrastructure(setup)]
        return (*others, *(self._open(part) for part in services(setup)))

    def part(self, name: str) -> Part:
        """One part by its name."""
        return next(part for part in self.parts if part.name == name)

    def _open(self, part: Part) -> Part:
        def launch() -> Launch:
            usual = part.launch()
            variables = {**usual.environment, **SETTINGS, VARIABLE: str(self.faults)}
            if (bug := self.bugs.get(part.name)) is None:
                return replace(usual, environment=variables)
            buggy = python_module("tests.faults.process", variables | {BUG_VARIABLE: bug})
            return replace(buggy, argv=(*buggy.argv, f"services.{part.name}"))

        return replace(part, launch=launch)

    def start(self) -> None:
        """Bring everything up. Raises PlatformError for the first part that will not come."""
        self.platform.prepare()
        self.faults.mkdir(mode=0o700, exist_ok=True)
        supervisor = self.platform.supervisor
        supervisor.configure(self._launches())
        supervisor.start()
        self.platform.describe()
        lifecycle.Starter(self.parts, supervisor, self.platform, Silent()).run()

    def stop(self) -> None:
        """End everything and delete the home."""
        lifecycle.take_down(self.platform)
        leftovers.end(leftovers.find(self.home))
        shutil.rmtree(self.home.sockets, ignore_errors=True)

    def _launches(self) -> Mapping[str, Launch]:
        return {part.name: part.launch() for part in self.parts}

    # -- breaking ------------------------------------------------------------------------------------------------------

    def arm(self, fault: Fault) -> Armed:
        """Lay a fault where its service finds it."""
        path = self.faults / f"{uuid4().hex}.armed"
        draft = path.with_suffix(".draft")
        draft.write_text(fault.model_dump_json())
        draft.rename(path)
        return Armed(path, fault)

    def kill(self, name: str) -> int:
        """SIGKILL for a part's process, as a crash would; answers its pid. Nothing happens where it is dead already."""
        state = self.platform.supervisor.states()[name]
        if state.pid:
            try:
                os.kill(state.pid, signal.SIGKILL)
            except ProcessLookupError:
                return 0
        return state.pid

    def pid(self, name: str) -> int:
        """Of a part's process; 0 while it has none."""
        return self.platform.supervisor.states()[name].pid

    def is_ready(self, name: str, *, since: float = 0.0) -> bool:
        """Whether a part that was started after `since` (Unix time) can work."""
        state = self.platform.supervisor.states()[name]
        # The supervisor knows whole seconds.
        return state.state in {"STARTING", "RUNNING"} and state.since >= int(since) and self.part(name).is_ready()

    def terraforms(self, environment: str) -> list[psutil.Process]:
        """The Terraform commands that change this environment now."""
        try:
            below = psutil.Process(self.pid("provisioner")).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in below if _is_terraform(process, environment)]

    def install_bug(self, service: ServiceName, bug: str | None) -> None:
        """Start a service anew with a deliberate bug, or without."""
        if bug is None:
            self.bugs.pop(service, None)
        else:
            self.bugs[service] = bug
        supervisor = self.platform.supervisor
        supervisor.configure(self._launches())
        supervisor.stop_programs([service])
        supervisor.start_program(service)
        self.wait_ready(service)

    def wait_ready(self, *names: str) -> None:
        """Return when these parts (or all) can work. Raises TimeoutError that names those that cannot."""
        deadline = time.monotonic() + READY_SECONDS
        waiting = set(names or (part.name for part in self.parts))
        while waiting := {name for name in waiting if not self.is_ready(name)}:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready after {READY_SECONDS:.0f} s: {', '.join(sorted(waiting))}")
            time.sleep(_POLL_SECONDS)


def _without_workflows(part: Part) -> Part:
    """The forge, which runs no workflow here: what a push sets going is no part of a run, and would be most of the
    load."""

    def launch() -> Launch:
        usual = part.launch()
        return replace(usual, environment={**usual.environment, "SLIPWAY_FORGE_ACTIONS_ENABLED": "false"})

    return replace(part, launch=launch)


def _is_terraform(process: psutil.Process, environment: str) -> bool:
    try:
        line, directory = process.cmdline(), Path(process.cwd())
    except (psutil.Error, OSError):
        return False
    return environment in directory.parts and any(word in {"apply", "destroy"} for word in line)


@contextmanager
def running_platform(directory: Path, *, base: int | None = None) -> Iterator[FaultPlatform]:
    """A platform below `directory`, ready for requests; nothing of it runs at the end, its logs stay."""
    home = Home.at(directory / "home")
    found = FaultPlatform(Platform(home, Ports(base if base is not None else free_base())), directory / "faults")
    try:
        found.start()
        yield found
    finally:
        found.stop()

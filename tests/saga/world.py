"""The world outside the services, in the memory of the test: a machine with its Git, a secret store, a forge, a chat.

The twins that ship with the services live here and not in the service processes, because that is what a crash is like:
the process is gone, and what it did to the world is still done. Service processes reach it over a unix socket
(`tests.saga.twins`).

Trouble is chosen by the environment's name, which may hold several of these words:

- `fail-infra`, `fail-secrets`, `fail-pipeline`: the step does a part of its work and then fails for good;
- `busy-infra`, `busy-secrets`, `busy-pipeline`: the step is refused twice, and then let through;
- `away-infra`, `away-secrets`, `away-pipeline`: the step is refused however often it is tried;
- `left-infra`, `left-secrets`, `left-pipeline`: the step's undo cannot remove one thing.

Invariant: every call is carried out by one thread, and what was made for the first time is counted, so a test can tell
an effect that happened twice from one that was found in place.
"""

import asyncio
import json
import pickle
import re
import shutil
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chassis.clock import SystemClock
from chassis.failures import PermanentError, TransientError
from contracts.values import Resource
from services.cicd.adapters.memory import InMemoryForge
from services.notifier.adapters.memory import MemoryMessenger
from services.provisioner.adapters.memory import MemoryEnvironments, MemoryInfrastructure, Thing
from services.provisioner.domain import VARIABLES
from services.secrets.adapters.memory import MemoryVault
from services.secrets.domain import Names, belongings

TROUBLED_CALLS: Final = {"infra": "apply", "secrets": "write_group", "pipeline": "put_environment"}
"""The call of each step that trouble befalls: after it something of the step exists, and the step is not done."""
REFUSALS: Final = 2
RETRY_SECONDS: Final = 0.05
REPORT: Final = "<report>"
"""Stands in a call for a function of the caller that hears lines."""
_WORD: Final = re.compile(r"(fail|busy|away|left)-(infra|secrets|pipeline)")


@dataclass
class World:
    """All of it. Only the world's own thread changes anything but the switches for tests."""

    infrastructure: MemoryInfrastructure = field(default_factory=MemoryInfrastructure)
    repository: MemoryEnvironments = field(default_factory=MemoryEnvironments)
    vault: MemoryVault = field(default_factory=MemoryVault)
    forge: InMemoryForge = field(default_factory=InMemoryForge)
    messenger: MemoryMessenger = field(default_factory=lambda: MemoryMessenger(SystemClock()))
    made: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """How often each thing was made where there was none: for which environment, what, and for which of its lives."""
    messages: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By environment, the ids of the events of which its team was told."""
    pace_seconds: float = 0.0
    """How long a call takes before its effect and again after it: the time in which its caller can be killed."""
    _refused: Counter[str] = field(default_factory=Counter)
    _mended: set[str] = field(default_factory=set)
    _gates: dict[str, asyncio.Event] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None

    # -- for tests -----------------------------------------------------------------------------------------------------

    def mend(self, environment: str) -> None:
        """From now on no trouble befalls this name."""
        self._mended.add(environment)

    @contextmanager
    def held(self, environment: str) -> Iterator[None]:
        """Until this block ends, no call about this environment goes further."""
        assert self._loop is not None
        gate = self._gates[environment] = asyncio.Event()
        try:
            yield
        finally:
            del self._gates[environment]
            self._loop.call_soon_threadsafe(gate.set)

    def holdings(self, environment: str) -> set[str]:
        """The kinds of things that exist because of an environment."""
        marks = {one: thing.mark.partition(" ")[0] for one, thing in list(self.infrastructure.things.items())}
        found = {one.kind for one, mark in marks.items() if mark == environment}
        ours = set(belongings(Names(environment), with_database=True))
        found |= {one.kind for one in self.vault.resources() & ours}
        if environment in self.repository.directories:
            found.add("directory")
        if f"acme/{environment}" in self.forge._repositories:
            found.add("repository")
        return found

    # -- for the services ----------------------------------------------------------------------------------------------

    async def call(self, what: str, method: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Carry out one call of a service, with the trouble that the environment's name asks for."""
        about = repr(arguments[0]) if arguments else ""
        for name, gate in list(self._gates.items()):
            if name in about:
                await gate.wait()
        await asyncio.sleep(self.pace_seconds)
        self._befall_before(what, method, about, arguments)
        result = await getattr(getattr(self, what), method)(*arguments, **options)
        self._count(method, arguments, options, result)
        await asyncio.sleep(self.pace_seconds)
        self._befall_after(method, about)
        return result

    def _troubles(self, about: str) -> list[tuple[str, str]]:
        if any(name in about for name in self._mended):
            return []
        return _WORD.findall(about)

    def _befall_before(self, what: str, method: str, about: str, arguments: tuple[Any, ...]) -> None:
        for trouble, step in self._troubles(about):
            if trouble in {"busy", "away"} and method == TROUBLED_CALLS[step]:
                self._refused[about] += 1
                if trouble == "away" or self._refused[about] <= REFUSALS:
                    raise TransientError(f"the {step} side is {trouble}", delay_seconds=RETRY_SECONDS)
            if trouble == "left":
                self._keep_one_thing(step, f"{what}.{method}", arguments[0])

    def _befall_after(self, method: str, about: str) -> None:
        for trouble, step in self._troubles(about):
            if trouble == "fail" and method == TROUBLED_CALLS[step]:
                raise PermanentError(f"{step}_refused", f"there is no room for {step}", next_step="Make some room.")

    def _keep_one_thing(self, step: str, call: str, about: Any) -> None:
        if (step, call) == ("infra", "infrastructure.destroy"):
            self.infrastructure.things[Resource(kind="route", id=f"env-{about}")] = Thing("somebody else", {})
        elif (step, call) == ("pipeline", "forge.delete") or (
            (step, call) == ("secrets", "vault.remove") and about.kind == "workload_role"
        ):
            raise PermanentError("stuck", "it will not go", next_step="Remove it by hand.")

    def _count(self, method: str, arguments: tuple[Any, ...], options: dict[str, Any], result: Any) -> None:
        about: Any = arguments[0] if arguments else ""
        if method == "apply":
            incarnation = json.loads(arguments[1][VARIABLES])["incarnation"]
            self.made.update((about, one.kind, one.id, incarnation) for one in result.created)
        elif method == "claim":
            self.made[about.environment, "secret", about.kv_path, str(arguments[1])] += 1
        elif method == "create":
            self.made[about.partition("/")[2], "repository", about, options["description"]] += 1
        elif method == "post":
            self.made[about.environment, "message", about.channel, str(about.event_id)] += 1
            self.messages[about.environment].append(str(about.event_id))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection carries one call."""
        try:
            request = pickle.loads(await reader.read())  # noqa: S301 - the other end is a process of this very test
            writer.write(pickle.dumps(await self._outcome(request)))
            await writer.drain()
        except ConnectionError:
            pass  # the caller was killed; what it began is done
        finally:
            writer.close()

    async def _outcome(self, request: tuple[str, str, tuple[Any, ...], dict[str, Any]]) -> tuple[str, Any]:
        what, method, arguments, options = request
        lines: list[object] = []
        arguments = tuple(lines.append if one == REPORT else one for one in arguments)
        options = {name: lines.append if one == REPORT else one for name, one in options.items()}
        try:
            return "returned", (await self.call(what, method, arguments, options), lines)
        except PermanentError as error:
            return "permanent", (error.code, str(error), error.next_step)
        except TransientError as error:
            return "transient", (str(error), error.delay_seconds)


@contextmanager
def running_world() -> Iterator[tuple[World, Path]]:
    """A world and the socket at which it answers."""
    world = World()
    directory = Path(tempfile.mkdtemp(prefix="slipway-world-", dir="/tmp"))
    socket = directory / "socket"
    started, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        world._loop = asyncio.get_running_loop()
        async with await asyncio.start_unix_server(world.answer, socket):
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="world")
    thread.start()
    try:
        assert started.wait(10)
        yield world, socket
    finally:
        assert world._loop is not None
        world._loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        shutil.rmtree(directory)

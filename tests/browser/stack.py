"""The real gateway on twins, served on a free port to a real browser: all that page tests need."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args
from uuid import UUID

import uvicorn

from chassis.clock import FixedClock
from contracts.events import (
    InfraReady,
    InfraReadyData,
    PipelineCreated,
    PipelineCreatedData,
    SecretsFailed,
    SecretsStored,
    SecretsStoredData,
    StepFailed,
)
from contracts.plans import PlannedChange
from contracts.queries import EnvironmentView
from contracts.step_log import StepLine
from contracts.values import Failure, Resource, Step
from deploy.embedded.ports import free_port
from services.gateway.adapters.golden_paths import DirectoryOfGoldenPaths
from services.gateway.adapters.memory import MemoryPlanner, MemoryTraces
from services.gateway.api.views import Links
from services.gateway.domain.changes import end_of
from services.gateway.domain.people import Role
from services.gateway.handlers.settling import Answered
from tests import samples
from tests.gateways import GOLDEN_PATHS
from tests.unit.gateway.rig import Rig, ask, end, principal

T = TypeVar("T")
STEPS: tuple[Step, ...] = get_args(Step)


class LiveClock(FixedClock):
    """The machine's clock, moved by a distance that a test may change: for what happened days ago."""

    def __init__(self) -> None:
        super().__init__(datetime.now(UTC))
        self.moved = timedelta()

    def now(self) -> datetime:
        """This instant, as the test wants it."""
        return datetime.now(UTC) + self.moved


@dataclass
class Stack:
    """A gateway that listens, and what it stands on. Everything but `url` is touched in its own thread only, through
    `do`."""

    port: int = field(default_factory=free_port)
    clock: LiveClock = field(default_factory=LiveClock)

    def __post_init__(self) -> None:
        changes = tuple(
            PlannedChange(action="create", resource=Resource(kind=kind, id=id_), detail="")
            for kind, id_ in (("namespace", "demo"), ("database", "apps/env_demo"), ("route", "env-demo"))
        )
        self.rig = Rig(clock=self.clock, planner=MemoryPlanner(changes=changes))
        paths: Any = DirectoryOfGoldenPaths(GOLDEN_PATHS)
        object.__setattr__(self.rig.wishing, "golden_paths", paths)
        object.__setattr__(self.rig.quotas, "golden_paths", paths)
        self.facts: dict[str, dict[str, Any]] = {}
        self._remember_views()
        self.traces = MemoryTraces()
        self.rig.gateway = replace(
            self.rig.gateway,
            golden_paths=paths,
            links=Links(self.url, "http://127.0.0.1:9"),
            heartbeat_seconds=1,
            traces=self.traces,
        )
        config = uvicorn.Config(self.rig.app, port=self.port, log_level="warning", lifespan="off")
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _remember_views(self) -> None:
        """Views with what other systems told (`facts`), folded once for each length of the log: hundreds of
        environments would be folded anew for every question."""
        fold = self.rig.log._environments
        known: dict[str, Any] = {"at": None, "views": {}}

        def views(min_sequence: int) -> dict[str, EnvironmentView]:
            if self.rig.log.folded is not None:
                return fold(min_sequence)
            at = (len(self.rig.log.events_said), len(self.facts))
            if known["at"] != at:
                known["views"] = {
                    name: view.model_copy(update={"expires_at": end_of(view), **self.facts.get(name, {})})
                    for name, view in fold(min_sequence).items()
                }
                known["at"] = at
            return dict(known["views"])

        self.rig.log._environments = views  # type: ignore[method-assign]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        await self._server.serve()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        begun = self.do(self._started())
        assert begun

    async def _started(self) -> bool:
        for _ in range(3000):
            if self._server.started:
                return True
            await asyncio.sleep(0.02)
        return False

    def stop(self) -> None:
        """End it, and wait for the thread."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(20)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this where the gateway runs."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)

    def session(self, role: Role = "developer", *teams: str, person: str = "ada") -> str:
        """What the browser of somebody shows."""
        return self.do(self.rig.session(role, *teams, person=person)).get_secret_value()


async def begin(stack: Stack, name: str, *, person: str = "ada", team: str = "payments", **more: Any) -> Answered:
    """A creation that was asked for."""
    asked = ask(name, **{"golden_path": "nodejs-api", **more})
    return await stack.rig.asking.create(principal("developer", team, person=person), asked, None)


def step(stack: Stack, answered: Answered, done: Step) -> None:
    """What a service says when its step is done, and a line of its log before."""
    spec, name = answered.request.run.spec, answered.request.environment
    write(stack, answered, done, f"{done} of {name} is there")
    said: dict[Step, tuple[Any, Any]] = {
        "infrastructure": (InfraReady, InfraReadyData(spec=spec, infrastructure=samples.infrastructure(name))),
        "secrets": (
            SecretsStored,
            SecretsStoredData(spec=spec, infrastructure=samples.infrastructure(name), secrets=samples.secrets(name)),
        ),
        "pipeline": (
            PipelineCreated,
            PipelineCreatedData(
                spec=spec,
                infrastructure=samples.infrastructure(name),
                secrets=samples.secrets(name),
                pipeline=samples.pipeline(name),
            ),
        ),
    }
    kind, data = said[done]
    stack.rig.log.say(kind, name, data, run_id=answered.request.event_id, incarnation=answered.request.incarnation)


def write(stack: Stack, answered: Answered, of: Step, text: str, **more: Any) -> None:
    """A line of a run's log."""
    run_id: UUID = answered.request.event_id
    line = StepLine(
        run_id=run_id, environment=answered.request.environment, step=of, time=stack.clock.now(), text=text, **more
    )
    stack.rig.log.write(line)


async def make(stack: Stack, name: str, *, seconds: float = 12, **more: Any) -> Answered:
    """An environment that is ready."""
    answered = await begin(stack, name, **more)
    for done in STEPS:
        stack.clock.moved += timedelta(seconds=seconds / 3)
        step(stack, answered, done)
    end(stack.rig, answered, "ready")
    return answered


async def fail(stack: Stack, name: str, **more: Any) -> Answered:
    """A creation that failed and was undone."""
    answered = await begin(stack, name, **more)
    step(stack, answered, "infrastructure")
    failure = Failure(
        step="secrets",
        code="sealed",
        message="OpenBao is sealed, so nothing can be stored in it.",
        next_step="Ask the platform team to unseal it, then retry.",
        attempts=5,
    )
    write(stack, answered, "secrets", failure.message, level="error")
    request = answered.request
    data = StepFailed(spec=request.run.spec, failure=failure)
    stack.rig.log.say(SecretsFailed, name, data, run_id=request.event_id, incarnation=request.incarnation)
    end(stack.rig, answered, "failed", left_behind=True)
    return answered

"""One run with one death in it, and what became of it."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from chassis.faults import Fault
from contracts.envelope import Event
from contracts.topology import SERVICES
from tests.faults.caller import Caller, Refused
from tests.faults.evidence import Recovery
from tests.faults.invariants import RECOVERY_SECONDS, Violation
from tests.faults.points import Place, Story
from tests.faults.traps import FREE, OCCUPY

REACHED_WITHIN_SECONDS: Final = 150.0
"""How long a run may take to the point at which it is cut: others are cut beside it."""
_POLL_SECONDS: Final = 0.02
UPDATE: Final[Mapping[str, Any]] = {"memory_mib": 512}
SMALLER: Final[Mapping[str, Any]] = {"database": False}


@dataclass
class Outcome:
    """What became of one case."""

    story: Story
    environment: str
    what: str
    """The death, for people."""
    place: Place | None = None
    part: str = ""
    """What was killed where it was not the service itself."""
    ended: str = ""
    """The kind of the verdict; empty where there is none."""
    ended_at: float | None = None
    """Unix time of the verdict."""
    restart_seconds: float | None = None
    recovery_seconds: float | None = None
    """From the restart to the verdict; 0 where the verdict was there already. Where others died in the same run, from
    the last of their restarts."""
    deaths: int = 1
    """How many died while they had this run in hand, be it that others were meant."""
    trouble: str = ""
    """Why it is no proof, or what contradicts its story."""
    violations: list[Violation] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether it is as promised."""
        return not self.trouble and not self.violations

    @property
    def recovery(self) -> Recovery | None:
        """For the claim that a run ends in time."""
        if self.recovery_seconds is None:
            return None
        return Recovery(self.environment, self.what, self.recovery_seconds)


@dataclass(frozen=True)
class Death:
    """When something died, and when it could work again (Unix times)."""

    who: str
    at: float
    back_at: float


class Cutter:
    """Carries cases out, many at once; of each kind of death a few wait to happen, so that there is always one."""

    def __init__(self, caller: Caller, *, at_once: int = 16) -> None:
        self._caller = caller
        self._on = caller.on
        self._dying: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(2))
        # The catalog has most of the points, and loses nothing but the time of its restart: it reads on from the log.
        self._dying["catalog"] = asyncio.Semaphore(3)
        # A request that the gateway has kept is not kept again: one who dies for another takes its neighbours' point.
        self._dying["gateway"] = asyncio.Semaphore(1)
        self._dying["parts"] = asyncio.Semaphore(1)
        # A part's death hits every run; with many at once each would be hit by the deaths of all the others.
        self._room_for_parts = asyncio.Semaphore(4)
        self._deaths: list[Death] = []
        self._room = asyncio.Semaphore(at_once)

    async def cut(self, place: Place, name: str, parameters: Mapping[str, Any] | None) -> Outcome:
        """Let the service of `place` die there, in a run of `name`."""
        outcome = Outcome(place.story, name, str(place), place=place)
        fault = Fault(service=place.service, kind=place.kind, point=place.point, environment=name)

        async def die(asking: asyncio.Task[Any]) -> float | None:
            armed = self._on.arm(fault)
            try:
                fired_at = await self._fired(lambda: armed.fired_at, asking)
            finally:
                armed.disarm()
            if fired_at is None:
                outcome.trouble = "the point was not reached"
                return None
            return await self._back(outcome, place.service, fired_at)

        return await self._carry_out(outcome, place.service, die, parameters)

    async def kill_part(
        self,
        outcome: Outcome,
        *,
        part: str,
        tell: Fault,
        moment: Callable[[], Awaitable[bool]],
        kill: Callable[[], object],
        parameters: Mapping[str, Any] | None,
    ) -> Outcome:
        """Kill `part` (a process of the supervisor's, or "" for one that nobody starts again) while a service has its
        hands on it: once `tell` has fired and `moment` has come."""

        async def die(asking: asyncio.Task[Any]) -> float | None:
            armed = self._on.arm(tell)
            try:
                told_at = await self._fired(lambda: armed.fired_at, asking)
                if told_at is None:
                    outcome.trouble = "the point was not reached"
                    return None
                if not await moment():
                    outcome.trouble = "the moment did not come"
                    return None
            finally:
                armed.disarm()
            killed_at = time.time()
            await asyncio.to_thread(kill)
            return await self._back(outcome, part, killed_at) if part else killed_at

        return await self._carry_out(outcome, "parts", die, parameters)

    async def _carry_out(
        self,
        outcome: Outcome,
        lock: str,
        die: Callable[[asyncio.Task[Any]], Awaitable[float | None]],
        parameters: Mapping[str, Any] | None,
    ) -> Outcome:
        story, name = outcome.story, outcome.environment
        async with self._room_for_parts if lock == "parts" else self._room:
            if story.fails_at is not None:
                await asyncio.to_thread(OCCUPY[story.fails_at], self._caller.outside, name)
            async with self._dying[lock]:
                asking = asyncio.create_task(self._caller.ask(story.operation, name, parameters))
                back_at = await die(asking)
            try:
                run_id = await asking
            except (Refused, TimeoutError) as error:
                outcome.trouble = str(error)
            else:
                until = (back_at or time.time()) + RECOVERY_SECONDS + 15
                self._judge(outcome, await self._caller.verdict(run_id, until=until), back_at)
            if story.fails_at is not None:
                await asyncio.to_thread(FREE[story.fails_at], self._caller.outside, name)
        return outcome

    def _judge(self, outcome: Outcome, found: tuple[Event, float] | None, back_at: float | None) -> None:
        if found is None:
            outcome.trouble = outcome.trouble or "the run did not end"
            outcome.recovery_seconds = RECOVERY_SECONDS + 15
            return
        verdict, _ = found
        outcome.ended, outcome.ended_at = verdict.kind, verdict.time.timestamp()
        if back_at is not None:
            hits = self._hits(verdict)
            outcome.deaths = max(1, len(hits))
            last_back_at = max([back_at, *(death.back_at for death in hits)])
            outcome.recovery_seconds = max(0.0, outcome.ended_at - last_back_at)
        if verdict.kind != outcome.story.verdict.kind:
            failure = getattr(verdict.data, "failure", None)  # type: ignore[attr-defined]  # every verdict has data
            outcome.trouble = f"ended as {verdict.kind}" + (f": {failure.code}, {failure.message}" if failure else "")

    def _hits(self, verdict: Event) -> list[Death]:
        """The deaths of whoever had the run in hand."""
        steps = [event for event in self._caller.events(verdict.subject) if event.run_id == verdict.run_id]
        return [
            death
            for before, after in pairwise(steps)
            for death in self._deaths
            if before.time.timestamp() <= death.at <= after.time.timestamp()
            and (death.who == after.source or death.who not in SERVICES)
        ]

    async def _fired(self, fired_at: Callable[[], float | None], asking: asyncio.Task[Any]) -> float | None:
        deadline = time.monotonic() + REACHED_WITHIN_SECONDS
        while (found := fired_at()) is None and time.monotonic() < deadline:
            if asking.done() and asking.exception() is not None:
                return None
            await asyncio.sleep(_POLL_SECONDS)
        return found

    async def _back(self, outcome: Outcome, part: str, died_at: float) -> float:
        """When the part could work again."""
        deadline = time.monotonic() + REACHED_WITHIN_SECONDS
        while not await asyncio.to_thread(self._on.is_ready, part, since=died_at):
            if time.monotonic() > deadline:
                outcome.trouble = f"{part} did not come back"
                break
            await asyncio.sleep(0.1)
        back_at = time.time()
        outcome.restart_seconds = back_at - died_at
        self._deaths.append(Death(part, died_at, back_at))
        return back_at

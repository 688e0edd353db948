"""Every point, one death each: the phases of `make faults`.

Environments are made once and go through several runs: those that were created with a death in it are then updated with
one, and at last deleted with one. What is judged is judged at the end of each phase, when nothing is under way.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.caller import Caller
from tests.faults.cases import SMALLER, UPDATE, Cutter, Outcome
from tests.faults.invariants import Violation, judge
from tests.faults.parts import LANES, Lane, kill_in
from tests.faults.points import OPERATIONS, STORIES, Operation, Place, Story, places

SETTLE_SECONDS: Final = 60.0
Say = Callable[[str], None]


@dataclass
class Report:
    """What came of everything."""

    outcomes: list[Outcome] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    """Those that belong to no case."""
    seconds: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether everything is as promised."""
        return not self.violations and all(outcome.is_well for outcome in self.outcomes)


class Matrix:
    """All phases, on one platform."""

    def __init__(
        self, caller: Caller, say: Say, *, only: Sequence[Operation] = OPERATIONS, points: Sequence[str] = ()
    ) -> None:
        """`points`: words of which each is in what a point is called for people; all points where there are none."""
        self._caller = caller
        self._say = say
        self._only = only
        self._points = points
        self._cutter = Cutter(caller)
        self._made: set[str] = set()
        self.report = Report()

    async def services(self) -> None:
        """Kill each service at each of its points in each story."""
        plain = {operation: places(Story(operation)) for operation in OPERATIONS}
        lanes = [f"run-{number:02d}" for number in range(1, 1 + max(len(found) for found in plain.values()))]
        failing = {story: _named(places(story), story) for story in STORIES if story.fails_at is not None}
        for operation in OPERATIONS:
            if operation not in self._only:
                continue
            cases = list(zip(plain[operation], lanes, strict=False))
            for story, found in failing.items():
                if story.operation == operation:
                    cases += found
            cases = [(place, name) for place, name in cases if all(words in str(place) for words in self._points)]
            if not cases:
                continue
            if operation != "create":
                small = {name for story, found in failing.items() if story.operation == operation for _, name in found}
                await self._make({name: (SMALLER if name in small else None) for _, name in cases})
            if operation == "delete":
                await self._use([name for _, name in cases])
            self._say(f"{operation}: {len(cases)} points (to the restart, from there to the end of the run)")
            await self._phase(operation, [self._cut(place, name) for place, name in cases])

    async def parts(self, names: Iterable[str] = ()) -> None:
        """Kill everything else in turn, while a service has its hands on it."""
        wanted = set(names)
        lanes = [lane for lane in LANES if not wanted or lane.part in wanted]
        for operation in OPERATIONS:
            if operation not in self._only:
                continue
            if operation != "create":
                await self._make({lane.environment: None for lane in lanes})
            if operation == "delete":
                await self._use([lane.environment for lane in lanes for _ in range(lane.leases)])
            self._say(f"{operation}: {len(lanes)} deaths of parts")
            await self._phase(operation, [self._kill(lane, operation) for lane in lanes])

    async def control(self) -> None:
        """One environment that nobody dies for: after all this the platform works, and its traces are whole."""
        name = "control"
        for operation in OPERATIONS:
            run_id = await self._caller.ask(operation, name, UPDATE if operation == "update" else None)
            await self._caller.verdict(run_id, until=time.time() + SETTLE_SECONDS)
        await self._judge([name], [], traced=[name], search=True)

    # -- one phase -----------------------------------------------------------------------------------------------------

    async def _cut(self, place: Place, name: str) -> Outcome:
        outcome = await self._cutter.cut(place, name, _parameters(place.story))
        self._tell(outcome)
        return outcome

    async def _kill(self, lane: Lane, operation: Operation) -> Outcome:
        outcome = await kill_in(self._cutter, self._caller, lane, operation, _parameters(Story(operation)))
        self._tell(outcome)
        return outcome

    def _tell(self, outcome: Outcome) -> None:
        restart, recovery = outcome.restart_seconds, outcome.recovery_seconds
        took = "  ".join(f"{one:5.1f} s" if one is not None else "      -" for one in (restart, recovery))
        self._say(f"  {'ok  ' if outcome.is_well else 'FAIL'}  {took}  {outcome.what}  {outcome.trouble}".rstrip())

    async def _phase(self, operation: Operation, cases: Sequence[Any]) -> None:
        outcomes: list[Outcome] = await asyncio.gather(*cases)
        self.report.outcomes += outcomes
        names = [outcome.environment for outcome in outcomes]
        self._made |= set(names)
        if operation == "delete":
            self._made -= set(names)
        await self._judge(names, outcomes)

    async def _judge(
        self, names: Sequence[str], outcomes: Sequence[Outcome], *, traced: Sequence[str] = (), search: bool = False
    ) -> None:
        await self._caller.settled(names, within_seconds=SETTLE_SECONDS)
        await asyncio.to_thread(self._caller.on.wait_ready)
        found = await self._caller.outside.collect(
            self._caller.bus,
            sorted(set(names)),
            recoveries=[outcome.recovery for outcome in outcomes if outcome.recovery is not None],
            traced=traced,
            search=search,
        )
        by_name = {outcome.environment: outcome for outcome in outcomes}
        for violation in judge(found):
            if violation.environment in by_name:
                by_name[violation.environment].violations.append(violation)
            elif violation in self.report.violations:
                continue
            else:
                self.report.violations.append(violation)
            self._say(f"  FAIL {violation.environment or 'the platform'}: {violation.claim}: {violation.what}")

    # -- beginnings ----------------------------------------------------------------------------------------------------

    async def _make(self, wanted: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Environments that exist, for what is done to them next."""
        missing = {name: parameters for name, parameters in wanted.items() if name not in self._made}
        if missing:
            self._say(f"making {len(missing)} environments to begin with")
        room = asyncio.Semaphore(8)

        async def make(name: str, parameters: Mapping[str, Any] | None) -> None:
            async with room:
                run_id = await self._caller.ask("create", name, parameters)
                if await self._caller.verdict(run_id, until=time.time() + SETTLE_SECONDS) is None:
                    raise TimeoutError(f"{name} was not created within {SETTLE_SECONDS:.0f} s, though nobody died")

        await asyncio.gather(*(make(name, parameters) for name, parameters in missing.items()))
        self._made |= set(missing)

    async def _use(self, names: Sequence[str]) -> None:
        """Lease logins, so that there is something to revoke."""
        for name in names:
            await asyncio.to_thread(self._caller.outside.use, name, lease=True)


def _named(found: Sequence[Place], story: Story) -> list[tuple[Place, str]]:
    return [(place, f"{story.operation}-{story.fails_at}-{number:02d}") for number, place in enumerate(found, 1)]


def _parameters(story: Story) -> Mapping[str, Any] | None:
    if story.operation != "update":
        return None
    # The failing update asks for the database whose owner's name somebody else has.
    return UPDATE if story.fails_at is None else {"database": True}

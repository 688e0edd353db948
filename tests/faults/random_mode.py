"""Deaths in any order, under load. Everything that is decided follows from the seed, so a failing seed can be replayed.

Invariant: `schedule` is a pure function of its arguments; what happens on the platform decides nothing.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chassis.faults import Fault, Point
from contracts.topology import SERVICES
from tests.faults.caller import Caller, Refused
from tests.faults.cases import Outcome
from tests.faults.invariants import RECOVERY_SECONDS, judge
from tests.faults.matrix import SETTLE_SECONDS, Report
from tests.faults.points import OPERATIONS, Place, Story, places
from tests.faults.traps import FREE, OCCUPY

LANES: Final = 8
"""How many environments are in flight."""
PARTS: Final = ("nats", "postgres", "openbao", "forge", "caddy", "dns", "inbox", "traces", "runtime")
"""What may be killed besides the services."""
MEMORY_MIB: Final = (128, 512, 1024)
"""What updates ask for in turn, so that each of them changes something."""
PAUSE_SECONDS: Final = (2.0, 7.0)
"""Between two deaths."""


@dataclass(frozen=True)
class Death:
    """Somebody dies: at once, or at the next run that comes to a point."""

    at_seconds: float
    victim: str
    kind: str = ""
    point: Point | None = None

    def __str__(self) -> str:
        where = f" at the next {self.point.replace('_', ' ')} of {self.kind}" if self.point else ""
        return f"{self.at_seconds:6.1f} s  {self.victim}{where}"


@dataclass(frozen=True)
class Life:
    """What is asked of one environment, one after the other."""

    environment: str
    stories: tuple[Story, ...]

    def __str__(self) -> str:
        return f"{self.environment}: {', '.join(map(str, self.stories))}"


@dataclass(frozen=True)
class Schedule:
    """Everything that will be tried."""

    seed: int
    minutes: float
    lanes: tuple[tuple[Life, ...], ...]
    """Each lane's lives, one after the other."""
    deaths: tuple[Death, ...]

    @property
    def lines(self) -> list[str]:
        """For people: the whole of it."""
        lives = [f"lane {number}: {life}" for number, lane in enumerate(self.lanes) for life in lane]
        return [f"seed {self.seed}, {self.minutes:g} minutes", *lives, *map(str, self.deaths)]


def schedule(seed: int, minutes: float) -> Schedule:
    """What a seed says."""
    # A generator for each, so that a longer run of the same seed begins alike.
    chance = _chance(seed, "deaths")
    everywhere = [place for operation in OPERATIONS for place in places(Story(operation))]
    deaths: list[Death] = []
    at_seconds = chance.uniform(*PAUSE_SECONDS)
    while at_seconds < minutes * 60:
        deaths.append(_death(chance, at_seconds, everywhere))
        at_seconds += chance.uniform(*PAUSE_SECONDS)
    # A life takes some ten seconds of a lane that nobody cuts; so no lane runs out of lives.
    lives = max(1, round(minutes * 60 / 8))
    lanes = tuple(
        tuple(_life(_chance(seed, name), name) for name in (f"r-{lane}-{number:03d}" for number in range(lives)))
        for lane in range(LANES)
    )
    return Schedule(seed, minutes, lanes, tuple(deaths))


def _chance(seed: int, what: str) -> random.Random:
    return random.Random(f"{seed} {what}")  # noqa: S311 - it chooses victims, not keys


def _death(chance: random.Random, at_seconds: float, everywhere: list[Place]) -> Death:
    at_seconds = round(at_seconds, 3)
    dice = chance.random()
    if dice < 0.5:
        place = chance.choice(everywhere)
        return Death(at_seconds, place.service, place.kind, place.point)
    return Death(at_seconds, chance.choice(SERVICES if dice < 0.75 else PARTS))


def _life(chance: random.Random, environment: str) -> Life:
    if chance.random() < 0.25:
        return Life(environment, (Story("create", chance.choice(("provisioner", "secrets", "cicd"))),))
    stories = [Story("create")] + [Story("update")] * chance.randrange(3)
    if chance.random() < 0.7:
        stories.append(Story("delete"))
    return Life(environment, tuple(stories))


async def run(caller: Caller, say: Callable[[str], None], *, seed: int, minutes: float) -> Report:
    """Try what a seed says, and judge what is left."""
    plan = schedule(seed, minutes)
    for line in plan.lines:
        say(line)
    report = Report()
    began = time.time()
    ends_at = began + minutes * 60
    lanes = [asyncio.create_task(_live(caller, say, lane, ends_at, report)) for lane in plan.lanes]
    last_at = await _kill_all(caller, say, plan, began)
    await asyncio.gather(*lanes)
    names = [outcome.environment for outcome in report.outcomes]
    await caller.settled(names, within_seconds=SETTLE_SECONDS)
    for outcome in report.outcomes:
        if outcome.ended_at is not None:
            outcome.recovery_seconds = max(0.0, outcome.ended_at - last_at)
    late = [outcome.recovery for outcome in report.outcomes if outcome.recovery is not None]
    await asyncio.to_thread(caller.on.wait_ready)
    found = await caller.outside.collect(caller.bus, sorted(set(names)), recoveries=late, search=True)
    by_name = {outcome.environment: outcome for outcome in report.outcomes}
    for violation in judge(found):
        if violation.environment in by_name:
            by_name[violation.environment].violations.append(violation)
        else:
            report.violations.append(violation)
    say(f"replay it with: make faults SEED={seed} MINUTES={minutes:g}")
    return report


async def _kill_all(caller: Caller, say: Callable[[str], None], plan: Schedule, began: float) -> float:
    """Carry the deaths out; answers when the last of them was over (Unix time)."""
    armed = []
    for death in plan.deaths:
        await asyncio.sleep(max(0.0, began + death.at_seconds - time.time()))
        say(f"  {death}")
        if death.point is not None:
            fault = Fault(service=death.victim, kind=death.kind, point=death.point, environment="r-*")
            armed.append(caller.on.arm(fault))
        else:
            await asyncio.to_thread(caller.on.kill, death.victim)
    for one in armed:
        one.disarm()
    await asyncio.to_thread(caller.on.wait_ready)
    return time.time()


async def _live(
    caller: Caller,
    say: Callable[[str], None],
    lives: tuple[Life, ...],
    ends_at: float,
    report: Report,
) -> None:
    for life in lives:
        if time.time() > ends_at:
            return
        await _live_once(caller, say, life, ends_at, report)


async def _live_once(caller: Caller, say: Callable[[str], None], life: Life, ends_at: float, report: Report) -> None:
    outcome = Outcome(life.stories[0], life.environment, str(life), part="anything")
    report.outcomes.append(outcome)
    for number, story in enumerate(life.stories):
        if story.fails_at is not None:
            # A trap of which only a half was set before somebody died is set anew.
            await _patiently(FREE[story.fails_at], caller, life.environment)
            await _patiently(OCCUPY[story.fails_at], caller, life.environment)
        memory = {"memory_mib": MEMORY_MIB[number % len(MEMORY_MIB)]} if story.operation == "update" else None
        try:
            run_id = await caller.ask(
                story.operation, life.environment, memory if story.operation == "update" else None
            )
        except (Refused, TimeoutError) as error:
            outcome.trouble = str(error)
            break
        # Whatever is still to die before the end may hit this very run.
        found = await caller.verdict(run_id, until=max(time.time(), ends_at) + RECOVERY_SECONDS + 30)
        if story.fails_at is not None:
            await _patiently(FREE[story.fails_at], caller, life.environment)
        if found is None:
            outcome.trouble = f"{story} did not end"
            break
        verdict, _ = found
        outcome.ended, outcome.ended_at = verdict.kind, verdict.time.timestamp()
        if verdict.kind != story.verdict.kind:
            failure = getattr(verdict.data, "failure", None)  # type: ignore[attr-defined]  # every verdict has data
            outcome.trouble = f"{story} ended as {verdict.kind}" + (f": {failure.message}" if failure else "")
            break
    if outcome.trouble:
        say(f"  FAIL  {life.environment}: {outcome.trouble}")


async def _patiently(do: Callable[..., None], caller: Caller, name: str) -> None:
    """Set or lift a trap, for which the system that it is set in must be up."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return await asyncio.to_thread(do, caller.outside, name)
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)

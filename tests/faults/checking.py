"""The checker, checked: each deliberate bug is put into a running platform, and its claim must see it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from chassis.faults import Fault
from tests.faults.bugs import BUGS, Bug
from tests.faults.caller import Caller
from tests.faults.cases import Outcome
from tests.faults.invariants import Violation, judge
from tests.faults.matrix import Report
from tests.faults.traps import FREE, OCCUPY

VERDICT_SECONDS: Final = 40.0
UNENDED_SECONDS: Final = 20.0
"""How long a run that will not end is waited for: longer than the bus waits before it delivers again."""


async def check(caller: Caller, say: Callable[[str], None], *, only: Sequence[str] | None = None) -> Report:
    """Put in each bug in turn. A case is well where its bug was caught."""
    report = Report()
    for bug in BUGS.values():
        if only and bug.name not in only:
            continue
        outcome, found = await _try(caller, bug)
        say(f"  {'caught' if outcome.is_well else 'MISSED':>7}  {bug.name}: {outcome.ended or outcome.trouble}")
        for violation in found:
            say(f"           {violation.claim}: {violation.what}")
        report.outcomes.append(outcome)
    return report


async def _try(caller: Caller, bug: Bug) -> tuple[Outcome, list[Violation]]:
    outcome = Outcome(bug.story, f"bug-{bug.name}", f"the bug {bug.name} in {bug.service}", part="bug")
    found = await violations(caller, bug, outcome.environment)
    caught = sorted({violation.claim for violation in found})
    if set(caught) & set(bug.caught_by):
        outcome.ended = ", ".join(caught)
    else:
        seen = ", ".join(caught) or "nothing"
        outcome.trouble = f"none of {', '.join(bug.caught_by)} saw it; what was seen: {seen}"
    return outcome, found


async def violations(caller: Caller, bug: Bug, name: str) -> list[Violation]:
    """What the checker says of a run with this bug in it."""
    on, outside, story = caller.on, caller.outside, bug.story
    if story.operation != "create":
        run_id = await caller.ask("create", name)
        await caller.verdict(run_id, until=time.time() + VERDICT_SECONDS)
    await asyncio.to_thread(on.install_bug, bug.service, bug.name)
    try:
        if story.operation == "delete":
            await asyncio.to_thread(outside.use, name, lease=True)
        if story.fails_at is not None:
            await asyncio.to_thread(OCCUPY[story.fails_at], outside, name)
        armed = None
        if bug.dies is not None:
            kind, point = bug.dies
            armed = on.arm(Fault(service=bug.service, kind=kind, point=point, environment=name))
        run_id = await caller.ask(story.operation, name)
        patience_seconds = VERDICT_SECONDS if bug.ends else UNENDED_SECONDS
        verdict = await caller.verdict(run_id, until=time.time() + patience_seconds)
        if armed is not None and armed.disarm():
            raise AssertionError(f"{bug.name}: the death that brings it out did not come")
        await caller.settled([name], within_seconds=UNENDED_SECONDS if bug.ends else 0.5)
        if story.fails_at is not None:
            await asyncio.to_thread(FREE[story.fails_at], outside, name)
        if verdict is not None and "secret" in bug.name:
            await asyncio.to_thread(outside.use, name, lease=False)
        return judge(await outside.collect(caller.bus, [name], search="secret" in bug.name))
    finally:
        await asyncio.to_thread(on.install_bug, bug.service, None)

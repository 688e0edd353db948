"""What must be true after any death, one function each; its docstring is the claim.

Each looks at `Evidence` and yields what contradicts the claim. They hold for an environment whose runs had time to end:
`every_run_ends` is what says that one has not. The numbers are those of the ten invariants that the platform promises
(the table in README.md beside this file).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from chassis.pulling import LogMessage
from chassis.tracing import trace_id_of
from contracts.envelope import Event
from contracts.events import (
    RUN_REQUESTS,
    EnvironmentDeleted,
    EnvironmentFailed,
    EnvironmentReady,
    InfraReady,
    RunStalled,
)
from contracts.topology import STEPS
from services.catalog.domain.folding import Known
from services.catalog.domain.records import EMPTY, examine, project
from tests.faults.evidence import VERDICTS, Evidence
from tests.faults.points import OPERATIONS, REQUESTS, Story, road

RECOVERY_SECONDS: Final = 60.0
BESIDE_A_RUN: Final = (RunStalled,)
"""Events that carry a run's id and are no step of its road."""
SHOWN: Final = {EnvironmentReady: "ready", EnvironmentDeleted: "deleted"}

ROADS: Final = {
    REQUESTS[operation].kind: {
        tuple(kind.kind for kind in road(Story(operation, fails_at)))
        for fails_at in (None, *(STEPS if operation != "delete" else ()))
    }
    for operation in OPERATIONS
}
"""By the kind of its request, every road that a run may take."""


@dataclass(frozen=True)
class Violation:
    """Something that contradicts a claim. `environment` is empty where it is about the whole platform."""

    claim: str
    environment: str
    what: str


Found = Iterator[tuple[str, str]]
"""The environment, and what is wrong with it."""


def every_run_ends(evidence: Evidence) -> Found:
    """1. Every request that is on the log has exactly one verdict."""
    for name in evidence.names:
        if not evidence.of(name):
            yield name, "nothing on the log"
        ended = Counter(event.run_id for event in evidence.of(name) if isinstance(event, VERDICTS))
        for event in evidence.of(name):
            if isinstance(event, RUN_REQUESTS) and ended[event.run_id] != 1:
                last = evidence.runs(name)[event.run_id][-1]
                yield name, f"{event.kind} has {ended[event.run_id]} verdicts; its run's last word is {last.kind}"


def every_run_ends_in_time(evidence: Evidence) -> Found:
    """1. A run ends within sixty seconds once everything that was killed runs again."""
    for one in evidence.recoveries:
        if one.seconds > RECOVERY_SECONDS:
            yield one.environment, f"{one.what}: {one.seconds:.0f} s from the restart to the end"


def every_verdict_has_its_run(evidence: Evidence) -> Found:
    """7. A verdict is on a run that somebody asked for, and follows from the last step of it."""
    for name in evidence.names:
        asked = {event.id for event in evidence.of(name) if isinstance(event, RUN_REQUESTS)}
        for run_id, events in evidence.runs(name).items():
            for before, event in zip([None, *events], events, strict=False):
                if not isinstance(event, VERDICTS):
                    continue
                if run_id not in asked:
                    yield name, f"{event.kind} on a run that nobody asked for"
                elif before is None or event.causation_id != before.id:
                    yield name, f"{event.kind} does not follow from the last step of its run"


def every_id_follows_from_its_cause(evidence: Evidence) -> Found:
    """4. The id of every event is derived from its cause and its kind."""
    for name in evidence.names:
        for event in evidence.of(name):
            if event.id != evidence.derive(event.causation_id, event.kind):
                yield name, f"the id of {event.kind} is not derived"


def every_event_is_there_once(evidence: Evidence) -> Found:
    """4. No event is on the log twice: not under its id, and not once more in its run."""
    for name in evidence.names:
        by_id = Counter(event.id for event in evidence.of(name))
        in_run = Counter((event.run_id, event.kind) for event in evidence.of(name))
        for event in {event.id: event for event in evidence.of(name)}.values():
            if by_id[event.id] > 1 or in_run[event.run_id, event.kind] > 1:
                yield name, f"{event.kind} is there {max(by_id[event.id], in_run[event.run_id, event.kind])} times"


def every_run_keeps_to_a_road(evidence: Evidence) -> Found:
    """4. The events of a run are the steps of one road, each caused by the one before."""
    for name in evidence.names:
        for events in evidence.runs(name).values():
            steps = [event for event in events if not isinstance(event, BESIDE_A_RUN)]
            kinds = tuple(event.kind for event in steps)
            if not any(kinds == one[: len(kinds)] for one in ROADS.get(kinds[0], ())):
                yield name, "no road goes " + " > ".join(kinds)
            elif any(after.causation_id != before.id for before, after in pairwise(steps)):
                yield name, "a step of the run was not caused by the one before it"


def ready_is_whole(evidence: Evidence) -> Found:
    """2. Of an environment that is ready, everything exists."""
    for name in evidence.names:
        if missing := evidence.expected(name) - evidence.things.get(name, frozenset()):
            yield name, f"it has no {', '.join(sorted(missing))}"


def gone_is_clean(evidence: Evidence) -> Found:
    """3. Of an environment that failed or was deleted nothing lives anywhere, and of one that is ready nothing that it
    should not have."""
    for name in evidence.names:
        lives = evidence.things.get(name, frozenset())
        if evidence.expected(name):
            lives -= {"lease", "leased login", "running application"}
        if evidence.verdict(name) is not None and (orphans := lives - evidence.expected(name)):
            yield name, f"there is still its {', '.join(sorted(orphans))}"


def records_are_true(evidence: Evidence) -> Found:
    """2. Terraform's state has exactly what the verdict says there is."""
    for name in evidence.names if evidence.records is not None else ():
        recorded = (evidence.records or {}).get(name, frozenset())
        verdict = evidence.verdict(name)
        if isinstance(verdict, EnvironmentReady):
            said = {resource.id for resource in verdict.data.infrastructure.resources}
            if recorded != said:
                yield name, f"the record differs in {', '.join(sorted(recorded ^ said))}"
        elif verdict is not None and evidence.standing(name) is None and recorded:
            yield name, f"the record still has {', '.join(sorted(recorded))}"


def intent_comes_before_effect(evidence: Evidence) -> Found:
    """2. Whatever Terraform applied is a commit of the environments repository."""
    for name in evidence.names if evidence.commits is not None else ():
        known = (evidence.commits or {}).get(name, frozenset())
        for event in evidence.of(name):
            if isinstance(event, InfraReady) and event.data.infrastructure.commit not in known:
                yield name, f"commit {event.data.infrastructure.commit[:12]} is not in the environments repository"


def everything_is_of_one_life(evidence: Evidence) -> Found:
    """5. What an environment has is marked with the life that the log says it is in."""
    for name, marks in evidence.marks.items():
        verdict = evidence.verdict(name)
        for where, incarnation in marks.items():
            if verdict is not None and incarnation != str(verdict.incarnation):
                yield name, f"{where} is of another life ({incarnation})"


def undo_mirrors_do(evidence: Evidence) -> Found:
    """6. A road back undoes what was made, and leaves nothing behind."""
    for name in evidence.names:
        for event in evidence.of(name):
            if isinstance(event, EnvironmentFailed | EnvironmentDeleted) and event.data.left_behind:
                left = ", ".join(one.resource.id for one in event.data.left_behind)
                yield name, f"{event.kind} says that it left {left}"
            if isinstance(event, EnvironmentFailed) and event.data.previous is None:
                kept = {one.resource for one in event.data.kept}
                if forgotten := set(event.data.created) - set(event.data.undone) - kept:
                    yield name, f"made and never undone: {', '.join(sorted(one.id for one in forgotten))}"


def every_verdict_is_told_once(evidence: Evidence) -> Found:
    """9. The team is told of each verdict once in each channel."""
    told = Counter((one.environment, one.event_id, one.channel) for one in evidence.told)
    heard = {one.event_id for one in evidence.told}
    for name in evidence.names:
        for (environment, _, channel), times in told.items():
            if environment == name and times > 1:
                yield name, f"told {times} times in {channel}"
        for event in evidence.of(name):
            if isinstance(event, VERDICTS) and str(event.id) not in heard:
                yield name, f"nobody was told of {event.kind}"


def the_copy_is_the_log(evidence: Evidence) -> Found:
    """7. The catalog's copy of the log equals it byte for byte."""
    if evidence.copy is not None and evidence.copy != evidence.log:
        different = next(
            (one.sequence for one, other in zip(evidence.log, evidence.copy, strict=False) if one != other),
            min(len(evidence.log), len(evidence.copy)) + 1,
        )
        yield "", f"the copy has {len(evidence.copy)} of {len(evidence.log)} messages; they differ at {different}"


def a_rebuilt_projection_is_the_live_one(evidence: Evidence) -> Found:
    """7. What the catalog shows of an environment is what folding the log from its beginning gives."""
    if evidence.documents is None:
        return
    rebuilt = projected(evidence.log, evidence)
    for name in evidence.names:
        if rebuilt.get(name) != evidence.documents.get(name):
            yield name, "the projection is not what the log folds to"


def the_gateway_shows_the_log(evidence: Evidence) -> Found:
    """7. What is shown of an environment is how its last run ended."""
    for name in evidence.names if evidence.shown is not None else ():
        verdict = evidence.verdict(name)
        if verdict is None:
            continue
        stands = "ready" if evidence.standing(name) is not None else "failed"
        wanted = SHOWN.get(type(verdict), stands)
        if (shown := (evidence.shown or {}).get(name)) != wanted:
            yield name, f"shown as {shown}; the log says {wanted}"


def nothing_waits(evidence: Evidence) -> Found:
    """1. No message is undelivered or unacknowledged, and no request unconfirmed, when all runs have ended."""
    for durable, count in evidence.waiting.items():
        if count:
            yield "", f"{count} messages of {durable} are not settled"
    for name in evidence.pending_requests:
        if name in evidence.names:
            yield name, "a request is neither confirmed nor refused"


def nothing_is_laid_aside(evidence: Evidence) -> Found:
    """4. No message became a dead letter: a death is no reason to give up on one."""
    for subject in evidence.dead_letters:
        name = next((name for name in evidence.names if f".{name}." in f".{subject}."), "")
        if name:
            yield name, f"{subject} was laid aside"


def no_process_is_left(evidence: Evidence) -> Found:
    """3. Nothing runs but what the supervisor started, once."""
    yield from (("", f"a stray process: {one}") for one in evidence.strays)


def no_secret_is_anywhere_else(evidence: Evidence) -> Found:
    """8. No value of a secret is found outside OpenBao."""
    yield from ((name, f"a secret's value is in {where}") for where, name in evidence.leaks)


def every_run_is_one_trace(evidence: Evidence) -> Found:
    """10. The events of a run carry one trace; where nobody died in it, it has one root and no orphan."""
    for name in evidence.names:
        for events in evidence.runs(name).values():
            if len({trace_id_of(event.traceparent) for event in events}) > 1:
                yield name, "the events of one run are in several traces"
    for name, spans in evidence.traces.items():
        known = {span.span_id for span in spans}
        roots = [span for span in spans if span.parent is None]
        orphans = [span for span in spans if span.parent is not None and span.parent not in known]
        runs = sum(isinstance(event, RUN_REQUESTS) for event in evidence.of(name))
        if len(roots) != runs or orphans:
            yield name, f"{len(roots)} roots and {len(orphans)} orphans in the traces of {runs} runs"


INVARIANTS: Final[tuple[Callable[[Evidence], Found], ...]] = (
    every_run_ends,
    every_run_ends_in_time,
    every_verdict_has_its_run,
    every_id_follows_from_its_cause,
    every_event_is_there_once,
    every_run_keeps_to_a_road,
    ready_is_whole,
    gone_is_clean,
    records_are_true,
    intent_comes_before_effect,
    everything_is_of_one_life,
    undo_mirrors_do,
    every_verdict_is_told_once,
    the_copy_is_the_log,
    a_rebuilt_projection_is_the_live_one,
    the_gateway_shows_the_log,
    nothing_waits,
    nothing_is_laid_aside,
    no_process_is_left,
    no_secret_is_anywhere_else,
    every_run_is_one_trace,
)


def judge(evidence: Evidence) -> list[Violation]:
    """Everything that contradicts any claim."""
    return [
        Violation(claim.__name__, environment, what) for claim in INVARIANTS for environment, what in claim(evidence)
    ]


def projected(log: Sequence[LogMessage], evidence: Evidence) -> dict[str, str]:
    """By environment, what folding a log from its beginning gives, as canonical JSON."""
    examined = [examine(message, evidence.derive) for message in log]
    known: dict[str, Known] = project(EMPTY, {}, examined, on_error=_not_folded).known
    return {name: canonical(one.environment.model_dump(mode="json")) for name, one in known.items()}


def _not_folded(event: Event, error: Exception) -> None:
    raise AssertionError(f"{event.kind} cannot be folded") from error


def canonical(document: object) -> str:
    """JSON in which equal things are equal text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))

"""The twin of the event store and of the read side: dictionaries that keep the same promises, for one process."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, get_args
from uuid import UUID

from chassis.clock import Clock
from contracts import queries
from contracts.events import parse
from contracts.queries import (
    RUNS_COUNTED,
    Durations,
    Environments,
    EnvironmentView,
    Events,
    FacetCount,
    FindEnvironments,
    FindRuns,
    GetDurations,
    GetEnvironment,
    GetEvents,
    GetGraph,
    GetRun,
    Graph,
    OneEnvironment,
    OneRun,
    RecordedEvent,
    Runs,
    RunState,
    RunView,
    StepDuration,
    WhichAreKnown,
)
from services.catalog.adapters.memory_signals import MemorySignals
from services.catalog.domain.finding import FACETS, facets_of, is_in_scope, keeps, sort_key, value_of
from services.catalog.domain.finding_runs import keeps_run
from services.catalog.domain.folding import Known
from services.catalog.domain.insights import spread
from services.catalog.domain.records import EMPTY, Batch, Decision, Head, Message, Record
from services.catalog.domain.signals import SignalRecord, shown
from services.catalog.domain.steps import STEPS, step_seconds, total_seconds
from services.catalog.ports import AlreadyRecordedError, Rejected, Stalling

HISTORY: Final = timedelta(days=30)


@dataclass
class MemoryEventStore:
    """See `ports.EventStore`, `ports.Views` and `ports.History`."""

    clock: Clock
    _head: Head = EMPTY
    _records: dict[int, Record] = field(default_factory=dict)
    _ids: dict[UUID, int] = field(default_factory=dict)
    _environments: dict[str, EnvironmentView] = field(default_factory=dict)
    _runs: dict[UUID, RunView] = field(default_factory=dict)
    _moved: dict[UUID, float] = field(default_factory=dict)
    _decisions: dict[UUID, tuple[Decision, float]] = field(default_factory=dict)
    _aside: set[int] = field(default_factory=set)
    signals: MemorySignals = field(init=False)

    def __post_init__(self) -> None:
        self.signals = MemorySignals(self._environments)

    async def head(self, *, fresh: bool = False) -> Head:  # noqa: ARG002 - always fresh
        return self._head

    def turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # there is no other replica

    async def load(self, names: Collection[str]) -> tuple[Head, Mapping[str, Known]]:
        found = {name: self._environments[name] for name in names if name in self._environments}
        return self._head, {name: Known(view, self._runs[view.run_id]) for name, view in found.items()}

    async def append(self, batch: Batch, decisions: Sequence[Decision]) -> bool:
        if batch.before != self._head:
            return False
        if any(r.version is not None and r.event_id in self._ids for r in batch.records):
            raise AlreadyRecordedError
        for record in batch.records:
            self._records[record.sequence] = record
            if record.event_id is not None and record.version is not None:
                self._ids[record.event_id] = record.sequence
        for run in (*batch.closed, *(known.run for known in batch.known.values())):
            self._runs[run.id] = run
            self._moved[run.id] = self._now
        self._environments.update({name: known.environment for name, known in batch.known.items()})
        self._head = batch.head
        for decision in decisions:
            await self.decide(decision)
        return True

    async def recorded(self, ids: Collection[UUID]) -> set[UUID]:
        return set(ids) & self._ids.keys()

    async def message(self, sequence: int) -> Message | None:
        return self._records.get(sequence)

    async def unsaid(self, older_than_seconds: float) -> Sequence[tuple[Decision, Message]]:
        return [
            (decision, self._records[decision.cause_sequence])
            for decision, at in self._unsaid()
            if self._now - at >= older_than_seconds
        ]

    async def oldest_unsaid_seconds(self) -> float:
        return max((self._now - at for _, at in self._unsaid()), default=0.0)

    async def forget(self, event_id: UUID) -> None:
        self._decisions.pop(event_id, None)

    async def stalling(self, after_seconds: float) -> Sequence[Stalling]:
        deciding = {decision.run_id for decision, _ in self._unsaid()}
        found = []
        for view in self._environments.values():
            run = self._runs[view.run_id]
            waiting = self._now - self._moved[run.id]
            quiet = run.ended_at is None and run.stalled_since is None and run.id not in deciding
            if quiet and waiting > after_seconds:
                found.append(Stalling(Known(view, run), self._records[run.last_sequence], waiting))
        return found

    async def decide(self, decision: Decision) -> bool:
        if decision.event_id in self._decisions:
            return False
        self._decisions[decision.event_id] = (decision, self._now)
        return True

    async def rejected(self) -> Sequence[Rejected]:
        return [
            Rejected(record, record.rejection)
            for record in self._records.values()
            if record.rejection not in {None, "duplicate"} and record.sequence not in self._aside
            if record.rejection is not None
        ]

    async def known(self, name: str) -> Known | None:
        return (await self.load([name]))[1].get(name)

    async def ready(self, after: str, limit: int) -> Sequence[EnvironmentView]:
        found = [view for name, view in sorted(self._environments.items()) if view.state == "ready" and name > after]
        return found[:limit]

    async def laid_aside(self, sequence: int) -> None:
        self._aside.add(sequence)

    # -- ports.Views ---------------------------------------------------------------------------------------------------

    async def environments(self, query: FindEnvironments) -> Environments:
        seen = [view for view in self._shown() if is_in_scope(view, query.teams, query.granted_to)]
        if query.duplicates:
            seen = _duplicates(seen, self._shown())
        found = [view for view in seen if keeps(query, view, self.clock.now())]
        found.sort(key=lambda view: sort_key(query.sort, view), reverse=query.descending)
        names = [view.name for view in found]
        first = names.index(query.after.rpartition(" ")[2]) + 1 if query.after is not None else 0
        items = tuple(found[first : first + query.limit])
        more = len(found) > first + len(items)
        counts = [
            (facet, value_of(view, facet), 1)
            for facet in FACETS
            for view in seen
            if keeps(query, view, self.clock.now(), but=facet)
        ]
        return Environments(
            items=items,
            total=len(found),
            next_cursor=(items[-1].name if query.sort == "name" else f"at {items[-1].name}") if more else None,
            facets=facets_of(counts) if query.facets else None,
        )

    async def environment(self, query: GetEnvironment) -> OneEnvironment:
        return OneEnvironment(environment=next((v for v in self._shown() if v.name == query.environment), None))

    async def graph(self, query: GetGraph) -> Graph:
        views = {view.name: view for view in self._shown() if view.state != "deleted"}
        needs = {name: set(view.spec.depends_on or ()) & views.keys() for name, view in views.items()}
        needed_by = {name: {other for other in needs if name in needs[other]} for name in views}
        names = _reached(query.environment, needs) | _reached(query.environment, needed_by)
        found = sorted(names & views.keys(), key=lambda name: (name != query.environment, name))
        return Graph(environments=tuple(views[name] for name in found))

    def _shown(self) -> list[EnvironmentView]:
        facts, now = self.signals.known, self.clock.now()
        return [shown(view, facts.get(name), now) for name, view in sorted(self._environments.items())]

    async def events(self, query: GetEvents) -> Events:
        found = [
            RecordedEvent(
                sequence=record.sequence,
                version=record.version,
                subject=record.subject.decode(),
                event=parse(record.body).model_dump(mode="json", exclude_none=True),
            )
            for record in self._records.values()
            if record.environment == query.environment and record.version is not None
            if record.sequence > query.after_sequence
        ]
        return Events(items=tuple(found[: query.limit]))

    async def runs(self, query: FindRuns) -> Runs:
        seen = [
            run
            for run in self._runs.values()
            if query.teams is None or run.team in query.teams or self._is_granted(run, query)
        ]
        found = [
            run
            for run in seen
            if keeps_run(query, run) and (query.before_sequence is None or run.last_sequence < query.before_sequence)
        ]
        found.sort(key=lambda run: run.last_sequence, reverse=True)
        states = Counter(run.state for run in seen if keeps_run(query, run, any_state=True))
        counted = tuple(FacetCount(value=state, count=min(states[state], RUNS_COUNTED)) for state in get_args(RunState))
        return Runs(items=tuple(found[: query.limit]), states=counted if query.counts else ())

    def _is_granted(self, run: RunView, query: FindRuns) -> bool:
        view = self._environments[run.environment]
        return run.requested_at >= view.created_at and is_in_scope(view, (), query.granted_to)

    async def run(self, query: GetRun) -> OneRun:
        return OneRun(run=self._runs.get(query.run_id))

    async def which_are_known(self, query: WhichAreKnown) -> queries.Known:
        return queries.Known(ids=tuple(one for one in query.ids if one in self._ids))

    async def until(self, environment: str, at: datetime) -> Sequence[Record]:
        """See `ports.History`."""
        of_name = [one for one in self._records.values() if one.environment == environment and one.version is not None]
        last = max((one.version or 0 for one in of_name if one.time is not None and one.time <= at), default=0)
        return sorted((one for one in of_name if (one.version or 0) <= last), key=lambda one: one.version or 0)

    async def facts_until(self, environment: str, incarnation: UUID, at: datetime) -> Sequence[SignalRecord]:
        """See `ports.History`."""
        return self.signals.of_life(environment, incarnation, at)

    async def durations(self, query: GetDurations) -> Durations:
        since = self.clock.now() - HISTORY
        good = [
            run
            for run in self._runs.values()
            if run.golden_path == query.golden_path and total_seconds(run) is not None
            if run.ended_at is not None and run.ended_at > since
        ]
        if not good:
            return Durations(items=())
        items = [_duration(step, [step_seconds(run, step) for run in good]) for step in STEPS]
        items.append(_duration("total", [total_seconds(run) for run in good]))
        return Durations(items=tuple(items))

    @property
    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _unsaid(self) -> list[tuple[Decision, float]]:
        self._decisions = {key: value for key, value in self._decisions.items() if key not in self._ids}
        return list(self._decisions.values())


def _duplicates(seen: Sequence[EnvironmentView], every: Sequence[EnvironmentView]) -> list[EnvironmentView]:
    """Those that have another live one of their kind, repository, branch and directory beside them."""
    number = Counter(_place(view) for view in every if view.state != "deleted")
    return [view for view in seen if number[_place(view)] > 1]


def _place(view: EnvironmentView) -> tuple[str, str, str, str | None]:
    return view.spec.repository, view.spec.branch, view.spec.kind, view.spec.path


def _reached(name: str, edges: Mapping[str, Collection[str]]) -> set[str]:
    """What can be reached from a name, itself included."""
    reached, next_ones = set[str](), {name}
    while next_ones:
        reached |= next_ones
        next_ones = {to for one in next_ones for to in edges.get(one, ())} - reached
    return reached


def _duration(step: str, seconds: Sequence[float | None]) -> StepDuration:
    found = spread([value for value in seconds if value is not None])
    return StepDuration.model_validate({"step": step, **(found.model_dump() if found else {})})

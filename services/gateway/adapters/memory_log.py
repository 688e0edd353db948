"""The log and the catalog's knowledge of it in one twin: what is begun is folded at once, unless it is told to lag.

Fulfils `ports.Runs`, `ports.Catalog` and `ports.RunLog`, for tests and rehearsals.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from chassis.clock import Clock
from chassis.failures import TransientError
from contracts import queries, subjects
from contracts.envelope import Event
from contracts.events import (
    RUN_REQUESTS,
    AccessGranted,
    AccessRevoked,
    Asked,
    EnvironmentDeleted,
    EnvironmentDeletionRequested,
    EnvironmentExtended,
    EnvironmentFailed,
    EnvironmentReady,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    InfraFailed,
    RunCancelRequested,
)
from contracts.queries import (
    Environments,
    EnvironmentState,
    EnvironmentView,
    FindEnvironments,
    FindRuns,
    Grant,
    Graph,
    RecordedEvent,
    RunState,
    RunView,
    StepDuration,
    StepView,
)
from contracts.step_log import StepLine
from services.gateway.adapters.memory_finding import connected, found, found_runs, is_visible
from services.gateway.domain.progress import Steps
from services.gateway.domain.requests import EVENTS, AcceptedRequest, Operation
from services.gateway.ports import OvertakenError, Wake

_ID_SPACE: Final = UUID("6f1d1f34-0f0b-4d43-9a3c-0c9d6f6a7b10")

_STATES: Final[dict[type[Event], EnvironmentState]] = {
    EnvironmentRequested: "creating",
    EnvironmentUpdateRequested: "updating",
    EnvironmentDeletionRequested: "deleting",
    InfraFailed: "undoing",
    EnvironmentReady: "ready",
    EnvironmentFailed: "failed",
    EnvironmentDeleted: "deleted",
}
_KINDS: Final[dict[type[Event], Literal["create", "update", "delete"]]] = {
    EnvironmentRequested: "create",
    EnvironmentUpdateRequested: "update",
    EnvironmentDeletionRequested: "delete",
}
_ENDS: Final[dict[type[Event], RunState]] = {
    EnvironmentReady: "succeeded",
    EnvironmentDeleted: "succeeded",
    EnvironmentFailed: "failed",
}


@dataclass
class MemoryLog:
    """Twin of `ports.Runs`, `ports.Catalog` and `ports.RunLog` at once, over one list of events."""

    clock: Clock
    events_said: list[Event] = field(default_factory=list)
    lines: list[StepLine] = field(default_factory=list)
    folded: int | None = None
    """How far the catalog has read; None means that it never lags."""
    away: bool = False
    """Whether nobody answers."""
    before_the_next_is_stored: Callable[[], object] | None = None
    """What happens between the look and the publish, once."""
    fail_before_storing: int = 0
    """How many of the next publishes are lost on their way."""
    fail_after_storing: int = 0
    """How many of the next publishes are stored and yet not confirmed."""
    measured: dict[str, tuple[StepDuration, ...]] = field(default_factory=dict)
    _wakers: dict["MemoryWake", tuple[str, UUID]] = field(default_factory=dict)

    # -- Runs

    def id_of(self, operation: Operation, cause: UUID) -> UUID:
        """See the port."""
        return uuid5(_ID_SPACE, f"{cause} {operation}")

    async def asked(self, run: RunView) -> Asked | None:
        """See the port."""
        kind = EVENTS[run.kind]
        newest = next(
            (
                event
                for event in reversed(self.events_said)
                if isinstance(event, kind) and event.subject == run.environment
            ),
            None,
        )
        return newest.data if isinstance(newest, RUN_REQUESTS) and newest.id == run.id else None

    async def begin(self, request: AcceptedRequest, last_sequence: int) -> int:
        """See the port."""
        self._answer()
        if (said := self._sequence_of(request.event_id)) is not None:
            return said
        if (meanwhile := self.before_the_next_is_stored) is not None:
            self.before_the_next_is_stored = None
            meanwhile()
        if self.fail_before_storing:
            self.fail_before_storing -= 1
            raise TransientError("the bus did not take a message")
        newest = max((s for s, e in self._said() if e.subject == request.environment), default=0)
        if newest != last_sequence:
            raise OvertakenError(newest)
        sequence = self.say(
            EVENTS[request.operation],
            request.environment,
            request.asked,
            run_id=request.run_id or request.event_id,
            incarnation=request.incarnation,
            event_id=request.event_id,
            traceparent=request.traceparent,
        )
        if self.fail_after_storing:
            self.fail_after_storing -= 1
            raise TransientError("the bus did not confirm a message")
        return sequence

    def say(
        self,
        kind: type[Event],
        environment: str,
        data: Any,
        *,
        run_id: UUID,
        incarnation: UUID,
        event_id: UUID | None = None,
        traceparent: str | None = None,
    ) -> int:
        """Put an event on the log; returns its sequence."""
        event = kind.model_validate(
            {
                "id": event_id or uuid5(run_id, f"{kind.kind} {len(self.events_said)}"),
                "source": "gateway",
                "type": kind.model_fields["type"].default,
                "subject": environment,
                "time": self.clock.now(),
                "incarnation": incarnation,
                "runid": run_id,
                "correlationid": run_id,
                "causationid": run_id,
                "traceparent": traceparent,
                "data": data,
            }
        )
        self.events_said.append(event)
        self._wake(environment)
        return len(self.events_said)

    def write(self, line: StepLine) -> None:
        """Add a line to a run's log."""
        self.lines.append(line)
        self._wake(line.run_id)

    def _said(self) -> list[tuple[int, Event]]:
        return list(enumerate(self.events_said, start=1))

    def _sequence_of(self, event_id: UUID) -> int | None:
        return next((sequence for sequence, event in self._said() if event.id == event_id), None)

    def _answer(self) -> None:
        if self.away:
            raise TransientError("nobody answers")

    # -- Catalog

    def _known(self, min_sequence: int = 0) -> list[tuple[int, Event]]:
        self._answer()
        if self.folded is not None and min_sequence > self.folded:
            raise TransientError("the catalog is behind")
        return [pair for pair in self._said() if self.folded is None or pair[0] <= self.folded]

    async def environment(self, name: str, min_sequence: int = 0) -> EnvironmentView | None:
        """See the port."""
        return self._environments(min_sequence).get(name)

    def _environments(self, min_sequence: int) -> dict[str, EnvironmentView]:
        views: dict[str, EnvironmentView] = {}
        for sequence, event in self._known(min_sequence):
            earlier = views.get(event.subject)
            data: Any = getattr(event, "data", None)
            if earlier is None or isinstance(event, EnvironmentRequested):
                earlier = EnvironmentView(
                    name=event.subject,
                    incarnation=event.incarnation,
                    state="creating",
                    spec=data.spec,
                    created_at=event.time,
                    updated_at=event.time,
                    run_id=event.run_id,
                    version=earlier.version if earlier is not None else 0,
                    last_sequence=sequence,
                )
            views[event.subject] = _fold(earlier, event, sequence)
        return views

    async def environments(self, question: FindEnvironments) -> Environments:
        """See the port."""
        return found(question, self._environments(question.min_sequence), self.clock.now())

    async def graph(self, environment: str) -> Graph:
        """See the port."""
        return connected(environment, self._environments(0))

    async def events(self, environment: str, after: int, limit: int) -> tuple[RecordedEvent, ...]:
        """See the port."""
        found = [pair for pair in self._known() if pair[1].subject == environment]
        return tuple(
            RecordedEvent(
                sequence=sequence,
                version=version,
                subject=subjects.of(event),
                event=event.model_dump(mode="json", exclude_none=True),
            )
            for version, (sequence, event) in enumerate(found, start=1)
            if sequence > after
        )[:limit]

    async def run(self, run_id: UUID, min_sequence: int = 0) -> RunView | None:
        """See the port."""
        return self._runs(min_sequence).get(run_id)

    def _runs(self, min_sequence: int) -> dict[UUID, RunView]:
        views: dict[UUID, RunView] = {}
        steps: dict[UUID, Steps] = {}
        for sequence, event in self._known(min_sequence):
            data: Any = getattr(event, "data", None)
            if isinstance(event, RunCancelRequested) and event.run_id in views:
                called_off = {"called_off_by": event.data.requested_by, "last_sequence": sequence}
                views[event.run_id] = views[event.run_id].model_copy(update=called_off)
                continue
            if isinstance(event, RUN_REQUESTS):
                views[event.id] = RunView(
                    id=event.id,
                    environment=event.subject,
                    incarnation=event.incarnation,
                    kind=_KINDS[type(event)],
                    state="running",
                    requested_by=event.data.requested_by,
                    cause=event.data.cause,
                    team=event.data.spec.owner.team,
                    golden_path=event.data.spec.golden_path,
                    requested_at=event.time,
                    steps=(),
                    trace_id=event.traceparent.split("-")[1] if event.traceparent else None,
                    last_event_at=event.time,
                    last_sequence=sequence,
                )
            if event.run_id not in views:
                continue
            told = steps.setdefault(event.run_id, Steps())
            told.tell(event)
            ended = type(event) in _ENDS
            views[event.run_id] = views[event.run_id].model_copy(
                update={
                    "state": _ENDS.get(type(event), "running"),
                    "ended_at": event.time if ended else None,
                    "failure": getattr(data, "failure", None),
                    "undone": getattr(data, "undone", ()),
                    "left_behind": getattr(data, "left_behind", ()),
                    "steps": tuple(StepView(step=step, state=state) for step, state in told.states.items()),
                    "last_event_at": event.time,
                    "last_sequence": sequence,
                }
            )
        return views

    async def runs(self, question: FindRuns) -> queries.Runs:
        """See the port."""
        newest_first = sorted(self._runs(question.min_sequence).values(), key=lambda run: -run.last_sequence)
        seen = [
            run
            for run in newest_first
            if question.teams is None or run.team in question.teams or self._is_granted(run, question)
        ]
        return found_runs(question, seen)

    def _is_granted(self, run: RunView, question: FindRuns) -> bool:
        view = self._environments(question.min_sequence)[run.environment]
        return view.incarnation == run.incarnation and is_visible(view, (), question.granted_to)

    async def known(self, event_ids: Sequence[UUID]) -> frozenset[UUID]:
        """See the port."""
        return frozenset(event.id for _, event in self._known()) & frozenset(event_ids)

    async def durations(self, golden_path: str) -> tuple[StepDuration, ...]:
        """See the port; what was put into `measured`."""
        self._answer()
        return self.measured.get(golden_path, ())

    # -- RunLog

    async def event_after(self, environment: str, sequence: int) -> tuple[int, Event | None] | None:
        """See the port."""
        self._answer()
        return next((pair for pair in self._said() if pair[0] > sequence and pair[1].subject == environment), None)

    async def line_after(self, run_id: UUID, sequence: int) -> tuple[int, StepLine | None] | None:
        """See the port."""
        self._answer()
        lines = enumerate(self.lines, start=1)
        return next((pair for pair in lines if pair[0] > sequence and pair[1].run_id == run_id), None)

    @contextmanager
    def watch(self, environment: str, run_id: UUID) -> Iterator[Wake]:
        """See the port."""
        wake = MemoryWake()
        self._wakers[wake] = (environment, run_id)
        try:
            yield wake
        finally:
            del self._wakers[wake]

    def _wake(self, written_for: str | UUID) -> None:
        for wake, waits_for in self._wakers.items():
            if written_for in waits_for:
                wake.told.set()


def _fold(earlier: EnvironmentView, event: Event, sequence: int) -> EnvironmentView:
    data: Any = getattr(event, "data", None)
    update: dict[str, Any] = {
        "state": _STATES.get(type(event), earlier.state),
        "updated_at": event.time,
        "version": earlier.version + 1,
        "last_sequence": sequence,
    }
    if isinstance(event, RUN_REQUESTS):
        update |= {"run_id": event.run_id, "failure": None, "left_behind": ()}
    if isinstance(event, EnvironmentReady):
        update["spec"] = data.spec
    if isinstance(event, EnvironmentFailed) and data.previous is not None:
        update["state"] = "ready"  # what it was before was restored
    if isinstance(event, EnvironmentExtended):
        kept = data.expires_at is None
        update |= {"expires_at": data.expires_at, "kept_because": data.reason if kept else None}
    if isinstance(event, AccessGranted | AccessRevoked):
        grant = Grant(role=data.role, person=data.person, team=data.team)
        others = tuple(known for known in earlier.access if known != grant)
        update["access"] = (*others, grant) if isinstance(event, AccessGranted) else others
    for name in ("failure", "left_behind", "infrastructure", "secrets", "pipeline"):
        if hasattr(data, name):
            update[name] = getattr(data, name)
    return earlier.model_copy(update=update)


@dataclass(eq=False)
class MemoryWake:
    """Twin of `ports.Wake`."""

    told: asyncio.Event = field(default_factory=asyncio.Event)

    def clear(self) -> None:
        """See the port."""
        self.told.clear()

    async def wait(self, timeout_seconds: float) -> bool:
        """See the port."""
        try:
            await asyncio.wait_for(self.told.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

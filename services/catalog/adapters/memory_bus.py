"""The twins of what is on the bus: the log, timers, and whoever tells what differs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from chassis.failures import TransientError
from contracts.envelope import Event
from contracts.events import RUN_REQUESTS, parse
from contracts.timers import Timer, TimerKind
from contracts.values import EnvironmentSpec, Resource
from services.catalog.domain.records import Decision, Message
from services.catalog.ports import Outlook, OvertakenError, Rejected


@dataclass
class MemoryLog:
    """See `ports.Log`. `hear` is told of every event that is said; `is_away` makes it fail."""

    hear: Callable[[Decision], None]
    said: dict[UUID, Decision] = field(default_factory=dict)
    dead_letters: list[Rejected] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    """Everything the log holds, for the look before an old decision is said."""
    is_away: bool = False

    async def say(self, decision: Decision) -> None:
        self._answer()
        if decision.event_id not in self.said:
            if decision.is_conditional and self._last_of(decision.subject.split(".")[1]) != decision.cause_sequence:
                raise OvertakenError
            self.said[decision.event_id] = decision
            self.hear(decision)

    async def outlook(self, decision: Decision, cause: Message) -> Outlook:
        self._answer()
        because = parse(cause.body)
        events: list[Event] = [parse(message.body) for message in self.messages]
        events = [event for event in events if event.subject == because.subject]
        if any(event.id == decision.event_id for event in events):
            return "already said"
        requests = [event for event in events if isinstance(event, RUN_REQUESTS)]
        return "run is over" if requests and requests[-1].run_id != because.run_id else "go on"

    async def lay_aside(self, rejected: Rejected) -> None:
        self._answer()
        self.dead_letters.append(rejected)

    def _last_of(self, environment: str) -> int:
        """The last sequence under an environment's subjects."""
        prefix = f"environment.{environment}.".encode()
        return max(message.sequence for message in self.messages if message.subject.startswith(prefix))

    def _answer(self) -> None:
        if self.is_away:
            raise TransientError("the bus is away")


@dataclass
class MemoryTimers:
    """See `ports.Timers`. Nothing fires by itself: `due` takes out what would have by then."""

    pending: dict[tuple[str, TimerKind], Timer] = field(default_factory=dict)

    async def set(self, timer: Timer) -> None:
        self.pending[timer.environment, timer.kind] = timer

    def due(self, now: datetime) -> list[Timer]:
        """Take out what is due, in its order."""
        found = sorted((one for one in self.pending.values() if one.due_at <= now), key=lambda one: one.due_at)
        for one in found:
            del self.pending[one.environment, one.kind]
        return found


@dataclass
class MemoryPlanner:
    """See `ports.Planner`: what differs, by environment."""

    differs: dict[str, tuple[Resource, ...]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def differing(self, spec: EnvironmentSpec, incarnation: UUID) -> tuple[Resource, ...]:  # noqa: ARG002
        self.asked.append(spec.name)
        return self.differs.get(spec.name, ())

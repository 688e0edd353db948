"""What was found outside, in plain values: the log, and every system that the platform writes to.

Invariant: evidence never comes from asking the platform whether it is well. It is collected from the systems themselves
(`tests.faults.outside` from a real platform, `tests.faults.cheap` from the twins of the saga tests), and judged by
`tests.faults.invariants`, which does not know where it came from.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from pydantic import ValidationError

from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event
from contracts.events import (
    RUN_REQUESTS,
    EnvironmentDeleted,
    EnvironmentFailed,
    EnvironmentReady,
    parse,
)
from contracts.values import EnvironmentSpec

Verdict = EnvironmentReady | EnvironmentFailed | EnvironmentDeleted
"""How a run can end."""
VERDICTS = (EnvironmentReady, EnvironmentFailed, EnvironmentDeleted)
DATABASE_THINGS = frozenset({"schema", "owner role", "database role", "database", "database_role"})
"""What an environment without a database does not have, by either world's words."""


@dataclass(frozen=True)
class Told:
    """One message in a channel."""

    environment: str
    event_id: str
    channel: str


@dataclass(frozen=True)
class Span:
    """One span of a trace; `parent` is None for a root."""

    span_id: str
    parent: str | None
    service: str


@dataclass(frozen=True)
class Recovery:
    """How long a run took to its end once whatever was killed in it was back."""

    environment: str
    what: str
    seconds: float


@dataclass(frozen=True)
class Evidence:
    """Everything that was found at one moment at which nothing was under way."""

    names: tuple[str, ...]
    """The environments that are judged."""
    log: tuple[LogMessage, ...]
    derive: Callable[[UUID | str, str], UUID]
    whole: frozenset[str]
    """The kinds of things that an environment with everything has."""
    things: Mapping[str, frozenset[str]]
    """By environment, the kinds of things that live anywhere."""
    told: Sequence[Told] = ()
    commits: Mapping[str, frozenset[str]] | None = None
    """By environment, the commits of the environments repository that changed its directory."""
    records: Mapping[str, frozenset[str]] | None = None
    """By environment, the ids of what Terraform's state has."""
    marks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By environment, the incarnation with which each of its things is marked, by where."""
    copy: tuple[LogMessage, ...] | None = None
    """The catalog's copy of the log."""
    documents: Mapping[str, str] | None = None
    """By environment, what the catalog's projection holds of it, as canonical JSON."""
    shown: Mapping[str, str] | None = None
    """By environment, the state that the gateway shows."""
    pending_requests: Sequence[str] = ()
    """Environments of which the gateway keeps a request that is neither confirmed nor refused."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """By durable, messages that are not delivered or not acknowledged."""
    dead_letters: Sequence[str] = ()
    """Subjects of messages that were laid aside."""
    strays: Sequence[str] = ()
    """Processes of the platform that nobody should have left."""
    leaks: Sequence[tuple[str, str]] = ()
    """Where a secret's value was found, and whose it is."""
    traces: Mapping[str, Sequence[Span]] = field(default_factory=dict)
    """By environment that no kill touched, the spans of its runs' traces."""
    recoveries: Sequence[Recovery] = ()

    @cached_property
    def events(self) -> Mapping[str, Sequence[Event]]:
        """By environment, its believable events in the order of the log."""
        found: dict[str, list[Event]] = defaultdict(list)
        for message in self.log:
            about = subjects.kind_and_environment(message.subject.decode(errors="replace"))
            if about is None or about[1] not in self.names:
                continue
            try:
                found[about[1]].append(parse(message.body))
            except ValidationError:
                continue  # `nothing_is_laid_aside` has it
        return found

    def of(self, name: str) -> Sequence[Event]:
        """The events of one environment."""
        return self.events.get(name, ())

    def runs(self, name: str) -> Mapping[UUID, Sequence[Event]]:
        """By run, its events, of those whose request is on the log first; the runs in their order."""
        found: dict[UUID, list[Event]] = defaultdict(list)
        for event in self.of(name):
            found[event.run_id].append(event)
        return found

    def verdict(self, name: str) -> Verdict | None:
        """How the last run of an environment ended; None where it did not."""
        asked = [event for event in self.of(name) if isinstance(event, RUN_REQUESTS)]
        ended = [event for event in self.of(name) if isinstance(event, VERDICTS)]
        return ended[-1] if asked and ended and ended[-1].run_id == asked[-1].run_id else None

    def standing(self, name: str) -> EnvironmentSpec | None:
        """What should exist of an environment whose runs have ended; None for nothing."""
        verdict = self.verdict(name)
        if isinstance(verdict, EnvironmentReady):
            return verdict.data.spec
        return verdict.data.previous if isinstance(verdict, EnvironmentFailed) else None

    def expected(self, name: str) -> frozenset[str]:
        """The kinds of things that should exist."""
        spec = self.standing(name)
        if spec is None:
            return frozenset()
        return self.whole if spec.parameters.get("database", True) else self.whole - DATABASE_THINGS

"""Questions about the past: an environment as it was at a moment, and what changed between two. Their answers follow
from the log, so they reach back to its first event.
"""

from uuid import UUID

from pydantic import JsonValue

from contracts.envelope import Timestamp, Value
from contracts.names import EnvironmentName
from contracts.queries import EnvironmentView, Query, RunView


class Moment(Value):
    """What was known of a name at a moment; nothing where it was not there yet."""

    environment: EnvironmentView | None
    run: RunView | None
    """Its latest run, as far as that had come."""
    events: int
    """How many events the name had had, over all incarnations."""


class GetMoment(Query[Moment]):
    """An environment as the log had it at a time (of the events, RFC 3339), that moment included."""

    name = "moment"
    environment: EnvironmentName
    at: Timestamp


class Change(Value):
    """One field of an environment that is another than before."""

    field: str
    """Where it stands, dotted: `spec.parameters.instances`."""
    before: JsonValue = None
    after: JsonValue = None


class Difference(Value):
    """An environment at two moments, and every field in which they differ, by name of the field."""

    before: EnvironmentView | None
    after: EnvironmentView | None
    changes: tuple[Change, ...]


class Compare(Query[Difference]):
    """What changed in an environment after `since`, up to and including `until`."""

    name = "difference"
    environment: EnvironmentName
    since: Timestamp
    until: Timestamp
    incarnation: UUID | None = None
    """Only this life of the name: what was before it counts as nothing."""

"""One line of a run's log: output of a tool, or the news that a step waits for its next attempt."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import StringConstraints

from contracts.envelope import Timestamp, TraceParent, Value
from contracts.names import EnvironmentName
from contracts.values import Step

LineText = Annotated[str, StringConstraints(max_length=4000)]


class Waiting(Value):
    """A transient failure: when the step is tried again."""

    attempt: int
    """The attempt that failed, from 1."""
    attempts: int
    """How many there will be at most."""
    retry_at: Timestamp


class StepLine(Value):
    """A line of a step's log, in the stream `STEP_LOGS` for 30 days."""

    run_id: UUID
    environment: EnvironmentName
    step: Step
    time: Timestamp
    level: Literal["debug", "info", "warning", "error"] = "info"
    text: LineText
    waiting: Waiting | None = None
    traceparent: TraceParent | None = None

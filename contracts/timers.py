"""Message schedules: what the catalog asks the bus to remind it of. A firing is a hint; the catalog decides."""

from typing import Literal
from uuid import UUID

from contracts.envelope import Timestamp, Value
from contracts.names import EnvironmentName

TimerKind = Literal["expiry", "warning", "drift_check"]


class Timer(Value):
    """One reminder about one environment. Setting another of the same kind replaces it."""

    environment: EnvironmentName
    incarnation: UUID
    kind: TimerKind
    due_at: Timestamp

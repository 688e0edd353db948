"""What was asked for, as it is kept: one row for each ask that leads to an event.

Invariant: everything that the event will say is in the row, and its id follows from the row's; so saying it again says
the same event again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from contracts.envelope import Event
from contracts.events import (
    AccessChange,
    AccessRequested,
    AccessRevocationRequested,
    Asked,
    EnvironmentDeletionRequested,
    EnvironmentExtended,
    EnvironmentRequested,
    EnvironmentUpdateRequested,
    Expiry,
    RunCancelRequested,
    RunCommand,
)
from services.gateway.domain.refusals import RecordedRefusal

Operation = Literal["create", "update", "delete", "cancel", "extend", "grant", "revoke"]
Said = Asked | RunCommand | Expiry | AccessChange
"""The data of an event of ours."""

EVENTS: Final[dict[Operation, type[Event]]] = {
    "create": EnvironmentRequested,
    "update": EnvironmentUpdateRequested,
    "delete": EnvironmentDeletionRequested,
    "cancel": RunCancelRequested,
    "extend": EnvironmentExtended,
    "grant": AccessRequested,
    "revoke": AccessRevocationRequested,
}
"""What each operation says."""
_DATA: Final[dict[Operation, type[Said]]] = {
    "create": Asked,
    "update": Asked,
    "delete": Asked,
    "cancel": RunCommand,
    "extend": Expiry,
    "grant": AccessChange,
    "revoke": AccessChange,
}


def said(operation: Operation, data: Any) -> Said:
    """The data of an operation's event, from its JSON."""
    return _DATA[operation].model_validate(data)


@dataclass(frozen=True)
class AcceptedRequest:
    """One accepted ask. Its `id` is the cause from which the event's id is derived."""

    id: UUID
    principal: str
    """`Principal.subject` of whoever asked."""
    key: str
    """The idempotency key; unique for its principal."""
    fingerprint: bytes
    operation: Operation
    event_id: UUID
    """Of the event that it leads to. Where that begins a run, also the run's id."""
    incarnation: UUID
    environment: str
    visible_teams: tuple[str, ...] | None
    """Whose things the asker may be told of; None means all."""
    asked: Said
    """The event's data, complete."""
    traceparent: str | None
    requested_at: datetime
    run_id: UUID | None = None
    """The run that it steers; None where it begins one, or has to do with none."""
    state: Literal["pending", "accepted", "refused"] = "pending"
    sequence: int | None = None
    """Where the log has the event, once it was accepted."""
    refusal: RecordedRefusal | None = None
    confirmed: bool = False
    """The catalog has the event: nothing can lose it any more."""

    @property
    def run(self) -> Asked:
        """What the run that it begins is about. Raises TypeError where it begins none."""
        if not isinstance(self.asked, Asked):
            raise TypeError(f"a request to {self.operation} begins no run")
        return self.asked

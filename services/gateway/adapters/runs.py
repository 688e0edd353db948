"""The beginning of runs, by conditional publish on the log."""

from typing import Final
from uuid import UUID

from chassis.bus import Bus, ConflictError
from chassis.publishing import Publisher
from contracts import subjects
from contracts.events import EnvironmentDeletionRequested, EnvironmentRequested
from services.gateway.ports import Operation, OvertakenError, RunRequest

_KINDS: Final[dict[Operation, type[EnvironmentRequested] | type[EnvironmentDeletionRequested]]] = {
    "create": EnvironmentRequested,
    "delete": EnvironmentDeletionRequested,
}


class LogRuns:
    """Fulfils `ports.Runs`."""

    def __init__(self, bus: Bus, publisher: Publisher) -> None:
        self._bus = bus
        self._publisher = publisher

    def id_of(self, operation: Operation, cause: UUID) -> UUID:
        """See the port."""
        return self._publisher.id_of(_KINDS[operation], cause)

    async def begin(self, request: RunRequest, last_sequence: int) -> int:
        """See the port."""
        try:
            _, sequence = await self._publisher.begin_run(
                _KINDS[request.operation],
                request.asked,
                environment=request.environment,
                cause=request.id,
                last_sequence=last_sequence,
                incarnation=request.incarnation,
                traceparent=request.traceparent,
            )
        except ConflictError as error:
            newest = await self._bus.last(subjects.ENVIRONMENTS, subjects.every_event_of(request.environment))
            raise OvertakenError((newest.seq or 0) if newest is not None else 0) from error
        return sequence

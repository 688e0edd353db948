"""Saying things on the log, by conditional publish."""

from uuid import UUID

from pydantic import ValidationError

from chassis.bus import Bus, ConflictError
from chassis.publishing import Publisher
from contracts import subjects
from contracts.events import RUN_REQUESTS, Asked, parse
from contracts.queries import RunView
from services.gateway.domain.requests import EVENTS, AcceptedRequest, Operation
from services.gateway.ports import OvertakenError


class LogRuns:
    """Fulfils `ports.Runs`."""

    def __init__(self, bus: Bus, publisher: Publisher) -> None:
        self._bus = bus
        self._publisher = publisher

    def id_of(self, operation: Operation, cause: UUID) -> UUID:
        """See the port."""
        return self._publisher.id_of(EVENTS[operation], cause)

    async def asked(self, run: RunView) -> Asked | None:
        """See the port."""
        kind = EVENTS[run.kind]
        last = await self._bus.last_stored(subjects.ENVIRONMENTS, subjects.one_kind_of(run.environment, kind.kind))
        try:
            event = parse(last.data or b"") if last is not None else None
        except ValidationError:
            return None
        if not isinstance(event, RUN_REQUESTS) or event.id != run.id:
            return None
        return event.data

    async def begin(self, request: AcceptedRequest, last_sequence: int) -> int:
        """See the port."""
        try:
            _, sequence = await self._publisher.tell(
                EVENTS[request.operation],
                request.asked,
                environment=request.environment,
                cause=request.id,
                last_sequence=last_sequence,
                incarnation=request.incarnation,
                run_id=request.run_id,
                traceparent=request.traceparent,
            )
        except ConflictError as error:
            newest = await self._bus.last_stored(subjects.ENVIRONMENTS, subjects.every_event_of(request.environment))
            raise OvertakenError((newest.seq or 0) if newest is not None else 0) from error
        return sequence

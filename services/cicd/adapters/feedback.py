"""Hearing on the bus what people say."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from pydantic import ValidationError

from chassis import tracing
from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from chassis.reading import ACK, Reader, later
from contracts.signals import SIGNAL_VERSIONS, FeedbackGiven
from contracts.topology import ConsumerSpec
from contracts.upcasting import claims_newer, read

_log = structlog.get_logger(__name__)

_BATCH: Final = 10
_LATER_SECONDS: Final = 60.0
"""A ticket can wait for the forge, and it waits as long as it takes."""


class FeedbackReader:
    """Hands each feedback to `deed`, one after the other; a message is acknowledged when that returns, and comes again
    where it cannot. What is no feedback of ours changes nothing: the catalog keeps it with the reason."""

    def __init__(self, bus: Bus, spec: ConsumerSpec, deed: Callable[[FeedbackGiven], Awaitable[None]]) -> None:
        self._deed = deed
        self.run = Reader(bus, spec, self._handle, batch=_BATCH).run
        """Hear until cancelled."""

    async def _handle(self, body: bytes) -> bytes:
        try:
            feedback = read(FeedbackGiven.model_validate_json, body)
        except ValidationError as error:
            if claims_newer(body, SIGNAL_VERSIONS):
                return later(_LATER_SECONDS)
            _log.error("what was heard is no feedback of ours", errors=error.error_count())
            return ACK
        try:
            with tracing.span("cicd open ticket", parent=feedback.traceparent):
                await self._deed(feedback)
        except TransientError as error:
            _log.warning("a ticket waits", feedback_id=str(feedback.id), error=str(error))
            return later(_LATER_SECONDS)
        except PermanentError as error:
            _log.error("a ticket cannot be opened", feedback_id=str(feedback.id), error=str(error))
        return ACK

"""Hearing on the bus what becomes of previews of pull requests."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from pydantic import ValidationError

from chassis import tracing
from chassis.bus import Bus
from chassis.failures import PermanentError, TransientError
from chassis.reading import ACK, Reader, later
from contracts.events import EVENT_VERSIONS, EnvironmentDeleted, EnvironmentFailed, EnvironmentReady, parse
from contracts.signals import SIGNAL_VERSIONS, PreviewNoted
from contracts.topology import ConsumerSpec
from contracts.upcasting import claims_newer, read
from services.cicd.domain.previews import Verdict

_log = structlog.get_logger(__name__)

_BATCH: Final = 100
_LATER_SECONDS: Final = 10.0
_OF_A_PREVIEW: Final = b'"pull_request"'
"""Stands in every event of a preview, and in hardly any other: those are not even parsed."""


class VerdictReader:
    """Hands each verdict over a preview to `deed`, one after the other; it comes again where it cannot be told."""

    def __init__(self, bus: Bus, spec: ConsumerSpec, deed: Callable[[Verdict], Awaitable[None]]) -> None:
        self.run = Reader(bus, spec, partial(hear_verdict, deed), batch=_BATCH).run
        """Hear until cancelled."""


class NoteReader:
    """Hands each decision about a preview to `deed`, likewise."""

    def __init__(self, bus: Bus, spec: ConsumerSpec, deed: Callable[[PreviewNoted], Awaitable[None]]) -> None:
        self.run = Reader(bus, spec, partial(hear_note, deed), batch=_BATCH).run
        """Hear until cancelled."""


async def hear_verdict(deed: Callable[[Verdict], Awaitable[None]], body: bytes) -> bytes:
    """Do `deed` about the verdict in a message, if it is one over a preview; what to answer the bus."""
    if _OF_A_PREVIEW not in body:
        return ACK
    try:
        event = parse(body)
    except ValidationError as error:
        if claims_newer(body, EVENT_VERSIONS):
            return later(_LATER_SECONDS)
        _log.error("what was heard is no event of ours", errors=error.error_count())
        return ACK
    if not isinstance(event, EnvironmentReady | EnvironmentFailed | EnvironmentDeleted):
        return ACK
    verdict = event
    return await _told(verdict.traceparent, str(verdict.id), lambda: deed(verdict))


async def hear_note(deed: Callable[[PreviewNoted], Awaitable[None]], body: bytes) -> bytes:
    """Do `deed` about the decision in a message; what to answer the bus."""
    try:
        noted = read(PreviewNoted.model_validate_json, body)
    except ValidationError as error:
        if claims_newer(body, SIGNAL_VERSIONS):
            return later(_LATER_SECONDS)
        _log.error("what was heard is no note of ours", errors=error.error_count())
        return ACK
    return await _told(noted.traceparent, str(noted.id), lambda: deed(noted))


async def _told(traceparent: str | None, message_id: str, deed: Callable[[], Awaitable[None]]) -> bytes:
    try:
        with tracing.span("cicd tell of preview", parent=traceparent):
            await deed()
    except TransientError as error:
        _log.warning("a comment waits", message_id=message_id, error=str(error))
        return later(error.delay_seconds or _LATER_SECONDS)
    except PermanentError as error:
        _log.error("a comment cannot be written", message_id=message_id, code=error.code, error=str(error))
    return ACK

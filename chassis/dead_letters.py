"""Messages that nobody can handle are laid aside with the reason and their original bytes, so that their neighbours go
on and an operator can look at them, mend the cause, and send them back."""

from typing import Final

import structlog

from chassis import metrics, tracing
from chassis.bus import Bus
from contracts import subjects

_log = structlog.get_logger(__name__)

SUBJECT_HEADER: Final = "Slipway-Original-Subject"
SEQUENCE_HEADER: Final = "Slipway-Original-Sequence"
REASON_HEADER: Final = "Slipway-Reason"
ERROR_HEADER: Final = "Slipway-Error"
TRACEPARENT_HEADER: Final = "traceparent"


async def lay_aside(
    bus: Bus, *, service: str, subject: str, stream: str, sequence: int, body: bytes, reason: str, error: str
) -> None:
    """Store a message with why it could not be handled. Repeating is safe. Raises as `Bus.publish`."""
    headers = {
        SUBJECT_HEADER: subject,
        SEQUENCE_HEADER: str(sequence),
        REASON_HEADER: reason,
        ERROR_HEADER: _one_line(error),
    }
    if parent := tracing.traceparent():
        headers[TRACEPARENT_HEADER] = parent
    await bus.publish(
        subjects.dead_letter(service, subject),
        body,
        stream=subjects.DEAD_LETTERS,
        message_id=f"dead-letter-{service}-{stream}-{sequence}",
        headers=headers,
    )
    metrics.DEAD_LETTERS.labels(service, reason).inc()
    _log.error(
        "laid a message aside",
        subject=subject,
        stream=stream,
        sequence=sequence,
        reason=reason,
        error=headers[ERROR_HEADER],
    )


def _one_line(text: str) -> str:
    """Headers hold one printable line (a line break would end the header block)."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]

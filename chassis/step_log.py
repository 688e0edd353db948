"""Lines for the person who waits: what a step's tools print, and when a step is tried again. A line may be lost; an
event may not, so lines are published without waiting."""

from datetime import timedelta
from typing import Literal

from chassis import tracing
from chassis.bus import Bus
from chassis.clock import Clock
from chassis.failures import Retry
from contracts import subjects
from contracts.envelope import Event
from contracts.step_log import StepLine, Waiting
from contracts.values import Step

MAX_TEXT = 4000


class StepLog:
    """Writes lines of one step, of whichever run an event belongs to."""

    def __init__(self, bus: Bus, step: Step, clock: Clock) -> None:
        self._bus = bus
        self._step = step
        self._clock = clock

    async def line(self, event: Event, text: str, level: Literal["debug", "info", "warning", "error"] = "info") -> None:
        """Add a line to the run of `event`. Control characters are replaced; nothing secret may be in `text`."""
        await self._write(event, text, level, None)

    async def waiting(self, event: Event, retry: Retry, error: Exception) -> None:
        """Say that the step waits for its next attempt, and until when."""
        wait = Waiting(
            attempt=retry.attempt,
            attempts=retry.attempts,
            retry_at=self._clock.now() + timedelta(seconds=retry.delay_seconds),
        )
        await self._write(event, str(error) or type(error).__name__, "warning", wait)

    async def _write(
        self, event: Event, text: str, level: Literal["debug", "info", "warning", "error"], waiting: Waiting | None
    ) -> None:
        line = StepLine(
            run_id=event.run_id,
            environment=event.subject,
            step=self._step,
            time=self._clock.now(),
            level=level,
            text="".join(c if c.isprintable() or c == "\t" else " " for c in text)[:MAX_TEXT],
            waiting=waiting,
            traceparent=tracing.traceparent(),
        )
        await self._bus.hint(
            subjects.step_log(event.run_id, self._step), line.model_dump_json(exclude_none=True).encode()
        )

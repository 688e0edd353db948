"""Following a run while it goes on: its events and the lines of its log, in order, from any position.

Both come from the streams by position; what is heard on the bus only wakes the reader up. So nothing is missed and
nothing told twice, however often the reader reconnects and to whichever replica.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from chassis.failures import TransientError
from contracts.envelope import Event
from contracts.events import RUN_REQUESTS, RunStalled
from contracts.queries import RunView, StepState
from contracts.step_log import StepLine
from contracts.values import Step
from services.gateway.domain.progress import VERDICTS, Steps
from services.gateway.ports import RunLog

_log = structlog.get_logger(__name__)

FIRST_LOOK_SECONDS: Final = 0.02
"""A wake-up may come a moment before the message can be read, which is synced to disk first."""
LONGEST_LOOK_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Position:
    """How far a reader is: the last sequence of the environment's events, and of the log lines."""

    event: int = 0
    line: int = 0

    def __str__(self) -> str:
        return f"{self.event}-{self.line}"

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """The position that `str` gives, or None for anything else."""
        event, dash, line = text.partition("-")
        digits = event + line
        if not dash or not event or not line or not digits.isascii() or not digits.isdigit() or len(text) > 40:
            return None
        return cls(int(event), int(line))


@dataclass(frozen=True)
class News:
    """Something to tell, and the position after it. Either an event with what it changed, or a line."""

    position: Position
    sequence: int
    event: Event | None = None
    changes: tuple[tuple[Step, StepState], ...] = ()
    line: StepLine | None = None
    superseded: bool = False
    """The event begins another run of the environment, which ends this one without a verdict of its own."""

    @property
    def is_last(self) -> bool:
        """Whether nothing follows."""
        return self.superseded or isinstance(self.event, VERDICTS)

    @property
    def is_stall(self) -> bool:
        """Whether it says that the run makes no progress."""
        return isinstance(self.event, RunStalled)


@dataclass(frozen=True)
class Following:
    """Follows runs."""

    log: RunLog

    def is_over(self, run: RunView, after: Position) -> bool:
        """Whether a reader at this position has heard everything."""
        return run.state in {"succeeded", "failed"} and after.event >= run.last_sequence

    async def follow(self, run: RunView, after: Position) -> AsyncIterator[News]:
        """Everything of this run after a position, the oldest first, until its end."""
        reader = _Reader(self.log, run, after)
        with self.log.watch(run.environment, run.id) as wake:
            pause = FIRST_LOOK_SECONDS
            while True:
                wake.clear()
                try:
                    news = await reader.next()
                except TransientError as error:
                    _log.warning("cannot read a run's log at the moment", run_id=str(run.id), error=str(error))
                    await wake.wait(LONGEST_LOOK_SECONDS)
                    continue
                if news is None:
                    woken = await wake.wait(pause)
                    pause = FIRST_LOOK_SECONDS if woken else min(pause * 2, LONGEST_LOOK_SECONDS)
                    continue
                pause = FIRST_LOOK_SECONDS
                yield news
                if news.is_last:
                    return


@dataclass
class _Reader:
    """Merges the two sources by time, looking one ahead in each."""

    log: RunLog
    run: RunView
    position: Position
    _steps: Steps = field(default_factory=Steps)
    _read_events_to: int = 0
    _read_lines_to: int = field(init=False)
    _event: tuple[int, Event] | None = None
    _line: tuple[int, StepLine] | None = None
    _begun: bool = False

    def __post_init__(self) -> None:
        self._read_lines_to = self.position.line

    async def next(self) -> News | None:
        """What comes next; None where there is nothing yet."""
        while True:
            await self._look_ahead()
            if self._event is None and self._line is None:
                return None
            if self._line is not None and (self._event is None or self._line_is_first(self._event[1])):
                return self._tell_line(*self._line)
            if self._event is not None and (news := self._tell_event(*self._event)) is not None:
                return news

    async def _look_ahead(self) -> None:
        while self._event is None:
            found = await self.log.event_after(self.run.environment, self._read_events_to)
            if found is None:
                break
            self._read_events_to, event = found
            if event is None:
                continue
            if event.run_id == self.run.id or (self._begun and isinstance(event, RUN_REQUESTS)):
                self._begun = True
                self._event = (found[0], event)
        while self._line is None:
            line = await self.log.line_after(self.run.id, self._read_lines_to)
            if line is None:
                break
            self._read_lines_to = line[0]
            if line[1] is not None:
                self._line = (line[0], line[1])

    def _line_is_first(self, event: Event) -> bool:
        # A verdict is the end, so every line that is there is told before it.
        last = isinstance(event, VERDICTS) or event.run_id != self.run.id
        return self._line is not None and (last or self._line[1].time <= event.time)

    def _tell_line(self, sequence: int, line: StepLine) -> News:
        self._line = None
        self.position = replace(self.position, line=sequence)
        return News(self.position, sequence, line=line)

    def _tell_event(self, sequence: int, event: Event) -> News | None:
        self._event = None
        superseded = event.run_id != self.run.id
        changes = () if superseded else tuple(self._steps.tell(event))
        if sequence <= self.position.event:
            return None  # told before; read again only to know the states of the steps
        self.position = replace(self.position, event=sequence)
        return News(self.position, sequence, event=event, changes=changes, superseded=superseded)

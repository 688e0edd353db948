"""What the catalog does: folds the log, says what follows from it, and looks after what was left unsaid.

Invariants
- A verdict is a row of the transaction that folded its cause, and counts as said only when its event is in the event
  store. Saying it at once is for speed; the sweep says whatever is unsaid, for whatever reason.
- Before an old decision is said, the log is looked at: beyond the bus's window for duplicates saying it twice would
  store it twice, and its run may be long over.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from opentelemetry.trace import Span

from chassis import folding, metrics, tracing
from chassis.clock import Clock
from chassis.failures import PermanentError, TransientError
from chassis.identity import EventKey
from chassis.publishing import Publisher
from chassis.pulling import LogMessage
from contracts import subjects
from contracts.envelope import Event
from contracts.events import (
    RUN_REQUESTS,
    EnvironmentDeleted,
    EnvironmentDeletedData,
    EnvironmentFailed,
    EnvironmentFailedData,
    EnvironmentReady,
    EnvironmentReadyData,
    parse,
)
from services.catalog.domain.records import Batch, Decision, Examined, NewerReleaseError, examine, name_in, project
from services.catalog.domain.verdicts import Verdict, stalled
from services.catalog.handlers.timekeeping import Timekeeper
from services.catalog.ports import AlreadyRecordedError, EventStore, Log, Rejected

_log = structlog.get_logger(__name__)

FRESH: Final = timedelta(seconds=60)
"""A verdict on an event of this age may be said without a look: within the bus's window of two minutes a duplicate is
dropped, whatever the clocks of two services differ by."""
UNSAID_GRACE_SECONDS: Final = 2.0
"""How long a decision is left to whoever made it."""
UNSAID_ALARM_SECONDS: Final = 60.0
UP_TO_DATE_SECONDS: Final = 5.0
_ENDS: Final = (EnvironmentReady, EnvironmentFailed, EnvironmentDeleted)
_Ended = EnvironmentReadyData | EnvironmentFailedData | EnvironmentDeletedData


@dataclass(frozen=True)
class Handlers:
    """The catalog's deeds. Safe to run in several processes on one event store."""

    store: EventStore
    log: Log
    key: EventKey
    publisher: Publisher
    clock: Clock
    stall_after_seconds: float
    timekeeper: Timekeeper
    _speaking: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        # There before they count anything: what appears with 1 is no increase to Prometheus.
        metrics.RUNS_STALLED.labels("catalog")
        for verdict in _ENDS:
            metrics.RUN_SECONDS.labels("catalog", verdict.kind)

    # -- folding: `chassis.folding.Projection` -------------------------------------------------------------------------

    async def position(self, *, fresh: bool = False) -> int:
        """The last sequence folded; without `fresh`, as far as this process knows."""
        return (await self.store.head(fresh=fresh)).sequence

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait for this replica's turn, for a moment at most."""
        return self.store.turn()

    async def fold(self, after: int, messages: Sequence[LogMessage]) -> bool:
        """Fold messages that follow `after`, and say what comes of them. False, with nothing changed, where the
        position is another by now."""
        started_ns = time.time_ns()
        examined: list[Examined] = []
        try:
            examined.extend(examine(message, self.key.derive) for message in messages)
        except NewerReleaseError as error:
            if not examined:
                raise TransientError(f"{error}, and waits for a catalog of that release") from error
            await self.fold(after, messages[: len(examined)])
            return False
        head, known = await self.store.load({name_in(message.subject) for message in messages} - {""})
        if head.sequence != after:
            return False
        batch = project(head, known, examined, on_error=_report_unfoldable)
        spans = _spans(batch, examined, started_ns)
        try:
            stored, decisions = await self._append(batch, spans)
        except AlreadyRecordedError:
            ids = await self.store.recorded([one.event.id for one in examined if one.event is not None])
            batch = project(head, known, examined, ids, on_error=_report_unfoldable)
            stored, decisions = await self._append(batch, spans)
        if not stored:
            return False
        ended_ns = time.time_ns()
        for span in spans.values():
            span.end(ended_ns)
        self._speak(batch, decisions)
        self.timekeeper.notice(known, batch.known)
        return True

    async def holds(self, message: LogMessage) -> bool:
        """Whether this very message was folded under its sequence."""
        found = await self.store.message(message.sequence)
        return found is not None and found.body == message.body

    async def _append(self, batch: Batch, spans: Mapping[int, Span]) -> tuple[bool, list[Decision]]:
        decisions = [
            self._decision(verdict, event, sequence, spans.get(sequence)) for event, sequence, verdict in batch.verdicts
        ]
        return await self.store.append(batch, decisions), decisions

    def _decision(self, verdict: Verdict, cause: Event, sequence: int, span: Span | None = None) -> Decision:
        with tracing.within(span):
            event = self.publisher.compose(verdict.kind, verdict.data, cause)
        if isinstance(event, RUN_REQUESTS):  # it begins a run of its own
            event = event.model_copy(update={"run_id": event.id, "correlation_id": event.id})
        return Decision(event.id, sequence, event.run_id, event.kind, subjects.of(event), event.to_json())

    # -- saying --------------------------------------------------------------------------------------------------------

    def _speak(self, batch: Batch, decisions: Sequence[Decision]) -> None:
        """Say what a fold has decided, and lay aside what it did not believe, while the next one goes on."""
        oldest = self.clock.now() - FRESH
        fresh = {sequence for event, sequence, _ in batch.verdicts if event.time > oldest}
        words = [self._say(decision) for decision in decisions if decision.cause_sequence in fresh]
        for _, sequence, verdict in batch.verdicts:
            if sequence in fresh and isinstance(verdict.data, _Ended):
                metrics.RUN_SECONDS.labels("catalog", verdict.kind.kind).observe(verdict.data.duration_seconds)
        for record in batch.records:
            if record.rejection is not None:
                folding.REJECTED.labels("catalog", record.rejection).inc()
                if record.rejection != "duplicate":
                    words.append(self._lay_aside(Rejected(record, record.rejection)))
        for word in words:
            task = asyncio.create_task(word)
            self._speaking.add(task)
            task.add_done_callback(self._speaking.discard)

    async def finish(self) -> None:
        """Wait for what is being said; whatever takes too long is said after the next start."""
        if self._speaking:
            await asyncio.wait(self._speaking, timeout=5)

    async def _say(self, decision: Decision) -> None:
        if decision.is_conditional:
            await self.timekeeper.say(decision)
            return
        try:
            await self.log.say(decision)
        except (TransientError, PermanentError) as error:
            _log.warning(
                "a decision is not said yet", kind=decision.kind, run_id=str(decision.run_id), error=str(error)
            )

    async def _lay_aside(self, rejected: Rejected) -> None:
        try:
            await self.log.lay_aside(rejected)
        except (TransientError, PermanentError) as error:
            _log.warning("a message is not laid aside yet", sequence=rejected.message.sequence, error=str(error))
        else:
            await self.store.laid_aside(rejected.message.sequence)

    # -- sweeping ------------------------------------------------------------------------------------------------------

    async def sweep(self, *, grace_seconds: float = UNSAID_GRACE_SECONDS) -> None:
        """Say every decision whose event is not in the event store, and lay aside what was not yet."""
        for decision, cause in await self.store.unsaid(grace_seconds):
            if decision.is_conditional:  # its condition is the look
                await self._say(decision)
                continue
            outlook = await self.log.outlook(decision, cause)
            if outlook in {"go on", "called off"}:
                await self._say(decision)
            elif outlook == "run is over":
                _log.info("a decision has become moot", kind=decision.kind, run_id=str(decision.run_id))
                await self.store.forget(decision.event_id)
        for rejected in await self.store.rejected():
            await self._lay_aside(rejected)

    async def look_for_stalled_runs(self) -> None:
        """Say of each run without progress that it has stalled, once per step. Only while the copy is up to date."""
        for one in await self.store.stalling(self.stall_after_seconds):
            verdict = stalled(one.known, one.waiting_seconds)
            decision = self._decision(verdict, parse(one.last.body), one.last.sequence)
            if await self.store.decide(decision):
                metrics.RUNS_STALLED.labels("catalog").inc()
                _log.warning("a run has stalled", run_id=str(decision.run_id), waiting_seconds=one.waiting_seconds)
                await self._say(decision)

    async def sweep_for_ever(self, every_seconds: float, lag: Callable[[], Awaitable[folding.Lag]]) -> None:
        """Sweep at the start, which says what an earlier process left unsaid, and then again and again."""
        grace_seconds = 0.0
        while True:
            try:
                await self.sweep(grace_seconds=grace_seconds)
                if (await lag()).seconds < UP_TO_DATE_SECONDS:
                    await self.look_for_stalled_runs()
            except (TransientError, PermanentError) as error:
                _log.warning("the sweep waits", error=str(error))
            else:
                grace_seconds = UNSAID_GRACE_SECONDS
            await asyncio.sleep(every_seconds)

    async def check(self) -> None:
        """Raise where something decided long ago is still unsaid."""
        if (age_seconds := await self.store.oldest_unsaid_seconds()) > UNSAID_ALARM_SECONDS:
            raise TimeoutError(f"a decision is unsaid for {age_seconds:.0f} s; the log has the reason")


def _spans(batch: Batch, examined: Sequence[Examined], started_ns: int) -> dict[int, Span]:
    """By sequence, a span for each event that something comes of: a verdict, or a run whose end is seen from now on.
    It begins when the fold began, in the event's own trace."""
    if not tracing.enabled():
        return {}
    judged = {sequence for _, sequence, _ in batch.verdicts}
    return {
        one.message.sequence: tracing.begin(
            "catalog fold",
            one.event.traceparent,
            started_ns,
            {
                "messaging.message.id": str(one.event.id),
                "slipway.event": one.event.kind,
                "slipway.environment": one.event.subject,
                "slipway.run_id": str(one.event.run_id),
            },
        )
        for one in examined
        if one.event is not None
        and one.rejection is None
        and one.event.traceparent is not None
        and (one.message.sequence in judged or isinstance(one.event, _ENDS))
    }


def _report_unfoldable(event: Event, error: Exception) -> None:
    _log.error("folding an event failed", event_id=str(event.id), event_kind=event.kind, exc_info=error)

"""Facts from outside: they are folded when the log has been, and a deployment renews a preview's end.

Invariants
- Nothing is folded before the log has been, up to where it reaches at that moment: of an environment that somebody
  deploys to, the catalog has heard, however far it was behind and in whichever order the streams are read back.
- An end that a deployment renews is said on the log, as whatever moves an end is. It follows from the facts and the
  view, so it is also said where the catalog died between the two.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass

import structlog

from chassis import folding
from chassis.failures import TransientError
from chassis.pulling import LogMessage
from contracts.signals import Signal
from services.catalog.domain.records import NewerReleaseError
from services.catalog.domain.signals import Heard, hear, project_signals
from services.catalog.handlers.timekeeping import Timekeeper
from services.catalog.ports import AlreadyRecordedError, SignalStore

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Hearing:
    """Folds the stream of facts (`chassis.folding.Projection`). Safe to run in several processes on one store."""

    store: SignalStore
    timekeeper: Timekeeper
    log_is_folded: Callable[[], Awaitable[None]]
    """Return when whatever the log has at this moment is folded. Raises `TransientError`."""

    async def position(self, *, fresh: bool = False) -> int:  # noqa: ARG002 - always fresh
        """The last sequence folded."""
        return (await self.store.head()).sequence

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Replicas take no turns here: facts are few."""
        return nullcontext()

    async def fold(self, after: int, messages: Sequence[LogMessage]) -> bool:
        """Fold messages that follow `after`. False, with nothing changed, where the position is another by now."""
        heard: list[Heard] = []
        try:
            heard.extend(hear(message) for message in messages)
        except NewerReleaseError as error:
            if not heard:
                raise TransientError(f"{error}, and waits for a catalog of that release") from error
            await self.fold(after, messages[: len(heard)])
            return False
        await self.log_is_folded()
        names = {one.signal.subject for one in heard if one.signal is not None and one.signal.subject is not None}
        head, lives, facts = await self.store.load(names)
        if head.sequence != after:
            return False
        batch = project_signals(head, lives, facts, heard, on_error=_report_unfoldable)
        try:
            stored = await self.store.append(batch)
        except AlreadyRecordedError:
            ids = await self.store.recorded([one.signal.id for one in heard if one.signal is not None])
            batch = project_signals(head, lives, facts, heard, ids, on_error=_report_unfoldable)
            stored = await self.store.append(batch)
        if not stored:
            return False
        for record in batch.records:
            if record.rejection is not None:
                folding.REJECTED.labels("catalog signals", record.rejection).inc()
                _log.info("a signal is not believed", sequence=record.sequence, reason=record.rejection)
        self.timekeeper.notice_facts(batch.facts)
        return True

    async def holds(self, message: LogMessage) -> bool:
        """Whether this very message was folded under its sequence."""
        found = await self.store.message(message.sequence)
        return found is not None and found.body == message.body


def _report_unfoldable(signal: Signal, error: Exception) -> None:
    _log.error("folding a signal failed", signal_id=str(signal.id), signal_kind=signal.kind, exc_info=error)

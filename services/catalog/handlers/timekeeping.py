"""What the clock brings about: warnings before an environment's end, the end itself, and the look for drift.

Invariants
- A timer is a hint. What is said follows from the views and the clock, so a timer that comes early, late, twice or for
  an environment of before says nothing wrong; and one that is lost is set again by the sweep.
- What is said here holds as long as nothing has happened to the environment since the sequence that was looked at: it
  is stored on that condition. Where something has, the decision is dropped and the timers are set again. So whoever
  extends first wins, and nothing is stored twice however often it is said.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

import structlog

from chassis import tracing
from chassis.clock import Clock
from chassis.failures import PermanentError, TransientError
from chassis.identity import EventKey
from contracts import subjects
from contracts.envelope import Event, Value
from contracts.events import (
    RUN_REQUESTS,
    Drift,
    DriftDetected,
    EnvironmentDeletionRequested,
    EnvironmentExpired,
    EnvironmentExpiring,
    EnvironmentExtended,
    Expiry,
)
from contracts.queries import EnvironmentView
from contracts.timers import Timer
from services.catalog.domain.folding import Known
from services.catalog.domain.records import Decision
from services.catalog.domain.reminders import (
    Rhythm,
    due_warning,
    has_moved,
    next_drift_check,
    next_warning,
    reminders,
    timer,
)
from services.catalog.domain.signals import Facts, renewed
from services.catalog.domain.verdicts import deletion_of, is_news
from services.catalog.ports import EventStore, Log, OvertakenError, Planner, SignalStore, Timers

_log = structlog.get_logger(__name__)

CHECKS_AT_ONCE: Final = 2
_AGAIN: Final = timedelta(seconds=1)
"""How soon a timer is set again that fired before its time, or whose decision was overtaken: the fold catches up."""
_RETRY_SECONDS: Final = 1.0
_GATHER_SECONDS: Final = 0.2
"""How long what has moved is gathered before its timers are set: many together take one look at the facts."""
_PAGE: Final = 100


@dataclass(frozen=True)
class Timekeeper:
    """Sets timers and decides when they fire. Safe to run in several processes on one event store."""

    store: EventStore
    signals: SignalStore
    log: Log
    timers: Timers
    planner: Planner
    key: EventKey
    clock: Clock
    rhythm: Rhythm
    _to_set: dict[str, tuple[EnvironmentView | None, datetime | None]] = field(default_factory=dict)
    """Environments whose timers are to be set, as far as they are at hand, and when at the earliest they may fire."""
    _work: asyncio.Event = field(default_factory=asyncio.Event)
    _checks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHECKS_AT_ONCE))

    # -- setting timers ------------------------------------------------------------------------------------------------

    def notice(self, before: Mapping[str, Known], after: Mapping[str, Known]) -> None:
        """Take note of what a fold has changed; the timers are set while the next one goes on. What is not due before
        the sweep has looked twice is left to it."""
        for name, known in after.items():
            was = before.get(name)
            moved = has_moved(was.environment if was else None, known.environment)
            if moved and reminders(known.environment, self.rhythm, self.clock.now()):
                self._set_soon(name, view=known.environment)

    def notice_facts(self, facts: Mapping[str, Facts]) -> None:
        """Take note of what was said from outside; an end that moves because of it is said meanwhile."""
        for name, known in facts.items():
            if known.last_activity_at is not None:
                self._set_soon(name)

    async def keep_set(self, sweep_seconds: float) -> None:
        """Set every timer at the start, which brings back those that a lost stream took along, again every
        `sweep_seconds`, and in between those that have moved."""
        swept_at: float | None = None
        while True:
            self._work.clear()
            try:
                if swept_at is None or time.monotonic() - swept_at >= sweep_seconds:
                    await self._set_all()
                    swept_at = time.monotonic()
                await self._set_noticed()
            except (TransientError, PermanentError) as error:
                _log.warning("setting timers waits", error=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                async with asyncio.timeout(max(0.0, swept_at + sweep_seconds - time.monotonic())):
                    await self._work.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_GATHER_SECONDS)

    async def _set_all(self) -> None:
        page = await self.store.ready("", _PAGE)
        while page:
            facts = await self.signals.facts([view.name for view in page])
            await asyncio.gather(*(self._set(view, facts.get(view.name)) for view in page))
            await self._set_noticed()
            page = await self.store.ready(page[-1].name, _PAGE)

    async def _set_noticed(self) -> None:
        while self._to_set:
            noticed = [self._to_set.popitem() for _ in range(min(_PAGE, len(self._to_set)))]
            try:
                facts = await self.signals.facts([name for name, _ in noticed])
                while noticed:
                    name, (view, not_before) = noticed[-1]
                    if view is None and (known := await self.store.known(name)) is not None:
                        view = known.environment
                    if view is not None:
                        await self._set(view, facts.get(name), not_before)
                    noticed.pop()
            except BaseException:
                for name, one in noticed:
                    self._to_set.setdefault(name, one)
                raise

    async def _facts(self, name: str) -> Facts | None:
        return (await self.signals.facts([name])).get(name)

    async def _set(self, view: EnvironmentView, facts: Facts | None, not_before: datetime | None = None) -> None:
        if await self._renew(view, facts):
            return  # folding that sets its timers
        for one in reminders(view, self.rhythm, self.clock.now(), not_before=not_before):
            await self.timers.set(one)

    def _set_soon(self, name: str, not_before: datetime | None = None, *, view: EnvironmentView | None = None) -> None:
        self._to_set[name] = (view, not_before)
        self._work.set()

    # -- deciding ------------------------------------------------------------------------------------------------------

    async def fired(self, fired: Timer) -> None:
        """Decide what a timer calls for, if anything. When this returns the decision is stored. Raises
        `TransientError` where the store or the bus is away."""
        known = await self.store.known(fired.environment)
        if known is None or known.environment.state != "ready":
            return  # when it is ready again its timers are set
        view, now = known.environment, self.clock.now()
        if fired.kind != "drift_check" and await self._renew(view, await self._facts(view.name)):
            return
        if fired.kind == "expiry":
            await self._expire(view, now)
        elif fired.kind == "warning":
            await self._warn(view, now)
        else:
            await self.timers.set(timer(view, "drift_check", next_drift_check(view.name, self.rhythm, now)))
            self._check_soon(view.name)

    async def _expire(self, view: EnvironmentView, now: datetime) -> None:
        if view.expires_at is None:
            return
        if now < view.expires_at:
            await self.timers.set(timer(view, "expiry", max(view.expires_at, now + _AGAIN)))
            return
        cause = self.key.derive(view.incarnation, f"expiry {view.expires_at.isoformat()}")
        expired_id = self.key.derive(cause, EnvironmentExpired.kind)
        if not await self.store.recorded([expired_id]):
            await self._decide(EnvironmentExpired, _expiry(view), view, cause)
        else:  # folding it has asked for the deletion, and that was overtaken
            await self._decide(EnvironmentDeletionRequested, deletion_of(view.spec, view.expires_at), view, expired_id)

    async def _renew(self, view: EnvironmentView, facts: Facts | None) -> bool:
        """Move the end of a preview that was deployed to; whether there is one to move."""
        expires_at = renewed(view, facts, self.rhythm.renews_for)
        if expires_at is None:
            return False
        spec = view.spec.model_copy(update={"expires_at": expires_at})
        data = Expiry(spec=spec, expires_at=expires_at, reason="It was deployed to.")
        cause = self.key.derive(view.incarnation, f"renewal {view.last_sequence}")
        await self._decide(EnvironmentExtended, data, view, cause)
        return True

    async def _warn(self, view: EnvironmentView, now: datetime) -> None:
        if (at := due_warning(view, self.rhythm, now)) is not None:
            cause = self.key.derive(view.incarnation, f"warning {view.expires_at} {at.isoformat()}")
            await self._decide(EnvironmentExpiring, _expiry(view), view, cause)
        if (following := next_warning(view, self.rhythm, now)) is not None:
            await self.timers.set(timer(view, "warning", max(following, now + _AGAIN)))

    async def _decide(self, kind: type[Event], data: Value, view: EnvironmentView, cause: UUID) -> None:
        # `view` was read before this look: what the copy lacks now it lacked at `view.last_sequence` too, and whatever
        # came later breaks the condition under which the event is stored.
        if await self.store.recorded([self.key.derive(cause, kind.kind)]):
            return
        with tracing.span(f"catalog decide {kind.kind}", attributes={"slipway.environment": view.name}):
            event = self._compose(kind, data, view, cause)
            decision = Decision(
                event.id, view.last_sequence, event.run_id, event.kind, subjects.of(event), event.to_json()
            )
            if await self.store.decide(decision):
                _log.info("the clock has decided", kind=decision.kind, environment=view.name)
                await self.say(decision)

    def _compose(self, kind: type[Event], data: Value, view: EnvironmentView, cause: UUID) -> Event:
        event_id = self.key.derive(cause, kind.kind)
        run_id = event_id if issubclass(kind, RUN_REQUESTS) else view.run_id
        return kind.model_validate(
            {
                "id": event_id,
                "source": "catalog",
                "type": cast("str", kind.model_fields["type"].default),
                "subject": view.name,
                "time": self.clock.now(),
                "incarnation": view.incarnation,
                "runid": run_id,
                "correlationid": run_id,
                "causationid": cause,
                "traceparent": tracing.traceparent(),
                "data": data,
            }
        )

    async def say(self, decision: Decision) -> None:
        """Say what holds only while nothing has happened since; drop it, and have it decided anew, where something
        has."""
        environment = decision.subject.split(".")[1]
        try:
            await self.log.say(decision)
        except OvertakenError:
            _log.info("a decision was overtaken", kind=decision.kind, environment=environment)
            await self.store.forget(decision.event_id)
            self._set_soon(environment, self.clock.now() + _AGAIN)
        except (TransientError, PermanentError) as error:
            _log.warning(
                "a decision is not said yet", kind=decision.kind, run_id=str(decision.run_id), error=str(error)
            )

    # -- drift ---------------------------------------------------------------------------------------------------------

    def _check_soon(self, name: str) -> None:
        if name in self._checks:
            return
        task = asyncio.create_task(self._check_in_turn(name))
        self._checks[name] = task
        task.add_done_callback(lambda _: self._checks.pop(name, None))

    async def _check_in_turn(self, name: str) -> None:
        async with self._room:
            try:
                await self.check_drift(name)
            except (TransientError, PermanentError) as error:
                _log.warning("could not look for drift", environment=name, error=str(error))

    async def check_drift(self, name: str) -> None:
        """Ask what would have to change for an environment to be what it shall be, and say so where that is news."""
        known = await self.store.known(name)
        if known is None or known.environment.state != "ready":
            return
        view = known.environment
        differing = await self.planner.differing(view.spec, view.incarnation)
        if is_news(known, differing):
            cause = self.key.derive(view.incarnation, f"drift {view.last_sequence}")
            await self._decide(DriftDetected, Drift(spec=view.spec, differing=differing), view, cause)

    async def finish(self) -> None:
        """Give up the checks under way; each has its next moment."""
        checks = list(self._checks.values())
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)


def _expiry(view: EnvironmentView) -> Expiry:
    return Expiry(spec=view.spec, expires_at=view.expires_at)

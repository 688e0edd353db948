"""Driving rollouts: rehearse, begin what is due, see what came of it. Each look does one small step and keeps it.

Invariants
- That an environment is begun is kept before its upgrade is asked for, and the request's key follows from the rollout,
  the environment and the attempt. So whatever happens between the two, and however many replicas drive, asking again
  finds the same run.
- A step is kept only over what it was made from: what a person decided meanwhile wins.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NoReturn
from uuid import UUID, uuid4

import structlog

from chassis import tracing
from chassis.failures import PermanentError, TransientError
from services.gateway.domain.changes import ChangeEnvironment
from services.gateway.domain.obstacles import BUSY_STATES
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import (
    ChangedMeanwhileError,
    InvalidError,
    NothingThereError,
    PlanOutdatedError,
    RefusalError,
    RunUnderWayError,
    UnavailableError,
    UnknownThingError,
)
from services.gateway.domain.rollouts import (
    Member,
    Rehearsal,
    Rollout,
    advanced,
    began,
    due,
    ended,
    foreseen,
    postponed,
    rehearsed,
    to_be_rehearsed_again,
    to_rehearse,
    withdrawn,
)
from services.gateway.handlers.asking import Asking
from services.gateway.handlers.settling import Answered
from services.gateway.ports import RolloutStore

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 4
"""Plans and requests at the same time: each may keep the provisioner busy for seconds."""
_LOST: Final = timedelta(minutes=10)
"""How old a run of which nothing is known is, before it counts as lost."""
_BUSY: Final = "Another run of it is under way."
_GONE: Final = "There is nothing of it any more."


@dataclass(frozen=True)
class Rolling:
    """Drives every rollout that is under way."""

    store: RolloutStore
    asking: Asking
    interval_seconds: float = 1.0
    lease_seconds: float = 15.0
    """How long a replica that does not say that it is alive is waited for."""
    driver: UUID = field(default_factory=uuid4)
    """This replica."""

    async def run(self) -> NoReturn:
        """Drive them until cancelled."""
        while True:
            moved = False
            try:
                moved = await self.look()
            except (TransientError, PermanentError) as error:
                _log.warning("could not look after the rollouts", error=str(error))
            if not moved:
                await asyncio.sleep(self.interval_seconds)

    async def look(self) -> bool:
        """One step of every rollout; whether any of them can take the next one at once."""
        moved = False
        for rollout_id in await self.store.under_way():
            rollout = await self.store.take(rollout_id, self.driver, self.lease_seconds)
            if rollout is None:
                continue
            holding = asyncio.create_task(self._hold(rollout_id))
            try:
                moved |= await self._step(rollout)
            except (TransientError, PermanentError) as error:
                # One rollout that has to wait must not hold up the others.
                _log.warning("a rollout waits", rollout=str(rollout_id), error=str(error))
            except Exception:  # noqa: BLE001 - whatever it is, nobody's requests shall wait for it
                _log.exception("a rollout cannot be driven", rollout=str(rollout_id))
            finally:
                holding.cancel()
                await asyncio.gather(holding, return_exceptions=True)
                await self.store.let_go(rollout_id, self.driver)
        return moved

    async def _hold(self, rollout_id: UUID) -> NoReturn:
        """Say that this replica is alive, while a step takes its time. Where that cannot be said another one may take
        the same step: then one of the two is kept."""
        while True:
            await asyncio.sleep(self.lease_seconds / 3)
            await self.store.take(rollout_id, self.driver, self.lease_seconds)

    async def _step(self, rollout: Rollout) -> bool:
        if planned := to_rehearse(rollout, AT_ONCE):
            return await self._keep(rollout, await _each(planned, lambda member: self._rehearse(rollout, member)))
        if unasked := [member for member in rollout.members_in("begun") if member.run_id is None][:AT_ONCE]:
            return await self._keep(rollout, await _each(unasked, lambda member: self._ask(rollout, member)))
        if under_way := rollout.members_in("begun"):
            return await self._keep(rollout, await _each(under_way, self._follow))
        now = self._now()
        return await self._keep(rollout, [began(member, None, now) for member in due(rollout)])

    async def _keep(self, before: Rollout, changed: Sequence[Member]) -> bool:
        after = advanced(before, changed, self._now())
        if after == before or not await self.store.save(after, before):
            return False
        waits = any(member.state == "pending" and member.waiting_since is not None for member in changed)
        if (after.status, after.phase, after.ended_at) != (before.status, before.phase, before.ended_at):
            _log.info(
                "a rollout has come further",
                rollout=str(after.id),
                golden_path=after.golden_path,
                version=after.version,
                status=after.status,
                phase=after.phase,
                upgraded=len(after.members_in("upgraded")),
                left=len(after.members_in("pending", "begun")),
                failed=len(after.members_in("failed")),
            )
        return not waits

    # -- one environment. What may work later raises, or leaves it as it is.

    async def _rehearse(self, rollout: Rollout, member: Member) -> Member:
        try:
            planned = await self.asking.planning.of_change(
                _asker(rollout), member.environment, ChangeEnvironment(golden_path_version=rollout.version)
            )
            found = foreseen(planned.plan)
        except UnknownThingError:
            return ended(member, "skipped", self._now(), _GONE)
        except (UnavailableError, TransientError) as error:
            return postponed(member, self._now(), f"It cannot be planned now: {error}.")
        except (RefusalError, PermanentError) as error:
            found = Rehearsal("refused", reason=_words(error))
        return rehearsed(rollout, member, found, self._now())

    async def _ask(self, rollout: Rollout, member: Member) -> Member:
        """Ask for its upgrade, or find that this was done."""
        asker, now = _asker(rollout), self._now()
        key = f"rollout-{rollout.id}-{member.environment}-{member.attempt}"
        ask = ChangeEnvironment(
            golden_path_version=rollout.version, plan=member.rehearsal.hash if member.rehearsal is not None else None
        )
        try:
            asked_before = await self.asking.settling.requests.find(asker.subject, key) is not None
            if not asked_before and rollout.status != "running":
                return withdrawn(rollout, member, now)
            if not asked_before and await self._is_busy(member):
                return postponed(member, now, _BUSY)
            with tracing.span("rollout upgrade", attributes={"slipway.environment": member.environment}):
                found = await self.asking.update(asker, member.environment, ask, key)
        except (UnavailableError, TransientError) as error:
            _log.info("an upgrade waits", environment=member.environment, error=str(error))
            return member
        except (RefusalError, PermanentError) as error:
            return _refused(member, error, now)
        if isinstance(found, Answered):
            return began(member, found.request.event_id, now)
        return ended(member, "upgraded", now, "It had this version already.")

    async def _is_busy(self, member: Member) -> bool:
        view = await self.asking.settling.catalog.environment(member.environment)
        return view is not None and view.state in BUSY_STATES

    async def _follow(self, member: Member) -> Member:
        """See what came of its run."""
        run = await self.asking.settling.catalog.run(member.run_id) if member.run_id is not None else None
        if run is None:
            is_lost = member.begun_at is not None and self._now() - member.begun_at > _LOST
            return ended(member, "failed", self._now(), "Its run was lost.") if is_lost else member
        if run.ended_at is None:
            return member
        if run.state == "succeeded":
            return ended(member, "upgraded", run.ended_at)
        reason = run.failure.message if run.failure is not None else "Its run failed."
        return ended(member, "failed", run.ended_at, reason)

    def _now(self) -> datetime:
        return self.asking.settling.clock.now()


def _refused(member: Member, error: RefusalError | PermanentError, now: datetime) -> Member:
    """What becomes of an environment whose upgrade was refused."""
    match error:
        case RunUnderWayError():
            return postponed(member, now, _BUSY)
        case PlanOutdatedError() | ChangedMeanwhileError():
            return to_be_rehearsed_again(member, now)
        case UnknownThingError() | NothingThereError():
            return ended(member, "skipped", now, _GONE)
    return ended(member, "failed", now, _words(error))


async def _each(members: Sequence[Member], deed: Callable[[Member], Awaitable[Member]]) -> list[Member]:
    """Do it for all of them, so many at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(member: Member) -> Member:
        async with room:
            return await deed(member)

    return list(await asyncio.gather(*(one(member) for member in members)))


def _asker(rollout: Rollout) -> Principal:
    """Whoever began the rollout, with what they were allowed to then."""
    return Principal(rollout.requested_by, "admin", (), "rollout", f"rollout {rollout.id}", None)


def _words(error: RefusalError | PermanentError) -> str:
    if isinstance(error, InvalidError):
        return "; ".join(f"{broken.field} {broken.rule}" for broken in error.errors)
    return str(error)

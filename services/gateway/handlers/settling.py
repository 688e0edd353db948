"""Carrying out what was asked: keep it, say it, and tell its fate. The same for whatever leads to an event.

Invariants
- A request is kept before its event is published, under an id from which the event's id follows; so whatever happens
  between the two, publishing again says the same event again, and the log holds it once.
- The same key and the same request always get the same answer, and lead to one event, however many ask at once.
- One run at a time: the event is stored only if nothing has happened to the environment since what the catalog knew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid4

from chassis import tracing
from chassis.clock import Clock
from chassis.failures import TransientError
from contracts.queries import EnvironmentView
from services.gateway.domain.obstacles import obstacle
from services.gateway.domain.people import Principal
from services.gateway.domain.policy import Room
from services.gateway.domain.refusals import KeyReusedError, RefusalError
from services.gateway.domain.requests import AcceptedRequest, Operation, Said
from services.gateway.handlers.quotas import Quotas
from services.gateway.ports import Catalog, FullError, OvertakenError, RequestStore, Runs

TRIES: Final = 5
"""How often something is said anew where the log was ahead of the catalog."""
_FIRST_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 0.3


@dataclass(frozen=True)
class Answered:
    """An accepted request. `replayed`: its key had been seen before."""

    request: AcceptedRequest
    replayed: bool = False


@dataclass(frozen=True)
class Draft:
    """What somebody wants said, before it is kept."""

    operation: Operation
    environment: str
    asked: Said
    view: EnvironmentView | None = None
    """What is known of the environment; None where nothing is, as with a new one."""
    run_id: UUID | None = None
    """The run that it steers."""
    room: Room | None = None
    """The place that it needs of its team's quota."""


@dataclass(frozen=True)
class Settling:
    """Keeps requests and says their events."""

    requests: RequestStore
    catalog: Catalog
    runs: Runs
    clock: Clock
    quotas: Quotas
    patience_seconds: float = 5.0
    """How long the second asker of a key waits for the first, before doing the work itself."""

    async def earlier(self, principal: Principal, key: str | None, mark: bytes) -> Answered | None:
        """The answer to the request that has this key; None where there is none. Raises as `carry_out`."""
        if key is None or (found := await self.requests.find(principal.subject, key)) is None:
            return None
        return await self._again(found, mark)

    async def carry_out(
        self, principal: Principal, key: str | None, mark: bytes, draft: Callable[[], Awaitable[Draft]]
    ) -> Answered:
        """Do what `draft` gives, once for each key. `mark` is the request's fingerprint.

        A draft that is refused now may have been accepted before, under the same key: then that counts. Raises a
        `RefusalError`, or `TransientError` after the request was kept: then it is carried out as soon as that is
        possible, and asking again with the same key tells its fate.
        """
        try:
            wanted = await draft()
        except RefusalError:
            if (answered := await self.earlier(principal, key, mark)) is not None:
                return answered
            raise
        cause = uuid4()
        event_id = self.runs.id_of(wanted.operation, cause)
        before = wanted.view if wanted.operation != "create" else None
        request = AcceptedRequest(
            id=cause,
            principal=principal.subject,
            key=key if key is not None else f"made-{cause}",
            fingerprint=mark,
            operation=wanted.operation,
            event_id=event_id,
            incarnation=before.incarnation if before is not None else event_id,
            environment=wanted.environment,
            # Whoever may change what exists sees it, be it by a grant; a name may also be taken by who knows whom.
            visible_teams=None if before is not None else principal.visible_teams,
            asked=wanted.asked,
            traceparent=tracing.traceparent(),
            requested_at=self.clock.now(),
            run_id=wanted.run_id,
        )
        kept = await self._claim(principal, request, wanted.room)
        if kept.id != request.id:
            return await self._again(kept, mark)
        return _answer(await self.settle(kept, Outlook(wanted.view)), replayed=False)

    async def _claim(self, principal: Principal, request: AcceptedRequest, room: Room | None) -> AcceptedRequest:
        try:
            return await self.requests.claim(request, room)
        except FullError as error:
            if not await self.quotas.make_room(error.usage):
                raise self.quotas.refusal(principal, error.usage) from error
        try:
            return await self.requests.claim(request, room)
        except FullError as error:
            raise self.quotas.refusal(principal, error.usage) from error

    async def _again(self, earlier: AcceptedRequest, mark: bytes) -> Answered:
        if earlier.fingerprint != mark:
            raise KeyReusedError(
                "This Idempotency-Key was used for another request. Make a new key for a new request. Nothing was"
                " changed."
            )
        settled = await self._wait_for(earlier)
        # Whoever had the key first may have died: what is left to do may be done by anybody.
        return _answer(settled or await self.settle(earlier), replayed=True)

    async def _wait_for(self, request: AcceptedRequest) -> AcceptedRequest | None:
        """The request once it is settled; None where that takes too long."""
        pause = _FIRST_LOOK_SECONDS
        waited = 0.0
        found: AcceptedRequest | None = request
        while found is not None:
            if found.state != "pending":
                return found
            if waited >= self.patience_seconds:
                return None
            await asyncio.sleep(pause)
            waited += pause
            pause = min(pause * 2, _LONGEST_LOOK_SECONDS)
            found = await self.requests.find(request.principal, request.key)
        return None

    async def settle(self, request: AcceptedRequest, outlook: "Outlook | None" = None) -> AcceptedRequest:
        """Say a kept request's event, or find that it was said, or refuse it. May be called by any number at once and
        at any later time; `outlook` is what its draft saw, for the very first time only. Raises `TransientError` where
        its fate cannot be known now."""
        floor = 0
        for _ in range(TRIES):
            known = False
            if outlook is None:
                # Asked in this order: an event that becomes known between the two is then seen in the view.
                known = bool(await self.catalog.known([request.event_id]))
                view = await self.catalog.environment(request.environment, floor)
            else:
                view, outlook = outlook.view, None
            if known or (view is not None and request.event_id in {view.run_id, view.incarnation}):
                seen = view.last_sequence if view is not None else 0
                return await self.requests.accept(request, request.sequence or seen)
            if refusal := obstacle(request, view):
                return await self.requests.refuse(request, refusal)
            try:
                # Up to the floor the catalog has read: what it does not show of the name was not to be believed.
                last_sequence = max(floor, view.last_sequence if view is not None else 0)
                sequence = await self.runs.begin(_as_of(view, request), last_sequence)
            except OvertakenError as error:
                floor = error.last_sequence
                continue
            return await self.requests.accept(request, sequence)
        raise TransientError(f"the log and the catalog do not agree about {request.environment}")


@dataclass(frozen=True)
class Outlook:
    """What a draft saw of its environment. A new name is first taken for one of which nothing was ever said: the log
    itself refuses where that is wrong, and only then the catalog is asked."""

    view: EnvironmentView | None


def _as_of(view: EnvironmentView | None, request: AcceptedRequest) -> AcceptedRequest:
    """A deletion takes away what there is now, not what there was when it was asked for."""
    if request.operation != "delete" or view is None:
        return request
    return replace(request, asked=request.run.model_copy(update={"spec": view.spec}))


def _answer(request: AcceptedRequest, *, replayed: bool) -> Answered:
    if request.refusal is not None:
        raise request.refusal.error()
    return Answered(request, replayed)

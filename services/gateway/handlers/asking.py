"""Asking for a run: create and delete. The same deeds for HTTP and for requests on the bus.

Invariants
- A request is kept before its event is published, under an id from which the event's id follows; so whatever happens
  between the two, publishing again says the same event again, and the log holds it once.
- The same key and the same request always get the same answer, and begin one run, however many ask at once.
- One run at a time: the event is stored only if nothing has happened to the environment since what the catalog knew.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from chassis import tracing
from chassis.clock import Clock
from chassis.failures import TransientError
from contracts.events import Asked
from contracts.queries import EnvironmentView
from contracts.values import EnvironmentSpec
from services.gateway.domain.admission import (
    CreateEnvironment,
    Defaults,
    complete,
    fingerprint,
    obstacle_to_creation,
    obstacle_to_deletion,
)
from services.gateway.domain.people import Principal
from services.gateway.domain.refusals import (
    NO_SUCH_ENVIRONMENT,
    BrokenRule,
    InvalidError,
    KeyReusedError,
    RecordedRefusal,
    UnknownThingError,
)
from services.gateway.ports import Catalog, GoldenPaths, Operation, OvertakenError, RequestStore, RunRequest, Runs

TRIES: Final = 5
"""How often a run is begun anew where the log was ahead of the catalog."""
_FIRST_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 0.3


@dataclass(frozen=True)
class Answered:
    """An accepted request. `replayed`: its key had been seen before."""

    request: RunRequest
    replayed: bool = False


@dataclass(frozen=True)
class Asking:
    """Accepts requests and begins their runs."""

    requests: RequestStore
    catalog: Catalog
    runs: Runs
    golden_paths: GoldenPaths
    clock: Clock
    defaults: Defaults
    patience_seconds: float = 5.0
    """How long the second asker of a key waits for the first, before doing the work itself."""

    async def create(self, principal: Principal, ask: CreateEnvironment, key: str | None) -> Answered:
        """Ask for a new environment. Raises a `RefusalError`, or `TransientError` after the request was kept: then it
        is carried out as soon as that is possible, and asking again with the same key tells its fate."""
        principal.require("developer")
        mark = fingerprint("create", ask.model_dump(mode="json"))
        if key is not None and (earlier := await self.requests.find(principal.subject, key)):
            return await self._again(earlier, mark)
        path = await self.golden_paths.find(ask.golden_path)
        if path is None:
            offered = ", ".join(found.name for found in await self.golden_paths.all())
            raise InvalidError([BrokenRule("golden_path", f"must be one of {offered}")])
        now = self.clock.now()
        spec = complete(ask, path, principal, now, self.defaults)
        return await self._ask("create", principal, key, mark=mark, spec=spec, now=now)

    async def delete(self, principal: Principal, name: str, key: str | None) -> Answered:
        """Ask for an environment to be taken away. Raises as `create`."""
        principal.require("developer")
        mark = fingerprint("delete", {"name": name})
        if key is not None and (earlier := await self.requests.find(principal.subject, key)):
            return await self._again(earlier, mark)
        view = await self.catalog.environment(name, await self.requests.floor(environment=name))
        if view is None or view.state == "deleted" or not principal.sees(view.spec.owner.team):
            raise UnknownThingError(NO_SUCH_ENVIRONMENT)
        return await self._ask(
            "delete", principal, key, mark=mark, spec=view.spec, now=self.clock.now(), incarnation=view.incarnation
        )

    async def _ask(
        self,
        operation: Operation,
        principal: Principal,
        key: str | None,
        *,
        mark: bytes,
        spec: EnvironmentSpec,
        now: datetime,
        incarnation: UUID | None = None,
    ) -> Answered:
        cause = uuid4()
        event_id = self.runs.id_of(operation, cause)
        request = RunRequest(
            id=cause,
            principal=principal.subject,
            key=key if key is not None else f"made-{cause}",
            fingerprint=mark,
            operation=operation,
            event_id=event_id,
            incarnation=incarnation or event_id,
            environment=spec.name,
            visible_teams=principal.visible_teams,
            asked=Asked(spec=spec, requested_by=principal.person),
            traceparent=tracing.traceparent(),
            requested_at=now,
        )
        kept = await self.requests.claim(request)
        if kept.id != request.id:
            return await self._again(kept, mark)
        return _answer(await self.settle(kept, first_try=True), replayed=False)

    async def _again(self, earlier: RunRequest, mark: bytes) -> Answered:
        if earlier.fingerprint != mark:
            raise KeyReusedError(
                "This Idempotency-Key was used for another request. Make a new key for a new request. Nothing was"
                " changed."
            )
        settled = await self._wait_for(earlier)
        # Whoever had the key first may have died: what is left to do may be done by anybody.
        return _answer(settled or await self.settle(earlier), replayed=True)

    async def _wait_for(self, request: RunRequest) -> RunRequest | None:
        """The request once it is settled; None where that takes too long."""
        pause = _FIRST_LOOK_SECONDS
        waited = 0.0
        found: RunRequest | None = request
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

    async def settle(self, request: RunRequest, *, first_try: bool = False) -> RunRequest:
        """Begin the run of a kept request, or find that it was begun, or refuse it. May be called by any number at
        once and at any later time. Raises `TransientError` where that cannot be known now."""
        floor = 0
        for _ in range(TRIES):
            # Asked in this order: an event that becomes known between the two is then seen in the view.
            known = not first_try and bool(await self.catalog.known([request.event_id]))
            view = await self.catalog.environment(request.environment, floor)
            if known or (view is not None and request.event_id in {view.run_id, view.incarnation}):
                seen = view.last_sequence if view is not None else 0
                return await self.requests.accept(request.id, request.sequence or seen)
            if refusal := _obstacle(request, view):
                return await self.requests.refuse(request.id, refusal)
            try:
                sequence = await self.runs.begin(_as_of(view, request), view.last_sequence if view is not None else 0)
            except OvertakenError as error:
                floor, first_try = error.last_sequence, False
                continue
            return await self.requests.accept(request.id, sequence)
        raise TransientError(f"the log and the catalog do not agree about {request.environment}")


def _obstacle(request: RunRequest, view: EnvironmentView | None) -> RecordedRefusal | None:
    if request.operation == "create":
        return obstacle_to_creation(view, request.asked.spec.owner.team, request.visible_teams)
    return obstacle_to_deletion(view, request.incarnation, request.visible_teams)


def _as_of(view: EnvironmentView | None, request: RunRequest) -> RunRequest:
    """A deletion takes away what there is now, not what there was when it was asked for."""
    if request.operation == "create" or view is None:
        return request
    return replace(request, asked=Asked(spec=view.spec, requested_by=request.asked.requested_by))


def _answer(request: RunRequest, *, replayed: bool) -> Answered:
    if request.refusal is not None:
        raise request.refusal.error()
    return Answered(request, replayed)

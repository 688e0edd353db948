"""Keeping what was accepted: requests whose event the catalog does not have are published again, under the same id.

Covers a crash between the row and the publish, a publish whose answer was lost, and a stream that lost the message
after it had acknowledged it. Invariant: a request leaves this care only when the catalog has its event, or when it is
refused and says why.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NoReturn

import structlog

from chassis.failures import PermanentError, TransientError
from services.gateway.domain.requests import AcceptedRequest
from services.gateway.handlers.settling import Settling

_log = structlog.get_logger(__name__)

BATCH: Final = 500


@dataclass(frozen=True)
class Keeping:
    """Looks after requests until they are safe."""

    settling: Settling
    interval_seconds: float = 1.0
    patience_seconds: float = 10.0
    """How old a request is before its event counts as lost rather than as under way."""

    async def run(self) -> NoReturn:
        """Look after them until cancelled."""
        while True:
            try:
                await self.look()
            except (TransientError, PermanentError) as error:
                _log.warning("could not look after the accepted requests", error=str(error))
            await asyncio.sleep(self.interval_seconds)

    async def look(self) -> int:
        """One look at everything that is not confirmed; returns how many it could confirm."""
        requests, catalog = self.settling.requests, self.settling.catalog
        lost_before = self.settling.clock.now() - timedelta(seconds=self.patience_seconds)
        waiting = await requests.unconfirmed(BATCH)
        if not waiting:
            return 0
        known = await catalog.known([request.event_id for request in waiting])
        if unnoticed := [one.event_id for one in waiting if one.pending and one.event_id in known]:
            for request in await requests.with_events(unnoticed):
                await self.settling.settle(request)
        await requests.confirm(sorted(known))
        if lost := [one.event_id for one in waiting if one.event_id not in known and one.requested_at <= lost_before]:
            for request in await requests.with_events(lost):
                await self._publish_again(request)
        return len(known)

    async def _publish_again(self, request: AcceptedRequest) -> None:
        fields = {
            "environment": request.environment,
            "run_id": str(request.event_id),
            "operation": request.operation,
            "was": request.state,
        }
        try:
            settled = await self.settling.settle(request)
        except (TransientError, PermanentError) as error:
            # One request that has to wait must not hold up the others.
            _log.warning("an accepted request waits for its event", **fields, error=str(error))
            return
        if settled.refusal is None:
            _log.info("published an accepted request again", **fields, sequence=settled.sequence)
        elif request.state == "accepted":
            _log.error("an accepted request was lost, and its name is taken now", **fields)
        else:
            _log.info("refused a request that was left unfinished", **fields, code=settled.refusal.code)

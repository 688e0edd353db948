"""The port `History`: the last word on an environment's secrets, read from the log."""

import asyncio
from typing import TypeVar
from uuid import UUID

from pydantic import ValidationError

from chassis.bus import Bus
from contracts import subjects
from contracts.envelope import Event
from contracts.events import SecretsRevoked, SecretsStored
from contracts.values import Secrets
from services.secrets import domain

E = TypeVar("E", bound=Event)


class LogHistory:
    """Two reads of the stream `ENVIRONMENTS`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def stored(self, environment: str, incarnation: UUID) -> Secrets | None:
        """The last SecretsStored, unless the secrets were revoked after it; without what an update's undo has taken
        away of it since."""
        (stored, stored_at), (revoked, revoked_at) = await self._last_words(environment, incarnation)
        if stored is None or revoked is None or stored_at > revoked_at:
            return stored.data.secrets if stored is not None else None
        if revoked.data.previous is None:
            return None
        return domain.without(stored.data.secrets, revoked.data.receipt.removed)

    async def is_undone(self, environment: str, incarnation: UUID) -> bool:
        """Whether there is a SecretsRevoked that was no undo of an update, and no SecretsStored after it."""
        (_, stored_at), (revoked, revoked_at) = await self._last_words(environment, incarnation)
        return revoked is not None and revoked_at > stored_at and revoked.data.previous is None

    async def _last_words(
        self, environment: str, incarnation: UUID
    ) -> tuple[tuple[SecretsStored | None, int], tuple[SecretsRevoked | None, int]]:
        return await asyncio.gather(
            self._last(SecretsStored, environment, incarnation), self._last(SecretsRevoked, environment, incarnation)
        )

    async def _last(self, kind: type[E], environment: str, incarnation: UUID) -> tuple[E | None, int]:
        """The last event of a kind and its stream sequence; 0 where this incarnation said none. What cannot be read
        counts as unsaid: it must not keep an undo from going on."""
        found = await self._bus.last_stored(subjects.ENVIRONMENTS, subjects.one_kind_of(environment, kind.kind))
        if found is None or found.data is None or found.seq is None:
            return None, 0
        try:
            said = kind.model_validate_json(found.data)
        except ValidationError:
            return None, 0
        return (said, found.seq) if said.incarnation == incarnation else (None, 0)

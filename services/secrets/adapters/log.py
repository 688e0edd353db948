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

E = TypeVar("E", bound=Event)


class LogHistory:
    """Two direct reads of the stream `ENVIRONMENTS`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def stored(self, environment: str, incarnation: UUID) -> Secrets | None:
        """The last SecretsStored, unless a SecretsRevoked came after it."""
        (stored, stored_at), (_, revoked_at) = await self._last_words(environment, incarnation)
        return stored.data.secrets if stored is not None and stored_at > revoked_at else None

    async def is_undone(self, environment: str, incarnation: UUID) -> bool:
        """Whether there is a SecretsRevoked, and no SecretsStored after it."""
        (_, stored_at), (_, revoked_at) = await self._last_words(environment, incarnation)
        return revoked_at > stored_at

    async def _last_words(
        self, environment: str, incarnation: UUID
    ) -> tuple[tuple[SecretsStored | None, int], tuple[SecretsRevoked | None, int]]:
        return await asyncio.gather(
            self._last(SecretsStored, environment, incarnation), self._last(SecretsRevoked, environment, incarnation)
        )

    async def _last(self, kind: type[E], environment: str, incarnation: UUID) -> tuple[E | None, int]:
        """The last event of a kind and its stream sequence; 0 where this incarnation said none. What cannot be read
        counts as unsaid: it must not keep an undo from going on."""
        found = await self._bus.last(subjects.ENVIRONMENTS, subjects.one_kind_of(environment, kind.kind))
        if found is None or found.data is None or found.seq is None:
            return None, 0
        try:
            said = kind.model_validate_json(found.data)
        except ValidationError:
            return None, 0
        return (said, found.seq) if said.incarnation == incarnation else (None, 0)
